/* Checks mixtures of sources. The number of samples of a source in any prefix differs from its
 * share by less than one, the samples of a source come in order, and a sample does not depend on
 * which samples were requested before. */
#include "data/batch/mix.h"

#include <math.h>

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
  any_sample_is_found(decimals, 3, 100);
  any_sample_is_found(random, MAX_SOURCES, 300);
  far_samples_are_cheap();
  scaled_weights_are_equal();
  return check_result();
}
