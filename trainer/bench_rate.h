/**
 * The machine's best rate of matrix products: the highest median of some shapes that a model of
 * middling size has, by every provider, cut over the threads in two ways.
 *
 * Samples are taken one at a time, between other things, so that the machine's moods hit both.
 */
#ifndef RN_TRAINER_BENCH_RATE_H
#define RN_TRAINER_BENCH_RATE_H

#include <stdbool.h>

#include "comm/world.h"
#include "model/kernel/products.h"
#include "trainer/bench_quantile.h"

enum { RN_RATE_CANDIDATES = 24 };

/** One way to make one product. */
typedef struct rn_rate_candidate {
  const rn_products *table;
  int m, n, k;
  bool tiles; /* cut as a model's products are; else one range of rows a thread */
  double sample_s[RN_BENCH_MOST];
} rn_rate_candidate;

typedef struct rn_rate {
  rn_world *world; /* not owned */
  int threads;
  float *memory; /* a, b and c of the largest */
  rn_rate_candidate candidate[RN_RATE_CANDIDATES];
  int candidates, samples;
} rn_rate;

/** Errors: RN_ERR_MEMORY. */
rn_status rn_rate_create(rn_err *err, rn_world *world, int threads, rn_rate *out);
void rn_rate_destroy(rn_rate *rate);

/** One sample of each, on all ranks at once. Collective: over the world. */
rn_status rn_rate_sample(rn_err *err, rn_rate *rate);

/** FLOP/s of all ranks together; the best candidate in words, into text [bytes]. */
double rn_rate_best(const rn_rate *rate, char *text, size_t bytes);

#endif
