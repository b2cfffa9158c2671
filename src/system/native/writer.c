/*
 * Page-cache writes to many files as one job of the thread pool. Node's own writev costs the event loop a job and a
 * completion for each file; with all writes of a turn in one job that price is paid once, and the copy into the page
 * cache runs beside the event loop.
 */
#include "writer.h"

#include "napi-values.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef IOV_MAX
#define IOV_MAX 1024
#endif

struct file_write {
  int fd;
  int64_t position;
  uint32_t vectors;
  /* Bytes written, or a negative errno. */
  int64_t result;
};

struct job {
  napi_async_work work;
  /* Keep the buffers and the callback alive. */
  napi_ref buffers;
  napi_ref done;
  uint32_t writes;
  struct file_write *write;
  struct iovec *vector;
};

static void free_job(napi_env env, struct job *job) {
  if (job == NULL) return;
  if (job->work != NULL) napi_delete_async_work(env, job->work);
  if (job->buffers != NULL) napi_delete_reference(env, job->buffers);
  if (job->done != NULL) napi_delete_reference(env, job->done);
  free(job->write);
  free(job->vector);
  free(job);
}

/* All bytes of the vectors, which it uses up. A write that takes none of the bytes it has is an error of the device. */
static int64_t write_fully(int fd, struct iovec *vector, uint32_t count, int64_t position) {
  int64_t written = 0;
  while (count > 0) {
    if (vector->iov_len == 0) {
      vector++;
      count--;
      continue;
    }
    ssize_t taken = pwritev(fd, vector, count < IOV_MAX ? (int)count : IOV_MAX, position + written);
    if (taken < 0 && errno == EINTR) continue;
    if (taken < 0) return -errno;
    if (taken == 0) return -EIO;
    written += taken;
    while (count > 0 && (size_t)taken >= vector->iov_len) {
      taken -= (ssize_t)vector->iov_len;
      vector++;
      count--;
    }
    if (taken > 0) {
      vector->iov_base = (char *)vector->iov_base + taken;
      vector->iov_len -= (size_t)taken;
    }
  }
  return written;
}

static void execute(napi_env env, void *data) {
  (void)env;
  struct job *job = data;
  struct iovec *vector = job->vector;
  for (uint32_t i = 0; i < job->writes; i++) {
    struct file_write *write = &job->write[i];
    write->result = write_fully(write->fd, vector, write->vectors, write->position);
    vector += write->vectors;
  }
}

static void complete(napi_env env, napi_status status, void *data) {
  struct job *job = data;
  napi_value results, done, receiver;
  int ready = napi_create_array_with_length(env, job->writes, &results) == napi_ok &&
              napi_get_reference_value(env, job->done, &done) == napi_ok &&
              napi_get_global(env, &receiver) == napi_ok;
  for (uint32_t i = 0; ready && i < job->writes; i++) {
    int64_t result = status == napi_ok ? job->write[i].result : -ECANCELED;
    ready = napi_set_element(env, results, i, from_int64(env, result)) == napi_ok;
  }
  free_job(env, job);
  /* What it throws is an uncaught exception, as with every callback of Node's. */
  if (ready) napi_call_function(env, receiver, done, 1, &results, NULL);
}

/* A typed array of numbers; its length in elements. */
static int get_array(napi_env env, napi_value value, napi_typedarray_type wanted, struct bytes *into) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &into->length, &data, NULL, NULL) != napi_ok || type != wanted) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a typed array is expected");
    return 0;
  }
  into->data = data;
  return 1;
}

/* Reads the three lists, of which the buffers belong to the files one after the other. */
static int read_writes(napi_env env, napi_value *arguments, struct job *job) {
  uint32_t buffers;
  struct bytes fds, positions, counts;
  if (!get_array(env, arguments[0], napi_int32_array, &fds) ||
      !get_array(env, arguments[1], napi_float64_array, &positions) ||
      !get_array(env, arguments[2], napi_int32_array, &counts)) {
    return 0;
  }
  if (napi_get_array_length(env, arguments[3], &buffers) != napi_ok) return 0;
  job->writes = (uint32_t)counts.length;
  if (fds.length < counts.length || positions.length < counts.length) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "the lists do not fit together");
    return 0;
  }
  job->write = calloc(job->writes + 1, sizeof *job->write);
  job->vector = calloc(buffers + 1, sizeof *job->vector);
  if (job->write == NULL || job->vector == NULL) {
    throw_errno(env, ENOMEM, "writeAll");
    return 0;
  }
  uint64_t needed = 0;
  for (uint32_t i = 0; i < job->writes; i++) {
    struct file_write *write = &job->write[i];
    write->fd = ((const int32_t *)(const void *)fds.data)[i];
    write->position = (int64_t)((const double *)(const void *)positions.data)[i];
    write->vectors = (uint32_t)((const int32_t *)(const void *)counts.data)[i];
    needed += write->vectors;
  }
  if (needed != buffers) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "the counts do not add up to the buffers");
    return 0;
  }
  for (uint32_t i = 0; i < buffers; i++) {
    napi_value buffer;
    struct bytes bytes;
    if (napi_get_element(env, arguments[3], i, &buffer) != napi_ok || !get_bytes(env, buffer, &bytes)) return 0;
    job->vector[i].iov_base = bytes.data;
    job->vector[i].iov_len = bytes.length;
  }
  return 1;
}

napi_value write_all(napi_env env, napi_callback_info info) {
  napi_value arguments[5], name;
  if (!get_arguments(env, info, 5, arguments, NULL)) return NULL;
  struct job *job = calloc(1, sizeof *job);
  if (job == NULL) {
    throw_errno(env, ENOMEM, "writeAll");
    return NULL;
  }
  if (!read_writes(env, arguments, job) ||
      napi_create_reference(env, arguments[3], 1, &job->buffers) != napi_ok ||
      napi_create_reference(env, arguments[4], 1, &job->done) != napi_ok ||
      napi_create_string_utf8(env, "samsa.writeAll", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, NULL, name, execute, complete, job, &job->work) != napi_ok ||
      napi_queue_async_work(env, job->work) != napi_ok) {
    free_job(env, job);
    bool thrown = false;
    napi_is_exception_pending(env, &thrown);
    if (!thrown) throw_errno(env, ENOMEM, "writeAll");
  }
  return NULL;
}
