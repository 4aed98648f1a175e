/** Sweeps over memory with all threads to measure the memory bandwidth. */
#ifndef RN_TRAINER_BENCH_BENCH_SWEEP_H
#define RN_TRAINER_BENCH_BENCH_SWEEP_H

#include <stdint.h>

/** Reads x [n] and stores partial sums; n is a multiple of RN_SWEEP_LANES. The traffic is 4 * n
 * bytes. */
void rn_sweep_read(int64_t n, const float *x, float *sum /* [RN_SWEEP_LANES] */);
enum { RN_SWEEP_LANES = 16 };

/** Computes y [n] = y / 2 + x; the traffic is 12 * n bytes. */
void rn_sweep_scale_and_add(int64_t n, const float *x, float *y);

/** Computes the triad z [n] = x + y / 2; the traffic is 12 * n bytes, not counting the read for
 * ownership of z. */
void rn_sweep_triad(int64_t n, const float *x, const float *y, float *z);

#endif
