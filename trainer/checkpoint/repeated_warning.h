/** Limits the output of a warning that may recur at every step: counts every occurrence but prints
 * only a few. */
#ifndef RN_TRAINER_CHECKPOINT_REPEATED_WARNING_H
#define RN_TRAINER_CHECKPOINT_REPEATED_WARNING_H

#include <stdint.h>

/** Set `what` to a plural noun phrase, such as "failed saves"; zero the rest. */
typedef struct rn_repeated_warning {
  const char *what;
  int64_t count; /* consecutive warnings */
} rn_repeated_warning;

/** Counts a warning. Prints it only if it is the 1st, 10th, 100th, ... in a row, with the count. */
void rn_repeated_warning_add(rn_repeated_warning *repeated, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Ends a sequence of consecutive warnings: prints their number if it is more than one, and sets it
 * to zero. */
void rn_repeated_warning_end(rn_repeated_warning *repeated);

#endif
