/*
 * Visits the tokens in descending order of probability until the cumulative probability exceeds a
 * uniform random number. A heap yields only as many tokens as needed, so the vocabulary is not
 * sorted.
 */
#include "trainer/generate/sample.h"

#include <math.h>
#include <stdbool.h>

#include "proto/base/random.h"

/* True if token a comes before b in the order by descending logit, then by ascending id. */
static bool goes_before(const float *logits, int32_t a, int32_t b) {
  return logits[a] > logits[b] || (!(logits[b] > logits[a]) && a < b);
}

static void sift_down(int32_t *heap, int count, int at, const float *logits) {
  const int32_t id = heap[at];
  for (int child = 2 * at + 1; child < count; child = 2 * at + 1) {
    if (child + 1 < count && goes_before(logits, heap[child + 1], heap[child])) child++;
    if (!goes_before(logits, heap[child], id)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = id;
}

static void make_heap(int n, const float *logits, int32_t *heap) {
  for (int i = 0; i < n; i++) heap[i] = i;
  for (int i = n / 2 - 1; i >= 0; i--) sift_down(heap, n, i, logits);
}

/* Removes the first element from the heap and returns it; also moves it to heap[count - 1]. */
static int32_t take_first(int32_t *heap, int count, const float *logits) {
  const int32_t first = heap[0];
  heap[0] = heap[count - 1];
  heap[count - 1] = first;
  sift_down(heap, count - 1, 0, logits);
  return first;
}

static int32_t likeliest(int n, const float *logits) {
  int32_t best = 0;
  for (int i = 1; i < n; i++) {
    if (logits[i] > logits[best]) best = i;
  }
  return best;
}

int32_t rn_sample(rn_sampling s, int n, const float *logits, int32_t *order, uint64_t index) {
  if (s.temperature <= 0) return likeliest(n, logits);
  const int kept = s.top_k > 0 && s.top_k < n ? (int)s.top_k : n;
  const double top = logits[likeliest(n, logits)];
  double whole = 0, mass = 0;
  make_heap(n, logits, order);
  for (int i = 0; i < kept && kept < n; i++) take_first(order, n - i, logits);
  for (int i = n - kept; i < n; i++) whole += exp((logits[order[i]] - top) / s.temperature);
  const uint64_t words[1] = {s.seed};
  const rn_random_key key = rn_random_key_make(RN_RANDOM_SAMPLE, words, 1);
  const double target = rn_random_uniform(key, index) * fmin(1, s.top_p) * whole;
  for (int i = 0; i < kept; i++) {
    if (kept == n) take_first(order, n - i, logits);
    mass += exp((logits[order[n - 1 - i]] - top) / s.temperature);
    if (mass > target) return order[n - 1 - i];
  }
  return order[n - kept];
}
