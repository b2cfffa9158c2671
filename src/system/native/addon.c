/* The addon's entry. What it exports is described in src/system/native-addon.ts. */
#include "crc32c.h"
#include "files.h"
#include "napi-values.h"
#include "ring.h"
#include "writer.h"

#include <pthread.h>

static napi_value checksum(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct bytes data;
  uint32_t seed;
  if (!get_arguments(env, info, 2, arguments, NULL) || !get_bytes(env, arguments[0], &data) ||
      !get_uint32(env, arguments[1], &seed)) {
    return NULL;
  }
  napi_value result = NULL;
  napi_create_uint32(env, crc32c(seed, data.data, data.length), &result);
  return result;
}

/* Loaded once per process, but initialized once per environment (each worker thread has one). */
static pthread_once_t chosen = PTHREAD_ONCE_INIT;

NAPI_MODULE_INIT() {
  pthread_once(&chosen, crc32c_init);
  napi_value ring, method;
  if (napi_create_string_utf8(env, crc32c_method(), NAPI_AUTO_LENGTH, &method) != napi_ok) return NULL;
  ring = ring_class(env);
  if (ring == NULL) return NULL;
  napi_property_descriptor own[] = {
      {"crc32c", NULL, checksum, NULL, NULL, NULL, napi_enumerable, NULL},
      {"crc32cMethod", NULL, NULL, NULL, NULL, method, napi_enumerable, NULL},
      {"writeAll", NULL, write_all, NULL, NULL, NULL, napi_enumerable, NULL},
      {"Ring", NULL, NULL, NULL, NULL, ring, napi_enumerable, NULL},
  };
  if (napi_define_properties(env, exports, FILES_EXPORTS, files_exports) != napi_ok ||
      napi_define_properties(env, exports, sizeof own / sizeof own[0], own) != napi_ok) {
    return NULL;
  }
  return exports;
}
