/* Checks mixtures of sources. The number of samples of a source in any prefix differs from its
 * share by less than one, the samples of a source come in order, and a sample does not depend on
 * which samples were requested before. The order of the sources is exactly that of a plain version,
 * which compares all sources for each sample. */
#include "data/batch/mix.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"

enum { MAX_SOURCES = 32 };

static rn_err err;

static void shares_are_kept(const double *weight, int sources, int64_t samples) {
  double sum = 0, worst = 0;
  int64_t count[MAX_SOURCES] = {0};
  bool ordered = true;
  rn_mix mix;
  for (int i = 0; i < sources; i++) sum += weight[i];
  CHECK_OK(&err, rn_mix_create(&err, weight, sources, &mix));
  for (int64_t g = 0; g < samples; g++) {
    const rn_mix_sample s = rn_mix_sample_at(&mix, g);
    ordered = ordered && s.index == count[s.source]++;
    for (int i = 0; i < sources; i++) {
      worst = fmax(worst, fabs((double)count[i] - (double)(g + 1) * weight[i] / sum));
    }
  }
  CHECK(ordered);
  CHECK(worst < 1 + 1e-9);
  CHECK(worst <= (sources > 1 ? 1 - 1.0 / (2 * sources - 2) : 0) + 1e-9);
  rn_mix_destroy(&mix);
}

/* ---- the plain version ---- */

/* Returns the number of further samples after which source i would lag behind its share by the
 * maximum if none of them came from it. */
static double plain_slack(const rn_mix *m, const int64_t *behind, int i) {
  const double margin = (double)m->total / (2 * m->sources - 2);
  return ((double)(m->total - behind[i]) - margin) / (double)m->weight[i];
}

/* Returns the source of the next sample. behind[i] is total times the number of samples that
 * source i is behind its share; it is 0 for the first sample. */
static int plain_next(const rn_mix *m, int64_t *behind) {
  int best = m->sources == 1 ? 0 : -1;
  for (int i = 0; i < m->sources; i++) {
    behind[i] += m->weight[i];
    if (m->sources == 1 || behind[i] * (2 * m->sources - 2) < m->total) continue;
    if (best < 0 || plain_slack(m, behind, i) < plain_slack(m, behind, best)) best = i;
  }
  behind[best] -= m->total;
  return best;
}

/* Checks samples 0 to samples - 1. */
static void is_the_plain_order(const char *what, const double *weight, int sources,
                               int64_t samples) {
  static int64_t behind[RN_MIX_MAX_SOURCES], count[RN_MIX_MAX_SOURCES];
  rn_mix mix;
  memset(behind, 0, sizeof behind);
  memset(count, 0, sizeof count);
  CHECK_OK(&err, rn_mix_create(&err, weight, sources, &mix));
  for (int64_t g = 0; g < samples; g++) {
    const int source = plain_next(&mix, behind);
    const rn_mix_sample s = rn_mix_sample_at(&mix, g);
    if (s.source == source && s.index == count[source]++) continue;
    fprintf(stderr, "%s, %d sources: sample %lld is of source %d, not %d\n", what, sources,
            (long long)g, s.source, source);
    CHECK(false);
    break;
  }
  rn_mix_destroy(&mix);
}

static double uniform(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return (double)(*state >> 8) / (1 << 24);
}

/* Weights with many equal values, with multiples of each other (so that sources tie), with large
 * ratios, and with decimals that are not exact. */
static void every_prefix_is_the_plain_one(void) {
  static double weight[RN_MIX_MAX_SOURCES];
  static const int counts[] = {1, 2, 3, 4, 5, 7, 16, 33, 64, 320, RN_MIX_MAX_SOURCES};
  uint32_t state = 7;
  for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
    const int n = counts[c];
    const int64_t samples = 400000 / n + 2000;
    for (int i = 0; i < n; i++) weight[i] = 1;
    is_the_plain_order("equal", weight, n, samples);
    for (int i = 0; i < n; i++) weight[i] = i + 1;
    is_the_plain_order("1, 2, 3, ...", weight, n, samples);
    for (int i = 0; i < n; i++) weight[i] = n - i;
    is_the_plain_order("..., 3, 2, 1", weight, n, samples);
    for (int i = 0; i < n; i++) weight[i] = (double)(1 << i % 11);
    is_the_plain_order("powers of 2", weight, n, samples);
    for (int i = 0; i < n; i++) weight[i] = 1.0 / (i + 1);
    is_the_plain_order("1, 1/2, 1/3, ...", weight, n, samples);
    for (int i = 0; i < n; i++) weight[i] = i == n / 2 ? 1 : 1e-5;
    is_the_plain_order("one large", weight, n, samples);
    for (int i = 0; i < n; i++) weight[i] = exp(8 * uniform(&state));
    is_the_plain_order("random", weight, n, samples);
    for (int i = 0; i < n; i++) weight[i] = (1 + (int)(8 * uniform(&state))) / 10.0;
    is_the_plain_order("one decimal", weight, n, samples);
    for (int i = 0; i < n; i++) weight[i] = (1 + (int)(9999 * uniform(&state))) / 1e4;
    is_the_plain_order("four decimals", weight, n, samples);
  }
}

/* ---- requests in any order ---- */

static void any_sample_is_found(const double *weight, int sources, int64_t samples) {
  rn_mix in_order, jumping;
  int wrong = 0;
  CHECK_OK(&err, rn_mix_create(&err, weight, sources, &in_order));
  CHECK_OK(&err, rn_mix_create(&err, weight, sources, &jumping));
  for (int64_t g = 0; g < samples; g++) {
    const rn_mix_sample want = rn_mix_sample_at(&in_order, g);
    rn_mix_sample_at(&jumping, (g * 7919) % samples);
    const rn_mix_sample got = rn_mix_sample_at(&jumping, g);
    wrong += got.source != want.source || got.index != want.index;
  }
  CHECK_EQUAL(wrong, 0);
  rn_mix_destroy(&in_order);
  rn_mix_destroy(&jumping);
}

/* With weights of one decimal, the order of sources has a short period. A sample far ahead must be
 * found without computing all samples before it. */
static void far_samples_are_cheap(void) {
  const double weight[] = {0.7, 0.2, 0.1};
  const int64_t far = INT64_C(1000000000000000);
  rn_mix mix;
  CHECK_OK(&err, rn_mix_create(&err, weight, 3, &mix));
  CHECK_EQUAL(mix.total, 10);
  const rn_mix_sample near = rn_mix_sample_at(&mix, 3), s = rn_mix_sample_at(&mix, far + 3);
  CHECK_EQUAL(s.source, near.source);
  CHECK_EQUAL(s.index, near.index + far / 10 * mix.weight[s.source]);
  rn_mix_destroy(&mix);
}

static void scaled_weights_are_equal(void) {
  const double halves[] = {0.5, 1.5}, whole[] = {20, 60};
  rn_mix a, b;
  CHECK_OK(&err, rn_mix_create(&err, halves, 2, &a));
  CHECK_OK(&err, rn_mix_create(&err, whole, 2, &b));
  CHECK(a.weight[0] == b.weight[0] && a.weight[1] == b.weight[1] && a.total == 4);
  rn_mix_destroy(&a);
  rn_mix_destroy(&b);
}

int main(void) {
  const double one[] = {3}, decimals[] = {0.7, 0.2, 0.1}, far_apart[] = {1, 1e-6, 1e-3, 7};
  const double equal[] = {1, 1, 1, 1, 1, 1, 1};
  double random[MAX_SOURCES];
  uint32_t state = 1;
  shares_are_kept(one, 1, 100);
  shares_are_kept(decimals, 3, 2000);
  shares_are_kept(far_apart, 4, 20000);
  shares_are_kept(equal, 7, 1000);
  for (int sources = 2; sources <= MAX_SOURCES; sources++) {
    for (int i = 0; i < sources; i++) {
      state = state * 1664525u + 1013904223u;
      random[i] = exp((double)(state >> 8) / (1 << 22)) / 3;
    }
    shares_are_kept(random, sources, 3000);
  }
  every_prefix_is_the_plain_one();
  any_sample_is_found(decimals, 3, 100);
  any_sample_is_found(random, MAX_SOURCES, 300);
  far_samples_are_cheap();
  scaled_weights_are_equal();
  return check_result();
}
