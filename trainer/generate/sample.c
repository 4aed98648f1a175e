/* Takes only as many of the most likely tokens as needed from a heap, in descending order of
 * probability, instead of sorting the whole vocabulary. */
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

/* The tokens in descending order of probability, of which the first `sorted` are known. */
typedef struct ranking {
  int n, sorted;
  const float *logits;
  int32_t *heap; /* [n]: a heap of the unsorted tokens, then the sorted tokens in ascending order */
  double temperature, largest;
} ranking;

static ranking ranking_make(int n, const float *logits, int32_t *order, double temperature) {
  make_heap(n, logits, order);
  return (ranking){.n = n,
                   .logits = logits,
                   .heap = order,
                   .temperature = temperature,
                   .largest = logits[order[0]]};
}

/* Returns token number `i`; callers ask for the tokens one after the other. */
static int32_t token_at(ranking *r, int i) {
  for (; r->sorted <= i; r->sorted++) take_first(r->heap, r->n - r->sorted, r->logits);
  return r->heap[r->n - 1 - i];
}

/* Returns the probability of a token as a multiple of that of the most likely token. */
static double weight(const ranking *r, int32_t token) {
  return exp((r->logits[token] - r->largest) / r->temperature);
}

static double weight_of_first(ranking *r, int count) {
  double sum = 0;
  for (int i = 0; i < count; i++) {
    sum += weight(r, count < r->n ? token_at(r, i) : (int32_t)i);
  }
  return sum;
}

/* Applies top_p and min_p to the first *count tokens, whose weights add up to `whole`. Reduces
 * *count to the number of tokens that are kept, and returns the sum of their weights. */
static double filter(ranking *r, rn_sampling s, double whole, int *count) {
  double left = 0;
  int kept = 0;
  for (; kept < *count; kept++) {
    const double w = weight(r, token_at(r, kept));
    const bool beyond_top_p = s.top_p < 1 && left >= s.top_p * whole;
    if (kept > 0 && (beyond_top_p || w < s.min_p)) break;
    left += w;
  }
  *count = kept;
  return left;
}

int32_t rn_sample(rn_sampling s, int n, const float *logits, int32_t *order, double quantile) {
  if (s.temperature <= 0) return likeliest(n, logits);
  ranking r = ranking_make(n, logits, order, s.temperature);
  int count = s.top_k > 0 && s.top_k < n ? (int)s.top_k : n;
  double whole = weight_of_first(&r, count), sum = 0;
  if (s.top_p < 1 || s.min_p > 0) whole = filter(&r, s, whole, &count);
  int32_t token = token_at(&r, 0);
  for (int i = 0; i < count && sum <= quantile * whole; i++) {
    const double w = weight(&r, token_at(&r, i));
    if (w == 0) break; /* never returns a token of probability 0, however sums are rounded */
    sum += w;
    token = token_at(&r, i);
  }
  return token;
}

double rn_sample_quantile(uint64_t seed, uint64_t index) {
  const rn_random_key key = rn_random_key_make(RN_RANDOM_SAMPLE, &seed, 1);
  return rn_random_uniform(key, index);
}
