/**
 * Implements AdamW with decoupled weight decay, on any range of the flat parameters.
 *
 *   g = c * dL/dw         c = min(1, clip / (norm + 1e-6)), the global norm taken before clipping
 *   m = b1 * m + (1-b1) * g,  v = b2 * v + (1-b2) * g^2
 *   w = w - lr * wd * w
 *   torch:   w = w - lr / (1-b1^t) * m / (sqrt(v) / sqrt(1-b2^t) + eps)
 *   fairseq: w = w - lr * sqrt(1-b2^t) / (1-b1^t) * m / (sqrt(v) + eps)
 *
 * Source: Loshchilov & Hutter, Decoupled Weight Decay Regularization (arXiv 1711.05101),
 * algorithm 2. Built in two precisions. Each element is updated independently, so the result does
 * not depend on how elements are distributed over ranks or threads.
 */
#ifndef RN_TRAINER_OPTIMIZER_ADAMW_H
#define RN_TRAINER_OPTIMIZER_ADAMW_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/real.h"

#define rn_adamw_update RN_NAME(rn_adamw_update)
#define rn_adamw_update_block RN_NAME(rn_adamw_update_block)
#define rn_sum_of_squares RN_NAME(rn_sum_of_squares)
#define rn_sum_of_squares_block RN_NAME(rn_sum_of_squares_block)
#define rn_clip_coefficient RN_NAME(rn_clip_coefficient)

typedef enum { RN_EPS_TORCH, RN_EPS_FAIRSEQ } rn_eps_mode;

typedef struct rn_adamw {
  double beta1, beta2, eps, weight_decay;
  rn_eps_mode eps_mode;
} rn_adamw;

/**
 * Parameters of one update: the values that change from step to step, and whether weight decay
 * applies.
 */
typedef struct rn_adamw_step {
  double lr;
  int64_t update; /* t, from 1 */
  double clip;    /* c; see rn_clip_coefficient */
  bool decay;
} rn_adamw_step;

/** The arrays that an update changes: weights and their moments. */
typedef struct rn_adamw_state {
  rn_real *weight, *exp_avg, *exp_avg_sq;
} rn_adamw_state;

/** Updates n elements in place. Shapes: gradient and the arrays of `state` [n]. */
void rn_adamw_update(const rn_adamw *o, rn_adamw_step step, int64_t n, const rn_real *gradient,
                     rn_adamw_state state);

/** Like rn_adamw_update, on the calling thread only. */
void rn_adamw_update_block(const rn_adamw *o, rn_adamw_step step, int64_t n,
                           const rn_real *gradient, rn_adamw_state state);

/**
 * Returns the sum of squares in double, in an order that does not depend on the number of threads.
 */
double rn_sum_of_squares(int64_t n, const rn_real *x);

/** Like rn_sum_of_squares, for at most RN_BLOCK elements and on the calling thread only. */
double rn_sum_of_squares_block(int64_t n, const rn_real *x);

/** Returns min(1, clip / (norm + 1e-6)), or 1 if clip is 0. */
double rn_clip_coefficient(double norm, double clip);

#endif
