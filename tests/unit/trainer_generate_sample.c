/* Checks that the sampled token is the first one at which the cumulative probability, in order
 * of decreasing probability, exceeds a uniform random number. */
#include "trainer/generate/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/random.h"
#include "tests/support/check.h"

enum { N = 50, DRAWS = 4000 };

static float logits[N];

static int by_logit(const void *a, const void *b) {
  const int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
  if (logits[i] != logits[j]) return logits[i] < logits[j] ? 1 : -1;
  return i < j ? -1 : 1;
}

/* Samples by the definition, from all tokens in order. */
static int32_t drawn_from_all(rn_sampling s, uint64_t index) {
  int32_t order[N];
  for (int i = 0; i < N; i++) order[i] = i;
  qsort(order, N, sizeof *order, by_logit);
  const int kept = s.top_k > 0 && s.top_k < N ? (int)s.top_k : N;
  double whole = 0, mass = 0;
  for (int i = 0; i < kept; i++)
    whole += exp((logits[order[i]] - logits[order[0]]) / s.temperature);
  const uint64_t words[1] = {s.seed};
  const double draw =
      rn_random_uniform(rn_random_key_make(RN_RANDOM_SAMPLE, words, 1), index) * fmin(1, s.top_p);
  for (int i = 0; i < kept; i++) {
    mass += exp((logits[order[i]] - logits[order[0]]) / s.temperature);
    if (mass > draw * whole) return order[i];
  }
  return order[kept - 1];
}

static void draws_are_those_of_the_definition(rn_sampling s) {
  int32_t order[N];
  int other = 0;
  for (uint64_t i = 0; i < DRAWS; i++)
    other += rn_sample(s, N, logits, order, i) != drawn_from_all(s, i);
  CHECK_EQUAL(other, 0);
}

/* Checks that counts are within five standard deviations. The random numbers are keyed, so that
 * the result is always the same. */
static void tokens_come_as_often_as_they_are_likely(void) {
  const rn_sampling s = {0.7, 0, 1, 3};
  int32_t order[N];
  double count[N] = {0}, whole = 0;
  for (uint64_t i = 0; i < DRAWS; i++) count[rn_sample(s, N, logits, order, i)]++;
  for (int i = 0; i < N; i++) whole += exp(logits[i] / 0.7);
  for (int i = 0; i < N; i++) {
    const double likely = exp(logits[i] / 0.7) / whole;
    CHECK(fabs(count[i] - DRAWS * likely) <= 1 + 5 * sqrt(DRAWS * likely * (1 - likely)));
  }
}

static void greedy_is_the_first_of_the_likeliest(void) {
  const rn_sampling s = {0, 0, 1, 1};
  float x[5] = {1, 3, 2, 3, -1};
  int32_t order[5];
  CHECK_EQUAL(rn_sample(s, 5, x, order, 0), 1);
  x[1] = 0;
  CHECK_EQUAL(rn_sample(s, 5, x, order, 7), 3);
  CHECK_EQUAL(rn_sample(s, 1, x, order, 0), 0);
}

int main(void) {
  const rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, 1, "logits");
  for (int i = 0; i < N; i++) logits[i] = 2 * (float)rn_random_normal(key, (uint64_t)i);
  logits[20] = logits[10] = logits[30];
  draws_are_those_of_the_definition((rn_sampling){1, 0, 1, 1});
  draws_are_those_of_the_definition((rn_sampling){0.5, 0, 0.8, 2});
  draws_are_those_of_the_definition((rn_sampling){1.5, 7, 1, 3});
  draws_are_those_of_the_definition((rn_sampling){1, 49, 0.5, 4});
  draws_are_those_of_the_definition((rn_sampling){1, 1, 1, 5});
  draws_are_those_of_the_definition((rn_sampling){1, 400, 0, 6});
  tokens_come_as_often_as_they_are_likely();
  greedy_is_the_first_of_the_likeliest();
  return check_result();
}
