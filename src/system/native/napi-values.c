#include "napi-values.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int type_error(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return 0;
}

int get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments, napi_value *self) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, arguments, self, NULL) != napi_ok) return 0;
  return given >= count ? 1 : type_error(env, "too few arguments");
}

int get_int32(napi_env env, napi_value value, int32_t *into) {
  return napi_get_value_int32(env, value, into) == napi_ok ? 1 : type_error(env, "a number is expected");
}

int get_uint32(napi_env env, napi_value value, uint32_t *into) {
  return napi_get_value_uint32(env, value, into) == napi_ok ? 1 : type_error(env, "a number is expected");
}

int get_int64(napi_env env, napi_value value, int64_t *into) {
  if (napi_get_value_int64(env, value, into) != napi_ok) return type_error(env, "a number is expected");
  if (*into >= 0) return 1;
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a number that is not negative is expected");
  return 0;
}

int get_bytes(napi_env env, napi_value value, struct bytes *into) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &into->length, &data, NULL, NULL) != napi_ok ||
      type != napi_uint8_array) {
    return type_error(env, "a Buffer or Uint8Array is expected");
  }
  into->data = data;
  return 1;
}

int get_stretch(napi_env env, napi_value buffer, napi_value offset, napi_value length, struct bytes *into) {
  int64_t from, count;
  if (!get_bytes(env, buffer, into) || !get_int64(env, offset, &from) || !get_int64(env, length, &count)) return 0;
  /* The kernel's length has 32 bits, and its result a sign. */
  if (count > INT32_MAX || (uint64_t)from + (uint64_t)count > into->length) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "offset and length lie outside of the buffer");
    return 0;
  }
  into->data += from;
  into->length = (size_t)count;
  return 1;
}

napi_value from_int64(napi_env env, int64_t value) {
  napi_value result = NULL;
  if (value >= INT32_MIN && value <= INT32_MAX) napi_create_int32(env, (int32_t)value, &result);
  else napi_create_int64(env, value, &result);
  return result;
}

static const struct {
  int error;
  const char *name;
} errors[] = {
    {EPERM, "EPERM"},   {ENOENT, "ENOENT"}, {EINTR, "EINTR"},   {EIO, "EIO"},       {EBADF, "EBADF"},
    {EAGAIN, "EAGAIN"}, {ENOMEM, "ENOMEM"}, {EACCES, "EACCES"}, {EFAULT, "EFAULT"}, {EBUSY, "EBUSY"},
    {EINVAL, "EINVAL"}, {ENFILE, "ENFILE"}, {EMFILE, "EMFILE"}, {EFBIG, "EFBIG"},   {ENOSPC, "ENOSPC"},
    {EROFS, "EROFS"},   {ENOSYS, "ENOSYS"}, {EDQUOT, "EDQUOT"}, {ENOTSUP, "ENOTSUP"},
};

const char *errno_name(int error) {
  for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
    if (errors[i].error == error) return errors[i].name;
  }
  return NULL;
}

int errno_by_name(const char *name, size_t length) {
  for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
    if (strlen(errors[i].name) == length && memcmp(errors[i].name, name, length) == 0) return errors[i].error;
  }
  return 0;
}

void throw_errno(napi_env env, int error, const char *call) {
  const char *name = errno_name(error);
  char code[16], message[160];
  snprintf(code, sizeof code, "E%d", error);
  if (name == NULL) name = code;
  snprintf(message, sizeof message, "%s: %s, %s", name, strerror(error), call);
  napi_throw_error(env, name, message);
}
