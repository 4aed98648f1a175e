/*
 * Checks that a plan works for any number of ranks, layers and units. The largest memory of a node,
 * which is computed once for identical nodes, must equal the maximum over all nodes. Sizes of the
 * measured steps must be within their bounds, and must be those of the model if these fit. Stages
 * are chosen, and layouts recommended, that fit into the memory of a node. The idle
 * time of long schedules must follow the formulas. The TIMEOUT of this test limits the time of
 * planning.
 */
#include "tests/support/check.h"
#include "trainer/estimate/plan_time.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/random.h"
#include "proto/options/options.h"
#include "trainer/parallel/shapes.h"

enum { MAX_STAGES = 6, PLACES = 3 };

static rn_err err;

/* ---- nodes ---- */

/* Returns the largest memory of a node by the definition: adds up all ranks of each node. */
static size_t largest_of_all_nodes(const rn_memory_plan *plan, const rn_layout *l, int node_ranks) {
  const int ranks = l->data * l->pipeline * l->sequence;
  size_t most = 0;
  for (int begin = 0; begin < ranks; begin += node_ranks) {
    bool seen[MAX_STAGES] = {false};
    size_t node = 0;
    for (int r = begin; r < begin + node_ranks && r < ranks; r++) {
      const rn_memory *m = rn_memory_of_rank(plan, l, r);
      const int stage = r / l->sequence % l->pipeline;
      node += rn_memory_total(m);
      if (plan->shared) node += (seen[stage] ? 0 : plan->weights[stage]) - m->weights;
      seen[stage] = true;
    }
    if (node > most) most = node;
  }
  return most;
}

static void fill_randomly(uint64_t seed, rn_memory_plan *plan) {
  const rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, seed, "node");
  for (int i = 0; i < plan->stages * PLACES; i++) {
    const size_t weights = 1000 * (size_t)(i / PLACES + 1);
    plan->weights[i / PLACES] = weights;
    plan->memory[i] = (rn_memory){.weights = weights,
                                  .work = (size_t)(rn_random_uniform(key, (uint64_t)i) * 5000)};
  }
}

static void all_nodes_are_like_those_looked_at(void) {
  rn_memory memory[MAX_STAGES * PLACES];
  size_t weights[MAX_STAGES];
  uint64_t seed = 0;
  for (int pipeline = 1; pipeline <= MAX_STAGES; pipeline++) {
    for (int sequence = 1; sequence <= 13; sequence++) {
      for (int data = 1; data <= 5; data += 2) {
        const rn_layout l = {.data = data, .pipeline = pipeline, .sequence = sequence};
        rn_memory_plan plan = {.stages = pipeline, .memory = memory, .weights = weights};
        fill_randomly(seed, &plan);
        plan.shared = seed++ % 2 == 0;
        for (int n = 1; n <= 17; n++) {
          CHECK_EQUAL(rn_memory_largest_node(&plan, &l, n), largest_of_all_nodes(&plan, &l, n));
        }
      }
    }
  }
}

/* ---- sizes ---- */

static void load(const char *const *keys, int count, Retnet__Config **config, rn_spec *spec) {
  CHECK_OK(&err, rn_options_load(&err, NULL, keys, count, config));
  CHECK_OK(&err, rn_spec_from_config(&err, *config, 0, spec));
}

/* Returns the memory of a run with three layers of these sizes, without communication buffers. */
static double bytes_of_run(const rn_plan_sizes *sizes) {
  char key[9][64];
  const char *keys[9];
  Retnet__Config *config = NULL;
  rn_spec spec;
  rn_layout layout;
  rn_memory_plan memory;
  snprintf(key[0], sizeof key[0], "model.dim=%d", sizes->spec.dim);
  snprintf(key[1], sizeof key[1], "model.value_dim=%d", sizes->spec.value_dim);
  snprintf(key[2], sizeof key[2], "model.ffn_dim=%d", sizes->spec.ffn_dim);
  snprintf(key[3], sizeof key[3], "model.heads=%d", sizes->spec.heads);
  snprintf(key[4], sizeof key[4], "model.vocab=%d", sizes->spec.vocab);
  snprintf(key[5], sizeof key[5], "model.layers=3");
  snprintf(key[6], sizeof key[6], "data.sequence_length=%d", sizes->tokens);
  snprintf(key[7], sizeof key[7], "data.batch_sequences=%d", sizes->sequences);
  snprintf(key[8], sizeof key[8], "parallel.microbatch=%d", sizes->sequences);
  for (int i = 0; i < 9; i++) keys[i] = key[i];
  double bytes = 0;
  load(keys, 9, &config, &spec);
  if (CHECK_OK(&err, rn_layout_resolve(&err, config, 3, 1, &layout)) &&
      CHECK_OK(&err, rn_memory_plan_create(&err, config, &spec, &layout, (rn_machine){.ranks = 1},
                                           &memory))) {
    const rn_memory *m = rn_memory_largest_rank(&memory);
    bytes = (double)(rn_memory_total(m) - m->buffers);
    rn_memory_plan_destroy(&memory);
  }
  rn_options_free(&config);
  return bytes;
}

static void check_sizes_within(const char *const *keys, int count, int tokens, int sequences,
                               double flops) {
  const double bytes = 320 << 20;
  Retnet__Config *config = NULL;
  rn_spec spec;
  load(keys, count, &config, &spec);
  const rn_plan_sizes s = rn_plan_sizes_within(&spec, tokens, sequences, false, flops, bytes);
  CHECK_OK(&err, rn_spec_check(&err, &s.spec));
  CHECK(s.spec.dim <= spec.dim && s.spec.ffn_dim <= spec.ffn_dim && s.spec.vocab <= spec.vocab);
  CHECK(1 <= s.tokens && s.tokens <= tokens && 1 <= s.sequences && s.sequences <= sequences);
  if (!CHECK(bytes_of_run(&s) <= bytes)) {
    fprintf(
        stderr,
        "  %s: %.0f bytes, dim %d, value_dim %d, ffn_dim %d, heads %d, vocab %d, rows %d x %d\n",
        keys[0], bytes_of_run(&s), s.spec.dim, s.spec.value_dim, s.spec.ffn_dim, s.spec.heads,
        s.spec.vocab, s.sequences, s.tokens);
  }
  rn_options_free(&config);
}

/* Checks sizes for a slow machine, and for one so fast that only memory limits them. */
static void check_sizes(const char *const *keys, int count, int tokens, int sequences) {
  check_sizes_within(keys, count, tokens, sequences, 1e11);
  check_sizes_within(keys, count, tokens, sequences, 1e17);
}

static void sizes_are_within_their_bounds(void) {
  static const char *const preset[] = {"model.preset=retnet_base", "model.preset=retnet_1b3",
                                       "model.preset=retnet_3b",   "model.preset=retnet_6b7",
                                       "model.preset=retnet_13b",  "model.preset=retnet_65b"};
  for (int i = 0; i < 6; i++) {
    const char *const keys[] = {preset[i], "model.vocab=50304"};
    check_sizes(keys, 2, 8192, 1);
    check_sizes(keys, 2, 7, 1 << 20);
    check_sizes(keys, 2, 1 << 30, 1 << 20);
  }
  static const char *const one_head[] = {"model.dim=1048574", "model.value_dim=999999",
                                         "model.ffn_dim=4194304", "model.heads=1",
                                         "model.vocab=16777216"};
  static const char *const many_heads[] = {"model.dim=131072", "model.value_dim=983040",
                                           "model.heads=65536", "model.vocab=3"};
  check_sizes(one_head, 5, 3000, 3);
  check_sizes(many_heads, 4, 3000, 3);
}

static void what_fits_is_measured_as_it_is(void) {
  static const char *const keys[] = {"model.dim=64", "model.value_dim=128", "model.ffn_dim=96",
                                     "model.heads=2", "model.vocab=257"};
  Retnet__Config *config = NULL;
  rn_spec spec;
  load(keys, 5, &config, &spec);
  const rn_plan_sizes s = rn_plan_sizes_within(&spec, 100, 3, false, 1e12, 1 << 30);
  CHECK(s.spec.dim == 64 && s.spec.value_dim == 128 && s.spec.ffn_dim == 96);
  CHECK(s.spec.heads == 2 && s.spec.vocab == 257 && s.tokens == 100 && s.sequences == 3);
  rn_options_free(&config);
}

/* ---- memory ---- */

/* Plans a large model for nodes of one rank with this memory; 0: unlimited. */
static bool plan_within(int64_t memory_bytes, const char *layout, int ranks, rn_plan *plan) {
  const char *const keys[] = {"model.preset=retnet_6b7", "model.vocab=50304",
                              "data.batch_sequences=16", "parallel.microbatch=1", layout};
  const rn_machine machine = {.cores = 8, .ranks = 1, .threads = 1, .memory_bytes = memory_bytes};
  Retnet__Config *config = NULL;
  rn_spec spec;
  load(keys, 5, &config, &spec);
  const bool made = CHECK_OK(&err, rn_plan_create_any(&err, config, &spec, ranks, machine, plan));
  rn_options_free(&config);
  return made;
}

static int64_t bytes_with(const char *layout, int ranks) {
  rn_plan plan;
  if (!plan_within(0, layout, ranks, &plan)) return 0;
  const int64_t bytes = (int64_t)rn_plan_node_bytes(&plan);
  rn_plan_destroy(&plan);
  return bytes;
}

static void as_many_stages_as_needed_are_chosen(void) {
  rn_plan plan;
  const int64_t bytes = bytes_with("parallel.pipeline=2", 4);
  CHECK(bytes < bytes_with("parallel.pipeline=1", 4));
  if (!plan_within(bytes, "parallel.pipeline=0", 4, &plan)) return;
  CHECK_EQUAL(plan.layout.pipeline, 2);
  CHECK(strstr(plan.pipeline_reason, "fewer stages need ") != NULL);
  CHECK_EQUAL(plan.lack[0], '\0');
  rn_plan_destroy(&plan);
}

/* The layout that the message recommends fits. */
static void a_layout_that_fits_is_recommended(void) {
  rn_plan plan;
  const int64_t bytes = bytes_with("parallel.pipeline=2", 4);
  int ranks = 0, data = 0, stages = 0;
  if (!plan_within(bytes, "parallel.pipeline=1", 1, &plan)) return;
  const char *advice = strstr(plan.lack, "use ");
  if (CHECK(advice != NULL)) {
    CHECK_EQUAL(sscanf(advice, "use %d ranks, 1 on each node, with parallel.data %d, pipeline %d",
                       &ranks, &data, &stages),
                3);
  }
  rn_plan_destroy(&plan);
  char layout[64];
  snprintf(layout, sizeof layout, "parallel.pipeline=%d", stages);
  if (!CHECK(ranks > 1 && stages > 0) || !plan_within(bytes, layout, ranks, &plan)) return;
  CHECK_EQUAL(plan.lack[0], '\0');
  rn_plan_destroy(&plan);
}

static void a_model_that_fits_nowhere_is_refused(void) {
  rn_plan plan;
  if (!plan_within(1 << 20, "parallel.pipeline=0", 4, &plan)) return;
  CHECK(strstr(plan.lack, "more ranks do not help") != NULL);
  CHECK(strstr(plan.pipeline_reason, "no number of stages fits") != NULL);
  rn_plan_destroy(&plan);
}

/* ---- time ---- */

static const double UPDATE_S = 28e-9;

/* Plans for these keys, and estimates the time from a sample in which forward, backward-input and
 * backward-weight of a layer take one second each, and the update of a weight takes UPDATE_S. */
static rn_plan_time time_of(const char *const *keys, int count, int ranks) {
  const rn_machine machine = {.cores = 128, .ranks = 128, .threads = 1};
  Retnet__Config *config = NULL;
  rn_spec spec;
  rn_plan plan;
  rn_plan_time time = {0};
  load(keys, count, &config, &spec);
  if (CHECK_OK(&err, rn_plan_create_any(&err, config, &spec, ranks, machine, &plan))) {
    rn_plan_sample sample = {.spec = spec, .layer = {1, 1, 1}, .update_s = UPDATE_S};
    sample.rows = (double)plan.layout.microbatch * rn_shapes_tokens(config, &plan.layout);
    CHECK_OK(&err, rn_plan_time_estimate(&err, config, &plan, &sample, &time));
    rn_plan_destroy(&plan);
  }
  rn_options_free(&config);
  return time;
}

/* With p = 4 stages of one layer, the idle time is (p - 1) * (F + B - W) for any large number of
 * micro-batches, where F, B and W are the times of forward, backward-input and backward-weight of
 * one unit. */
static void idle_time_does_not_grow_with_microbatches(void) {
  static const char *const batch[] = {"data.batch_sequences=64", "data.batch_sequences=100000",
                                      "data.batch_sequences=100000000"};
  for (int i = 0; i < 3; i++) {
    const char *const keys[] = {
        batch[i],         "data.sequence_length=64", "model.vocab=50",     "parallel.pipeline=4",
        "model.layers=4", "parallel.microbatch=1",   "parallel.segments=1"};
    const rn_plan_time t = time_of(keys, 7, 4);
    CHECK_NEAR(t.idle_s, 3, 1e-6);
    CHECK_NEAR(t.units_s, 3.0 * atof(batch[i] + sizeof "data.batch_sequences"), 1e-9);
  }
}

/* With a single micro-batch, the idle time is (p - 1) * (F + B) for any number of segments, where F
 * and B are the times of one segment. */
static void many_segments_are_told_as_well(void) {
  static const char *const segments[] = {"parallel.segments=64", "parallel.segments=1048576"};
  static const double count[] = {64, 1048576};
  for (int i = 0; i < 2; i++) {
    const char *const keys[] = {"data.batch_sequences=1", "data.sequence_length=1048576",
                                "model.vocab=50",         "parallel.pipeline=4",
                                "model.layers=4",         segments[i]};
    const rn_plan_time t = time_of(keys, 6, 4);
    CHECK_NEAR(t.units_s, 3 * count[i], 1e-9);
    CHECK(t.idle_s >= 5.9 && t.idle_s < 0.001 * t.units_s + 6.1);
  }
}

/* Returns the time of the exchange of keys and values in 3 attention layers, with 1024 tokens. A
 * row of keys and values has 128 elements. */
static double rows_s(const char *window, const char *sequence, const char *segments) {
  const char *const keys[] = {"model.arch=transformer",
                              "model.dim=64",
                              "model.heads=4",
                              "model.ffn_dim=96",
                              "model.vocab=50",
                              "model.layers=3",
                              "data.batch_sequences=5",
                              "data.sequence_length=1024",
                              "parallel.microbatch=1",
                              window,
                              sequence,
                              segments};
  return time_of(keys, 12, atoi(sequence + strlen("parallel.sequence="))).rows_s;
}

/* Checks that the time for keys and values is the time to copy what the last rank receives and
 * sends. Without segments, forward and backward each exchange keys and values, and backward also
 * exchanges the sums of their gradients. `row_s` is the time for one row of the step: 5 sequences,
 * 3 layers, and 128 numbers of 4 bytes per row; a copy reads and writes each byte, and the cost
 * model derives the time per byte from an update of 28 bytes in UPDATE_S. */
static void keys_and_values_take_time(void) {
  const double row_s = 5 * 3 * 128 * 4 * 2 * UPDATE_S / 28;
  const char *const none = "model.attention_window=0", *const whole = "parallel.segments=1";
  CHECK_NEAR(rows_s(none, "parallel.sequence=1", whole), 0, 0);
  CHECK_RELATIVE(rows_s(none, "parallel.sequence=4", whole), 3 * 768 * row_s, 1e-9);
  CHECK_RELATIVE(rows_s("model.attention_window=101", "parallel.sequence=4", whole),
                 3 * 100 * row_s, 1e-9);
  /* Pieces 1 and 3 belong to the last of two ranks. In forward, it receives pieces 0 and 2, and
   * sends piece 1; in backward, it sends sums for pieces 0 and 2, and receives those for piece 1.
   */
  CHECK_RELATIVE(rows_s(none, "parallel.sequence=2", "parallel.segments=2"), 2 * 768 * row_s, 1e-9);
}

static void the_largest_worlds_are_planned(void) {
  const char *const large[] = {"data.batch_sequences=1048576", "data.sequence_length=131072",
                               "model.preset=retnet_65b", "model.vocab=50304"};
  const rn_plan_time t = time_of(large, 4, 1 << 24);
  CHECK(t.units_s > 0);
  const char *const deep[] = {
      "data.batch_sequences=256", "data.sequence_length=64", "model.layers=4096", "model.dim=2",
      "model.value_dim=2",        "model.heads=1",           "model.ffn_dim=1",   "model.vocab=2",
      "parallel.pipeline=4096"};
  const rn_plan_time d = time_of(deep, 9, 4096);
  CHECK(d.units_s > 0 && d.idle_s > 0);
}

int main(void) {
  all_nodes_are_like_those_looked_at();
  sizes_are_within_their_bounds();
  what_fits_is_measured_as_it_is();
  as_many_stages_as_needed_are_chosen();
  a_layout_that_fits_is_recommended();
  a_model_that_fits_nowhere_is_refused();
  idle_time_does_not_grow_with_microbatches();
  many_segments_are_told_as_well();
  keys_and_values_take_time();
  the_largest_worlds_are_planned();
  return check_result();
}
