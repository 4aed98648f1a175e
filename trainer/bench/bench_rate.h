/**
 * Measures the rates of a set of matrix products, which are sampled round-robin several times.
 *
 * The samples of the products are interleaved with each other and with other measurements, so that
 * fluctuations of the machine affect all of them alike. Results are medians.
 */
#ifndef RN_TRAINER_BENCH_BENCH_RATE_H
#define RN_TRAINER_BENCH_BENCH_RATE_H

#include <stdbool.h>

#include "comm/world/world.h"
#include "model/kernel/gemm.h"
#include "proto/base/arena.h"
#include "proto/base/quantile.h"

/**
 * How threads divide the work.
 *
 *   ROWS     each thread computes a range of rows
 *   TILES    threads compute tiles
 *   PACKED   as TILES, but the weight is packed first, as in the model; the time includes packing
 *   EACH     each thread computes a product of its own
 */
typedef enum { RN_RATE_ROWS, RN_RATE_TILES, RN_RATE_PACKED, RN_RATE_EACH } rn_rate_way;

/** A product y [m, n] = x w^T, or x^T w if `transposed` (as for weight gradients), with sums over
 * k. */
typedef struct rn_rate_gemm {
  const rn_gemm_backend *table;
  bool transposed;
  int m, n, k;
  int threads;
  rn_rate_way way;
  double sample_s[RN_QUANTILE_MAX];
} rn_rate_gemm;

typedef struct rn_rate {
  rn_world *world; /* not owned */
  int threads;
  rn_arena memory; /* memory of the operands */
  float *operands; /* shared operands or, with EACH, the separate operands of each thread */
  void *packed;    /* a packed weight */
  rn_rate_gemm *product;
  int count, samples;
  size_t capacity;
} rn_rate;

/** Creates an empty set for at most `threads` threads. Errors: RN_ERR_MEMORY. */
rn_status rn_rate_create(rn_err *err, rn_world *world, int threads, rn_rate *out);
void rn_rate_destroy(rn_rate *rate);

/**
 * Adds a product. Each operand may have at most RN_RATE_MAX_ELEMENTS elements, or a quarter of that
 * with RN_RATE_EACH. Errors: RN_ERR_MEMORY.
 */
rn_status rn_rate_add(rn_err *err, rn_rate *rate, rn_rate_gemm product);
enum { RN_RATE_MAX_ELEMENTS = 2048 * 1024 };

/** Adds the candidates for the best rate of the machine: some medium-size shapes with every GEMM
 * backend, by rows and by tiles. Errors: RN_ERR_MEMORY. */
rn_status rn_rate_add_best(rn_err *err, rn_rate *rate);

/** Takes one sample of each product, on all ranks at the same time. Collective: over the world. */
rn_status rn_rate_sample(rn_err *err, rn_rate *rate);

/** Returns the median FLOP/s of a product, all ranks together. */
double rn_rate_flops_per_s(const rn_rate *rate, const rn_rate_gemm *product);

/** Returns the product with the highest rate. */
const rn_rate_gemm *rn_rate_best(const rn_rate *rate);

/** Returns true if the backend packs weights for this product, which RN_RATE_PACKED requires. */
bool rn_rate_packs(const rn_rate_gemm *product);

/** Returns "rows", "tiles", "packed" or "each". */
const char *rn_rate_way_name(rn_rate_way way);

#endif
