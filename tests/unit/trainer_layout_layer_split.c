/* Checks that stages get as equal an amount of work as whole layers allow, including head and
 * embedding. A given split is used, and an invalid split is rejected with a message that names its
 * key. */
#include "tests/support/check.h"
#include "trainer/layout/layer_split.h"

enum { MAX_STAGES = 12 };

static rn_spec small(int layers, int vocab) {
  return (rn_spec){.layers = layers,
                   .dim = 64,
                   .value_dim = 128,
                   .ffn_dim = 128,
                   .heads = 4,
                   .vocab = vocab,
                   .gate = true};
}

static double work(const rn_spec *spec, int stages, int stage, int layers) {
  return layers * rn_spec_layer_flops(spec) + (stage == 0 ? rn_spec_embedding_flops(spec) : 0) +
         (stage == stages - 1 ? rn_spec_head_flops(spec) : 0);
}

static double heaviest(const rn_spec *spec, int stages, const int *first) {
  double most = 0;
  for (int s = 0; s < stages; s++) {
    const double w = work(spec, stages, s, first[s + 1] - first[s]);
    if (w > most) most = w;
  }
  return most;
}

/* Returns the smallest possible work of the most loaded stage, over all splits of `layers` layers
 * among stage `stage` and all later stages. */
static double best(const rn_spec *spec, int stages, int stage, int layers) {
  const int left = stages - stage;
  if (left == 1) return work(spec, stages, stage, layers);
  double least = 0;
  for (int n = 1; n <= layers - (left - 1); n++) {
    const double own = work(spec, stages, stage, n),
                 rest = best(spec, stages, stage + 1, layers - n);
    const double most = own > rest ? own : rest;
    if (n == 1 || most < least) least = most;
  }
  return least;
}

static void no_split_is_better(void) {
  const Retnet__Parallel none = RETNET__PARALLEL__INIT;
  static const int vocab[] = {2, 257, 2000, 50000};
  rn_err err = {0};
  int first[MAX_STAGES + 1];
  for (int v = 0; v < 4; v++) {
    for (int layers = 1; layers <= 12; layers++) {
      const rn_spec spec = small(layers, vocab[v]);
      for (int stages = 1; stages <= layers && stages <= 5; stages++) {
        if (!CHECK_OK(&err, rn_layer_split(&err, &spec, &none, stages, first))) return;
        CHECK_EQUAL(first[0], 0);
        CHECK_EQUAL(first[stages], layers);
        for (int s = 0; s < stages; s++) CHECK(first[s] < first[s + 1]);
        CHECK_NEAR(heaviest(&spec, stages, first) / best(&spec, stages, 0, layers), 1, 1e-12);
      }
    }
  }
}

static void a_small_head_leaves_multiples_even(void) {
  const Retnet__Parallel none = RETNET__PARALLEL__INIT;
  const rn_spec spec = small(12, 257);
  rn_err err = {0};
  int first[MAX_STAGES + 1];
  for (int stages = 1; stages <= 12; stages++) {
    if (12 % stages != 0) continue;
    CHECK_OK(&err, rn_layer_split(&err, &spec, &none, stages, first));
    for (int s = 0; s <= stages; s++) CHECK_EQUAL(first[s], s * (12 / stages));
  }
}

/* ---- layers of two kinds ---- */

static double work_of_layers(const rn_spec *spec, int stages, int stage, int first, int last) {
  double sum = work(spec, stages, stage, 0);
  for (int layer = first; layer < last; layer++) sum += rn_spec_flops_of_layer(spec, layer);
  return sum;
}

/* Like best(), but for layers of different costs. The layers from `first` on are divided among
 * stage `stage` and all later stages. */
static double best_of_hybrid(const rn_spec *spec, int stages, int stage, int first) {
  double least = 0;
  if (stage == stages - 1) return work_of_layers(spec, stages, stage, first, spec->layers);
  for (int last = first + 1; last <= spec->layers - (stages - 1 - stage); last++) {
    const double own = work_of_layers(spec, stages, stage, first, last),
                 rest = best_of_hybrid(spec, stages, stage + 1, last);
    const double most = own > rest ? own : rest;
    if (last == first + 1 || most < least) least = most;
  }
  return least;
}

static void hybrids_are_balanced(void) {
  const Retnet__Parallel none = RETNET__PARALLEL__INIT;
  static const uint64_t lists[] = {1, 0x80, 0x88, 0x111, 0x7};
  rn_err err = {0};
  int first[MAX_STAGES + 1];
  for (int i = 0; i < 5; i++) {
    rn_spec spec = small(10, 257);
    spec.attention_heads = spec.kv_heads = 4;
    spec.attention_layers[0] = lists[i];
    spec.flop_tokens = 8192;
    for (int stages = 1; stages <= 5; stages++) {
      double most = 0;
      CHECK_OK(&err, rn_layer_split(&err, &spec, &none, stages, first));
      CHECK(first[0] == 0 && first[stages] == spec.layers);
      for (int s = 0; s < stages; s++) {
        const double own = work_of_layers(&spec, stages, s, first[s], first[s + 1]);
        CHECK(first[s] < first[s + 1]);
        if (own > most) most = own;
      }
      CHECK_NEAR(most / best_of_hybrid(&spec, stages, 0, 0), 1, 1e-12);
    }
  }
}

static void keys_hold_or_are_refused(void) {
  Retnet__Parallel given = RETNET__PARALLEL__INIT;
  const rn_spec spec = small(22, 257);
  rn_err err = {0};
  int first[MAX_STAGES + 1];
  int32_t split[] = {5, 6, 6, 5};
  given.layer_split = split;
  given.n_layer_split = 4;
  CHECK_OK(&err, rn_layer_split(&err, &spec, &given, 4, first));
  static const int want[] = {0, 5, 11, 17, 22};
  for (int s = 0; s <= 4; s++) CHECK_EQUAL(first[s], want[s]);
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.layer_split|4 entries|3",
              rn_layer_split(&err, &spec, &given, 3, first));
  split[3] = 6;
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.layer_split|model.layers 22",
              rn_layer_split(&err, &spec, &given, 4, first));
  split[3] = 4;
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.layer_split|model.layers 22",
              rn_layer_split(&err, &spec, &given, 4, first));
  split[0] = 0;
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.layer_split|stage 0",
              rn_layer_split(&err, &spec, &given, 4, first));
}

int main(void) {
  no_split_is_better();
  a_small_head_leaves_multiples_even();
  hybrids_are_balanced();
  keys_hold_or_are_refused();
  return check_result();
}
