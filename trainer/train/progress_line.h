/** The line that shows the progress of a run on a terminal. */
#ifndef RN_TRAINER_TRAIN_PROGRESS_LINE_H
#define RN_TRAINER_TRAIN_PROGRESS_LINE_H

#include <stddef.h>
#include <stdint.h>

/** What the line shows; a value that is NaN is left out. */
typedef struct rn_progress_values {
  int64_t step, steps;
  double left_s; /* estimated time until the last step */
  double loss, val_loss, lr, grad_norm, tokens_per_s;
} rn_progress_values;

/**
 * Writes the line: step, loss, time left, then as many of the other values and as long a bar as fit
 * into `columns` - 1 characters. A value is shown as a whole or not at all.
 */
void rn_progress_line(const rn_progress_values *values, int columns, char *text, size_t bytes);

#endif
