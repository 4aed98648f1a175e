/* Checks that the time model of a step counts as many tasks per phase as the loops of a step
 * execute, for sizes that are not multiples of a tile and for several numbers of threads. One of
 * three layers is an attention layer. */
#include <string.h>

#include "model/base/threads.h"
#include "model/kernel/gemm.h"
#include "proto/base/log.h"
#include "proto/base/span.h"
#include "proto/options/options.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"
#include "trainer/cost/step_cost.h"
#include "trainer/run/step.h"

enum { SEQUENCES = 3, TOKENS = 700 };

static rn_err err;

static void load(int threads, Retnet__Config **config) {
  char dir[600], parallel[40];
  snprintf(dir, sizeof dir, "run.dir=%s", temp_folder());
  snprintf(parallel, sizeof parallel, "parallel.threads=%d", threads);
  const char *const keys[] = {dir,
                              parallel,
                              "parallel.microbatch=3",
                              "parallel.comm_thread=off",
                              "model.layers=3",
                              "model.attention_layers=1",
                              "model.attention_heads=6",
                              "model.kv_heads=3",
                              "model.attention_window=290",
                              "model.dim=192",
                              "model.value_dim=320",
                              "model.ffn_dim=200",
                              "model.heads=2",
                              "model.vocab=300",
                              "data.sequence_length=700",
                              "data.batch_sequences=3"};
  CHECK_OK(&err, rn_options_load(&err, NULL, keys, (int)(sizeof keys / sizeof keys[0]), config));
}

/* Returns whether the path is inside a span of that name. */
static bool is_inside(const rn_spans *spans, int path, const char *name) {
  for (int p = spans->path[path].parent; p >= 0; p = spans->path[p].parent) {
    if (strcmp(spans->path[p].name, name) == 0) return true;
  }
  return false;
}

/* Returns the number of tasks in the spans named `name` that are inside the span `around`. If
 * `name` is NULL, counts the tasks of all spans inside `around`. */
static int64_t counted(const char *around, const char *name) {
  const rn_spans *spans = rn_spans_get();
  int64_t tasks = 0;
  for (int i = 0; i < spans->paths; i++) {
    if (!is_inside(spans, i, around)) continue;
    if (name == NULL || strcmp(spans->path[i].name, name) == 0) tasks += spans->path[i].tasks.count;
  }
  return tasks;
}

static int64_t modelled(const rn_step_cost *cost, rn_cost_kind first, rn_cost_kind last,
                        const char *name) {
  int64_t tasks = 0;
  for (int i = 0; i < cost->count; i++) {
    const rn_phase_cost *p = &cost->phase[i];
    if (p->kind < first || p->kind > last) continue;
    if (name == NULL || strcmp(p->name, name) == 0) tasks += p->tasks;
  }
  return tasks;
}

static void check_phases(const rn_step_cost *cost) {
  static const char *const forward[] = {
      "embedding",    "norms, residual",           "k, v projections",
      "chunk states", "q, g projections",          "retention (all terms)",
      "feed-forward", "retention of first tokens", "head norm, gate, out projection",
      "attention",    "q, k, v projections",       "attention out projection"};
  static const char *const update[] = {"zero gradients", "update", "gradient norm"};
  for (size_t i = 0; i < sizeof forward / sizeof forward[0]; i++) {
    const int64_t want = modelled(cost, RN_COST_FORWARD, RN_COST_FORWARD, forward[i]);
    CHECK(want > 0);
    if (!CHECK_EQUAL(counted("forward", forward[i]), want)) printf("forward: %s\n", forward[i]);
  }
  /* Only the total of backward is compared, since deferred weight gradients may run in any of its
   * phases. */
  CHECK_EQUAL(counted("backward", NULL), modelled(cost, RN_COST_BACKWARD, RN_COST_WEIGHT, NULL));
  CHECK_EQUAL(counted("step", update[0]),
              modelled(cost, RN_COST_UPDATE, RN_COST_UPDATE, update[0]));
  /* The model divides all elements into full blocks. In a run, a block contains elements of one
   * tensor only, so there may be a few more tasks. */
  for (int i = 1; i < 3; i++) {
    const int64_t whole = modelled(cost, RN_COST_UPDATE, RN_COST_UPDATE, update[i]);
    CHECK(counted("step", update[i]) >= whole && counted("step", update[i]) <= whole + 40);
  }
}

static void tasks_are_counted(rn_world *world, int threads) {
  Retnet__Config *config = NULL;
  rn_run run;
  rn_step_result result;
  load(threads, &config);
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, &run))) return;
  CHECK_OK(&err, rn_step(&err, &run, &result));
  CHECK_OK(&err, rn_spans_start(&err, 0));
  CHECK_OK(&err, rn_step(&err, &run, &result));
  const rn_cost_unit unit = {.spec = &run.settings.spec,
                             .sequences = SEQUENCES,
                             .tokens = TOKENS,
                             .bf16 = rn_gemm_takes_bf16()};
  const rn_cost_rates rates = rn_cost_rates_typical(unit.bf16);
  rn_step_cost cost = rn_step_cost_start(threads);
  rn_step_cost_add_layers(&cost, rates, &unit, (rn_range){0, run.settings.spec.layers}, 1);
  rn_step_cost_add_ends(&cost, rates, &unit, 1);
  rn_step_cost_add_update(&cost, rates, run.model.weights.total);
  check_phases(&cost);
  rn_spans_stop();
  rn_run_destroy(&run);
  rn_options_free(&config);
}

int main(int argc, char **argv) {
  static const int threads[] = {1, 2, 5};
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  rn_log_setup(false, true);
  for (int i = 0; i < 3; i++) tasks_are_counted(world, threads[i]);
  return rn_world_finish(&world, RN_OK, &err) + check_result();
}
