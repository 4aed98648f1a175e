/** Checks numbers in options and configuration files: whether they round to 0, and whether they are
 * plain decimal numbers. */
#ifndef RN_PROTO_BASE_ROUNDING_H
#define RN_PROTO_BASE_ROUNDING_H

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/**
 * True if `number`, which strtod has read from `text`, is below FLT_MIN although `text` is not 0.
 * In flush-to-zero mode (model/base/threads.h) such a float counts as 0, which could silently
 * disable a feature or cause a division by 0.
 */
static inline bool rn_rounds_to_zero(const char *text, double number) {
  return fabs(number) < (double)FLT_MIN && strcspn(text, "123456789") < strcspn(text, "eE");
}

/** True if `text` is a number in plain decimal digits. False for forms that strtod and YAML parsers
 * interpret in different ways: spaces, hexadecimal and octal numbers, inf and nan. */
static inline bool rn_is_decimal(const char *text) {
  const char *digits = text + (*text == '+' || *text == '-');
  if (digits[0] == '0' && isdigit((unsigned char)digits[1])) return false;
  return digits[0] != '\0' && digits[strspn(digits, "0123456789.eE+-")] == '\0';
}

#endif
