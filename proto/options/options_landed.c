/* Rejects values of keys that the schema allows but this build does not implement yet. */
#include <string.h>

#include "proto/options/options.h"

/* A key, and the values (as YAML text) that are implemented. */
static const struct {
  const char *key;
  const char *served[3];
} limits[] = {
    {"model.arch", {"retnet"}},
};

rn_status rn_options_check_landed(rn_err *err, const Retnet__Config *config) {
  char text[256];
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
    rn_options_text(config, limits[i].key, text, sizeof text);
    bool served = false;
    for (int v = 0; v < 3 && limits[i].served[v] != NULL; v++) {
      served = served || strcmp(text, limits[i].served[v]) == 0;
    }
    if (!served) {
      return rn_fail(err, RN_ERR_USAGE, "%s: %s is not supported in this version; leave it at %s",
                     limits[i].key, text, limits[i].served[0]);
    }
  }
  return RN_OK;
}
