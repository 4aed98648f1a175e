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

/** Counts a warning; prints the 1st, 10th, 100th, ... consecutive one, with the count so far. */
void rn_repeated_warning_add(rn_repeated_warning *repeated, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Ends the sequence of warnings: prints the count if it is more than one, and resets it. */
void rn_repeated_warning_end(rn_repeated_warning *repeated);

#endif
