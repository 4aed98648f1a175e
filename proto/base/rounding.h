/** Checks numbers that a user has written. */
#ifndef RN_PROTO_BASE_ROUNDING_H
#define RN_PROTO_BASE_ROUNDING_H

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/**
 * True if `number`, which strtod has read from `text`, is 0 in single precision although `text` is
 * not 0. Such a number could silently disable a feature or cause a division by 0.
 */
static inline bool rn_rounds_to_zero(const char *text, double number) {
  return fabs(number) < (double)FLT_MIN && strcspn(text, "123456789") < strcspn(text, "eE");
}

/** True for a number in plain decimal digits. False for spaces, hexadecimal and octal numbers, inf
 * and nan, which strtod or YAML implementations read differently. */
static inline bool rn_is_decimal(const char *text) {
  const char *digits = text + (*text == '+' || *text == '-');
  if (digits[0] == '0' && isdigit((unsigned char)digits[1])) return false;
  return digits[0] != '\0' && digits[strspn(digits, "0123456789.eE+-")] == '\0';
}

#endif
