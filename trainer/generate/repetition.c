#include "trainer/generate/repetition.h"

void rn_repetition_penalize(rn_repetition repetition, const int32_t *token, int64_t count,
                            uint8_t *marks, float *logits) {
  const float penalty = (float)repetition.penalty;
  if (penalty == 1) return;
  const int64_t first =
      repetition.window > 0 && repetition.window < count ? count - repetition.window : 0;
  for (int64_t i = first; i < count; i++) {
    float *logit = &logits[token[i]];
    if (!marks[token[i]]) *logit = *logit < 0 ? *logit * penalty : *logit / penalty;
    marks[token[i]] = 1;
  }
  for (int64_t i = first; i < count; i++) marks[token[i]] = 0;
}
