/* System calls on files that Node.js does not offer. */
#include "files.h"

#include "kernel.h"
#include "napi-values.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#define ALIGNMENT 4096

static napi_value result_of(napi_env env, int64_t result) { return from_int64(env, result < 0 ? -errno : result); }

static napi_value send_file(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int32_t socket_fd, file_fd;
  int64_t position, length;
  if (!get_arguments(env, info, 4, arguments, NULL) || !get_int32(env, arguments[0], &socket_fd) ||
      !get_int32(env, arguments[1], &file_fd) || !get_int64(env, arguments[2], &position) ||
      !get_int64(env, arguments[3], &length)) {
    return NULL;
  }
  off_t at = (off_t)position;
  ssize_t sent;
  do sent = sendfile(socket_fd, file_fd, &at, (size_t)length);
  while (sent < 0 && errno == EINTR);
  return result_of(env, sent);
}

static napi_value cached_bytes(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int32_t fd;
  int64_t position, length;
  if (!get_arguments(env, info, 3, arguments, NULL) || !get_int32(env, arguments[0], &fd) ||
      !get_int64(env, arguments[1], &position) || !get_int64(env, arguments[2], &length)) {
    return NULL;
  }
  /* To the kernel no length is all that follows. */
  if (length == 0) return from_int64(env, 0);
  struct samsa_cachestat_range range = {(uint64_t)position, (uint64_t)length};
  struct samsa_cachestat found;
  if (syscall(SYS_cachestat, fd, &range, &found, 0) < 0) return from_int64(env, -errno);
  int64_t page = sysconf(_SC_PAGESIZE);
  int64_t pages = (position + length - 1) / page - position / page + 1;
  if ((int64_t)found.nr_cache >= pages) return from_int64(env, length);
  int64_t bytes = (int64_t)found.nr_cache * page;
  return from_int64(env, bytes < length ? bytes : length - 1);
}

static napi_value read_now(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  int32_t fd;
  struct bytes into;
  int64_t position;
  if (!get_arguments(env, info, 5, arguments, NULL) || !get_int32(env, arguments[0], &fd) ||
      !get_stretch(env, arguments[1], arguments[2], arguments[3], &into) ||
      !get_int64(env, arguments[4], &position)) {
    return NULL;
  }
  struct iovec vector = {into.data, into.length};
  ssize_t got;
  /* Not every libc has preadv2. The position is one word, of which the second is the upper half on 32 bits. */
  do got = syscall(SYS_preadv2, fd, &vector, 1L, (long)position, 0L, RWF_NOWAIT);
  while (got < 0 && errno == EINTR);
  return result_of(env, got);
}

/* Whether the file can be opened with O_DIRECT, for kernels and file systems that do not tell what they want. */
static int opens_direct(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

static napi_value direct_alignment(napi_env env, napi_callback_info info) {
  napi_value argument, result, value;
  char path[4096];
  size_t length;
  if (!get_arguments(env, info, 1, &argument, NULL)) return NULL;
  if (napi_get_value_string_utf8(env, argument, path, sizeof path, &length) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a path is expected");
    return NULL;
  }
  struct samsa_statx found = {0};
  napi_get_null(env, &result);
  if (length == sizeof path - 1) return result;
  if (syscall(SYS_statx, AT_FDCWD, path, 0, SAMSA_STATX_DIOALIGN, &found) < 0) return result;
  bool told = (found.mask & SAMSA_STATX_DIOALIGN) != 0;
  if (!told) {
    if (!opens_direct(path)) return result;
    found.dio_mem_align = found.dio_offset_align = ALIGNMENT;
  }
  if (found.dio_mem_align == 0 || found.dio_offset_align == 0) return result;
  napi_create_object(env, &result);
  napi_create_uint32(env, found.dio_mem_align, &value);
  napi_set_named_property(env, result, "memoryBytes", value);
  napi_create_uint32(env, found.dio_offset_align, &value);
  napi_set_named_property(env, result, "offsetBytes", value);
  napi_get_boolean(env, told, &value);
  napi_set_named_property(env, result, "told", value);
  return result;
}

static void free_aligned(napi_env env, void *data, void *bytes) {
  (void)env;
  munmap(data, (size_t)(uintptr_t)bytes);
}

static napi_value aligned_buffer(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  int64_t bytes;
  if (!get_arguments(env, info, 1, &argument, NULL) || !get_int64(env, argument, &bytes)) return NULL;
  if (bytes == 0 || bytes > UINT32_MAX) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "an aligned buffer has 1 byte to 4 GiB");
    return NULL;
  }
  void *data = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    throw_errno(env, errno, "mmap");
    return NULL;
  }
  void *hint = (void *)(uintptr_t)bytes;
  if (napi_create_external_buffer(env, (size_t)bytes, data, free_aligned, hint, &result) != napi_ok) {
    munmap(data, (size_t)bytes);
    throw_errno(env, ENOTSUP, "external buffer");
    return NULL;
  }
  return result;
}

#define EXTENTS_AT_ONCE 64
/* A file in more pieces than that is not worth the time. */
#define MAX_EXTENTS 4096
/* What a write there would change beside the bytes: where they lie, or how far they are written. */
#define UNSETTLED                                                                                                     \
  (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_NOT_ALIGNED |                \
   FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_SHARED)

/* From the start of the file: bytes whose blocks exist and were written, as the file system knows it. */
static int64_t written_extents(int fd) {
  union {
    struct fiemap map;
    uint8_t room[sizeof(struct fiemap) + EXTENTS_AT_ONCE * sizeof(struct fiemap_extent)];
  } found;
  uint64_t end = 0;
  for (unsigned count = 0; count < MAX_EXTENTS; count += EXTENTS_AT_ONCE) {
    memset(&found.map, 0, sizeof found.map);
    found.map.fm_start = end;
    found.map.fm_length = FIEMAP_MAX_OFFSET - end;
    found.map.fm_extent_count = EXTENTS_AT_ONCE;
    if (ioctl(fd, FS_IOC_FIEMAP, &found.map) < 0) return -errno;
    if (found.map.fm_mapped_extents == 0) return (int64_t)end;
    for (unsigned i = 0; i < found.map.fm_mapped_extents; i++) {
      const struct fiemap_extent *extent = &found.map.fm_extents[i];
      if (extent->fe_logical > end || (extent->fe_flags & UNSETTLED)) return (int64_t)end;
      end = extent->fe_logical + extent->fe_length;
      if (extent->fe_flags & FIEMAP_EXTENT_LAST) return (int64_t)end;
    }
  }
  return (int64_t)end;
}

static napi_value written_bytes(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t fd;
  if (!get_arguments(env, info, 1, &argument, NULL) || !get_int32(env, argument, &fd)) return NULL;
  return from_int64(env, written_extents(fd));
}

/*
 * A lock on the whole file that belongs to the open descriptor: the kernel drops it with the last of them, however the
 * process ends. It excludes the record locks of others, such as Java's FileChannel takes.
 */
static napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t fd;
  if (!get_arguments(env, info, 1, &argument, NULL) || !get_int32(env, argument, &fd)) return NULL;
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return result_of(env, fcntl(fd, F_OFD_SETLK, &lock));
}

static napi_value lock_owner(napi_env env, napi_callback_info info) {
  napi_value argument;
  int32_t fd;
  if (!get_arguments(env, info, 1, &argument, NULL) || !get_int32(env, argument, &fd)) return NULL;
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK || lock.l_pid < 0) return from_int64(env, 0);
  return from_int64(env, lock.l_pid);
}

const napi_property_descriptor files_exports[FILES_EXPORTS] = {
    {"sendfile", NULL, send_file, NULL, NULL, NULL, napi_enumerable, NULL},
    {"cachedBytes", NULL, cached_bytes, NULL, NULL, NULL, napi_enumerable, NULL},
    {"readNow", NULL, read_now, NULL, NULL, NULL, napi_enumerable, NULL},
    {"directAlignment", NULL, direct_alignment, NULL, NULL, NULL, napi_enumerable, NULL},
    {"lockFile", NULL, lock_file, NULL, NULL, NULL, napi_enumerable, NULL},
    {"lockOwner", NULL, lock_owner, NULL, NULL, NULL, napi_enumerable, NULL},
    {"writtenBytes", NULL, written_bytes, NULL, NULL, NULL, napi_enumerable, NULL},
    {"alignedBuffer", NULL, aligned_buffer, NULL, NULL, NULL, napi_enumerable, NULL},
};
