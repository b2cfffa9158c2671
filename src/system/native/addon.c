/* The addon's entry. What it exports is described in src/system/native-addon.ts. */
#include "crc32c.h"
#include "files.h"
#include "napi-values.h"
#include "ring.h"
#include "summary.h"
#include "writer.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

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

static napi_value checksum_by(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  struct bytes data;
  uint32_t method, seed;
  if (!get_arguments(env, info, 3, arguments, NULL) || !get_uint32(env, arguments[0], &method) ||
      !get_bytes(env, arguments[1], &data) || !get_uint32(env, arguments[2], &seed)) {
    return NULL;
  }
  if (crc32c_method(method) == NULL) {
    napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "no such method");
    return NULL;
  }
  napi_value result = NULL;
  napi_create_uint32(env, crc32c_by(method, seed, data.data, data.length), &result);
  return result;
}

static napi_value method_names(napi_env env) {
  napi_value names, name;
  if (napi_create_array(env, &names) != napi_ok) return NULL;
  for (unsigned i = 0; crc32c_method(i) != NULL; i++) {
    if (napi_create_string_utf8(env, crc32c_method(i), NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_set_element(env, names, i, name) != napi_ok) {
      return NULL;
    }
  }
  return names;
}

/* Memory that was freed goes back to the system. glibc keeps what lies between pieces in use; musl does not. */
static napi_value trim_memory(napi_env env, napi_callback_info info) {
  (void)env, (void)info;
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  return NULL;
}

/* Loaded once per process, but initialized once per environment (each worker thread has one). */
__attribute__((constructor)) static void choose(void) { crc32c_init(); }

NAPI_MODULE_INIT() {
  napi_value ring = ring_class(env), methods = method_names(env);
  if (ring == NULL || methods == NULL || !summary_prepare(env)) return NULL;
  napi_property_descriptor own[] = {
      {"crc32c", NULL, checksum, NULL, NULL, NULL, napi_enumerable, NULL},
      {"crc32cBy", NULL, checksum_by, NULL, NULL, NULL, napi_enumerable, NULL},
      {"crc32cMethods", NULL, NULL, NULL, NULL, methods, napi_enumerable, NULL},
      {"summarize", NULL, summarize, NULL, NULL, NULL, napi_enumerable, NULL},
      {"trimMemory", NULL, trim_memory, NULL, NULL, NULL, napi_enumerable, NULL},
      {"writeAll", NULL, write_all, NULL, NULL, NULL, napi_enumerable, NULL},
      {"Ring", NULL, NULL, NULL, NULL, ring, napi_enumerable, NULL},
  };
  if (napi_define_properties(env, exports, FILES_EXPORTS, files_exports) != napi_ok ||
      napi_define_properties(env, exports, sizeof own / sizeof own[0], own) != napi_ok) {
    return NULL;
  }
  return exports;
}
