/** Lists of numbers on the command line, such as 1,2,4,8. */
#ifndef RN_TRAINER_BENCH_BENCH_COUNTS_H
#define RN_TRAINER_BENCH_BENCH_COUNTS_H

#include "proto/base/status.h"

enum { RN_BENCH_MAX_COUNTS = 32 };

typedef struct rn_bench_counts {
  int value[RN_BENCH_MAX_COUNTS];
  int count;
} rn_bench_counts;

/** Parses the list that was given for `option` ("--threads"). Errors: RN_ERR_USAGE naming the
 * option if the numbers are not positive and distinct, or if there are too many. */
rn_status rn_bench_counts_parse(rn_err *err, const char *option, const char *text,
                                rn_bench_counts *out);

/** Returns the largest number. */
int rn_bench_counts_max(const rn_bench_counts *counts);

#endif
