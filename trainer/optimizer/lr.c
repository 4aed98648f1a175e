#include "trainer/optimizer/lr.h"

#include <math.h>

static double fall(rn_lr_rule rule, double x) {
  const double pi = 3.14159265358979323846, hold = 0.8;
  switch (rule) {
    case RN_LR_LINEAR:
      return 1 - x;
    case RN_LR_COSINE:
      return 0.5 * (1 + cos(pi * x));
    case RN_LR_WSD:
      return x <= hold ? 1 : (1 - x) / (1 - hold);
    case RN_LR_CONSTANT:
      return 1;
  }
  return 1;
}

double rn_lr(const rn_lr_schedule *schedule, int64_t step) {
  const double k = (double)step, warmup = (double)schedule->warmup_steps;
  if (k <= warmup) return schedule->peak * k / warmup;
  if (schedule->rule == RN_LR_CONSTANT) return schedule->peak;
  const double span = (double)schedule->decay_steps - warmup;
  const double x = span > 0 ? fmin(1.0, (k - 1 - warmup) / span) : 1.0;
  return schedule->min_lr + (schedule->peak - schedule->min_lr) * fall(schedule->rule, x);
}
