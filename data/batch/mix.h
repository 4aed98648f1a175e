/**
 * A mixture of sources: which source each sample comes from, and which of its samples it is.
 *
 * The source of sample g is a pure function of the weights and g. Of the first G samples, every
 * source i has |count_i - G weight_i / sum| <= 1 - 1/(2 n - 2) for n sources: less than one sample
 * more or fewer than its share.
 *
 * Source: Tijdeman, The chairman assignment problem, Discrete Mathematics 32 (1980): of the sources
 *         that are behind their share by at least 1/(2 n - 2) with the next sample, the one that
 *         reaches the upper bound first is next.
 */
#ifndef RN_DATA_BATCH_MIX_H
#define RN_DATA_BATCH_MIX_H

#include <stdint.h>

#include "proto/base/status.h"

enum { RN_MIX_MAX_SOURCES = 1024 };

/** Zero-initialise. All arrays are [sources]. */
typedef struct rn_mix {
  int sources;
  int64_t *weight; /* integers in the ratio of the weights */
  int64_t total;   /* their sum: the order of the sources has this period */
  int64_t *behind; /* total * (share at `position` - count): 0 at the beginning of a period */
  int64_t *count;  /* samples of each source before `position` */
  int64_t position;
} rn_mix;

/** A sample of one source. */
typedef struct rn_mix_sample {
  int source;
  int64_t index; /* number of earlier samples of this source */
} rn_mix_sample;

/**
 * Creates a mixture of 1 to RN_MIX_MAX_SOURCES sources; weights are positive and finite. Weights
 * with up to nine decimals are kept exactly. Errors: RN_ERR_MEMORY.
 */
rn_status rn_mix_create(rn_err *err, const double *weight, int sources, rn_mix *out);
void rn_mix_destroy(rn_mix *mix);

/** Returns sample g. Cheapest for the sample after the one before; the result is the same. */
rn_mix_sample rn_mix_sample_at(rn_mix *mix, int64_t g);

#endif
