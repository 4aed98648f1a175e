/*
 * Checks that a stage backend with separate memory gives bitwise the results of the CPU backend, on
 * 1 to 4 ranks (sequence, pipeline, data and mixed): training in fp32 or, with argument "bf16", in
 * bf16, also in reproducible mode, with TBPTT states and with recomputed layers; validation; a
 * save that is resumed with another layout; evaluation and generation from a save.
 *
 * The backend's pages are protected except while it computes and where they are mapped
 * (tests/support/guarded_stage.h). Therefore the test also shows that the trainer accesses only
 * mapped ranges while the stage does not compute (port calls included), and that it unmaps all
 * ranges. The test does not detect accesses by another thread or by a poll while the stage
 * computes.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/guarded_stage.h"
#include "tests/support/sets.h"
#include "tests/support/shared_folder.h"
#include "tests/support/training.h"
#include "tests/support/world.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/generate/generator.h"
#include "trainer/run/step.h"
#include "trainer/run/validate.h"

enum { STEPS = 2, T = 48, B = 4, PROMPTS = 2, TOKENS = 12 };

static rn_err err;
static rn_path folder;
static const char *precision = "fp32";

/* The layout of a run, the layout with which its save is resumed, and further keys of both runs. */
typedef struct layout_case {
  int data, pipeline, sequence, segments;
  int next_data, next_pipeline, next_sequence;
  const char *keys;
} layout_case;

/* Results of one backend. */
typedef struct results {
  double number[4 * STEPS + 2]; /* losses and norms of two runs; then their val losses */
  float *weights;               /* this rank's weights after the second run */
  int64_t total;
  rn_evaluation evaluation[2]; /* chunkwise and recurrent */
  int32_t token[2][PROMPTS][TOKENS];
} results;

static rn_status load(const layout_case *c, bool resumes, const char *backend,
                      Retnet__Config **config) {
  char keys[2 * RN_PATH_BYTES + 1024];
  snprintf(keys, sizeof keys,
           "run.dir=%s/%s data.dir=%s/data model.layers=3 model.dim=32 model.value_dim=48 "
           "model.ffn_dim=40 model.heads=2 model.dropout=0.1 data.sequence_length=%d "
           "data.batch_sequences=%d optimizer.lr=2e-3 optimizer.warmup_steps=1 run.leaf=8 "
           "parallel.data=%d parallel.pipeline=%d parallel.sequence=%d parallel.segments=%d "
           "parallel.threads=2 train.precision=%s %s",
           folder.text, backend, folder.text, T, B, resumes ? c->next_data : c->data,
           resumes ? c->next_pipeline : c->pipeline, resumes ? c->next_sequence : c->sequence,
           c->segments, precision, c->keys);
  return test_load_words(&err, keys, config);
}

static void train(rn_run *run, double *number) {
  for (int k = 0; k < STEPS; k++) {
    rn_step_result result = {0};
    CHECK_OK(&err, rn_step(&err, run, &result));
    CHECK(!result.skipped && result.grad_norm > 0);
    number[2 * k] = result.loss;
    number[2 * k + 1] = result.grad_norm;
  }
}

static double validate(rn_run *run) {
  rn_validation val = {0};
  CHECK_OK(&err, rn_validate(&err, run, 0, &val));
  return val.loss;
}

static void first_run(rn_world *world, const layout_case *c, const char *backend, results *out) {
  Retnet__Config *config = NULL;
  rn_run run;
  if (!CHECK_OK(&err, load(c, false, backend, &config))) return;
  if (CHECK_OK(&err, rn_run_create(&err, config, world, &run))) {
    train(&run, out->number);
    out->number[4 * STEPS] = validate(&run);
    test_save_run(world, &run, 0);
    rn_run_destroy(&run);
  }
  rn_options_free(&config);
}

static void second_run(rn_world *world, const layout_case *c, const char *backend, results *out) {
  Retnet__Config *config = NULL;
  rn_checkpoint_source source;
  rn_run run;
  if (!CHECK_OK(&err, load(c, true, backend, &config))) return;
  CHECK_OK(&err, rn_checkpoint_select(&err, config, world, &source));
  if (CHECK_OK(&err, rn_run_create_from(&err, config, &source.choices, world, &run))) {
    CHECK_OK(&err, rn_checkpoint_resume(&err, &source, &run));
    CHECK_EQUAL(run.counters.step, STEPS);
    train(&run, out->number + 2 * STEPS);
    CHECK_OK(&err, rn_weights_finish_fetch(&err, &run.model.weights));
    out->number[4 * STEPS + 1] = validate(&run);
    out->total = run.model.weights.total;
    out->weights = malloc((size_t)out->total * sizeof *out->weights);
    if (out->weights == NULL) abort();
    memcpy(out->weights, run.model.weights.params, (size_t)out->total * sizeof *out->weights);
    rn_run_destroy(&run);
  }
  rn_options_free(&config);
}

/* Collects the generated tokens of each prompt. */
typedef struct record {
  int32_t (*token)[TOKENS]; /* [PROMPTS] */
  int count[PROMPTS];
} record;

static rn_status take_token(void *self, rn_err *unused, int prompt, int32_t token,
                            rn_generate_next *next) {
  record *r = self;
  (void)unused;
  (void)next;
  r->token[prompt][r->count[prompt]++] = token;
  return RN_OK;
}

/* Generates from two prompts, one of them longer than a segment of the prefill. Two runs generate
 * half of the tokens each. */
static void generate(rn_checkpoint_model *model, bool bf16, int32_t (*token)[TOKENS]) {
  int32_t text[300];
  const rn_generation_options options = {.bf16 = bf16,
                                         .max_tokens = TOKENS / 2,
                                         .vocabulary = model->spec.vocab,
                                         .sampling = {.temperature = 1, .top_p = 1},
                                         .repetition = {.penalty = 1.2}};
  rn_generator *generator = NULL;
  record r = {.token = token};
  for (int i = 0; i < 300; i++) text[i] = test_token(i);
  CHECK_OK(&err, rn_generator_create(&err, model, &options, PROMPTS, &generator));
  CHECK_OK(&err, rn_sequence_give(&err, rn_generator_sequence(generator, 0), text, 300));
  CHECK_OK(&err, rn_sequence_give(&err, rn_generator_sequence(generator, 1), text + 5, 7));
  for (int i = 0; i < 2; i++) {
    CHECK_OK(&err, rn_generator_run(&err, generator,
                                    (rn_token_visitor){.visit = take_token, .self = &r}));
  }
  rn_generator_destroy(&generator);
}

static void use_checkpoint(rn_world *world, const char *backend, results *out) {
  static const rn_form form[] = {RN_FORM_CHUNKWISE, RN_FORM_RECURRENT};
  const Retnet__Parallel parallel = RETNET__PARALLEL__INIT;
  rn_checkpoint_model model;
  rn_split split;
  if (!CHECK_OK(&err,
                rn_checkpoint_model_open(&err, rn_path_join(folder.text, backend).text, &model))) {
    return;
  }
  CHECK_OK(&err, rn_split_open(&err, rn_path_join(folder.text, "data").text, "val", &split));
  for (int i = 0; i < 2; i++) {
    const rn_evaluation_options options = {
        .form = form[i], .sequence_length = T, .parallel = &parallel};
    CHECK_OK(&err, rn_evaluate(&err, world, &model, &split, &options, &out->evaluation[i]));
    generate(&model, i == 1, out->token[i]);
  }
  rn_split_close(&split);
  rn_checkpoint_model_close(&model);
}

static results compute(rn_world *world, const layout_case *c, const rn_stage_ops *backend) {
  results out;
  memset(&out, 0, sizeof out);
  const rn_stage_ops *before = rn_stage_backend_swap(backend);
  first_run(world, c, backend->name, &out);
  second_run(world, c, backend->name, &out);
  use_checkpoint(world, backend->name, &out);
  rn_stage_backend_swap(before);
  CHECK_OK(&err, rn_world_barrier(&err, world));
  return out;
}

static void backends_agree(rn_world *world, const layout_case *c) {
  const int failures = check_failures();
  for (int i = 0; rn_world_rank(world) == 0 && i < 2; i++) {
    const rn_path run = rn_path_join(folder.text, i == 0 ? rn_stage_cpu.name : guarded_stage.name);
    if (rn_file_exists(run.text)) CHECK_OK(&err, rn_file_remove_tree(&err, run.text));
  }
  CHECK_OK(&err, rn_world_barrier(&err, world));
  results cpu = compute(world, c, &rn_stage_cpu), guarded = compute(world, c, &guarded_stage);
  CHECK_EQUAL(cpu.total, guarded.total);
  CHECK(cpu.total > 0 &&
        memcmp(cpu.weights, guarded.weights, (size_t)cpu.total * sizeof *cpu.weights) == 0);
  CHECK(memcmp(cpu.number, guarded.number, sizeof cpu.number) == 0);
  CHECK(memcmp(cpu.evaluation, guarded.evaluation, sizeof cpu.evaluation) == 0);
  CHECK(memcmp(cpu.token, guarded.token, sizeof cpu.token) == 0);
  CHECK(cpu.evaluation[0].loss > 0 && cpu.token[0][0][0] + cpu.token[0][1][0] > 0);
  if (check_failures() > failures) {
    fprintf(stderr, "  in data %d pipeline %d sequence %d segments %d %s %s\n", c->data,
            c->pipeline, c->sequence, c->segments, precision, c->keys);
  }
  free(cpu.weights);
  free(guarded.weights);
}

static void walk(rn_world *world) {
  static const layout_case on_1[] = {{1, 1, 1, 1, 1, 1, 1, ""},
                                     {1, 1, 1, 2, 1, 1, 1, "train.recompute=block"},
                                     {1, 1, 1, 1, 1, 1, 1, "run.reproducible=true"}};
  static const layout_case on_2[] = {{1, 1, 2, 1, 1, 2, 1, ""},
                                     {1, 2, 1, 2, 2, 1, 1, "model.tie_embeddings=true"},
                                     {2, 1, 1, 1, 1, 1, 2, "run.reproducible=true"},
                                     {1, 1, 2, 1, 2, 1, 1, "data.carry_state=true"}};
  /* The middle stage contains neither the embedding nor the head, which share weights. */
  static const layout_case on_3[] = {
      {1, 3, 1, 2, 1, 1, 3, "model.tie_embeddings=true"},
      {1, 3, 1, 1, 1, 3, 1, "run.reproducible=true model.tie_embeddings=true"}};
  static const layout_case on_4[] = {
      {2, 2, 1, 2, 1, 2, 2, "model.tie_embeddings=true"},
      {1, 2, 2, 2, 2, 1, 2, "run.reproducible=true model.tie_embeddings=true"},
      {2, 1, 2, 1, 1, 1, 4, "parallel.share_weights=off"}};
  static const layout_case *const on[] = {on_1, on_2, on_3, on_4};
  static const int count[] = {3, 4, 2, 3};
  const int ranks = rn_world_size(world);
  assert(1 <= ranks && ranks <= 4);
  for (int i = 0; i < count[ranks - 1]; i++) backends_agree(world, &on[ranks - 1][i]);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  if (argc > 1 && strcmp(argv[1], "bf16") == 0) {
    precision = "bf16";
    test_use_bf16();
  }
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  folder = test_shared_folder(world, "stage-backend");
  test_write_splits(world, rn_path_join(folder.text, "data").text, 6 * B * T + 1, 3 * T + 20);
  walk(world);
  test_remove_shared_folder(world, &folder);
  return test_finish_world(&err, &world);
}
