/*
 * Checks that an evaluation gives the mean loss over all targets of the split, including those of a
 * shorter last sequence. The expected loss is ln V if all weights are zero, and otherwise that of
 * the model applied to each sequence separately. val_loss in training and retnet-eval must agree
 * with this loss on any grid and in every form. A val split with another vocabulary is refused.
 * Short windows are packed into sequences of limited length, so that every rank gets some of them.
 * The number of windows of a split does not change the memory that its list of windows takes.
 */
#include <math.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/shared_folder.h"
#include "tests/support/stage.h"
#include "tests/support/training.h"
#include "tests/support/world.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/run/step.h"
#include "trainer/run/validate.h"

enum { T = 40, B = 4, VOCAB = 300 };

static rn_err err;
static rn_path folder;

typedef struct grid_case {
  int ranks, data, pipeline, sequence, segments;
} grid_case;

static rn_status load(grid_case g, Retnet__Config **config) {
  char keys[2 * RN_PATH_BYTES + 1024];
  snprintf(keys, sizeof keys,
           "run.dir=%s/run data.dir=%s/data model.layers=2 model.dim=32 model.value_dim=48 "
           "model.ffn_dim=40 model.heads=2 model.vocab=%d data.sequence_length=%d "
           "data.batch_sequences=%d parallel.data=%d parallel.pipeline=%d parallel.sequence=%d "
           "parallel.segments=%d parallel.threads=1 parallel.share_weights=off "
           "parallel.comm_thread=off",
           folder.text, folder.text, VOCAB, T, B, g.data, g.pipeline, g.sequence, g.segments);
  return test_load_words(&err, keys, config);
}

/* Returns the sum of the losses of val's targets [first, last), computed as one sequence with
 * the initial weights. */
static double loss_of(const rn_spec *spec, int64_t first, int64_t last) {
  const int tokens = (int)(last - first);
  test_model m = test_model_open(spec, 1, tokens);
  rn_param_init_values(m.table, 1, 0, m.table->total, m.params);
  m.position = 0;
  for (int t = 0; t < tokens; t++) {
    m.input[t] = test_token(first + t);
    m.target[t] = test_token(first + t + 1);
    m.doc_position[t] = m.input[t] == RN_BYTES_DOCUMENT ? 0
                        : t == 0                        ? 0
                                                        : m.doc_position[t - 1] + 1;
  }
  const double loss = test_step_whole(&m, RN_FORM_CHUNKWISE, false);
  test_model_close(&m);
  return loss;
}

/* Returns the mean loss over the first `targets` targets. */
static double oracle(const rn_spec *spec, int64_t targets) {
  double sum = 0;
  for (int64_t first = 0; first < targets; first += T) {
    sum += loss_of(spec, first, first + T < targets ? first + T : targets);
  }
  return sum / (double)targets;
}

static void validations_are_right(grid_case g, rn_world *part, int64_t targets) {
  Retnet__Config *config = NULL;
  rn_run run;
  rn_validation val = {.loss = NAN};
  if (!CHECK_OK(&err, load(g, &config))) return;
  if (!CHECK_OK(&err, rn_run_create(&err, config, part, &run))) return;
  CHECK_OK(&err, rn_weights_finish_fetch(&err, &run.model.weights));
  const int64_t some = targets > 2 * T ? 2 : 0;
  CHECK_OK(&err, rn_validate(&err, &run, 0, &val));
  CHECK_RELATIVE(val.loss, oracle(&run.settings.spec, targets), 2e-6);
  CHECK_OK(&err, rn_validate(&err, &run, 99, &val));
  CHECK_RELATIVE(val.loss, oracle(&run.settings.spec, targets), 2e-6);
  CHECK_OK(&err, rn_validate(&err, &run, some, &val));
  CHECK_RELATIVE(val.loss, oracle(&run.settings.spec, some > 0 ? some * T : targets), 2e-6);
  memset(run.model.weights.params, 0,
         (size_t)run.model.weights.total * sizeof *run.model.weights.params);
  for (int64_t n = 0; n <= some; n++) {
    CHECK_OK(&err, rn_validate(&err, &run, n, &val));
    CHECK_RELATIVE(val.loss, log(VOCAB), 1e-6);
  }
  rn_run_destroy(&run);
  rn_options_free(&config);
}

static void one_evaluation(rn_world *part, const rn_checkpoint_model *model, rn_split *split,
                           rn_form form, const Retnet__Parallel *parallel, int64_t targets,
                           double want) {
  rn_evaluation e;
  double by_position = 0, counted = 0, at_position[RN_EVALUATE_BUCKETS] = {0};
  for (int64_t i = 0; i < targets; i++) at_position[ilogb((double)(i % T + 1))]++;
  const rn_evaluation_options how = {.form = form, .sequence_length = T, .parallel = parallel};
  if (!CHECK_OK(&err, rn_evaluate(&err, part, model, split, &how, &e))) return;
  CHECK_RELATIVE(e.loss, want, 2e-6);
  CHECK_EQUAL(e.tokens, targets);
  CHECK_EQUAL(e.sequences, (targets + T - 1) / T);
  for (int i = 0; i < e.buckets; i++) {
    by_position += e.bucket_loss[i] * e.bucket_tokens[i];
    counted += e.bucket_tokens[i];
    CHECK_EQUAL(e.bucket_tokens[i], at_position[i]);
  }
  CHECK_EQUAL(counted, targets);
  CHECK_RELATIVE(by_position / (double)targets, want, 2e-6);
  int64_t bytes = 0;
  for (int64_t i = 1; i <= targets; i++) bytes += test_token(i) != RN_BYTES_DOCUMENT;
  CHECK_RELATIVE(e.bits_per_byte, want * (double)targets / log(2) / (double)bytes, 2e-6);
}

/* Checks that for a tokenizer other than the byte tokenizer, bits per byte are computed from the
 * number of text bytes in the shard's footer, and are NaN if the footer has no such number. */
static void bits_go_by_recorded_bytes(rn_world *part, const rn_checkpoint_model *model,
                                      rn_split *split, const Retnet__Parallel *parallel) {
  static char words[] = "words";
  Retnet__ShardFooter *footer = split->shard[0].footer;
  const rn_evaluation_options how = {.sequence_length = T, .parallel = parallel};
  const uint64_t bytes = footer->text_bytes;
  char *bytes_tokenizer = footer->header->tokenizer;
  rn_evaluation e;
  footer->header->tokenizer = words;
  footer->text_bytes = 1000;
  CHECK_OK(&err, rn_evaluate(&err, part, model, split, &how, &e));
  CHECK_RELATIVE(e.bits_per_byte, e.loss * (double)e.tokens / log(2) / 1000, 1e-12);
  footer->text_bytes = 0;
  CHECK_OK(&err, rn_evaluate(&err, part, model, split, &how, &e));
  CHECK(isnan(e.bits_per_byte));
  footer->text_bytes = bytes;
  footer->header->tokenizer = bytes_tokenizer;
}

/* Returns the sum of the losses of targets [first, first + n), computed in windows of `length`
 * tokens that begin every `stride` tokens. A window contributes only the targets that no earlier
 * window contains: the loss of the whole window minus the loss of its other targets. */
static double loss_in_windows(const rn_spec *spec, int64_t first, int64_t n, int length,
                              int stride) {
  double sum = 0;
  for (int64_t begin = 0, done = 0; done < n; begin += stride) {
    const int64_t end = begin + length < n ? begin + length : n;
    sum += loss_of(spec, first + begin, first + end);
    if (done > begin) sum -= loss_of(spec, first + begin, first + done);
    done = end;
  }
  return sum;
}

static void windows_may_overlap(rn_world *part, const rn_checkpoint_model *model, rn_split *split,
                                const Retnet__Parallel *parallel, int64_t targets) {
  rn_evaluation e;
  const rn_evaluation_options how = {.sequence_length = T, .parallel = parallel, .stride = 7};
  CHECK_OK(&err, rn_evaluate(&err, part, model, split, &how, &e));
  CHECK_RELATIVE(e.loss, loss_in_windows(&model->spec, 0, targets, T, 7) / (double)targets, 2e-6);
  CHECK_EQUAL(e.tokens, targets);
  rn_evaluation_options wide = how;
  wide.stride = T + 1;
  CHECK_EQUAL(rn_evaluate(&err, part, model, split, &wide, &e), RN_ERR_USAGE);
  rn_err_clear(&err);
}

/* Checks the loss of each document, computed in overlapping windows, and the mean over all targets.
 * A document begins every 37 tokens. */
static void documents_have_their_own_losses(rn_world *part, const rn_checkpoint_model *model,
                                            rn_split *split, const Retnet__Parallel *parallel,
                                            int64_t targets, int length) {
  enum { DOCUMENT = 37, STRIDE = 5 };
  rn_evaluation e;
  rn_document_loss *document = NULL;
  int64_t documents = 0;
  double sum = 0;
  const rn_evaluation_options how = {.sequence_length = length,
                                     .parallel = parallel,
                                     .stride = STRIDE,
                                     .by_document = true,
                                     .documents = &document,
                                     .document_count = &documents};
  CHECK_OK(&err, rn_evaluate(&err, part, model, split, &how, &e));
  CHECK_EQUAL(documents, (targets + DOCUMENT - 1) / DOCUMENT);
  for (int64_t i = 0; i < documents; i++) {
    const int64_t first = i * DOCUMENT;
    const int64_t n = first + DOCUMENT < targets ? DOCUMENT : targets - first;
    const double want = loss_in_windows(&model->spec, first, n, length, STRIDE);
    sum += want;
    if (rn_world_rank(part) > 0) continue;
    CHECK_EQUAL(document[i].tokens, n);
    CHECK_RELATIVE(document[i].loss, want / (double)n, 2e-6);
  }
  CHECK_RELATIVE(e.loss, sum / (double)targets, 2e-6);
  free(document);
}

static void windows_are_right(rn_world *part, const rn_checkpoint_model *model, rn_split *split,
                              const Retnet__Parallel *parallel, int64_t targets) {
  rn_param_init_values(model->table, 1, 0, model->table->total, model->params);
  windows_may_overlap(part, model, split, parallel, targets);
  documents_have_their_own_losses(part, model, split, parallel, targets, T);
  documents_have_their_own_losses(part, model, split, parallel, targets, 16);
}

/* The number of tokens that have been read since the visitor last received a score (`now`), and the
 * maximum of this number (`most`). */
typedef struct read_ahead {
  int64_t now, most;
} read_ahead;

static rn_status count_read(void *self, rn_err *e, int64_t first, int64_t count, int32_t *tokens) {
  read_ahead *ahead = self;
  (void)e;
  for (int64_t i = 0; i < count; i++) tokens[i] = test_token(first + i);
  ahead->now += count;
  if (ahead->now > ahead->most) ahead->most = ahead->now;
  return RN_OK;
}

static rn_status end_read(void *self, rn_err *e, int64_t window, const rn_token_score *score) {
  read_ahead *ahead = self;
  (void)e, (void)window, (void)score;
  ahead->now = 0;
  return RN_OK;
}

enum { WINDOW = 1000 };

static rn_score_window thousand_tokens(const void *self, int64_t index) {
  (void)self;
  return (rn_score_window){index * WINDOW, WINDOW, WINDOW};
}

/* A capacity that is larger than RN_SCORE_SHORT_TOKENS, such as the sequence length of an imported
 * model, must not pack all windows into one sequence, which a single rank would compute. */
static void packs_of_short_windows_stay_short(rn_world *part, const rn_checkpoint_model *model,
                                              const Retnet__Parallel *parallel) {
  enum { WINDOWS = 6, FIT = RN_SCORE_SHORT_TOKENS / WINDOW };
  read_ahead ahead = {0, 0};
  const rn_scoring scoring = {
      .windows = {NULL, thousand_tokens, WINDOWS}, .capacity = 131072, .parallel = parallel};
  CHECK_OK(&err, rn_score_windows(&err, part, model, &scoring,
                                  (rn_window_source){&ahead, count_read, -1, -1, false},
                                  (rn_score_visitor){&ahead, end_read}));
  if (rn_world_rank(part) == 0) CHECK_EQUAL(ahead.most, FIT * (WINDOW + 1));
}

/* A trillion windows with stride 1 take no more memory than one, and are those of the definition.
 */
static void windows_take_no_memory(void) {
  const rn_split split = {.tokens = INT64_C(1000000000001)};
  rn_windows w = {0};
  CHECK_OK(&err, rn_windows_of_split(&err, &split, (rn_windows_shape){100, 1}, &w));
  CHECK_EQUAL(w.count, INT64_C(1000000000000) - 99);
  CHECK_EQUAL(w.texts, 1);
  CHECK(w.capacity < 100);
  const rn_score_window first = rn_windows_at(&w, 0), last = rn_windows_at(&w, w.count - 1);
  CHECK(first.first == 0 && first.tokens == 100 && first.counted == 100);
  CHECK(last.first == w.count - 1 && last.tokens == 100 && last.counted == 1);
  rn_windows_free(&w);
}

static void evaluations_are_right(grid_case g, rn_world *part, int64_t targets) {
  Retnet__Config *config = NULL;
  Retnet__Manifest manifest = RETNET__MANIFEST__INIT;
  Retnet__Vocabulary vocabulary = RETNET__VOCABULARY__INIT;
  rn_checkpoint_model model = {.manifest = &manifest};
  rn_split split;
  if (!CHECK_OK(&err, load(g, &config))) return;
  manifest.config = config;
  manifest.vocabulary = &vocabulary;
  CHECK_OK(&err, rn_spec_from_config(&err, config, VOCAB, &model.spec));
  CHECK_OK(&err, rn_param_table_create(&err, &model.spec, 0, 2, &model.table));
  CHECK_OK(&err, rn_split_open(&err, rn_path_join(folder.text, "data").text, "val", &split));
  model.params = test_take((size_t)model.table->total, sizeof(float));
  for (rn_form form = RN_FORM_CHUNKWISE; form <= RN_FORM_RECURRENT; form++) {
    if (form == RN_FORM_PARALLEL && g.sequence > 1) continue;
    rn_param_init_values(model.table, 1, 0, model.table->total, model.params);
    one_evaluation(part, &model, &split, form, config->parallel, targets,
                   oracle(&model.spec, targets));
    memset(model.params, 0, (size_t)model.table->total * sizeof(float));
    one_evaluation(part, &model, &split, form, config->parallel, targets, log(VOCAB));
  }
  if (targets == 3 * T) windows_are_right(part, &model, &split, config->parallel, targets);
  if (targets == 3 * T && g.sequence == 1) {
    packs_of_short_windows_stay_short(part, &model, config->parallel);
  }
  bits_go_by_recorded_bytes(part, &model, &split, config->parallel);
  free(model.params);
  rn_split_close(&split);
  rn_param_table_destroy(&model.table);
  rn_options_free(&config);
}

/* Numbers of targets: three full sequences; two full sequences and one with a single target; one
 * sequence that is shorter than T. */
static const int64_t targets_of[] = {3 * T, 2 * T + 1, T - 11};
enum { LENGTHS = sizeof targets_of / sizeof targets_of[0] };

static void on_grid(rn_world *world, grid_case g, int64_t targets) {
  rn_world *part = NULL;
  const bool mine = rn_world_rank(world) < g.ranks;
  CHECK_OK(&err, rn_world_split(&err, world, mine ? 0 : -1, &part));
  if (part == NULL) return;
  validations_are_right(g, part, targets);
  if (g.pipeline == 1 && g.segments == 1) evaluations_are_right(g, part, targets);
  rn_world_close(&part);
}

/* Checks that training refuses a val split with another vocabulary. */
static void another_vocabulary_is_refused(rn_world *world) {
  Retnet__Config *config = NULL;
  rn_run run;
  const int ranks = rn_world_size(world);
  const rn_path val = rn_path_join(rn_path_join(folder.text, "data").text, "val");
  if (rn_world_rank(world) == 0) {
    rn_shard_kind kind = rn_tokenizer_kind();
    kind.vocabulary++;
    test_write_shard_of(kind, val.text, "00000.rtd", 0, T + 1);
  }
  CHECK_OK(&err, rn_world_barrier(&err, world));
  if (!CHECK_OK(&err, load((grid_case){ranks, ranks, 1, 1, 1}, &config))) return;
  rn_err_clear(&err);
  CHECK_EQUAL(rn_run_create(&err, config, world, &run), RN_ERR_FORMAT);
  CHECK(strstr(err.text, "tokenizer or vocabulary") != NULL);
  CHECK(strstr(err.text, folder.text) != NULL);
  rn_err_clear(&err);
  rn_options_free(&config);
}

int main(int argc, char **argv) {
  static const grid_case grids[] = {{1, 1, 1, 1, 1}, {1, 1, 1, 1, 2}, {4, 4, 1, 1, 1},
                                    {4, 1, 1, 4, 1}, {4, 2, 1, 2, 1}, {4, 1, 2, 2, 2},
                                    {3, 1, 1, 3, 2}};
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  folder = test_shared_folder(world, "evaluate");
  for (int l = 0; l < LENGTHS; l++) {
    test_write_splits(world, rn_path_join(folder.text, "data").text, 4 * B * T + 1,
                      targets_of[l] + 1);
    for (size_t i = 0; i < sizeof grids / sizeof grids[0]; i++) {
      const bool single_rank = grids[i].ranks == 1;
      if (single_rank == (rn_world_size(world) == 1)) on_grid(world, grids[i], targets_of[l]);
      CHECK_OK(&err, rn_world_barrier(&err, world));
    }
  }
  windows_take_no_memory();
  another_vocabulary_is_refused(world);
  CHECK_OK(&err, rn_world_barrier(&err, world));
  test_remove_shared_folder(world, &folder);
  return test_finish_world(&err, &world);
}
