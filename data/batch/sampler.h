/** The order of the data: a pure function of (seed, epoch, sequence number), with no state. */
#ifndef RN_DATA_BATCH_SAMPLER_H
#define RN_DATA_BATCH_SAMPLER_H

#include <stdint.h>

/**
 * Which of n stored sequences the global sequence number g is: epoch g / n, place g mod n through
 * that epoch's permutation, a bijection of 0 .. n-1.
 *
 * Source: Black & Rogaway, Ciphers with Arbitrary Finite Domains (2002): cycle-walking Feistel.
 */
int64_t rn_sampler_sequence(uint64_t seed, int64_t n, int64_t g);

#endif
