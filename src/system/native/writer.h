#ifndef SAMSA_WRITER_H
#define SAMSA_WRITER_H

#include <node_api.h>

/* writeAll of src/system/native-addon.ts. */
napi_value write_all(napi_env env, napi_callback_info info);

#endif
