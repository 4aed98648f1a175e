/** Defines ranges of integers and functions that divide them. */
#ifndef RN_PROTO_BASE_RANGE_H
#define RN_PROTO_BASE_RANGE_H

#include <stdint.h>

typedef struct rn_range {
  int64_t begin, end;
} rn_range;

/** Divides 0 .. total-1 into `parts` nearly equal ranges and returns range `index`. The first
 * (total mod parts) ranges have one more element. */
static inline rn_range rn_cut(int64_t total, int64_t parts, int64_t index) {
  int64_t each = total / parts, more = total % parts;
  int64_t begin = index * each + (index < more ? index : more);
  return (rn_range){begin, begin + each + (index < more)};
}

/** Returns the number of elements. */
static inline int64_t rn_range_count(rn_range range) {
  return range.end - range.begin;
}

/** Returns the minimum of a and b. */
static inline int64_t rn_smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/** Returns the smallest multiple of `unit` that is at least `count`. */
static inline int64_t rn_round_up(int64_t count, int64_t unit) {
  return (count + unit - 1) / unit * unit;
}

/** Returns the greatest common divisor; gcd(0, b) = b. */
static inline int64_t rn_common_divisor(int64_t a, int64_t b) {
  while (b != 0) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

#endif
