/**
 * Arrays that are kept in rn_real, or in bf16: half the memory, and operands of products as they
 * are.
 *
 * A bf16 number is the upper half of a float. Work on rows is done in rn_real: a row is widened
 * when it is read and rounded when it is written.
 */
#ifndef RN_MODEL_ARRAY_H
#define RN_MODEL_ARRAY_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/real.h"

/** The bits of a bf16 number. */
typedef uint16_t rn_half;

/** Elements one behind the other; who holds it knows whether they may be written. */
typedef struct rn_array {
  void *at;
  bool half;
} rn_array;

static inline rn_array rn_reals(const rn_real *x) {
  return (rn_array){(void *)(uintptr_t)x, false};
}

static inline rn_array rn_halves(const rn_half *x) {
  return (rn_array){(void *)(uintptr_t)x, true};
}

static inline rn_real *rn_array_reals(rn_array a) {
  assert(!a.half);
  return a.at;
}

static inline rn_half *rn_array_halves(rn_array a) {
  assert(a.half);
  return a.at;
}

static inline size_t rn_element_bytes(bool half) {
  return half ? sizeof(rn_half) : sizeof(rn_real);
}

/**
 * The distance between rows of `width` elements that products read across: where rows are whole
 * pages apart, in bf16 whole kilobytes, a column's elements would share a few lines of the caches.
 */
static inline int rn_row_distance(int width, bool half) {
  enum { PAGE = 4096, KILOBYTE = 1024, LINE = 64 };
  const size_t bytes = rn_element_bytes(half), whole = half ? KILOBYTE : PAGE;
  return (size_t)width * bytes % whole == 0 ? width + (int)(LINE / bytes) : width;
}

/** That of a linear layer's input: oneDNN multiplies rows in rn_real faster as they are. */
static inline int rn_input_distance(int width, bool half) {
  return half ? rn_row_distance(width, true) : width;
}

/** The array that begins with element `first` of a. */
static inline rn_array rn_array_from(rn_array a, int64_t first) {
  return (rn_array){(char *)a.at + first * (int64_t)rn_element_bytes(a.half), a.half};
}

/** x rounded to bf16, to nearest and ties to even; NaN stays NaN. */
static inline rn_half rn_half_of(rn_real x) {
  const float value = (float)x;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t nearest = bits + 0x7fff + (bits >> 16 & 1);
  return (rn_half)((value == value ? nearest : bits | 0x400000) >> 16);
}

static inline rn_real rn_half_value(rn_half x) {
  const uint32_t bits = (uint32_t)x << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return (rn_real)value;
}

/** A number near x that is also two bf16 numbers near x: memory for measuring products of both. */
static inline rn_real rn_real_of_halves(rn_real x) {
  const rn_half half = rn_half_of(x);
  const float value = (float)x;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits = (bits & 0xffff0000) | half;
  float near_it;
  memcpy(&near_it, &bits, sizeof near_it);
  return (rn_real)near_it;
}

/** Weights from place `at` on, as operands of products: their copy in bf16, where there is one. */
static inline rn_array rn_array_of_weights(const rn_half *copy, const rn_real *params, int64_t at) {
  return copy != NULL ? rn_halves(copy + at) : rn_reals(params + at);
}

static inline rn_real rn_array_value(rn_array a, int64_t i) {
  return a.half ? rn_half_value(rn_array_halves(a)[i]) : rn_array_reals(a)[i];
}

#endif
