/** A warning that may come again at every step: the first is printed, the others are counted. */
#ifndef RN_TRAINER_CHECKPOINT_REPEATED_WARNING_H
#define RN_TRAINER_CHECKPOINT_REPEATED_WARNING_H

#include <stdint.h>

/** Set `what` to a plural noun phrase, such as "failed saves"; the rest is zero. */
typedef struct rn_repeated_warning {
  const char *what;
  int64_t count; /* in a row */
} rn_repeated_warning;

/** Prints the 1st, 10th, 100th, ... warning of a row, with their number; counts the others. */
void rn_repeated_warning_add(rn_repeated_warning *repeated, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The row has ended: prints how many there were, if more than one was. */
void rn_repeated_warning_end(rn_repeated_warning *repeated);

#endif
