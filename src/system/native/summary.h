/* Decodes a batch's records and looks at each. Described in src/system/native-addon.ts. */
#ifndef SAMSA_SUMMARY_H
#define SAMSA_SUMMARY_H

#include "napi-values.h"

napi_value summarize(napi_env env, napi_callback_info info);
/* What it needs in this environment: 0 when there is no memory for it. */
int summary_prepare(napi_env env);

#endif
