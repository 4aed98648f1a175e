#include "trainer/checkpoint/repeated_warning.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "proto/base/log.h"
#include "proto/base/status.h"

static bool is_power_of_ten(int64_t count) {
  while (count % 10 == 0) count /= 10;
  return count == 1;
}

void rn_repeated_warning_add(rn_repeated_warning *r, const char *format, ...) {
  char text[RN_ERR_TEXT_BYTES + 256];
  va_list list;
  r->count++;
  if (!is_power_of_ten(r->count)) return;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  if (r->count == 1) {
    rn_log_warn("%s", text);
  } else {
    rn_log_warn("%s (%lld %s so far)", text, (long long)r->count, r->what);
  }
}

void rn_repeated_warning_end(rn_repeated_warning *r) {
  if (r->count > 1) rn_log_warn("%s in a row: %lld", r->what, (long long)r->count);
  r->count = 0;
}
