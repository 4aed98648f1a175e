/** Formats numbers for JSON, which has no infinity and no NaN. */
#ifndef RN_PROTO_BASE_JSON_H
#define RN_PROTO_BASE_JSON_H

#include <math.h>
#include <stdio.h>

enum { RN_JSON_BYTES = 40 };

/** Formats `value` as "%.<digits>g", or null if it is not finite, into text [RN_JSON_BYTES]. */
static inline const char *rn_json_double(char *text, int digits, double value) {
  if (!isfinite(value)) return "null";
  snprintf(text, RN_JSON_BYTES, "%.*g", digits, value);
  return text;
}

/** These macros format `value` for printf's %s, with 9 or 17 digits. The text is valid until the
 * end of the enclosing block. */
#define RN_JSON(value) rn_json_double((char[RN_JSON_BYTES]){0}, 9, (value))
#define RN_JSON_EXACT(value) rn_json_double((char[RN_JSON_BYTES]){0}, 17, (value))

#endif
