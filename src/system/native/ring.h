#ifndef SAMSA_RING_H
#define SAMSA_RING_H

#include "napi-values.h"

/* The class Ring. */
napi_value ring_class(napi_env env);

#endif
