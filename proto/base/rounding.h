/** Checks of numbers that a user has written. */
#ifndef RN_PROTO_BASE_ROUNDING_H
#define RN_PROTO_BASE_ROUNDING_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/**
 * True if `text`, whose value strtod has returned as `number`, is not 0 but is 0 in single
 * precision. Such a number would silently switch something off, or be divided by.
 */
static inline bool rn_rounds_to_zero(const char *text, double number) {
  return fabs(number) < (double)FLT_MIN && strcspn(text, "123456789") < strcspn(text, "eE");
}

#endif
