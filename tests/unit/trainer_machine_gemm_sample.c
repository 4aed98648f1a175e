/* Checks that a sample of the GEMM backends gives a warning if another backend is more than 15 %
 * faster than the chosen one, and names the kind of product with the largest difference. The sample
 * must be complete and positive. The chosen backend is not compared with itself, nor with a backend
 * that uses the same function. */
#include "trainer/machine/gemm_sample.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/base/threads.h"
#include "tests/support/check.h"

static char text[400];

/* Returns a sample with the seconds of NN, NT and TN of the chosen backend and of another one. */
static rn_gemm_sample sample_of(double nn, double nt, double tn, double other_nn, double other_tn) {
  return (rn_gemm_sample){.chosen = "first",
                          .chosen_s = {nn, nt, tn},
                          .others = 1,
                          .name = {"second"},
                          .other_s = {{other_nn, 2 * nt, other_tn}}};
}

static void the_worst_kind_is_named(void) {
  rn_gemm_sample s = sample_of(1, 1, 1, 1, 1);
  CHECK(!rn_gemm_sample_warning(&s, text, sizeof text));
  s = sample_of(1, 1, 1, 0.9, 0.88); /* 1 / 0.88 = 1.14 times as fast */
  CHECK(!rn_gemm_sample_warning(&s, text, sizeof text));
  s = sample_of(1, 1, 1, 0.8, 0.5);
  CHECK(rn_gemm_sample_warning(&s, text, sizeof text));
  CHECK(strstr(text, "second was 2.0 times") && strstr(text, "of TN products"));
  CHECK(strstr(text, "the selected first") && strstr(text, "model.products=second"));
  rn_gemm_sample_best(&s, text, sizeof text);
  CHECK(strcmp(text, "NN second, NT first, TN second") == 0);
  s.others = 0; /* a build with one backend */
  CHECK(!rn_gemm_sample_warning(&s, text, sizeof text));
  rn_gemm_sample_best(&s, text, sizeof text);
  CHECK(strcmp(text, "NN first, NT first, TN first") == 0);
}

static bool has_function_of(const char *other, int kind, const rn_gemm_backend *chosen) {
  for (int i = 0; rn_gemm_backend_at(i) != NULL; i++) {
    const rn_gemm_backend *b = rn_gemm_backend_at(i);
    if (strcmp(b->name, other) != 0) continue;
    return (kind == RN_GEMM_NN && b->nn == chosen->nn) ||
           (kind == RN_GEMM_NT && b->nt == chosen->nt) ||
           (kind == RN_GEMM_TN && b->tn == chosen->tn);
  }
  return false;
}

/* With `chosen` in use, the sample must contain only backends with other names and functions. */
static void a_sample_is_of_others(const rn_gemm_backend *chosen) {
  rn_err err = {0};
  rn_gemm_sample s;
  int backends = 0, same = 0;
  while (rn_gemm_backend_at(backends) != NULL) {
    same += strcmp(rn_gemm_backend_at(backends++)->name, chosen->name) == 0;
  }
  CHECK_OK(&err, rn_gemm_sample_take(&err, &s));
  CHECK(strcmp(s.chosen, chosen->name) == 0);
  CHECK_EQUAL(s.others, backends - same);
  for (int k = 0; k < RN_GEMM_SAMPLE_KINDS; k++) {
    CHECK(s.chosen_s[k] > 0 && isfinite(s.chosen_s[k]));
    for (int i = 0; i < s.others; i++) {
      CHECK(strcmp(s.name[i], s.chosen) != 0);
      CHECK(s.other_s[i][k] > 0);
      CHECK(isfinite(s.other_s[i][k]) != has_function_of(s.name[i], k, chosen));
    }
  }
}

int main(void) {
  static const char *const names[] = {"openblas", "onednn", "onednn+openblas"};
  the_worst_kind_is_named();
  rn_threads_start(2);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (rn_gemm_backend_use_named(names[i])) {
      a_sample_is_of_others(rn_gemm_backend_in_use());
    } else {
      printf("left out: this build has no backend %s\n", names[i]);
    }
  }
  if (rn_gemm_backend_use_named("onednn+openblas")) {
    const rn_gemm_backend *composed = rn_gemm_backend_in_use();
    CHECK(has_function_of("openblas", RN_GEMM_NN, composed));
    CHECK(has_function_of("onednn", RN_GEMM_NT, composed));
    CHECK(has_function_of("openblas", RN_GEMM_TN, composed));
  }
  return check_result();
}
