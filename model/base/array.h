/**
 * Arrays in rn_real or in bf16, which takes half the memory and which bf16 products read directly.
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

/** The bits of a bf16 number. */
typedef uint16_t rn_bf16;

/** Contiguous elements; the owner determines whether they may be written. */
typedef struct rn_array {
  void *at;
  bool bf16;
} rn_array;

/** Elements of rn_real as an array. */
static inline rn_array rn_reals(const rn_real *x) {
  return (rn_array){(void *)(uintptr_t)x, false};
}

/** Elements of bf16 as an array. */
static inline rn_array rn_bf16s(const rn_bf16 *x) {
  return (rn_array){(void *)(uintptr_t)x, true};
}

/** The elements of an array of rn_real. */
static inline rn_real *rn_array_reals(rn_array a) {
  assert(!a.bf16);
  return a.at;
}

/** The elements of an array of bf16. */
static inline rn_bf16 *rn_array_bf16s(rn_array a) {
  assert(a.bf16);
  return a.at;
}

/** Bytes of one element. */
static inline size_t rn_element_bytes(bool bf16) {
  return bf16 ? sizeof(rn_bf16) : sizeof(rn_real);
}

/**
 * Row stride for rows of `width` elements whose columns are read by products: with a stride of
 * whole pages (in bf16 of whole KiB) the elements of a column would compete for a few cache sets.
 */
static inline int rn_row_distance(int width, bool bf16) {
  enum { PAGE = 4096, KILOBYTE = 1024, LINE = 64 };
  const size_t bytes = rn_element_bytes(bf16), whole = bf16 ? KILOBYTE : PAGE;
  return (size_t)width * bytes % whole == 0 ? width + (int)(LINE / bytes) : width;
}

/** The same for the input of a linear layer: in rn_real, oneDNN is faster with contiguous rows. */
static inline int rn_input_distance(int width, bool bf16) {
  return bf16 ? rn_row_distance(width, true) : width;
}

/** The array that begins with element `first` of a. */
static inline rn_array rn_array_from(rn_array a, int64_t first) {
  return (rn_array){(char *)a.at + first * (int64_t)rn_element_bytes(a.bf16), a.bf16};
}

/** A view of rows: row r begins at element r ld of x, the leading dimension is ld. */
typedef struct rn_matrix {
  rn_array x;
  int64_t ld;
} rn_matrix;

/** A matrix of rn_real with row stride ld. */
static inline rn_matrix rn_matrix_of_reals(const rn_real *x, int64_t ld) {
  return (rn_matrix){rn_reals(x), ld};
}

/** The view that begins with column `col` of row `row` of m. */
static inline rn_matrix rn_matrix_from(rn_matrix m, int64_t row, int64_t col) {
  return (rn_matrix){rn_array_from(m.x, row * m.ld + col), m.ld};
}

/** x rounded to bf16, to nearest even; NaN stays NaN. */
static inline rn_bf16 rn_bf16_of(rn_real x) {
  const float value = (float)x;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t nearest = bits + 0x7fff + (bits >> 16 & 1);
  return (rn_bf16)((value == value ? nearest : bits | 0x400000) >> 16);
}

/** The value of x, exactly. */
static inline rn_real rn_bf16_value(rn_bf16 x) {
  const uint32_t bits = (uint32_t)x << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return (rn_real)value;
}

/** A number near x whose two halves are bf16 numbers near x: test data for both types. */
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

/** Weights at offset `at`, as operands of products; from their bf16 shadow, unless NULL. */
static inline rn_array rn_array_of_weights(const rn_bf16 *shadow, const rn_real *params,
                                           int64_t at) {
  return shadow != NULL ? rn_bf16s(shadow + at) : rn_reals(params + at);
}

/** Element i of an array of either type. */
static inline rn_real rn_array_value(rn_array a, int64_t i) {
  return a.bf16 ? rn_bf16_value(rn_array_bf16s(a)[i]) : rn_array_reals(a)[i];
}

#endif
