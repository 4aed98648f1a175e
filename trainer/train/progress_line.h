/** Formats the line that shows the progress of a run on a terminal. */
#ifndef RN_TRAINER_TRAIN_PROGRESS_LINE_H
#define RN_TRAINER_TRAIN_PROGRESS_LINE_H

#include <stddef.h>
#include <stdint.h>

/** The values that the line shows. A value that is NaN is omitted. */
typedef struct rn_progress_values {
  int64_t step, steps;
  double left_s; /* estimated time until the last step */
  double loss, val_loss, lr, grad_norm, tokens_per_s;
} rn_progress_values;

/**
 * Writes the line: step, loss and time left, then as many other values as fit into `columns` - 1
 * characters, then a bar if there is space. Values are not truncated.
 */
void rn_progress_line(const rn_progress_values *values, int columns, char *text, size_t bytes);

#endif
