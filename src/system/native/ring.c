/*
 * The class Ring: an io_uring whose completions reach JavaScript through the event loop.
 *
 * The kernel signals completions on an eventfd, which libuv polls with all other descriptors; no thread is involved.
 * An operation has a slot from the moment it is queued until its completion was reported; its buffer sits in the
 * same slot of a JavaScript array, so that it is not collected meanwhile.
 */
#include "ring.h"

#include "event-loop.h"
#include "fault.h"
#include "uring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_ENTRIES 4096

struct slot {
  int32_t id;
  /* What is reported in place of the kernel's result, when not 0. */
  int32_t forced;
};

struct ring {
  napi_env env;
  struct uring uring;
  int eventfd;
  uv_handle_t *poll;
  /* [callback, buffers by slot, completions, receiver]; held until the ring is gone. */
  napi_ref held;
  napi_async_context context;
  napi_async_cleanup_hook_handle cleanup;
  int32_t *completions;
  struct slot *slots;
  /* Free slots, a stack. */
  uint32_t *free;
  uint32_t free_count;
  uint32_t capacity;
  struct fault fault;
  /* The caller wants the loop kept alive; it is while operations are under way. */
  int referenced;
  int kept_alive;
  /* What was to be submitted has not all been taken. */
  int unsubmitted;
  int closing;
  int disposed;
  struct holder *holder;
};

/* What the JavaScript object wraps: it may outlive the ring. */
struct holder {
  struct ring *ring;
};

enum held { HELD_CALLBACK, HELD_BUFFERS, HELD_COMPLETIONS, HELD_SELF, HELD_COUNT };

static uint32_t under_way(const struct ring *ring) { return ring->capacity - ring->free_count; }

static void update_keep_alive(struct ring *ring) {
  int wanted = ring->referenced && under_way(ring) > 0;
  if (wanted == ring->kept_alive) return;
  ring->kept_alive = wanted;
  if (wanted) uv_ref(ring->poll);
  else uv_unref(ring->poll);
}

static napi_value held_value(struct ring *ring, enum held which) {
  napi_value all = NULL, value = NULL;
  napi_get_reference_value(ring->env, ring->held, &all);
  napi_get_element(ring->env, all, which, &value);
  return value;
}

/* ------------------------------------------------------------------------------------------------ the ring's end */

static void free_memory(struct ring *ring) {
  free(ring->slots);
  free(ring->free);
  free(ring->poll);
  free(ring);
}

static void poll_closed(uv_handle_t *poll) {
  struct ring *ring = uv_handle_get_data(poll);
  napi_async_cleanup_hook_handle cleanup = ring->cleanup;
  ring->holder->ring = NULL;
  uring_close(&ring->uring);
  close(ring->eventfd);
  napi_delete_reference(ring->env, ring->held);
  napi_async_destroy(ring->env, ring->context);
  free_memory(ring);
  /* Only now may the environment go on to end. */
  napi_remove_async_cleanup_hook(cleanup);
}

static void dispose(struct ring *ring) {
  if (ring->disposed) return;
  ring->disposed = 1;
  uv_poll_stop(ring->poll);
  uv_close(ring->poll, poll_closed);
}

/*
 * The environment ends (a worker thread, or Node.js itself). What is under way must end first: the kernel may write
 * to memory that is about to be freed. The end of a process would wait for the same operations.
 */
static void environment_ends(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  struct ring *ring = data;
  ring->closing = 1;
  uint64_t slot;
  int32_t result;
  uint32_t left = under_way(ring) - uring_queued(&ring->uring);
  uring_drop_queued(&ring->uring);
  while (left > 0) {
    while (uring_reap(&ring->uring, &slot, &result)) left--;
    if (left > 0 && uring_wait(&ring->uring) < 0) break;
  }
  dispose(ring);
}

/* --------------------------------------------------------------------------------------------------- completions */

/* Has the poll report once more, in a later turn of the loop. */
static void wake_later(struct ring *ring) {
  uint64_t one = 1;
  ssize_t written = write(ring->eventfd, &one, sizeof one);
  (void)written;
}

static int submit(struct ring *ring) {
  int submitted = uring_submit(&ring->uring);
  ring->unsubmitted = uring_queued(&ring->uring) > 0;
  /* The kernel was short of memory for a moment. */
  if (ring->unsubmitted) wake_later(ring);
  return submitted;
}

static uint32_t reap(struct ring *ring, napi_value buffers) {
  uint32_t count = 0;
  uint64_t slot;
  int32_t result;
  napi_value nothing;
  napi_get_undefined(ring->env, &nothing);
  while (count < ring->capacity && uring_reap(&ring->uring, &slot, &result)) {
    struct slot *done = &ring->slots[slot];
    ring->completions[2 * count] = done->id;
    ring->completions[2 * count + 1] = done->forced != 0 ? done->forced : result;
    napi_set_element(ring->env, buffers, (uint32_t)slot, nothing);
    ring->free[ring->free_count++] = (uint32_t)slot;
    count++;
  }
  return count;
}

static void report(struct ring *ring, uint32_t count) {
  napi_env env = ring->env;
  napi_value argument, result;
  napi_create_uint32(env, count, &argument);
  napi_status status = napi_make_callback(env, ring->context, held_value(ring, HELD_SELF),
                                          held_value(ring, HELD_CALLBACK), 1, &argument, &result);
  bool thrown = false;
  if (status == napi_ok || napi_is_exception_pending(env, &thrown) != napi_ok || !thrown) return;
  /* As from any other callback: an uncaughtException. */
  napi_value error;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

static void readable(uv_handle_t *poll, int status, int events) {
  (void)status, (void)events;
  struct ring *ring = uv_handle_get_data(poll);
  uint64_t signals;
  /* Before the queue is looked at: what arrives later signals again. */
  ssize_t got = read(ring->eventfd, &signals, sizeof signals);
  (void)got;
  uring_flush(&ring->uring);
  uint32_t count;
  do {
    napi_handle_scope scope;
    if (napi_open_handle_scope(ring->env, &scope) != napi_ok) return;
    count = reap(ring, held_value(ring, HELD_BUFFERS));
    if (count > 0) report(ring, count);
    napi_close_handle_scope(ring->env, scope);
    if (ring->disposed) return;
  } while (count == ring->capacity);
  if (ring->unsubmitted) submit(ring);
  update_keep_alive(ring);
  if (ring->closing && under_way(ring) == 0) dispose(ring);
}

/* ---------------------------------------------------------------------------------------------------- operations */

/* The ring behind `this`; NULL when an exception was thrown. A ring that is gone has a holder still. */
static struct holder *this_ring(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  napi_value self;
  void *holder;
  if (!get_arguments(env, info, count, arguments, &self)) return NULL;
  if (napi_unwrap(env, self, &holder) == napi_ok) return holder;
  napi_throw_type_error(env, "ERR_INVALID_THIS", "not a Ring");
  return NULL;
}

struct operation {
  uint8_t opcode;
  enum fault_operation kind;
  int32_t id;
  int32_t fd;
  int64_t position;
  uint32_t length;
  /* What the operation's flags mean depends on the operation; they share one field. */
  uint32_t flags;
  uint8_t *data;
  /* The kernel tries it on a thread of its own at once, not on this one first. */
  bool elsewhere;
};

static void prepare(struct io_uring_sqe *entry, const struct operation *operation) {
  entry->opcode = operation->opcode;
  entry->fd = operation->fd;
  entry->off = (uint64_t)operation->position;
  entry->addr = (uint64_t)(uintptr_t)operation->data;
  entry->len = operation->length;
  entry->rw_flags = (int)operation->flags;
  if (operation->elsewhere) entry->flags = IOSQE_ASYNC;
}

/* 0, or why the operation cannot be queued. `buffer` is NULL for an operation without one. */
static napi_value queue(struct holder *holder, napi_env env, struct operation *operation, napi_value buffer) {
  struct ring *ring = holder->ring;
  if (ring == NULL || ring->closing) return from_int64(env, -EBADF);
  struct io_uring_sqe *entry = ring->free_count > 0 ? uring_next(&ring->uring) : NULL;
  if (entry == NULL) return from_int64(env, -EBUSY);
  uint32_t slot = ring->free[--ring->free_count];
  ring->slots[slot] = (struct slot){operation->id, 0};
  int error = fault_next(&ring->fault, operation->kind);
  if (error == FAULT_SHORT) {
    operation->length /= 2;
  } else if (error != 0) {
    operation->opcode = IORING_OP_NOP;
    ring->slots[slot].forced = -error;
  }
  prepare(entry, operation);
  entry->user_data = slot;
  if (buffer != NULL) {
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    napi_set_element(env, held_value(ring, HELD_BUFFERS), slot, buffer);
    napi_close_handle_scope(env, scope);
  }
  return from_int64(env, 0);
}

/* (id, fd, buffer, offset, length, position, dsync or elsewhere) */
static napi_value transfer(napi_env env, napi_callback_info info, int writes) {
  napi_value arguments[7];
  struct operation operation = {.opcode = writes ? IORING_OP_WRITE : IORING_OP_READ,
                                .kind = writes ? FAULT_WRITE : FAULT_READ};
  struct bytes bytes;
  bool flag;
  struct holder *holder = this_ring(env, info, 7, arguments);
  if (holder == NULL || !get_int32(env, arguments[0], &operation.id) ||
      !get_int32(env, arguments[1], &operation.fd) ||
      !get_stretch(env, arguments[2], arguments[3], arguments[4], &bytes) ||
      !get_int64(env, arguments[5], &operation.position)) {
    return NULL;
  }
  if (napi_get_value_bool(env, arguments[6], &flag) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a boolean is expected");
    return NULL;
  }
  operation.data = bytes.data;
  operation.length = (uint32_t)bytes.length;
  operation.flags = writes && flag ? RWF_DSYNC : 0;
  operation.elsewhere = !writes && flag;
  return queue(holder, env, &operation, arguments[2]);
}

static napi_value ring_write(napi_env env, napi_callback_info info) { return transfer(env, info, 1); }

static napi_value ring_read(napi_env env, napi_callback_info info) { return transfer(env, info, 0); }

static napi_value ring_fdatasync(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct operation operation = {
      .opcode = IORING_OP_FSYNC, .kind = FAULT_FSYNC, .flags = IORING_FSYNC_DATASYNC};
  struct holder *holder = this_ring(env, info, 2, arguments);
  if (holder == NULL || !get_int32(env, arguments[0], &operation.id) ||
      !get_int32(env, arguments[1], &operation.fd)) {
    return NULL;
  }
  return queue(holder, env, &operation, NULL);
}

/* (id, fd, position, length, flags) */
static napi_value on_range(napi_env env, napi_callback_info info, uint8_t opcode) {
  napi_value arguments[5];
  struct operation operation = {.opcode = opcode, .kind = FAULT_NONE};
  struct holder *holder = this_ring(env, info, 5, arguments);
  int64_t length;
  if (holder == NULL || !get_int32(env, arguments[0], &operation.id) ||
      !get_int32(env, arguments[1], &operation.fd) || !get_int64(env, arguments[2], &operation.position) ||
      !get_int64(env, arguments[3], &length) || !get_uint32(env, arguments[4], &operation.flags)) {
    return NULL;
  }
  if (length > UINT32_MAX) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "the length of a range is below 4 GiB");
    return NULL;
  }
  operation.length = (uint32_t)length;
  return queue(holder, env, &operation, NULL);
}

static napi_value ring_sync_range(napi_env env, napi_callback_info info) {
  return on_range(env, info, IORING_OP_SYNC_FILE_RANGE);
}

static napi_value ring_fadvise(napi_env env, napi_callback_info info) {
  return on_range(env, info, IORING_OP_FADVISE);
}

/* (id, fd, mode, position, length) */
static napi_value ring_fallocate(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  struct operation operation = {.opcode = IORING_OP_FALLOCATE, .kind = FAULT_NONE};
  struct holder *holder = this_ring(env, info, 5, arguments);
  int64_t length;
  if (holder == NULL || !get_int32(env, arguments[0], &operation.id) ||
      !get_int32(env, arguments[1], &operation.fd) || !get_uint32(env, arguments[2], &operation.length) ||
      !get_int64(env, arguments[3], &operation.position) || !get_int64(env, arguments[4], &length)) {
    return NULL;
  }
  /* The kernel takes the mode in the place of a length, and the length in that of an address. */
  operation.data = (uint8_t *)(uintptr_t)length;
  return queue(holder, env, &operation, NULL);
}

static napi_value ring_reap(napi_env env, napi_callback_info info) {
  struct holder *holder = this_ring(env, info, 0, NULL);
  if (holder == NULL) return NULL;
  struct ring *ring = holder->ring;
  if (ring == NULL || ring->disposed) return from_int64(env, 0);
  return from_int64(env, reap(ring, held_value(ring, HELD_BUFFERS)));
}

static napi_value ring_submit(napi_env env, napi_callback_info info) {
  struct holder *holder = this_ring(env, info, 0, NULL);
  if (holder == NULL) return NULL;
  struct ring *ring = holder->ring;
  if (ring == NULL || ring->disposed) return from_int64(env, -EBADF);
  int submitted = submit(ring);
  update_keep_alive(ring);
  return from_int64(env, submitted);
}

static napi_value refer(napi_env env, napi_callback_info info, int referenced) {
  struct holder *holder = this_ring(env, info, 0, NULL);
  if (holder == NULL || holder->ring == NULL || holder->ring->disposed) return NULL;
  holder->ring->referenced = referenced;
  update_keep_alive(holder->ring);
  return NULL;
}

static napi_value ring_ref(napi_env env, napi_callback_info info) { return refer(env, info, 1); }

static napi_value ring_unref(napi_env env, napi_callback_info info) { return refer(env, info, 0); }

static napi_value ring_close(napi_env env, napi_callback_info info) {
  struct holder *holder = this_ring(env, info, 0, NULL);
  if (holder == NULL || holder->ring == NULL || holder->ring->closing) return NULL;
  struct ring *ring = holder->ring;
  ring->closing = 1;
  /* What did not start yet is reported like all else, but does nothing. */
  for (unsigned i = 0; i < uring_queued(&ring->uring); i++) {
    struct io_uring_sqe *entry = uring_queued_at(&ring->uring, i);
    entry->opcode = IORING_OP_NOP;
    entry->rw_flags = 0;
    ring->slots[entry->user_data].forced = -ECANCELED;
  }
  submit(ring);
  update_keep_alive(ring);
  if (under_way(ring) == 0) dispose(ring);
  return NULL;
}

/* -------------------------------------------------------------------------------------------------- construction */

static void holder_collected(napi_env env, void *data, void *hint) {
  (void)env, (void)hint;
  free(data);
}

static int hold(struct ring *ring, napi_value callback, napi_value self) {
  napi_env env = ring->env;
  napi_value all, buffers, memory, completions;
  void *data;
  size_t bytes = 2 * sizeof(int32_t) * ring->capacity;
  if (napi_create_array_with_length(env, HELD_COUNT, &all) != napi_ok ||
      napi_create_array_with_length(env, ring->capacity, &buffers) != napi_ok ||
      napi_create_arraybuffer(env, bytes, &data, &memory) != napi_ok ||
      napi_create_typedarray(env, napi_int32_array, 2 * ring->capacity, memory, 0, &completions) != napi_ok ||
      napi_set_element(env, all, HELD_CALLBACK, callback) != napi_ok ||
      napi_set_element(env, all, HELD_BUFFERS, buffers) != napi_ok ||
      napi_set_element(env, all, HELD_COMPLETIONS, completions) != napi_ok ||
      napi_set_element(env, all, HELD_SELF, self) != napi_ok ||
      napi_set_named_property(env, self, "completions", completions) != napi_ok) {
    return 0;
  }
  ring->completions = data;
  return napi_create_reference(env, all, 1, &ring->held) == napi_ok;
}

static int start_polling(struct ring *ring) {
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(ring->env, &loop) != napi_ok) return -ENOTSUP;
  int error = uv_poll_init(loop, ring->poll, ring->eventfd);
  if (error < 0) return error;
  uv_handle_set_data(ring->poll, ring);
  uv_poll_start(ring->poll, UV_READABLE, readable);
  uv_unref(ring->poll);
  return 0;
}

/* Everything of the ring that JavaScript does not see. NULL and an errno when there is none to be had. */
static struct ring *open_ring(napi_env env, uint32_t entries, const struct fault *fault, int *error) {
  struct ring *ring = calloc(1, sizeof *ring);
  *error = -ENOMEM;
  if (ring == NULL) return NULL;
  ring->env = env;
  ring->fault = *fault;
  ring->referenced = 1;
  *error = uring_open(&ring->uring, entries);
  if (*error < 0) {
    free(ring);
    return NULL;
  }
  ring->capacity = ring->free_count = ring->uring.sq_entries;
  ring->slots = calloc(ring->capacity, sizeof *ring->slots);
  ring->free = calloc(ring->capacity, sizeof *ring->free);
  ring->poll = calloc(1, uv_handle_size(UV_POLL));
  ring->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  *error = ring->eventfd < 0 ? -errno : uring_register_eventfd(&ring->uring, ring->eventfd);
  if (ring->slots == NULL || ring->free == NULL || ring->poll == NULL) *error = -ENOMEM;
  if (*error == 0) *error = start_polling(ring);
  if (*error < 0) {
    if (ring->eventfd >= 0) close(ring->eventfd);
    uring_close(&ring->uring);
    free_memory(ring);
    return NULL;
  }
  for (uint32_t i = 0; i < ring->capacity; i++) ring->free[i] = ring->capacity - 1 - i;
  return ring;
}

static int attach(struct ring *ring, napi_value callback, napi_value self) {
  napi_value name;
  return napi_create_string_utf8(ring->env, "SamsaRing", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_async_init(ring->env, self, name, &ring->context) == napi_ok && hold(ring, callback, self) &&
         napi_wrap(ring->env, self, ring->holder, holder_collected, NULL, NULL) == napi_ok &&
         napi_add_async_cleanup_hook(ring->env, environment_ends, ring, &ring->cleanup) == napi_ok;
}

static napi_value construct(napi_env env, napi_callback_info info) {
  napi_value arguments[2], self;
  napi_valuetype type;
  uint32_t entries;
  struct fault fault;
  if (!get_arguments(env, info, 2, arguments, &self) || !get_uint32(env, arguments[0], &entries)) return NULL;
  if (entries == 0 || entries > MAX_ENTRIES) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a ring has 1 to 4096 entries");
    return NULL;
  }
  if (napi_typeof(env, arguments[1], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a function is expected");
    return NULL;
  }
  if (!fault_init(&fault)) {
    napi_throw_error(env, "ERR_INVALID_ARG_VALUE", "SAMSA_RING_FAULT is <operation>:<error>:after=<n>");
    return NULL;
  }
  int error = -fault_next(&fault, FAULT_SETUP);
  struct ring *ring = error == 0 ? open_ring(env, entries, &fault, &error) : NULL;
  if (ring == NULL) {
    throw_errno(env, -error, "io_uring_setup");
    return NULL;
  }
  ring->holder = calloc(1, sizeof *ring->holder);
  if (ring->holder != NULL) ring->holder->ring = ring;
  if (ring->holder == NULL || !attach(ring, arguments[1], self)) {
    /* Only a JavaScript heap that is full gets here, and Node.js does not survive that. */
    napi_fatal_error("samsa", NAPI_AUTO_LENGTH, "a Ring cannot be made: out of memory", NAPI_AUTO_LENGTH);
  }
  return self;
}

#define METHOD(name, function) {name, NULL, function, NULL, NULL, NULL, napi_default_method, NULL}

napi_value ring_class(napi_env env) {
  napi_value result;
  const napi_property_descriptor methods[] = {
      METHOD("write", ring_write),     METHOD("read", ring_read),
      METHOD("fdatasync", ring_fdatasync), METHOD("syncFileRange", ring_sync_range),
      METHOD("fadvise", ring_fadvise), METHOD("fallocate", ring_fallocate),
      METHOD("reap", ring_reap),       METHOD("submit", ring_submit),
      METHOD("ref", ring_ref),         METHOD("unref", ring_unref),
      METHOD("close", ring_close),
  };
  napi_status status = napi_define_class(env, "Ring", NAPI_AUTO_LENGTH, construct, NULL,
                                         sizeof methods / sizeof methods[0], methods, &result);
  return status == napi_ok ? result : NULL;
}
