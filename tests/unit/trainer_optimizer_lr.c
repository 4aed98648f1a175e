/* Checks that the learning rate rises, stays and falls as documented, and is defined at all
 * boundaries. */
#include "tests/support/check.h"
#include "trainer/optimizer/lr.h"

static rn_lr_schedule make(rn_lr_rule rule) {
  return (rn_lr_schedule){
      .rule = rule, .peak = 2.0, .min_lr = 0.5, .warmup_steps = 4, .decay_steps = 104};
}

int main(void) {
  for (int rule = RN_LR_LINEAR; rule <= RN_LR_CONSTANT; rule++) {
    rn_lr_schedule s = make((rn_lr_rule)rule);
    CHECK_NEAR(rn_lr(&s, 1), 0.5, 1e-15);
    CHECK_NEAR(rn_lr(&s, 4), 2.0, 1e-15);
    CHECK_NEAR(rn_lr(&s, 5), 2.0, 1e-15);
    for (int64_t k = 6; k < 200; k++) CHECK(rn_lr(&s, k) <= rn_lr(&s, k - 1));
    CHECK_NEAR(rn_lr(&s, 105), rule == RN_LR_CONSTANT ? 2.0 : 0.5, 1e-15);
    CHECK_NEAR(rn_lr(&s, 1000), rule == RN_LR_CONSTANT ? 2.0 : 0.5, 1e-15);
  }
  rn_lr_schedule linear = make(RN_LR_LINEAR), cosine = make(RN_LR_COSINE), wsd = make(RN_LR_WSD);
  CHECK_NEAR(rn_lr(&linear, 55), 1.25, 1e-15);
  CHECK_NEAR(rn_lr(&cosine, 55), 1.25, 1e-15);
  CHECK_NEAR(rn_lr(&cosine, 30), 0.5 + 1.5 * 0.5 * (1 + 0.70710678118654752), 1e-12);
  CHECK_NEAR(rn_lr(&wsd, 85), 2.0, 1e-15);
  CHECK_NEAR(rn_lr(&wsd, 95), 1.25, 1e-12);
  rn_lr_schedule no_span = {.rule = RN_LR_LINEAR, .peak = 1, .warmup_steps = 10, .decay_steps = 5};
  CHECK_NEAR(rn_lr(&no_span, 10), 1.0, 1e-15);
  CHECK_NEAR(rn_lr(&no_span, 11), 0.0, 1e-15);
  return check_result();
}
