/*
 * Checks reproducible mode: losses, norms, gradients and weights are bitwise equal to those of one
 * rank for any layout of ranks, segments, micro-batches and threads, also with tied embeddings,
 * dropout and bf16. Without the mode, results of different layouts differ in the last digits.
 *
 * The test runs for every kernel set and GEMM backend (tests/support/sets.h): their results must
 * not depend on the address of a reduction block, nor on the rows that are computed in the same
 * call. Widths are not multiples of the length of a vector register.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/sets.h"
#include "tests/support/training.h"
#include "tests/support/world.h"
#include "trainer/run/step.h"

enum { STEPS = 2, RANKS = 4 };

static rn_err err;
static const char *products;

typedef struct task {
  bool exact, tied, bf16;
} task;

typedef struct layout {
  int data, pipeline, sequence, segments, microbatch, threads;
} layout;

/* Results of a single rank, and its parameter table. */
typedef struct reference {
  double losses_and_norms[2 * STEPS];
  float *gradient, *params; /* [total]; gradient of the last step, weights after it */
  rn_param_table *table;
} reference;

/* Synthetic tokens depend only on their index, so that they are the same on every layout. */
static rn_status load(const task *t, const layout *l, Retnet__Config **config) {
  char keys[2000];
  snprintf(keys, sizeof keys,
           "run.dir=RUN run.leaf=32 model.layers=3 model.dim=40 model.value_dim=72 "
           "model.ffn_dim=56 model.heads=2 model.vocab=61 model.dropout=0.1 "
           "data.sequence_length=150 data.batch_sequences=6 optimizer.lr=2e-3 "
           "optimizer.warmup_steps=1 run.reproducible=%s model.tie_embeddings=%s "
           "model.products=%s train.precision=%s parallel.data=%d parallel.pipeline=%d "
           "parallel.sequence=%d parallel.segments=%d parallel.microbatch=%d parallel.threads=%d",
           t->exact ? "true" : "false", t->tied ? "true" : "false", products,
           t->bf16 ? "bf16" : "fp32", l->data, l->pipeline, l->sequence, l->segments, l->microbatch,
           l->threads);
  return test_load_words(&err, keys, config);
}

/* Trains a new run and completes the all-gather of weights; losses_and_norms is [STEPS, 2]. */
static bool train(rn_world *world, const task *t, Retnet__Config *config, rn_run *run,
                  double *losses_and_norms) {
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, run))) return false;
  CHECK(rn_local_model_is_exact(&run->model) == t->exact);
  for (int k = 0; k < STEPS; k++) {
    rn_step_result result = {0};
    CHECK_OK(&err, rn_step(&err, run, &result));
    CHECK(!result.skipped && result.grad_norm > 0);
    losses_and_norms[2 * k] = result.loss;
    losses_and_norms[2 * k + 1] = result.grad_norm;
  }
  return CHECK_OK(&err, rn_weights_finish_fetch(&err, &run->model.weights));
}

static float *copy_of(const float *values, int64_t count) {
  float *copy = malloc((size_t)count * sizeof *copy);
  if (copy == NULL) abort();
  memcpy(copy, values, (size_t)count * sizeof *copy);
  return copy;
}

static bool compute_reference(rn_world *single_rank, const task *t, reference *out) {
  static const layout one = {1, 1, 1, 1, 6, 1};
  Retnet__Config *config = NULL;
  rn_run run = {0};
  if (!CHECK_OK(&err, load(t, &one, &config))) return false;
  const bool done = train(single_rank, t, config, &run, out->losses_and_norms);
  if (done) {
    out->gradient = copy_of(run.optimizer.gradient, run.model.weights.total);
    out->params = copy_of(run.model.weights.params, run.model.weights.total);
    CHECK_OK(&err, rn_param_table_create(&err, &run.settings.spec, 0, run.settings.spec.layers,
                                         &out->table));
    rn_run_destroy(&run);
  }
  rn_options_free(&config);
  return done;
}

static void free_reference(reference *r) {
  free(r->gradient);
  free(r->params);
  rn_param_table_destroy(&r->table);
}

/* Returns whether the weights of this rank's stage and its part of the gradients equal the
 * reference. */
static bool has_bits_of(const rn_run *run, const reference *r) {
  const rn_param_table *table = rn_stage_params(run->model.pipeline.stage);
  bool same = true;
  for (int i = 0; i < table->count; i++) {
    const rn_param *p = &table->param[i];
    const int64_t at = rn_param_find(r->table, p->name)->offset;
    const size_t bytes = (size_t)(p->rows * p->cols) * sizeof(float);
    same = same && memcmp(run->model.weights.params + p->offset, r->params + at, bytes) == 0;
  }
  for (int k = 0; k < run->model.weights.shards.slices; k++) {
    const rn_shard_slice *piece = &run->model.weights.shards.slice[k];
    const int64_t at = rn_param_find(r->table, piece->param->name)->offset + piece->range.begin -
                       piece->param->offset;
    const size_t bytes = (size_t)rn_range_count(piece->range) * sizeof(float);
    same = same && memcmp(run->optimizer.gradient + piece->offset, r->gradient + at, bytes) == 0;
  }
  return same;
}

/* Checks that the results on `subset` equal those of a single rank if and only if the mode is
 * on. */
static void compare(rn_world *subset, const task *t, const layout *l, const reference *r) {
  Retnet__Config *config = NULL;
  rn_run run = {0};
  double losses_and_norms[2 * STEPS];
  if (!CHECK_OK(&err, load(t, l, &config))) return;
  if (train(subset, t, config, &run, losses_and_norms)) {
    int64_t differs = memcmp(losses_and_norms, r->losses_and_norms, sizeof losses_and_norms) != 0 ||
                      !has_bits_of(&run, r);
    CHECK_OK(&err, rn_world_max(&err, subset, &differs, 1));
    if (!CHECK(differs == !t->exact)) {
      fprintf(stderr,
              "  in data %d pipeline %d sequence %d segments %d microbatch %d threads %d, "
              "reproducible %d tied %d bf16 %d\n",
              l->data, l->pipeline, l->sequence, l->segments, l->microbatch, l->threads, t->exact,
              t->tied, t->bf16);
    }
    rn_run_destroy(&run);
  }
  rn_options_free(&config);
}

/* Runs the task on each layout, on as many ranks of the world as it needs. */
static void walk(rn_world *world, const task *t, const layout *layouts, int count) {
  const int rank = rn_world_rank(world);
  rn_world *single_rank = NULL;
  reference r = {0};
  CHECK_OK(&err, rn_world_split(&err, world, rank, &single_rank));
  int64_t failed = !compute_reference(single_rank, t, &r);
  rn_world_close(&single_rank);
  CHECK_OK(&err, rn_world_max(&err, world, &failed, 1));
  for (int i = 0; i < count && failed == 0; i++) {
    const layout *l = &layouts[i];
    rn_world *subset = NULL;
    const bool mine = rank < l->data * l->pipeline * l->sequence;
    CHECK_OK(&err, rn_world_split(&err, world, mine ? 0 : -1, &subset));
    if (subset != NULL) compare(subset, t, l, &r);
    rn_world_close(&subset);
  }
  free_reference(&r);
}

static void walk_all(rn_world *world, bool bf16) {
  static const layout exact[] = {{1, 1, 4, 1, 6, 1}, {4, 1, 1, 1, 1, 1}, {2, 1, 2, 2, 2, 1},
                                 {1, 2, 2, 2, 1, 1}, {1, 3, 1, 2, 3, 1}, {1, 1, 3, 1, 4, 2},
                                 {1, 1, 1, 3, 5, 2}};
  static const layout plain[] = {{1, 1, 4, 1, 6, 1}, {4, 1, 1, 1, 1, 1}};
  const int exacts = sizeof exact / sizeof exact[0], plains = sizeof plain / sizeof plain[0];
  if (bf16) {
    walk(world, &(task){.exact = true, .tied = true, .bf16 = true}, exact, exacts);
    return;
  }
  walk(world, &(task){.exact = true}, exact, exacts);
  walk(world, &(task){.exact = true, .tied = true}, exact, exacts);
  walk(world, &(task){.exact = false}, plain, plains);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  const bool bf16 = argc > 1; /* with an argument: bf16 only, skipped if unsupported */
  test_use_sets();
  if (bf16) test_use_bf16();
  products = test_gemm_key();
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  if (CHECK_EQUAL(rn_world_size(world), RANKS)) walk_all(world, bf16);
  return test_finish_world(&err, &world);
}
