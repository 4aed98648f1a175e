/** Learning rate schedules, which are pure functions of the step. */
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
 * Returns the learning rate of step k (from 1). With W = warmup_steps, the rate is peak * k/W in
 * the first W steps. After that, with x = (k-1-W) / (decay_steps-W) clamped to [0,1], the schedules
 * linear and cosine decay from peak to min_lr, wsd stays at peak until x = 0.8 and then decays
 * linearly to min_lr, and constant stays at peak.
 */
double rn_lr(const rn_lr_schedule *schedule, int64_t step);

#endif
