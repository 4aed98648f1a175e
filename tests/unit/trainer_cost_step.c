/* Computes from the tilings of a training step's loops that they can keep many threads busy.
 * Nothing is measured, so the machine need not have that many threads. */
#include "trainer/cost/step_cost.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"

enum { LAYERS = 8 };

/* Returns the reference model of width `dim`: heads of 128 keys, value_dim = ffn_dim = 2 dim. */
static rn_spec spec_of(int dim) {
  return (rn_spec){.layers = LAYERS,
                   .dim = dim,
                   .value_dim = 2 * dim,
                   .ffn_dim = 2 * dim,
                   .heads = dim / 128,
                   .vocab = 1024,
                   .gate = true,
                   .pre_norm = true,
                   .chunk = 128};
}

static rn_step_cost cost_of(int dim, int tokens, int threads, bool bf16, bool recompute) {
  const rn_spec spec = spec_of(dim);
  const rn_cost_unit unit = {
      .spec = &spec, .sequences = 1, .tokens = tokens, .bf16 = bf16, .recompute = recompute};
  const rn_cost_rates rates = rn_cost_rates_typical(bf16);
  rn_step_cost cost = rn_step_cost_start(threads);
  rn_step_cost_add_layer(&cost, rates, &unit, LAYERS);
  rn_step_cost_add_ends(&cost, rates, &unit, 1);
  rn_step_cost_add_update(&cost, rates, rn_spec_parameters(&spec));
  return cost;
}

static const char *const kinds[] = {"forward", "backward", "weight", "update"};

static void print(const rn_step_cost *cost) {
  for (int i = 0; i < cost->count; i++) {
    const rn_phase_cost *p = &cost->phase[i];
    printf(
        "  %-8s %-32s %6lld tasks, %5.1f %% of the time, longest %5.1f %% of the phase's, "
        "efficiency %.2f\n",
        kinds[p->kind], p->name, (long long)p->tasks, 100 * p->time_s / rn_step_cost_total(cost),
        100 * p->longest_s * LAYERS / p->time_s, rn_phase_cost_efficiency(p, cost->threads));
  }
}

/* `min` is the smallest efficiency allowed for this width, number of tokens and number of threads.
 * `with_fewer` is the smallest efficiency allowed for any smaller number of threads. It is lower
 * than `min`, since a number of threads that does not divide the number of tasks leaves threads
 * idle in the last round. */
static const struct {
  int dim, tokens, threads;
  double min, with_fewer;
} bounds[] = {{256, 2048, 16, 0.95, 0.8},  {256, 4096, 32, 0.9, 0.75}, {512, 2048, 16, 0.95, 0.9},
              {512, 2048, 64, 0.9, 0.6},   {512, 4096, 16, 0.95, 0.9}, {512, 4096, 64, 0.9, 0.65},
              {512, 8192, 64, 0.9, 0.75},  {1024, 2048, 64, 0.9, 0.7}, {1024, 4096, 64, 0.9, 0.8},
              {1024, 8192, 64, 0.9, 0.85}, {2048, 2048, 64, 0.9, 0.8}, {2048, 4096, 64, 0.95, 0.85},
              {2048, 8192, 64, 0.95, 0.9}};

static void expect(int dim, int tokens, int threads, double min) {
  for (int variant = 0; variant < 3; variant++) {
    const bool bf16 = variant == 1, recompute = variant == 2;
    const rn_step_cost cost = cost_of(dim, tokens, threads, bf16, recompute);
    const double efficiency = rn_step_cost_efficiency(&cost);
    if (CHECK(efficiency >= min && efficiency < 1 + 1e-9)) continue;
    printf("dim %d, %d tokens, %d threads%s%s: %.3f\n", dim, tokens, threads, bf16 ? ", bf16" : "",
           recompute ? ", recompute" : "", efficiency);
    print(&cost);
  }
}

static void threads_find_work(void) {
  for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
    for (int threads = 1; threads <= bounds[i].threads; threads++) {
      expect(bounds[i].dim, bounds[i].tokens, threads,
             threads == bounds[i].threads ? bounds[i].min : bounds[i].with_fewer);
    }
  }
}

/* A single thread must never be idle, and twice as many threads must always make a step faster. */
static void more_threads_are_faster(void) {
  for (int dim = 256; dim <= 2048; dim *= 2) {
    for (int tokens = 2048; tokens <= 8192; tokens *= 2) {
      double before_s = 0;
      for (int threads = 1; threads <= 64; threads *= 2) {
        const rn_step_cost cost = cost_of(dim, tokens, threads, false, false);
        const double time_s = rn_step_cost_total(&cost);
        if (threads == 1) CHECK_NEAR(rn_step_cost_efficiency(&cost), 1, 1e-9);
        CHECK(threads == 1 || time_s < before_s);
        before_s = time_s;
      }
    }
  }
}

/* Returns the time of softmax attention without its projections, on one thread. */
static double attention_s(int window, int tokens, int before, rn_cost_kind kind) {
  rn_spec spec = spec_of(512);
  spec.attention_heads = spec.kv_heads = 8;
  spec.attention_window = window;
  const rn_cost_unit unit = {
      .spec = &spec, .sequences = 1, .tokens = tokens, .before = before, .attends = true};
  rn_step_cost cost = rn_step_cost_start(1);
  rn_step_cost_add_layer(&cost, rn_cost_rates_typical(false), &unit, 1);
  for (int i = 0; i < cost.count; i++) {
    const rn_phase_cost *p = &cost.phase[i];
    if (p->kind == kind && strcmp(p->name, "attention") == 0) return p->work_s;
  }
  return 0;
}

/* A sequence that is cut into pieces must cost as much as the whole sequence. Without a window,
 * each piece costs on average as much as a piece with the mean number of earlier tokens. */
static void pieces_cost_as_much_as_the_whole(int window) {
  enum { PIECES = 4, TOKENS = 4096, PIECE = TOKENS / PIECES };
  for (rn_cost_kind kind = RN_COST_FORWARD; kind <= RN_COST_BACKWARD; kind++) {
    const double whole_s = attention_s(window, TOKENS, 0, kind);
    double pieces_s = 0;
    for (int i = 0; i < PIECES; i++) pieces_s += attention_s(window, PIECE, i * PIECE, kind);
    CHECK(whole_s > 0);
    CHECK_RELATIVE(pieces_s, whole_s, 1e-9);
    const double mean_s = attention_s(window, PIECE, (PIECES - 1) * PIECE / 2, kind);
    if (window == 0) CHECK_RELATIVE(PIECES * mean_s, whole_s, 0.01);
  }
}

int main(void) {
  pieces_cost_as_much_as_the_whole(0);
  pieces_cost_as_much_as_the_whole(700);
  more_threads_are_faster();
  threads_find_work();
  return check_result();
}
