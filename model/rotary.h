/**
 * Rotation of queries and keys by their position: row n of a head turns by n theta_j in plane j.
 *
 * torchscale turns pairs (2j, 2j+1); rope_half turns (j, j + K/2). Angles are formed and reduced in
 * double: in fp32, n theta is off by 4e-3 at n = 131071.
 */
#ifndef RN_MODEL_ROTARY_H
#define RN_MODEL_ROTARY_H

#include <stdbool.h>
#include <stdint.h>

#include "model/names.h"
#include "model/spec.h"
#include "proto/real.h"

/** cos(n theta_j), sin(n theta_j) for given positions. Shapes: position [n]; cosine, sine [n, K/2].
 */
void rn_rotary_angles(rn_rotary rotary, int key_width, int n, const int64_t *position,
                      rn_real *cosine, rn_real *sine);

/**
 * x <- scale R(n theta) x for all heads of all rows, in place; `inverse` turns by -n theta.
 *
 * Shapes: x [B, T, H, K], ld between rows; cosine, sine [T, K/2], the same for every sequence.
 *         RN_ROTARY_NONE scales only.
 */
void rn_rotary_rows(rn_rotary rotary, int sequences, int tokens, int heads, int key_width,
                    const rn_real *cosine, const rn_real *sine, rn_real scale, bool inverse,
                    rn_real *x, int64_t ld);

#endif
