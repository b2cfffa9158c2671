#include "fault.h"

#include "napi-values.h"

#include <stdlib.h>
#include <string.h>

static const struct {
  const char *prefix;
  enum fault_operation operation;
} operations[] = {
    {"write:", FAULT_WRITE}, {"read:", FAULT_READ}, {"fsync:", FAULT_FSYNC}, {"setup:", FAULT_SETUP}};

int fault_init(struct fault *fault) {
  memset(fault, 0, sizeof *fault);
  const char *text = getenv("SAMSA_RING_FAULT");
  if (text == NULL || *text == '\0') return 1;
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
    size_t length = strlen(operations[i].prefix);
    if (strncmp(text, operations[i].prefix, length) != 0) continue;
    fault->operation = operations[i].operation;
    text += length;
    break;
  }
  size_t name_length = strcspn(text, ":");
  fault->error = strncmp(text, "SHORT", name_length) == 0 ? FAULT_SHORT : errno_by_name(text, name_length);
  text += name_length;
  if (strncmp(text, ":after=", 7) == 0) {
    char *end;
    fault->passes = strtoul(text + 7, &end, 10);
    text = end;
  }
  return fault->operation != FAULT_NONE && fault->error != 0 && *text == '\0';
}

int fault_next(struct fault *fault, enum fault_operation operation) {
  if (operation == FAULT_NONE || fault->operation != operation) return 0;
  if (fault->passes > 0) {
    fault->passes--;
    return 0;
  }
  fault->operation = FAULT_NONE;
  return fault->error;
}
