/**
 * Rates of matrix products: a set of products, sampled one after the other, time and again.
 *
 * A sample is taken between other things, or between those of the other products, so that the
 * machine's moods hit all alike; medians are what counts.
 */
#ifndef RN_TRAINER_BENCH_BENCH_RATE_H
#define RN_TRAINER_BENCH_BENCH_RATE_H

#include <stdbool.h>

#include "comm/world/world.h"
#include "model/kernel/gemm.h"
#include "trainer/machine/quantile.h"

/** How threads share a product: a range of rows each, in tiles as a model's products are, or not
 * at all: each makes one of its own. */
typedef enum { RN_RATE_ROWS, RN_RATE_TILES, RN_RATE_EACH } rn_rate_way;

/** y [m, n] = x w^T, or with `turned`, as weight gradients are made, x^T w; summed over k. */
typedef struct rn_rate_gemm {
  const rn_gemm_backend *table;
  bool turned;
  int m, n, k;
  int threads;
  rn_rate_way way;
  double sample_s[RN_QUANTILE_MAX];
} rn_rate_gemm;

typedef struct rn_rate {
  rn_world *world; /* not owned */
  int threads;
  float *memory; /* of operands */
  rn_rate_gemm *product;
  int count, room, samples;
} rn_rate;

/** An empty set, for at most `threads` threads. Errors: RN_ERR_MEMORY. */
rn_status rn_rate_create(rn_err *err, rn_world *world, int threads, rn_rate *out);
void rn_rate_destroy(rn_rate *rate);

/** One product more: an operand has at most RN_RATE_LARGEST elements, with EACH a quarter. */
rn_status rn_rate_add(rn_err *err, rn_rate *rate, rn_rate_gemm product);
enum { RN_RATE_LARGEST = 2048 * 1024 };

/** What the machine's best rate is looked for among: some shapes of middling size by every
 * provider, by rows and in tiles. */
rn_status rn_rate_add_best(rn_err *err, rn_rate *rate);

/** One sample of each, on all ranks at once. Collective: over the world. */
rn_status rn_rate_sample(rn_err *err, rn_rate *rate);

/** Median FLOP/s of all ranks together. */
double rn_rate_flops_per_s(const rn_rate *rate, const rn_rate_gemm *product);

/** The fastest of all. */
const rn_rate_gemm *rn_rate_best(const rn_rate *rate);

/** "rows", "tiles" or "each". */
const char *rn_rate_way_name(rn_rate_way way);

#endif
