/*
 * Checks that training on any grid of ranks agrees with training on one rank: data x pipeline x
 * sequence, segments, micro-batches, tied embeddings. The first loss agrees to 1e-6, the first
 * gradient of each parameter to 1e-4 of its norm (each rank checks its own part), and 20 losses to
 * 1e-4.
 *
 * Invalid grids are refused with the right message. Arguments: "segments K" runs one step with K
 * segments on every grid for which there are enough ranks; "thin" runs fewer steps, for tests of
 * all kernel sets and GEMM backends (tests/support/sets.h); "attention" trains a model in which
 * half of the layers are attention layers, on a few layouts.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/text/build.h"
#include "proto/options/options.h"
#include "tests/support/check.h"
#include "tests/support/sets.h"
#include "tests/support/temp.h"
#include "tests/support/world.h"
#include "trainer/run/step.h"

enum { LAYERS = 6, BATCH = 24, TOKENS = 40, STEPS = 20, THIN_STEPS = 3, WINDOW = 7 };

static rn_err err;
/* Half of the layers are attention layers; they have a window if embeddings are tied. */
static bool attention;

typedef struct grid_case {
  int data, pipeline, sequence, segments, microbatches;
  bool tied;
} grid_case;

/* Results of a single rank. */
typedef struct reference {
  int64_t total;
  float *gradient; /* [total], of the first step */
  rn_param_table *table;
  double loss[STEPS];
} reference;

/* Writes a text that repeats a few words, so that the model can learn it. */
static void write_data(void) {
  FILE *file = fopen("text", "w");
  for (int i = 0; file != NULL && i < 3000; i++) {
    fprintf(file, "%s ", i * i % 7 < 3 ? "state" : i % 5 == 0 ? "scan\n" : "chunk");
  }
  CHECK(file != NULL && fclose(file) == 0);
  const char *const input[] = {"text"};
  const rn_build_options options = {
      .out = "data", .tokenizer = "bytes", .val_fraction = 0.1, .input = input, .inputs = 1};
  rn_build_report report;
  CHECK_OK(&err, rn_build(&err, &options, &report));
}

static void write_config(void) {
  FILE *file = fopen("run.yaml", "w");
  CHECK(file != NULL &&
        fprintf(file,
                "run: {dir: RUN, leaf: 8}\n"
                "model: {dim: 16, value_dim: 32, ffn_dim: 16, heads: 2, layers: %d}\n"
                "data: {dir: data, sequence_length: %d, batch_sequences: %d}\n"
                "optimizer: {lr: 2e-3, warmup_steps: 5, decay_steps: 40}\n",
                LAYERS, TOKENS, BATCH) > 0 &&
        fclose(file) == 0);
}

static rn_status load(const grid_case *c, Retnet__Config **config) {
  enum { KEYS = 9, KEY_BYTES = 64 };
  char key[KEYS][KEY_BYTES];
  const char *keys[KEYS];
  const int share = (BATCH + c->data - 1) / c->data;
  const int microbatch = (share + c->microbatches - 1) / c->microbatches;
  snprintf(key[0], KEY_BYTES, "parallel.data=%d", c->data);
  snprintf(key[1], KEY_BYTES, "parallel.pipeline=%d", c->pipeline);
  snprintf(key[2], KEY_BYTES, "parallel.sequence=%d", c->sequence);
  snprintf(key[3], KEY_BYTES, "parallel.segments=%d", c->segments);
  snprintf(key[4], KEY_BYTES, "parallel.microbatch=%d", microbatch);
  snprintf(key[5], KEY_BYTES, "model.tie_embeddings=%s", c->tied ? "true" : "false");
  snprintf(key[6], KEY_BYTES, "model.products=%s", test_gemm_key());
  snprintf(key[7], KEY_BYTES, "model.attention_layers=%s", attention ? "[1,3,4]" : "[]");
  snprintf(key[8], KEY_BYTES, "model.attention_window=%d", attention && c->tied ? WINDOW : 0);
  const int count = attention ? KEYS : KEYS - 2;
  for (int i = 0; i < count; i++) keys[i] = key[i];
  return rn_options_load(&err, "run.yaml", keys, count, config);
}

/* Copies the gradient of a single-rank run, and creates a parameter table that outlives the run. */
static void keep_reference(const rn_run *run, reference *r) {
  r->total = run->model.weights.total;
  r->gradient = malloc((size_t)run->model.weights.total * sizeof *r->gradient);
  memcpy(r->gradient, run->optimizer.gradient,
         (size_t)run->model.weights.total * sizeof *r->gradient);
  CHECK_OK(&err, rn_param_table_create(&err, &run->settings.spec, 0, run->settings.spec.layers,
                                       &r->table));
}

static void compute_reference(rn_world *single_rank, bool tied, int steps, reference *out) {
  const grid_case one = {1, 1, 1, 1, 1, tied};
  Retnet__Config *config = NULL;
  rn_run run;
  rn_step_result result;
  if (!CHECK_OK(&err, load(&one, &config))) return;
  if (CHECK_OK(&err, rn_run_create(&err, config, single_rank, &run))) {
    for (int k = 0; k < steps; k++) {
      CHECK_OK(&err, rn_step(&err, &run, &result));
      out->loss[k] = result.loss;
      if (k == 0) keep_reference(&run, out);
    }
    rn_run_destroy(&run);
  }
  rn_options_free(&config);
}

/* Computes the losses per token of this rank's piece, without an update. */
static void token_losses(rn_run *run, float *loss) {
  rn_loss_sum sum = {0};
  const rn_loss_pass how = {
      RN_FORM_CHUNKWISE, rn_scan_source_port(&run->parallel.scan, (rn_scan_unit){0}),
      rn_row_source_port(&run->parallel.rows, (rn_row_source_unit){.length = TOKENS})};
  CHECK_OK(&err, rn_pipeline_loss_of_unit(&err, &run->model.pipeline, run->data.unit, how, &sum));
  memcpy(loss, run->model.pipeline.token_loss, (size_t)run->data.unit->tokens * sizeof *loss);
}

/* Checks that a token does not change the losses before it, and changes those after it, also on
 * the following ranks. */
static void a_token_changes_only_what_follows(rn_world *subset, const grid_case *c) {
  enum { CULPRIT = 1 };
  Retnet__Config *config = NULL;
  rn_run run;
  rn_step_result result;
  float before[TOKENS], after[TOKENS];
  if (!CHECK_OK(&err, load(c, &config))) return;
  if (CHECK_OK(&err, rn_run_create(&err, config, subset, &run))) {
    const int rank = rn_world_rank(subset);
    CHECK_OK(&err, rn_step(&err, &run, &result));
    token_losses(&run, before);
    const int at = run.data.unit->tokens - 1;
    if (rank == CULPRIT) run.data.batch[0].input[at] = (run.data.batch[0].input[at] + 1) % 256;
    token_losses(&run, after);
    const int same = rank < CULPRIT ? run.data.unit->tokens : rank == CULPRIT ? at : 0;
    CHECK(memcmp(before, after, (size_t)same * sizeof *after) == 0);
    if (rank >= CULPRIT) CHECK(before[same] != after[same]);
    rn_run_destroy(&run);
  }
  rn_options_free(&config);
}

/* Compares this rank's part of each gradient with the single rank's, relative to the norm of the
 * whole gradient of that parameter. */
static bool gradients_agree(const rn_run *run, const reference *r) {
  const rn_param_table *table = rn_stage_params(run->model.pipeline.stage);
  const rn_shard_table *own = &run->model.weights.shards;
  bool agree = true;
  for (int i = 0; i < table->count; i++) {
    const rn_param *p = &table->param[i], *whole = rn_param_find(r->table, p->name);
    double norm = 0, difference = 0;
    for (int64_t j = 0; j < whole->rows * whole->cols; j++) {
      norm += pow((double)r->gradient[whole->offset + j], 2);
    }
    for (int k = 0; k < own->slices; k++) {
      if (own->slice[k].param != p) continue;
      const float *mine = run->optimizer.gradient + own->slice[k].offset;
      const float *want = r->gradient + whole->offset + own->slice[k].range.begin - p->offset;
      for (int64_t j = 0; j < rn_range_count(own->slice[k].range); j++) {
        difference += pow((double)mine[j] - (double)want[j], 2);
      }
    }
    if (sqrt(difference) <= 1e-4 * sqrt(norm)) continue;
    fprintf(stderr, "%s: off by %.2g of its norm\n", p->name, sqrt(difference / norm));
    agree = false;
  }
  return agree;
}

static void name_case(const grid_case *c, char *text, size_t bytes) {
  snprintf(text, bytes, "data %d pipeline %d sequence %d segments %d microbatches %d tied %d",
           c->data, c->pipeline, c->sequence, c->segments, c->microbatches, c->tied);
}

/* Limits nodes to 1, 2, 3 or all ranks of a stage, so that transfers between nodes are tested
 * too. */
static void choose_nodes(const grid_case *c) {
  const char number[] = {(char)('0' + c->segments % 4), '\0'};
  if (c->segments % 4 == 0) {
    unsetenv("RETNET_NODE_RANKS");
  } else {
    setenv("RETNET_NODE_RANKS", number, 1);
  }
}

/* Runs `steps` steps of one layout on `subset` of the world. */
static void walk_one(rn_world *subset, const grid_case *c, int steps, const reference *r) {
  Retnet__Config *config = NULL;
  rn_run run;
  rn_step_result result;
  char name[200];
  const int before = check_failures();
  name_case(c, name, sizeof name);
  choose_nodes(c);
  if (!CHECK_OK(&err, load(c, &config))) return;
  if (CHECK_OK(&err, rn_run_create(&err, config, subset, &run))) {
    for (int k = 0; k < steps && CHECK_OK(&err, rn_step(&err, &run, &result)); k++) {
      CHECK_NEAR(result.loss, r->loss[k], k == 0 ? 1e-6 : 1e-4);
      if (k == 0) CHECK(gradients_agree(&run, r));
    }
    rn_run_destroy(&run);
  }
  rn_options_free(&config);
  if (check_failures() > before) fprintf(stderr, "  in %s\n", name);
}

static void walk(rn_world *world, const grid_case *c, int steps, const reference *r) {
  const int ranks = c->data * c->pipeline * c->sequence;
  rn_world *subset = NULL;
  if (!CHECK_OK(&err,
                rn_world_split(&err, world, rn_world_rank(world) < ranks ? 0 : -1, &subset))) {
    return;
  }
  if (subset != NULL) walk_one(subset, c, steps, r);
  rn_world_close(&subset);
}

/* Runs every grid with every number of micro-batches. Tied and untied embeddings alternate, so
 * that each grid is tested with both. */
static void walk_all(rn_world *world, int size, int segments, const reference *by_tied) {
  int walked = 0;
  for (int d = 1; d <= size; d++) {
    for (int p = 1; d * p <= size && p <= LAYERS; p++) {
      for (int s = 1; d * p * s <= size; s++) {
        for (int m = 1; m <= 4; m++) {
          const int tied = (d + p + s + m) % 2;
          walk(world, &(grid_case){d, p, s, segments, m, tied}, 1, &by_tied[tied]);
          walked++;
        }
      }
    }
  }
  if (rn_world_rank(world) == 0) printf("%d layouts walked\n", walked);
}

static void check_causality(rn_world *world, int size) {
  const grid_case c = {1, 1, 3, 1, BATCH, false};
  rn_world *subset = NULL;
  if (size < c.sequence) return;
  CHECK_OK(&err, rn_world_split(&err, world, rn_world_rank(world) < c.sequence ? 0 : -1, &subset));
  if (subset != NULL) a_token_changes_only_what_follows(subset, &c);
  rn_world_close(&subset);
}

/* Trains on twelve layouts, or on four if there are attention layers: single axes, several axes
 * together, uneven splits, tied and untied embeddings. */
static void train_a_dozen(rn_world *world, int size, int steps, const reference *by_tied) {
  static const grid_case few[] = {
      {1, 1, 8, 1, 1, false}, {1, 1, 3, 4, 2, true}, {1, 3, 2, 2, 3, true}, {2, 2, 2, 3, 2, false}};
  static const grid_case dozen[] = {
      {1, 1, 8, 1, 1, false}, {8, 1, 1, 1, 1, true},  {1, 6, 1, 1, 4, false},
      {1, 2, 1, 4, 1, true},  {2, 2, 2, 3, 2, true},  {2, 2, 2, 1, 1, false},
      {1, 3, 2, 2, 3, true},  {1, 1, 3, 4, 2, false}, {5, 1, 1, 1, 2, false},
      {1, 4, 2, 4, 2, false}, {3, 2, 1, 2, 2, true},  {1, 5, 1, 3, 3, true}};
  for (size_t i = 0; attention && i < sizeof few / sizeof few[0]; i++) {
    walk(world, &few[i], steps, &by_tied[few[i].tied]);
  }
  for (size_t i = 0; !attention && i < sizeof dozen / sizeof dozen[0]; i++) {
    if (dozen[i].data * dozen[i].pipeline * dozen[i].sequence > size) continue;
    walk(world, &dozen[i], steps, &by_tied[dozen[i].tied]);
  }
}

static void impossible_layouts_are_refused(rn_world *world, int size) {
  static const struct {
    grid_case layout;
    const char *words;
  } impossible[] = {
      {{1, 1, 1, 1, 1, false}, "parallel.data 1|the number of ranks"},
      {{1, 8, 1, 1, 1, false}, "parallel.pipeline 8|model.layers 6"},
      {{1, 1, 8, 6, 1, false}, "parallel.sequence 8|parallel.segments 6|data.sequence_length 40"},
  };
  for (size_t i = size == 8 ? 0 : 3; i < sizeof impossible / sizeof impossible[0]; i++) {
    Retnet__Config *config = NULL;
    rn_run run;
    if (!CHECK_OK(&err, load(&impossible[i].layout, &config))) continue;
    CHECK_FAILS(&err, RN_ERR_USAGE, impossible[i].words, rn_run_create(&err, config, world, &run));
    rn_options_free(&config);
  }
}

static void free_reference(reference *r) {
  free(r->gradient);
  rn_param_table_destroy(&r->table);
}

int main(int argc, char **argv) {
  rn_world *world = NULL, *single_rank = NULL;
  reference by_tied[2] = {0};
  attention = argc > 1 && strcmp(argv[1], "attention") == 0;
  const bool thin = attention || (argc > 1 && strcmp(argv[1], "thin") == 0);
  const int segments = argc > 2 && strcmp(argv[1], "segments") == 0 ? atoi(argv[2]) : 0;
  const int steps = thin || segments > 0 ? THIN_STEPS : STEPS;
  test_use_sets();
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const int size = rn_world_size(world), rank = rn_world_rank(world);
  char folder[1024] = "";
  if (rank == 0) snprintf(folder, sizeof folder, "%s", temp_folder());
  CHECK_OK(&err, rn_world_broadcast(&err, world, folder, sizeof folder));
  CHECK(chdir(folder) == 0);
  if (rank == 0) {
    write_data();
    write_config();
  }
  CHECK_OK(&err, rn_world_barrier(&err, world));
  CHECK_OK(&err, rn_world_split(&err, world, rank, &single_rank));
  for (int tied = 0; tied < 2; tied++) {
    compute_reference(single_rank, tied, steps, &by_tied[tied]);
  }
  rn_world_close(&single_rank);
  if (check_failures() == 0 && segments > 0) walk_all(world, size, segments, by_tied);
  if (check_failures() == 0 && segments == 0) {
    impossible_layouts_are_refused(world, size);
    check_causality(world, size);
    train_a_dozen(world, size, steps, by_tied);
  }
  for (int tied = 0; tied < 2; tied++) free_reference(&by_tied[tied]);
  return test_finish_world(&err, &world);
}
