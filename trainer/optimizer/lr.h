/** Learning rate schedules: the rate is a pure function of the step. */
#ifndef RN_TRAINER_OPTIMIZER_LR_H
#define RN_TRAINER_OPTIMIZER_LR_H

#include <stdint.h>

typedef enum { RN_LR_LINEAR, RN_LR_COSINE, RN_LR_WSD, RN_LR_CONSTANT } rn_lr_rule;

typedef struct rn_lr_schedule {
  rn_lr_rule rule;
  double peak, min_lr;
  int64_t warmup_steps, decay_steps;
} rn_lr_schedule;

/**
 * Learning rate of step k (from 1), with W = warmup_steps: peak k/W for k <= W. After that, with
 * x = (k-1-W) / (decay_steps-W), clamped to [0,1], linear and cosine decay from peak to min_lr; wsd
 * stays at peak until x = 0.8 and then decays linearly to min_lr; constant stays at peak.
 */
double rn_lr(const rn_lr_schedule *schedule, int64_t step);

#endif
