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
 *
 * The time at which a source becomes a candidate, and the time at which it would reach the bound,
 * are known as soon as its previous sample is taken. Two heaps keep the sources in the order of
 * these times, so that a sample takes O(log n) time.
 */
#ifndef RN_DATA_BATCH_MIX_H
#define RN_DATA_BATCH_MIX_H

#include <stdint.h>

#include "proto/base/status.h"

enum { RN_MIX_MAX_SOURCES = 1024 };

/** The sources with the same weight. */
typedef struct rn_mix_group rn_mix_group;

typedef struct rn_mix_entry {
  double key;
  int group;
} rn_mix_entry;

/** The groups in the order of their keys: a binary heap with the smallest key first. */
typedef struct rn_mix_heap {
  rn_mix_entry *entry; /* [count] */
  int count;
} rn_mix_heap;

/** Zero-initialise. */
typedef struct rn_mix {
  int sources;
  int64_t *weight; /* [sources] weights scaled to integers without a common divisor */
  int64_t total;   /* sum of `weight`; the order of the sources repeats with this period */
  int64_t *count;  /* [sources] number of samples of each source before `position` */
  int64_t position;
  int64_t offset; /* number of samples of the current period before `position` */
  int *order;     /* [sources] the sources, by weight */
  int groups;
  rn_mix_group *group; /* [groups] */
  rn_mix_heap waiting; /* groups that are not candidates yet, by the time when they become one */
  rn_mix_heap ready;   /* candidates, by the time when they reach the bound */
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
 * least a period later, from the beginning of g's period to g. A sample takes about 20 ns with
 * three sources, 80 ns with 64, and 130 ns with 1024; 10 ns if all weights are equal. */
rn_mix_sample rn_mix_sample_at(rn_mix *mix, int64_t g);

#endif
