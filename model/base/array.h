/**
 * Defines arrays of rn_real or of bf16. A bf16 array takes half the memory of fp32, and bf16
 * products read it directly.
 *
 * A bf16 number is the upper half of a float. Rows are processed in rn_real: a row is widened when
 * it is read and rounded when it is written.
 */
#ifndef RN_MODEL_BASE_ARRAY_H
#define RN_MODEL_BASE_ARRAY_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/real.h"

/** A bf16 number, stored as its 16 bits. */
typedef uint16_t rn_bf16;

/** A view of contiguous elements that another object owns. The owner determines whether the
 * elements may be written. */
typedef struct rn_array {
  void *at;
  bool bf16;
} rn_array;

/** Wraps a pointer to rn_real as an array. */
static inline rn_array rn_reals(const rn_real *x) {
  return (rn_array){(void *)(uintptr_t)x, false};
}

/** Wraps a pointer to bf16 as an array. */
static inline rn_array rn_bf16s(const rn_bf16 *x) {
  return (rn_array){(void *)(uintptr_t)x, true};
}

/** Returns the elements of an array of type rn_real. */
static inline rn_real *rn_array_reals(rn_array a) {
  assert(!a.bf16);
  return a.at;
}

/** Returns the elements of an array of type bf16. */
static inline rn_bf16 *rn_array_bf16s(rn_array a) {
  assert(a.bf16);
  return a.at;
}

/** Returns the size in bytes of one element. */
static inline size_t rn_element_bytes(bool bf16) {
  return bf16 ? sizeof(rn_bf16) : sizeof(rn_real);
}

/**
 * Returns the row stride for rows of `width` elements in arrays that products read by column. Pads
 * rows whose size is a multiple of a page (in bf16: of a KiB); without padding, the elements of a
 * column would compete for a few cache sets.
 */
static inline int rn_row_distance(int width, bool bf16) {
  enum { PAGE = 4096, KILOBYTE = 1024, LINE = 64 };
  const size_t bytes = rn_element_bytes(bf16), whole = bf16 ? KILOBYTE : PAGE;
  return (size_t)width * bytes % whole == 0 ? width + (int)(LINE / bytes) : width;
}

/** Returns the row stride for the input of a linear layer. Does not pad in rn_real, because
 * oneDNN is faster with contiguous rows. */
static inline int rn_input_distance(int width, bool bf16) {
  return bf16 ? rn_row_distance(width, true) : width;
}

/** Returns the array that begins at element `first` of `a`. */
static inline rn_array rn_array_from(rn_array a, int64_t first) {
  return (rn_array){(char *)a.at + first * (int64_t)rn_element_bytes(a.bf16), a.bf16};
}

/** A view of rows with leading dimension ld: row r begins at element r * ld of x. */
typedef struct rn_matrix {
  rn_array x;
  int64_t ld;
} rn_matrix;

/** Returns a view of rows of rn_real with row stride ld. */
static inline rn_matrix rn_matrix_of_reals(const rn_real *x, int64_t ld) {
  return (rn_matrix){rn_reals(x), ld};
}

/** Returns the view that begins at row `row`, column `col` of m. */
static inline rn_matrix rn_matrix_from(rn_matrix m, int64_t row, int64_t col) {
  return (rn_matrix){rn_array_from(m.x, row * m.ld + col), m.ld};
}

/** Rounds x to bf16, to nearest even; NaN stays NaN. */
static inline rn_bf16 rn_bf16_of(rn_real x) {
  const float value = (float)x;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t nearest = bits + 0x7fff + (bits >> 16 & 1);
  return (rn_bf16)((value == value ? nearest : bits | 0x400000) >> 16);
}

/** Converts x to rn_real, exactly. */
static inline rn_real rn_bf16_value(rn_bf16 x) {
  const uint32_t bits = (uint32_t)x << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return (rn_real)value;
}

/** Returns a float near x whose upper and lower 16 bits are both bf16 numbers near x. Tests can
 * then read the same array as rn_real or as bf16 and get about the same values. */
static inline rn_real rn_real_of_bf16s(rn_real x) {
  const rn_bf16 bf16 = rn_bf16_of(x);
  const float value = (float)x;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits = (bits & 0xffff0000) | bf16;
  float nearby;
  memcpy(&nearby, &bits, sizeof nearby);
  return (rn_real)nearby;
}

/** Returns the weights at offset `at` as an operand of products: from `shadow`, a copy of the
 * parameters in bf16, or from `params` if `shadow` is NULL. */
static inline rn_array rn_array_of_weights(const rn_bf16 *shadow, const rn_real *params,
                                           int64_t at) {
  return shadow != NULL ? rn_bf16s(shadow + at) : rn_reals(params + at);
}

/** Returns element i of an array of either type. */
static inline rn_real rn_array_value(rn_array a, int64_t i) {
  return a.bf16 ? rn_bf16_value(rn_array_bf16s(a)[i]) : rn_array_reals(a)[i];
}

#endif
