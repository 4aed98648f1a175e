/** Prints how training steps scale with the number of threads. */
#ifndef RN_TRAINER_BENCH_BENCH_SCALING_H
#define RN_TRAINER_BENCH_BENCH_SCALING_H

#include "trainer/bench/bench_measure.h"

/** Prints a table of `count` measurements with different numbers of threads, and a table of the
 * subphases of their steps, as text. Figures are relative to the measurement with the fewest
 * threads. */
void rn_scaling_print(const rn_measured *m, int count, const char *precision);

/** Prints the measurements as the elements of a JSON array, without brackets. */
void rn_scaling_print_json(const rn_measured *m, int count);

/** Prints the members "phases" and "subphases" of a JSON object: shares of the step's time. */
void rn_scaling_print_phases_json(const rn_measured *m);

#endif
