/*
 * Checks a step against an implementation of AdamW in double precision, also after skipped steps
 * and after a resume. Weight decay applies to matrices only, the learning rate depends on the
 * number of the step, and the bias correction depends on the number of updates. Consecutive bad
 * steps are counted and named for what they were, and a bad step resets the TBPTT states.
 *
 * Also checks that the gradient is the slope of the reported loss, and that its norm is the
 * reported norm.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/shared_folder.h"
#include "tests/support/training.h"
#include "tests/support/world.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/run/step.h"
#include "trainer/run/validate.h"

enum { T = 48, B = 4, BAD_STEPS = 3 };

static rn_err err;
static rn_path folder;

static const double peak = 1e-2, lowest = 1e-3, beta1 = 0.8, beta2 = 0.95, eps = 1e-7,
                    weight_decay = 0.5, clip = 0.25;
enum { WARMUP = 4, DECAYED = 12 };

/* Expected weights and moments of this rank's shards. */
typedef struct oracle {
  int64_t count, updates;
  double *weight, *m, *v;
} oracle;

static double learning_rate(int64_t step) {
  if (step <= WARMUP) return peak * (double)step / WARMUP;
  const double x = (double)(step - 1 - WARMUP) / (DECAYED - WARMUP);
  return lowest + (peak - lowest) * (1 - fmin(x, 1));
}

static rn_status load(int ranks, bool local_state, bool decay_all, Retnet__Config **config) {
  char keys[2 * RN_PATH_BYTES + 1024];
  snprintf(keys, sizeof keys,
           "run.dir=%s/run data.dir=%s/data model.layers=2 model.dim=32 model.value_dim=48 "
           "model.ffn_dim=40 model.heads=2 data.sequence_length=%d data.batch_sequences=%d "
           "optimizer.lr=%g optimizer.min_lr=%g optimizer.beta1=%g optimizer.beta2=%g "
           "optimizer.eps=%g optimizer.weight_decay=%g optimizer.clip=%g "
           "optimizer.schedule=linear optimizer.warmup_steps=%d optimizer.decay_steps=%d "
           "optimizer.decay=%s train.max_bad_steps=%d parallel.data=%d parallel.threads=1 "
           "parallel.share_weights=off parallel.comm_thread=off data.carry_state=%s "
           "train.steps=50",
           folder.text, folder.text, T, B, peak, lowest, beta1, beta2, eps, weight_decay, clip,
           WARMUP, DECAYED, decay_all ? "all" : "matrices", BAD_STEPS, ranks,
           local_state ? "true" : "false");
  return test_load_words(&err, keys, config);
}

static double *allocate(int64_t count) {
  double *values = calloc((size_t)count + 1, sizeof *values);
  if (values == NULL) abort();
  return values;
}

static void start(oracle *o, const rn_run *run) {
  *o = (oracle){.count = run->model.weights.shards.count};
  o->weight = allocate(o->count);
  o->m = allocate(o->count);
  o->v = allocate(o->count);
  for (int i = 0; i < run->model.weights.shards.slices; i++) {
    const rn_shard_slice *p = &run->model.weights.shards.slice[i];
    for (int64_t j = p->range.begin; j < p->range.end; j++) {
      o->weight[p->offset + j - p->range.begin] = (double)run->model.weights.params[j];
    }
  }
}

static void end(oracle *o) {
  free(o->weight);
  free(o->m);
  free(o->v);
}

/* Returns whether weight decay applies to a parameter. Uses the parameter's name instead of the
 * flag that the code under test reads. */
static bool decays(const rn_param *param, bool all) {
  return all || strstr(param->name, "norm") == NULL;
}

/* Computes an update of AdamW (Loshchilov & Hutter, algorithm 2), with eps as in PyTorch. */
static void update(oracle *o, const rn_run *run, bool decay_all, double lr, double norm) {
  const double coefficient = fmin(1, clip / (norm + 1e-6));
  const double t = (double)++o->updates;
  for (int i = 0; i < run->model.weights.shards.slices; i++) {
    const rn_shard_slice *p = &run->model.weights.shards.slice[i];
    const bool decay = decays(p->param, decay_all);
    for (int64_t j = p->offset; j < p->offset + rn_range_count(p->range); j++) {
      const double g = coefficient * (double)run->optimizer.gradient[j];
      o->m[j] = beta1 * o->m[j] + (1 - beta1) * g;
      o->v[j] = beta2 * o->v[j] + (1 - beta2) * g * g;
      const double m = o->m[j] / (1 - pow(beta1, t)), v = o->v[j] / (1 - pow(beta2, t));
      if (decay) o->weight[j] -= lr * weight_decay * o->weight[j];
      o->weight[j] -= lr * m / (sqrt(v) + eps);
    }
  }
}

/* The tolerance allows for rounding in a few float operations on the weight and on lr. */
static void compare(const oracle *o, const rn_run *run, double lr) {
  int64_t seen = 0, wrong = 0;
  for (int i = 0; i < run->model.weights.shards.slices; i++) {
    const rn_shard_slice *p = &run->model.weights.shards.slice[i];
    for (int64_t j = p->range.begin; j < p->range.end; j++, seen++) {
      const double want = o->weight[p->offset + j - p->range.begin];
      const double off = fabs((double)run->model.weights.params[j] - want);
      wrong += !(off <= 2e-6 * fabs(want) + 2e-5 * lr);
    }
  }
  CHECK_EQUAL(wrong, 0);
  CHECK_EQUAL(seen, o->count);
}

/* Runs one step. If `bad`, its gradient contains a NaN, and the weights must not change. */
static rn_status step(rn_run *run, oracle *o, bool bad, bool decay_all) {
  rn_step_result result = {0};
  CHECK_OK(&err, rn_weights_finish_fetch(&err, &run->model.weights));
  const size_t bytes = (size_t)run->model.weights.total * sizeof(float);
  float *kept = malloc(bytes);
  if (kept == NULL) abort();
  memcpy(kept, run->model.weights.params, bytes);
  for (int64_t i = 0; bad && i < run->model.weights.total; i++) run->model.weights.params[i] = NAN;
  rn_status status = rn_step(&err, run, &result);
  if (bad) memcpy(run->model.weights.params, kept, bytes);
  free(kept);
  CHECK(result.skipped == bad);
  CHECK_NEAR(result.lr, learning_rate(run->counters.step), 1e-15);
  if (!bad) update(o, run, decay_all, learning_rate(run->counters.step), result.grad_norm);
  compare(o, run, learning_rate(run->counters.step));
  CHECK_EQUAL(run->counters.updates, o->updates);
  return status;
}

/* Creates a run, and resumes it from the newest checkpoint in run.dir if there is one. */
static bool open_run(rn_world *world, Retnet__Config *config, rn_run *run) {
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, run))) return false;
  rn_checkpoint_source source;
  return CHECK_OK(&err,
                  rn_checkpoint_select(&err, run->settings.config, run->parallel.world, &source)) &&
         CHECK_OK(&err, rn_checkpoint_resume(&err, &source, run));
}

static void weights_follow_the_oracle(rn_world *world, bool decay_all) {
  static const bool bad[] = {false, true, false, false, true, true, false};
  Retnet__Config *config = NULL;
  rn_run run;
  oracle o;
  if (!CHECK_OK(&err, load(rn_world_size(world), false, decay_all, &config))) return;
  if (!open_run(world, config, &run)) return;
  start(&o, &run);
  for (int i = 0; i < 7; i++) CHECK_OK(&err, step(&run, &o, bad[i], decay_all));
  CHECK_EQUAL(run.counters.step, 7);
  CHECK_EQUAL(run.counters.next_sequence, 7 * B);
  test_save_run(world, &run, 3);
  rn_run_destroy(&run);
  if (!open_run(world, config, &run)) return;
  CHECK_EQUAL(run.counters.step, 7);
  CHECK_EQUAL(run.counters.updates, 4);
  CHECK_EQUAL(run.counters.next_sequence, 7 * B);
  for (int i = 0; i < 8; i++) CHECK_OK(&err, step(&run, &o, false, decay_all));
  rn_run_destroy(&run);
  rn_options_free(&config);
  end(&o);
}

static void bad_steps_count_in_a_row(rn_world *world) {
  Retnet__Config *config = NULL;
  rn_run run;
  oracle o;
  if (!CHECK_OK(&err, load(rn_world_size(world), false, false, &config))) return;
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, &run))) return;
  start(&o, &run);
  for (int i = 0; i < 3; i++) {
    for (int n = 0; n < BAD_STEPS - 1; n++) CHECK_OK(&err, step(&run, &o, true, false));
    CHECK_OK(&err, step(&run, &o, false, false));
  }
  for (int n = 0; n < BAD_STEPS - 1; n++) CHECK_OK(&err, step(&run, &o, true, false));
  CHECK_FAILS(&err, RN_ERR_NUMERICS, "train.max_bad_steps", step(&run, &o, true, false));
  rn_run_destroy(&run);
  rn_options_free(&config);
  end(&o);
}

/* Checks that a NaN loss skips the step, even if the gradient is finite. */
static void a_bad_loss_skips_a_step(rn_world *world) {
  Retnet__Config *config = NULL;
  rn_run run;
  rn_step_result result = {0};
  if (!CHECK_OK(&err, load(rn_world_size(world), false, false, &config))) return;
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, &run))) return;
  setenv("RETNET_FAULT", "step.loss:1", 1);
  CHECK_OK(&err, rn_step(&err, &run, &result));
  unsetenv("RETNET_FAULT");
  CHECK(result.skipped && isfinite(result.grad_norm));
  CHECK_EQUAL(run.counters.updates, 0);
  rn_run_destroy(&run);
  rn_options_free(&config);
}

/* Runs a step with a fault at the site, or without if it is NULL. */
static rn_status step_with(rn_run *run, const char *site) {
  char fault[40];
  rn_step_result result = {0};
  snprintf(fault, sizeof fault, "%s:1-", site != NULL ? site : "none");
  setenv("RETNET_FAULT", fault, 1);
  const rn_status status = rn_step(&err, run, &result);
  unsetenv("RETNET_FAULT");
  CHECK(result.skipped == (site != NULL));
  return status;
}

/* The message that ends a run after too many skipped steps is about all of these steps, and not
 * only about the last one. */
static void all_skipped_steps_have_a_reason(rn_world *world) {
  static const char loss[] = "step.loss", spike[] = "step.spike";
  static const struct {
    const char *site[BAD_STEPS], *words;
  } ends[] = {{{loss, loss, loss}, "norm was not finite in 3 consecutive steps"},
              {{spike, spike, spike}, "norm was a spike in 3 consecutive steps"},
              {{spike, loss, loss}, "norm was not finite or was a spike in 3 consecutive steps"},
              {{loss, loss, spike}, "norm was not finite or was a spike in 3 consecutive steps"}};
  Retnet__Config *config = NULL;
  rn_run run;
  if (!CHECK_OK(&err, load(rn_world_size(world), false, false, &config))) return;
  config->train->spike_action = RETNET__SPIKE_ACTION__SPIKE_ACTION_SKIP;
  config->train->spike_window = 4;
  config->train->spike_sigma = 100;
  config->train->has_spike_action = config->train->has_spike_window = 1;
  config->train->has_spike_sigma = 1;
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, &run))) return;
  for (int i = 0; i < 3; i++) CHECK_OK(&err, step_with(&run, NULL));
  for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
    for (int i = 0; i < BAD_STEPS - 1; i++) CHECK_OK(&err, step_with(&run, ends[e].site[i]));
    CHECK_FAILS(&err, RN_ERR_NUMERICS, ends[e].words, step_with(&run, ends[e].site[BAD_STEPS - 1]));
    CHECK_OK(&err, step_with(&run, NULL));
  }
  rn_run_destroy(&run);
  rn_options_free(&config);
}

/* In reproducible mode, a finite gradient that overflows the exact sums must skip the step. */
static void an_overflow_of_exact_sums_skips_a_step(rn_world *world) {
  Retnet__Config *config = NULL;
  rn_run run;
  rn_step_result result = {0};
  if (!CHECK_OK(&err, load(rn_world_size(world), false, false, &config))) return;
  config->run->reproducible = config->run->has_reproducible = 1;
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, &run))) return;
  CHECK_OK(&err, rn_step(&err, &run, &result));
  CHECK(!result.skipped);
  CHECK_OK(&err, rn_weights_finish_fetch(&err, &run.model.weights));
  for (int64_t i = 0; i < run.model.weights.total; i++) run.model.weights.params[i] *= 1e6F;
  CHECK_OK(&err, rn_step(&err, &run, &result));
  CHECK(result.skipped && isfinite(result.loss));
  CHECK_EQUAL(run.counters.updates, 1);
  rn_run_destroy(&run);
  rn_options_free(&config);
}

static int64_t not_zero(const float *values, int64_t count) {
  int64_t found = 0;
  for (int64_t i = 0; i < count; i++) found += values[i] != 0;
  return found;
}

/* A bad step may leave NaN in the TBPTT states; therefore the next step must start from zero
 * states. */
static void a_skipped_step_leaves_no_state(rn_world *world) {
  Retnet__Config *config = NULL;
  rn_run run;
  oracle o;
  if (!CHECK_OK(&err, load(rn_world_size(world), true, false, &config))) return;
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, &run))) return;
  start(&o, &run);
  const int64_t states = rn_range_count(run.data.streams.local) * run.data.streams.layers *
                         run.data.streams.stream_elements;
  CHECK(states > 0);
  CHECK_OK(&err, step(&run, &o, false, false));
  CHECK(not_zero(run.data.streams.initial, states) > states / 2);
  CHECK_OK(&err, step(&run, &o, true, false));
  CHECK_EQUAL(run.data.streams.next, 2);
  CHECK_EQUAL(not_zero(run.data.streams.initial, states), 0);
  for (int64_t i = 0; i < rn_range_count(run.data.streams.local); i++) {
    CHECK_EQUAL(run.data.streams.doc_position[i], 0);
  }
  CHECK_OK(&err, step(&run, &o, false, false));
  CHECK(not_zero(run.data.streams.initial, states) > states / 2);
  rn_run_destroy(&run);
  rn_options_free(&config);
  end(&o);
}

/* Checks that validation starts from zero states, also after steps that have set TBPTT states. */
static void validation_ignores_the_streams(rn_world *world) {
  Retnet__Config *config = NULL;
  rn_run run;
  rn_step_result result = {0};
  rn_validation before = {0}, after = {0};
  if (!CHECK_OK(&err, load(rn_world_size(world), true, false, &config))) return;
  config->optimizer->lr = config->optimizer->min_lr = 0;
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, &run))) return;
  CHECK_OK(&err, rn_validate(&err, &run, 0, &before));
  CHECK_OK(&err, rn_step(&err, &run, &result));
  CHECK_OK(&err, rn_validate(&err, &run, 0, &after));
  CHECK(isfinite(before.loss) && before.loss == after.loss);
  rn_run_destroy(&run);
  rn_options_free(&config);
}

/* Uses the training batch as val split, so that the slope of val_loss along the gradient must be
 * the squared norm of the gradient. */
static void the_gradient_is_the_slope_of_the_loss(rn_world *world) {
  Retnet__Config *config = NULL;
  rn_run run;
  rn_step_result result = {0};
  rn_validation val[3];
  if (!CHECK_OK(&err, load(1, false, false, &config))) return;
  config->optimizer->lr = config->optimizer->min_lr = 0;
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, &run))) return;
  CHECK_OK(&err, rn_step(&err, &run, &result));
  CHECK_OK(&err, rn_weights_finish_fetch(&err, &run.model.weights));
  double squares = 0;
  for (int64_t i = 0; i < run.model.weights.total; i++) {
    squares += (double)run.optimizer.gradient[i] * (double)run.optimizer.gradient[i];
  }
  CHECK_RELATIVE(result.grad_norm, sqrt(squares), 1e-6);
  float *kept = malloc((size_t)run.model.weights.total * sizeof *kept);
  if (kept == NULL) abort();
  memcpy(kept, run.model.weights.params, (size_t)run.model.weights.total * sizeof *kept);
  const double length = 5e-3 / squares;
  for (int side = -1; side <= 1; side++) {
    for (int64_t i = 0; i < run.model.weights.total; i++) {
      run.model.weights.params[i] =
          kept[i] + (float)(side * length * (double)run.optimizer.gradient[i]);
    }
    CHECK_OK(&err, rn_validate(&err, &run, 0, &val[side + 1]));
  }
  CHECK_RELATIVE(val[1].loss, result.loss, 1e-6);
  CHECK_RELATIVE((val[2].loss - val[0].loss) / (2 * length), squares, 5e-3);
  free(kept);
  rn_run_destroy(&run);
  rn_options_free(&config);
}

static void remove_run(rn_world *world) {
  CHECK_OK(&err, rn_world_barrier(&err, world));
  if (rn_world_rank(world) == 0) {
    CHECK_OK(&err, rn_file_remove_tree(&err, rn_path_join(folder.text, "run").text));
  }
  CHECK_OK(&err, rn_world_barrier(&err, world));
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  folder = test_shared_folder(world, "step");
  const rn_path data = rn_path_join(folder.text, "data");
  /* Both splits contain the same tokens, so that val begins with the first training batch. */
  test_write_splits(world, data.text, 4 * B * T + 1, 4 * B * T + 1);
  for (int decay_all = 0; decay_all <= 1; decay_all++) {
    weights_follow_the_oracle(world, decay_all != 0);
    remove_run(world);
  }
  bad_steps_count_in_a_row(world);
  a_bad_loss_skips_a_step(world);
  all_skipped_steps_have_a_reason(world);
  an_overflow_of_exact_sums_skips_a_step(world);
  a_skipped_step_leaves_no_state(world);
  validation_ignores_the_streams(world);
  if (rn_world_size(world) == 1) {
    test_write_splits(world, data.text, B * T + 1, B * T + 1);
    the_gradient_is_the_slope_of_the_loss(world);
  }
  test_remove_shared_folder(world, &folder);
  return test_finish_world(&err, &world);
}
