#include "trainer/train/json_text.h"

#include <stdbool.h>

#include "proto/base/json.h"

void rn_json_put(FILE *file, const char *name, double value) {
  fprintf(file, ", \"%s\": %s", name, RN_JSON_EXACT(value));
}

rn_status rn_json_close(rn_err *err, FILE *file, const char *what) {
  const bool whole = ferror(file) == 0;
  if (fclose(file) == 0 && whole) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing %s", what);
}
