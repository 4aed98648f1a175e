/* Functions that all formats share: they translate tensor names and report unsupported models. */
#include "trainer/exchange/format.h"

#include <stdio.h>
#include <string.h>

rn_status rn_format_refuse(rn_err *err, const char *program, const char *key,
                           const char *supported) {
  return rn_fail(err, RN_ERR_MISMATCH,
                 "model.%s: the %s model supports only %s, so this checkpoint cannot be exported",
                 key, program, supported);
}

bool rn_format_name(const rn_exchange_format *format, const char *ours, bool older, char *name,
                    size_t bytes) {
  int layer = 0, inside = 0;
  if (format->names == NULL) return snprintf(name, bytes, "%s", ours) > 0 && !older;
  const bool in_layer = sscanf(ours, "layers.%d.%n", &layer, &inside) == 1 && inside > 0;
  for (int i = 0; i < format->names->count; i++) {
    const rn_tensor_name *entry = &format->names->name[i];
    const char *theirs = older ? entry->older : entry->theirs;
    if (theirs == NULL || strcmp(ours + inside, entry->ours) != 0) continue;
    if (!in_layer) return snprintf(name, bytes, "%s", theirs) > 0;
    return snprintf(name, bytes, "%s%d.%s", format->names->layers, layer, theirs) > 0;
  }
  return false;
}
