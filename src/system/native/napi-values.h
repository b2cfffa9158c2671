/* Arguments from JavaScript. A wrong one throws a TypeError or RangeError there, and the function gives 0. */
#ifndef SAMSA_NAPI_VALUES_H
#define SAMSA_NAPI_VALUES_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdint.h>

struct bytes {
  uint8_t *data;
  size_t length;
};

int get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments, napi_value *self);
int get_int32(napi_env env, napi_value value, int32_t *into);
int get_uint32(napi_env env, napi_value value, uint32_t *into);
/* An integer up to 2^53; not negative. */
int get_int64(napi_env env, napi_value value, int64_t *into);
int get_bytes(napi_env env, napi_value value, struct bytes *into);
/* The stretch [offset, offset + length) of a Uint8Array. */
int get_stretch(napi_env env, napi_value buffer, napi_value offset, napi_value length, struct bytes *into);

napi_value from_int64(napi_env env, int64_t value);
/* Throws an Error whose `code` is the name of the error, as Node's own do. */
void throw_errno(napi_env env, int error, const char *call);
/* EIO, ENOSPC ... or NULL for one that is not known by name; and the way back, 0 for an unknown name. */
const char *errno_name(int error);
int errno_by_name(const char *name, size_t length);

#endif
