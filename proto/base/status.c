#include "proto/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
  int exit_code;
  const char *word;
} statuses[RN_STATUS_COUNT] = {
#define RN_STATUS_ROW(name, code, word) [name] = {code, word},
    RN_STATUS_LIST(RN_STATUS_ROW)
#undef RN_STATUS_ROW
};

rn_status rn_fail(rn_err *err, rn_status status, const char *format, ...) {
  if (err == NULL || err->status != RN_OK) return status;
  err->status = status;
  va_list args;
  va_start(args, format);
  vsnprintf(err->text, sizeof err->text, format, args);
  va_end(args);
  return status;
}

rn_status rn_trace(rn_err *err, rn_status status, const char *file, int line) {
  if (err == NULL) return status;
  size_t used = strlen(err->trace);
  snprintf(err->trace + used, sizeof err->trace - used, "  at %s:%d\n", file, line);
  return status;
}

void rn_err_clear(rn_err *err) {
  memset(err, 0, sizeof *err);
}

const char *rn_status_text(rn_status status) {
  return statuses[status].word;
}

int rn_status_exit_code(rn_status status) {
  return statuses[status].exit_code;
}
