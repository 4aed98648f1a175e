/* A sample of the GEMM backends warns where another one is more than 15 % faster than the chosen
 * one, and names the worst kind; the sample itself is complete and positive. */
#include "trainer/machine/gemm_sample.h"

#include <math.h>
#include <string.h>

#include "model/base/threads.h"
#include "tests/support/check.h"

static char text[400];

/* Seconds of NN, NT, TN by the chosen backend and by two others. */
static rn_gemm_sample sample_of(double nn, double nt, double tn, double other_nn, double other_tn) {
  return (rn_gemm_sample){.chosen_s = {nn, nt, tn},
                          .backends = 2,
                          .name = {"first", "second"},
                          .other_s = {{nn, nt, tn}, {other_nn, 2 * nt, other_tn}}};
}

int main(void) {
  rn_err err = {0};
  rn_gemm_sample s = sample_of(1, 1, 1, 1, 1);
  CHECK(!rn_gemm_sample_warning(&s, text, sizeof text));
  s = sample_of(1, 1, 1, 0.9, 0.88); /* 1.14 times as fast */
  CHECK(!rn_gemm_sample_warning(&s, text, sizeof text));
  s = sample_of(1, 1, 1, 0.8, 0.5);
  CHECK(rn_gemm_sample_warning(&s, text, sizeof text));
  CHECK(strstr(text, "second is 2.0 times") && strstr(text, "for TN products"));
  CHECK(strstr(text, "model.products=second"));
  rn_gemm_sample_best(&s, text, sizeof text);
  CHECK(strcmp(text, "NN second, NT first, TN second") == 0);

  rn_threads_start(2);
  CHECK_OK(&err, rn_gemm_sample_take(&err, &s));
  CHECK(s.backends >= 1);
  for (int k = 0; k < RN_GEMM_SAMPLE_KINDS; k++) {
    CHECK(s.chosen_s[k] > 0 && isfinite(s.chosen_s[k]));
    for (int i = 0; i < s.backends; i++) {
      CHECK(s.other_s[i][k] > 0 && isfinite(s.other_s[i][k]));
    }
  }
  return check_result();
}
