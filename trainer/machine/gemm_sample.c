#include "trainer/machine/gemm_sample.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/fault.h"

/* One size is representative: between 128 and 512 rows the ranking of the backends is the same. */
enum { ROWS = 256, COLS = 512, SUMMED = 512, ROUNDS = 5, ELEMENTS = 512 * 512 };

static const double loss_worth_a_warning = 1.15;
static const char *const kind_names[RN_GEMM_SAMPLE_KINDS] = {
    [RN_GEMM_NN] = "NN", [RN_GEMM_NT] = "NT", [RN_GEMM_TN] = "TN"};

static double seconds_of(const rn_gemm_backend *table, rn_gemm_kind kind, float *memory) {
  const rn_array a = rn_reals(memory), b = rn_reals(memory + ELEMENTS),
                 c = rn_reals(memory + 2 * ELEMENTS);
  const int lda = kind == RN_GEMM_TN ? ROWS : SUMMED, ldb = kind == RN_GEMM_NT ? SUMMED : COLS;
  const double begin_s = rn_clock_s();
  rn_gemm_by(table, kind, ROWS, COLS, SUMMED, a, lda, b, ldb, 0, c, COLS);
  return rn_clock_s() - begin_s;
}

/* The backend in use and all others. */
typedef struct competitors {
  const rn_gemm_backend *chosen, *other[RN_GEMM_SAMPLE_BACKENDS];
  int count;
} competitors;

static competitors find_competitors(void) {
  competitors c = {.chosen = rn_gemm_backend_in_use()};
  const rn_gemm_backend *other;
  for (int i = 0; (other = rn_gemm_backend_at(i)) != NULL; i++) {
    if (strcmp(other->name, c.chosen->name) == 0) continue;
    assert(c.count < RN_GEMM_SAMPLE_BACKENDS);
    c.other[c.count++] = other;
  }
  return c;
}

static bool same_function(const rn_gemm_backend *a, const rn_gemm_backend *b, rn_gemm_kind kind) {
  if (kind == RN_GEMM_NN) return a->nn == b->nn;
  return kind == RN_GEMM_NT ? a->nt == b->nt : a->tn == b->tn;
}

/* Times all backends in every round, so that a disturbance does not affect only one of them. */
static void sample(const competitors *c, rn_gemm_sample *s, float *memory) {
  const double factor = rn_fault_now("gemm.sample") ? 2 : 1; /* a test slows the chosen backend */
  for (int round = 0; round <= ROUNDS; round++) {            /* round 0: backends generate code */
    for (int k = 0; k < RN_GEMM_SAMPLE_KINDS; k++) {
      const rn_gemm_kind kind = (rn_gemm_kind)k;
      const double chosen_s = factor * seconds_of(c->chosen, kind, memory);
      if (round > 0) s->chosen_s[k] = fmin(s->chosen_s[k], chosen_s);
      for (int i = 0; i < c->count; i++) {
        if (same_function(c->other[i], c->chosen, kind)) continue;
        const double other_s = seconds_of(c->other[i], kind, memory);
        if (round > 0) s->other_s[i][k] = fmin(s->other_s[i][k], other_s);
      }
    }
  }
}

rn_status rn_gemm_sample_take(rn_err *err, rn_gemm_sample *out) {
  const competitors c = find_competitors();
  float *memory;
  *out = (rn_gemm_sample){.chosen = c.chosen->name, .others = c.count};
  for (int i = 0; i < c.count; i++) out->name[i] = c.other[i]->name;
  for (int k = 0; k < RN_GEMM_SAMPLE_KINDS; k++) {
    out->chosen_s[k] = INFINITY;
    for (int i = 0; i < c.count; i++) out->other_s[i][k] = INFINITY;
  }
  RN_TRY(err, rn_alloc(err, "operands of the GEMM sample", 3 * (size_t)ELEMENTS, sizeof(float),
                       &memory));
#pragma omp parallel
#pragma omp master
  sample(&c, out, memory); /* in a parallel region, GEMM libraries do not start more threads */
  free(memory);
  return RN_OK;
}

/*
 * Returns the fastest other backend for a kind of product, or -1 if none is faster than the chosen
 * one.
 */
static int fastest_of(const rn_gemm_sample *s, int kind) {
  int best = -1;
  double best_s = s->chosen_s[kind];
  for (int i = 0; i < s->others; i++) {
    if (s->other_s[i][kind] >= best_s) continue;
    best = i;
    best_s = s->other_s[i][kind];
  }
  return best;
}

bool rn_gemm_sample_warning(const rn_gemm_sample *s, char *text, size_t bytes) {
  int worst = 0, other = -1;
  double loss = loss_worth_a_warning;
  for (int k = 0; k < RN_GEMM_SAMPLE_KINDS; k++) {
    const int i = fastest_of(s, k);
    if (i < 0 || s->chosen_s[k] / s->other_s[i][k] <= loss) continue;
    loss = s->chosen_s[k] / s->other_s[i][k];
    worst = k;
    other = i;
  }
  if (other < 0) return false;
  snprintf(text, bytes,
           "model.products=auto: on this machine %s was %.1f times as fast as the selected %s in a "
           "short test of %s products of size %dx%dx%d; compare them with `retnet-bench gemm`, and "
           "set model.products=%s if it is faster there too",
           s->name[other], loss, s->chosen, kind_names[worst], ROWS, COLS, SUMMED, s->name[other]);
  return true;
}

void rn_gemm_sample_best(const rn_gemm_sample *s, char *text, size_t bytes) {
  size_t used = 0;
  text[0] = '\0';
  for (int k = 0; k < RN_GEMM_SAMPLE_KINDS && used < bytes; k++) {
    const int best = fastest_of(s, k);
    used += (size_t)snprintf(text + used, bytes - used, "%s%s %s", k > 0 ? ", " : "", kind_names[k],
                             best < 0 ? s->chosen : s->name[best]);
  }
}
