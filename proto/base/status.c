#include "proto/base/status.h"

#include <stdarg.h>
#include <stdbool.h>
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

/* Replaces control characters other than line feed and tab. Names from files are part of messages,
 * and a terminal would execute escape sequences in them. */
static void replace_controls(char *text) {
  for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
    const bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0; /* U+0080 to U+009F in UTF-8 */
    if (c1) *c++ = '?';
    if (c1 || (*c < ' ' && *c != '\n' && *c != '\t') || *c == 0x7f) *c = '?';
  }
}

rn_status(rn_fail)(rn_err *err, rn_status status, const char *format, ...) {
  if (err == NULL || err->status != RN_OK) return status;
  err->status = status;
  va_list args;
  va_start(args, format);
  vsnprintf(err->text, sizeof err->text, format, args);
  va_end(args);
  replace_controls(err->text);
  return status;
}

rn_status(rn_trace)(rn_err *err, rn_status status, const char *file, int line) {
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
