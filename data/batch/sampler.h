/** Defines the order of the data as a pure function of (seed, epoch, sequence number). */
#ifndef RN_DATA_BATCH_SAMPLER_H
#define RN_DATA_BATCH_SAMPLER_H

#include <stdint.h>

/**
 * Maps the global sequence number g to one of n stored sequences: applies the permutation of epoch
 * g / n to g mod n.
 *
 * Source: Black & Rogaway, Ciphers with Arbitrary Finite Domains (2002): cycle-walking Feistel.
 */
int64_t rn_sampler_sequence(uint64_t seed, int64_t n, int64_t g);

#endif
