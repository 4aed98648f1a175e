/**
 * Defines a mixture of sources: the source of each sample, and the index of the sample in that
 * source.
 *
 * The source of sample g is a pure function of the weights and g. Let count_i be the number of
 * samples of source i among the first G samples, and `sum` the sum of the weights. For n sources,
 *
 *   |count_i - G * weight_i / sum| <= 1 - 1 / (2 * n - 2)
 *
 * so count_i differs from the share of source i by less than one sample.
 *
 * Source: Tijdeman, The chairman assignment problem, Discrete Mathematics 32 (1980). The candidates
 * for the next sample are the sources that would otherwise be behind their share by at least
 * 1 / (2 * n - 2). The candidate that would reach the bound first is chosen.
 */
#ifndef RN_DATA_BATCH_MIX_H
#define RN_DATA_BATCH_MIX_H

#include <stdint.h>

#include "proto/base/status.h"

enum { RN_MIX_MAX_SOURCES = 1024 };

/** Zero-initialise. All arrays are [sources]. */
typedef struct rn_mix {
  int sources;
  int64_t *weight; /* weights scaled to integers without a common divisor */
  int64_t total;   /* sum of `weight`; the order of the sources repeats with this period */
  int64_t *behind; /* position * weight - total * count, which is total times the number of
                      samples that the source is behind its share; 0 at the start of a period */
  int64_t *count;  /* number of samples of each source before `position` */
  int64_t position;
} rn_mix;

/** A sample of one source. */
typedef struct rn_mix_sample {
  int source;
  int64_t index; /* number of earlier samples of this source */
} rn_mix_sample;

/**
 * Creates a mixture of 1 to RN_MIX_MAX_SOURCES sources; weights are positive and finite. Weights
 * with up to nine decimal places are represented exactly. Errors: RN_ERR_MEMORY.
 */
rn_status rn_mix_create(rn_err *err, const double *weight, int sources, rn_mix *out);
void rn_mix_destroy(rn_mix *mix);

/** Returns sample g. Calls may request samples in any order. The time is proportional to the number
 * of samples from the previously requested sample to g or, if g is earlier than that sample or at
 * least a period later, from the beginning of g's period to g. With three sources, it is about 5 ns
 * per sample. */
rn_mix_sample rn_mix_sample_at(rn_mix *mix, int64_t g);

#endif
