#ifndef SAMSA_FILES_H
#define SAMSA_FILES_H

#include "napi-values.h"

#define FILES_EXPORTS 8
extern const napi_property_descriptor files_exports[FILES_EXPORTS];

#endif
