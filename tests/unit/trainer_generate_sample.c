/* Checks that tokens are drawn with exactly the probabilities that the filters of Hugging Face's
 * generate() leave, and that the repetition penalty is that of its
 * RepetitionPenaltyLogitsProcessor. */
#include "trainer/generate/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/random.h"
#include "tests/support/check.h"
#include "trainer/generate/repetition.h"

enum { N = 50 };

static float logits[N];

static int by_logit(const void *a, const void *b) {
  const int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
  if (logits[i] != logits[j]) return logits[i] < logits[j] ? 1 : -1;
  return i < j ? -1 : 1;
}

static void softmax(const double *score, double *p) {
  double largest = -INFINITY, sum = 0;
  for (int i = 0; i < N; i++) largest = fmax(largest, score[i]);
  for (int i = 0; i < N; i++) sum += p[i] = exp(score[i] - largest);
  for (int i = 0; i < N; i++) p[i] /= sum;
}

/*
 * Computes the probabilities p [N] as transformers does: each filter sets the scores of the tokens
 * that it removes to -inf, and the next filter begins with a softmax. TopPLogitsWarper removes the
 * least likely tokens, as long as their cumulative probability is at most 1 - top_p.
 */
static void define(rn_sampling s, const int32_t *order, double *p) {
  double score[N], sum = 0;
  for (int i = 0; i < N; i++) score[i] = logits[i] / s.temperature;
  for (int i = s.top_k > 0 ? (int)s.top_k : N; i < N; i++) score[order[i]] = -INFINITY;
  softmax(score, p);
  for (int i = N - 1; s.top_p < 1 && i > 0; i--) {
    sum += p[order[i]];
    if (sum <= 1 - s.top_p) score[order[i]] = -INFINITY;
  }
  softmax(score, p);
  const double largest = p[order[0]];
  for (int i = 1; i < N; i++) {
    if (p[order[i]] < s.min_p * largest) score[order[i]] = -INFINITY;
  }
  softmax(score, p);
}

/* A quantile in [0, 1] selects a token: the tokens, in descending order of probability, cover
 * consecutive intervals of [0, 1], each as long as the probability of its token. Checks both ends
 * of each interval longer than 2e-9. */
static void probabilities_are_those_of_the_definition(rn_sampling s) {
  const double margin = 1e-9;
  int32_t order[N], work[N];
  double p[N], from = 0;
  for (int i = 0; i < N; i++) order[i] = i;
  qsort(order, N, sizeof *order, by_logit);
  define(s, order, p);
  for (int i = 0; i < N; i++) {
    const int32_t token = order[i];
    if (p[token] > 2 * margin) {
      CHECK_EQUAL(rn_sample(s, N, logits, work, from + margin), token);
      CHECK_EQUAL(rn_sample(s, N, logits, work, from + p[token] - margin), token);
    }
    from += p[token];
  }
}

static void each_filter_and_all_together(void) {
  static const double temperature[] = {1, 0.5, 1.5}, top_p[] = {1, 0.9, 0.3, 0},
                      min_p[] = {0, 0.02, 0.2, 1};
  static const int64_t top_k[] = {0, 1, 7, N - 1, N, 400};
  for (int t = 0; t < 3; t++) {
    for (int k = 0; k < 6; k++) {
      for (int i = 0; i < 16; i++) {
        probabilities_are_those_of_the_definition(
            (rn_sampling){temperature[t], top_k[k], top_p[i / 4], min_p[i % 4]});
      }
    }
  }
}

/* Checks that the quantiles of a seed are uniform: the count in each of 20 bins is within five
 * standard deviations of the mean. */
static void quantiles_are_uniform(void) {
  enum { DRAWS = 4000, BINS = 20 };
  int count[BINS] = {0};
  for (uint64_t i = 0; i < DRAWS; i++) count[(int)(rn_sample_quantile(3, i) * BINS)]++;
  for (int b = 0; b < BINS; b++) {
    CHECK(abs(count[b] - DRAWS / BINS) <= 5 * sqrt((double)DRAWS / BINS));
  }
  CHECK(rn_sample_quantile(3, 0) != rn_sample_quantile(4, 0));
}

static void a_token_that_must_not_be_drawn_is_never_drawn(void) {
  const rn_sampling s = {.temperature = 1, .top_p = 1};
  float x[4] = {-INFINITY, 1, -INFINITY, 2};
  int32_t order[4];
  CHECK_EQUAL(rn_sample(s, 4, x, order, 0), 3);
  CHECK_EQUAL(rn_sample(s, 4, x, order, 1), 1); /* 1 is larger than any quantile drawn */
}

static void greedy_is_the_first_of_the_likeliest(void) {
  const rn_sampling s = {.top_p = 1};
  float x[5] = {1, 3, 2, 3, -1};
  int32_t order[5];
  CHECK_EQUAL(rn_sample(s, 5, x, order, 0), 1);
  x[1] = 0;
  CHECK_EQUAL(rn_sample(s, 5, x, order, 0.99), 3);
  CHECK_EQUAL(rn_sample(s, 1, x, order, 0), 0);
}

static void penalty_is_that_of_the_processor(double penalty, int64_t window) {
  enum { COUNT = 30 };
  int32_t token[COUNT];
  uint8_t marks[N] = {0};
  float got[N];
  for (int i = 0; i < COUNT; i++) token[i] = (i * i) % (N - 3);
  memcpy(got, logits, sizeof got);
  rn_repetition_penalize((rn_repetition){penalty, window}, token, COUNT, marks, got);
  for (int32_t n = 0; n < N; n++) {
    bool has = false;
    for (int i = 0; i < COUNT; i++) {
      has = has || (token[i] == n && (window == 0 || i >= COUNT - window));
    }
    const float once = logits[n] < 0 ? logits[n] * (float)penalty : logits[n] / (float)penalty;
    CHECK(got[n] == (has ? once : logits[n]) && marks[n] == 0);
  }
}

int main(void) {
  const rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, 1, "logits");
  for (int i = 0; i < N; i++) logits[i] = 2 * (float)rn_random_normal(key, (uint64_t)i);
  logits[20] = logits[10] = logits[30];
  each_filter_and_all_together();
  quantiles_are_uniform();
  a_token_that_must_not_be_drawn_is_never_drawn();
  greedy_is_the_first_of_the_likeliest();
  penalty_is_that_of_the_processor(1.3, 0);
  penalty_is_that_of_the_processor(0.5, 4);
  penalty_is_that_of_the_processor(1, 0);
  penalty_is_that_of_the_processor(2, 400);
  return check_result();
}
