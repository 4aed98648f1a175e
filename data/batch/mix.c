#include "data/batch/mix.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"

/* Maximum sum of the integer weights. A sum up to this value is exact in a double, and its product
 * with 2 * RN_MIX_MAX_SOURCES fits into 64 bits. */
#define MAX_TOTAL (INT64_C(1) << 50)

static int64_t gcd(int64_t a, int64_t b) {
  while (b != 0) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

/* Stores the weights times `scale` in `out`. Returns true if these products are positive integers,
 * up to rounding errors, and their sum is at most MAX_TOTAL. */
static bool scale_exactly(const double *weight, int sources, double scale, int64_t *out) {
  double sum = 0;
  for (int i = 0; i < sources; i++) {
    const double scaled = weight[i] * scale, whole = nearbyint(scaled);
    if (whole < 1 || fabs(scaled - whole) > 4e-16 * scaled) return false;
    sum += whole;
    if (sum > (double)MAX_TOTAL) return false;
    out[i] = (int64_t)whole;
  }
  return true;
}

/* Used if scale_exactly() fails for every scale. Sets `out` to about MAX_TOTAL * weight / (sum of
 * the weights), rounded down to an integer, but at least 1. */
static void scale_nearly(const double *weight, int sources, int64_t *out) {
  double max = 0, sum = 0;
  for (int i = 0; i < sources; i++) max = weight[i] > max ? weight[i] : max;
  for (int i = 0; i < sources; i++) sum += weight[i] / max;
  for (int i = 0; i < sources; i++) {
    const double share = weight[i] / max / sum * (double)(MAX_TOTAL - sources);
    out[i] = share < 1 ? 1 : (int64_t)share;
  }
}

static void find_weights(const double *weight, rn_mix *m) {
  static const double scales[] = {1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
  bool exact = false;
  for (size_t i = 0; !exact && i < sizeof scales / sizeof scales[0]; i++) {
    exact = scale_exactly(weight, m->sources, scales[i], m->weight);
  }
  if (!exact) scale_nearly(weight, m->sources, m->weight);
  int64_t common = 0;
  for (int i = 0; i < m->sources; i++) common = gcd(m->weight[i], common);
  for (int i = 0; i < m->sources; i++) m->total += m->weight[i] /= common;
}

rn_status rn_mix_create(rn_err *err, const double *weight, int sources, rn_mix *out) {
  assert(1 <= sources && sources <= RN_MIX_MAX_SOURCES);
  const size_t n = (size_t)sources;
  *out = (rn_mix){.sources = sources};
  rn_status status = rn_alloc(err, "mixture", n, sizeof *out->weight, &out->weight);
  if (status == RN_OK) status = rn_alloc(err, "mixture", n, sizeof *out->behind, &out->behind);
  if (status == RN_OK) status = rn_alloc(err, "mixture", n, sizeof *out->count, &out->count);
  if (status != RN_OK) {
    rn_mix_destroy(out);
    return status;
  }
  find_weights(weight, out);
  return RN_OK;
}

void rn_mix_destroy(rn_mix *mix) {
  free(mix->weight);
  free(mix->behind);
  free(mix->count);
  *mix = (rn_mix){0};
}

/* Returns the number of further samples after which source i would lag behind its share by the
 * maximum (the bound in mix.h) if none of them came from it. */
static double slack(const rn_mix *m, int i) {
  const double margin = (double)m->total / (2 * m->sources - 2);
  return ((double)(m->total - m->behind[i]) - margin) / (double)m->weight[i];
}

/* Takes the next sample; returns its source. */
static int advance(rn_mix *m) {
  int best = m->sources == 1 ? 0 : -1;
  for (int i = 0; i < m->sources; i++) {
    m->behind[i] += m->weight[i];
    if (m->sources == 1 || m->behind[i] * (2 * m->sources - 2) < m->total) continue;
    if (best < 0 || slack(m, i) < slack(m, best)) best = i;
  }
  assert(best >= 0);
  m->behind[best] -= m->total;
  m->count[best]++;
  m->position++;
  return best;
}

/* Moves to the beginning of the period that contains sample g. */
static void start_period(rn_mix *m, int64_t g) {
  const int64_t periods = g / m->total;
  memset(m->behind, 0, (size_t)m->sources * sizeof *m->behind);
  for (int i = 0; i < m->sources; i++) m->count[i] = periods * m->weight[i];
  m->position = periods * m->total;
}

rn_mix_sample rn_mix_sample_at(rn_mix *m, int64_t g) {
  if (g < m->position || g - m->position >= m->total) start_period(m, g);
  while (m->position < g) advance(m);
  const int source = advance(m);
  return (rn_mix_sample){source, m->count[source] - 1};
}
