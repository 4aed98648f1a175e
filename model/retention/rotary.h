/**
 * Rotates queries and keys by their position n: y = R(n theta) x, on pairs of channels.
 *
 *   torchscale  pairs (2j, 2j+1), theta_j = 10000^(-j / (K/2 - 1))
 *   rope_half   pairs (j, j + K/2), theta_j = 10000^(-2j / K)
 *
 * Angles are computed in double, because in float, n * theta has an error of 4e-3 at n = 131071.
 * Source: torchscale's RetNetRelPos; Su et al., RoFormer (arXiv 2104.09864).
 */
#ifndef RN_MODEL_RETENTION_ROTARY_H
#define RN_MODEL_RETENTION_ROTARY_H

#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/base/range.h"

/** A table of cosines and sines for positions first .. first + tokens - 1. */
typedef struct rn_rotary_table {
  rn_rotary kind;
  int half_dim; /* K / 2 */
  int max_tokens;
  int64_t first;
  int tokens;
  double *theta;          /* [K/2] */
  rn_real *cosine, *sine; /* [max_tokens, K/2] */
} rn_rotary_table;

/** Returns the size in bytes of the table. */
size_t rn_rotary_bytes(int key_width, int max_tokens);

/** Allocates the table. Errors: RN_ERR_MEMORY. */
rn_status rn_rotary_create(rn_err *err, rn_rotary kind, int key_width, int max_tokens,
                           rn_rotary_table *out);
void rn_rotary_destroy(rn_rotary_table *table);

/** Fills the table for `tokens` positions starting at `first`, unless it already holds them. */
void rn_rotary_move(rn_rotary_table *table, int64_t first, int tokens);

/** A rotation of rows: y = scale * R x, or the inverse y = scale * R^-1 x (for gradients). Row r
 * has position r mod tokens in the table. */
typedef struct rn_rotation {
  int tokens, heads;
  rn_real scale;
  bool inverse;
} rn_rotation;

/**
 * Rotates the rows of a range in place, on the calling thread.
 * Shapes: x [R, heads, K]; scratch [K] belongs to this thread and is used if x is in bf16.
 */
void rn_rotary_apply(const rn_rotary_table *table, rn_rotation rotation, rn_range rows, rn_matrix x,
                     rn_real *scratch);

#endif
