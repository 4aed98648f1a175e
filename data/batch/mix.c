#include "data/batch/mix.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "proto/base/arena.h"

/* The sources with the same weight. They become candidates together and would reach the bound
 * together. The first of them in the list of sources comes first, so they take turns. */
struct rn_mix_group {
  int64_t weight;
  int first,
      members;   /* the sources rn_mix.order[first .. first + members - 1], in ascending order */
  int next;      /* index of the member that is next */
  int64_t round; /* number of samples of this member in the current period */
};

/* Maximum sum of the integer weights. A sum up to this value is exact in a double, and its product
 * with 2 * RN_MIX_MAX_SOURCES fits into 64 bits. */
#define MAX_TOTAL (INT64_C(1) << 50)

/* ---- weights ---- */

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

/* ---- heaps ---- */

/* Moves an entry up from place `i`, which is free, to its place. */
static void sift_up(rn_mix_heap *h, int i, rn_mix_entry entry) {
  for (; i > 0 && entry.key < h->entry[(i - 1) / 2].key; i = (i - 1) / 2) {
    h->entry[i] = h->entry[(i - 1) / 2];
  }
  h->entry[i] = entry;
}

/* Moves an entry down from place `i`, which is free, to its place. */
static void sift_down(rn_mix_heap *h, int i, rn_mix_entry entry) {
  for (int child = 2 * i + 1; child < h->count; child = 2 * i + 1) {
    const int other = child + 1 < h->count ? child + 1 : child;
    child += h->entry[other].key < h->entry[child].key;
    if (entry.key <= h->entry[child].key) break;
    h->entry[i] = h->entry[child];
    i = child;
  }
  h->entry[i] = entry;
}

static void push(rn_mix_heap *h, double key, int group) {
  sift_up(h, h->count++, (rn_mix_entry){key, group});
}

static void drop(rn_mix_heap *h, int i) {
  const rn_mix_entry last = h->entry[--h->count];
  if (i == h->count) return;
  if (i > 0 && last.key < h->entry[(i - 1) / 2].key) {
    sift_up(h, i, last);
  } else {
    sift_down(h, i, last);
  }
}

/* ---- creation ---- */

/* Sorts the sources by weight and, with equal weights, by number, and makes the groups. */
static void make_groups(rn_mix *m) {
  for (int i = 0; i < m->sources; i++) {
    int at = i;
    for (; at > 0 && m->weight[m->order[at - 1]] > m->weight[i]; at--) {
      m->order[at] = m->order[at - 1];
    }
    m->order[at] = i;
  }
  for (int i = 0; i < m->sources; i++) {
    const int64_t weight = m->weight[m->order[i]];
    if (i == 0 || m->group[m->groups - 1].weight != weight) {
      m->group[m->groups++] = (rn_mix_group){.weight = weight, .first = i};
    }
    m->group[m->groups - 1].members++;
  }
}

static rn_status take_memory(rn_err *err, rn_mix *m) {
  const size_t n = (size_t)m->sources;
  RN_TRY(err, rn_alloc(err, "mixture", n, sizeof *m->weight, &m->weight));
  RN_TRY(err, rn_alloc(err, "mixture", n, sizeof *m->count, &m->count));
  RN_TRY(err, rn_alloc(err, "mixture", n, sizeof *m->order, &m->order));
  RN_TRY(err, rn_alloc(err, "mixture", n, sizeof *m->group, &m->group));
  RN_TRY(err, rn_alloc(err, "mixture", n, sizeof *m->waiting.entry, &m->waiting.entry));
  return rn_alloc(err, "mixture", n, sizeof *m->ready.entry, &m->ready.entry);
}

void rn_mix_destroy(rn_mix *mix) {
  free(mix->weight);
  free(mix->count);
  free(mix->order);
  free(mix->group);
  free(mix->waiting.entry);
  free(mix->ready.entry);
  *mix = (rn_mix){0};
}

/* ---- samples ---- */

/* Returns by how much the next member of a group would be behind its share, in units of 1 / total
 * samples, if the next sample came from another source. The operands may wrap around, but the
 * result is at most 2 * total in absolute value. */
static int64_t behind(const rn_mix *m, const rn_mix_group *g) {
  return (int64_t)((uint64_t)(m->offset + 1) * (uint64_t)g->weight -
                   (uint64_t)m->total * (uint64_t)g->round);
}

/* Returns the number of further samples after which the next member of a group would lag behind its
 * share by the maximum (the bound in mix.h) if none of them came from it. */
static double slack(const rn_mix *m, const rn_mix_group *g) {
  const double margin = (double)m->total / (2 * m->sources - 2);
  return ((double)(m->total - behind(m, g)) - margin) / (double)g->weight;
}

/* Returns the number of samples of the period after which the next member of a group would reach
 * the bound. Apart from rounding errors, this is the sum of slack() and the current offset plus 1.
 */
static double deadline_of(const rn_mix *m, const rn_mix_group *g) {
  const double share = (double)(g->round + 1) - 1.0 / (2 * m->sources - 2);
  return share * (double)m->total / (double)g->weight;
}

/* Puts a group into the heap of candidates or, with the offset at which it becomes one, into the
 * heap of waiting groups. It becomes one when it would be behind its share by 1 / (2 n - 2). */
static void enter(rn_mix *m, int index) {
  const rn_mix_group *g = &m->group[index];
  const int64_t scale = 2 * m->sources - 2, lack = m->total - behind(m, g) * scale;
  if (lack <= 0) {
    push(&m->ready, deadline_of(m, g), index);
  } else {
    const int64_t step = g->weight * scale, wait = (lack + step - 1) / step;
    push(&m->waiting, (double)(m->offset + wait), index);
  }
}

/* Returns the place of the candidate with the smallest slack; of several with the same slack, the
 * one whose source comes first in the list. Compares the candidate at place `best` with those at
 * place `i` and below it in the heap whose deadline is at most `limit`. The order is that of
 * slack(), and not of the deadlines, which are rounded differently. */
static int choose(const rn_mix *m, int i, double limit, int best) {
  if (i >= m->ready.count || m->ready.entry[i].key > limit) return best;
  const rn_mix_group *a = &m->group[m->ready.entry[i].group],
                     *b = &m->group[m->ready.entry[best].group];
  const double own = slack(m, a), least = slack(m, b);
  const int number = m->order[a->first + a->next], first = m->order[b->first + b->next];
  if (own < least || (own == least && number < first)) best = i;
  best = choose(m, 2 * i + 1, limit, best);
  return choose(m, 2 * i + 2, limit, best);
}

/* Takes a sample of the group at place `i` of the candidates; returns its source. */
static int take_member(rn_mix *m, int i) {
  const int index = m->ready.entry[i].group;
  rn_mix_group *g = &m->group[index];
  const int source = m->order[g->first + g->next];
  m->offset++;
  if (++g->next < g->members) return source;
  g->next = 0;
  g->round++;
  drop(&m->ready, i);
  enter(m, index);
  return source;
}

/* Takes a sample of the candidate that would reach the bound first. */
static int take_source(rn_mix *m) {
  /* More than the rounding errors of slack() and deadline_of(). */
  static const double tolerance = 1e-13;
  rn_mix_heap *waiting = &m->waiting, *ready = &m->ready;
  while (waiting->count > 0 && waiting->entry[0].key <= (double)m->offset) {
    const int index = waiting->entry[0].group;
    drop(waiting, 0);
    push(ready, deadline_of(m, &m->group[index]), index);
  }
  assert(ready->count > 0);
  const double limit = ready->entry[0].key * (1 + tolerance);
  return take_member(m, choose(m, 2, limit, choose(m, 1, limit, 0)));
}

/* Moves to the beginning of the period that contains sample g. */
static void start_period(rn_mix *m, int64_t g) {
  const int64_t periods = g / m->total;
  for (int i = 0; i < m->sources; i++) m->count[i] = periods * m->weight[i];
  m->position = periods * m->total;
  m->offset = 0;
  if (m->sources == 1) return;
  m->waiting.count = m->ready.count = 0;
  for (int i = 0; i < m->groups; i++) {
    m->group[i].next = 0;
    m->group[i].round = 0;
    enter(m, i);
  }
}

/* Takes the next sample; returns its source. */
static int advance(rn_mix *m) {
  const int source = m->sources == 1 ? 0 : take_source(m);
  m->count[source]++;
  m->position++;
  if (m->offset == m->total) start_period(m, m->position);
  return source;
}

rn_status rn_mix_create(rn_err *err, const double *weight, int sources, rn_mix *out) {
  assert(1 <= sources && sources <= RN_MIX_MAX_SOURCES);
  *out = (rn_mix){.sources = sources};
  const rn_status status = take_memory(err, out);
  if (status != RN_OK) {
    rn_mix_destroy(out);
    return status;
  }
  find_weights(weight, out);
  make_groups(out);
  start_period(out, 0);
  return RN_OK;
}

rn_mix_sample rn_mix_sample_at(rn_mix *m, int64_t g) {
  if (g < m->position || g - m->position >= m->total) start_period(m, g);
  while (m->position < g) advance(m);
  const int source = advance(m);
  return (rn_mix_sample){source, m->count[source] - 1};
}
