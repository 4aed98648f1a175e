/** How a whole is cut into nearly equal pieces: the first (total mod parts) have one more. */
#ifndef RN_PROTO_CUT_H
#define RN_PROTO_CUT_H

#include <stdint.h>

typedef struct rn_range {
  int64_t begin, end;
} rn_range;

/** Piece `index` of `parts` pieces of 0 .. total-1. */
static inline rn_range rn_cut(int64_t total, int64_t parts, int64_t index) {
  int64_t each = total / parts, more = total % parts;
  int64_t begin = index * each + (index < more ? index : more);
  return (rn_range){begin, begin + each + (index < more)};
}

static inline int64_t rn_range_count(rn_range range) {
  return range.end - range.begin;
}

#endif
