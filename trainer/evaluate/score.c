#include "trainer/evaluate/score.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/threads.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "proto/base/range.h"
#include "trainer/launch/launch.h"

/* The windows [first, last) that run as one sequence of `tokens` tokens. */
typedef struct pack {
  int64_t first, last;
  int tokens;
} pack;

typedef struct scorer {
  const rn_checkpoint_model *model;
  const rn_scoring *scoring;
  rn_window_source source;
  rn_score_visitor visitor;
  rn_world *world;
  rn_grid *grid;
  rn_scan_source scan;
  rn_row_source rows;          /* exchanges keys and values of attention layers */
  rn_comm_thread *comm_thread; /* NULL: none */
  rn_pipeline pipeline;
  pack *round;           /* [groups] packs of a round, one for each group of ranks */
  int64_t packs, tokens; /* tokens: of all packs */
  int longest;           /* tokens of the longest pack */
  double begin_s;        /* clock time at the start of the first round */
  double shown_s;        /* clock time at which the progress was shown last */
  /* arrays with one element for each token of this rank's piece (consecutive tokens) of a pack */
  int32_t *input, *target, *doc_position;
  bool *counted;
  rn_token_score *score;
  int32_t *whole; /* [longest + 1] all tokens of one window */
  float *logits;  /* [LOGIT_ROWS, N] */
} scorer;

enum { LOGIT_ROWS = 16 };

/* ---- packs ---- */

static rn_score_window window_at(const scorer *s, int64_t index) {
  const rn_window_list *list = &s->scoring->windows;
  return list->at(list->self, index);
}

/* Returns the maximum number of tokens of a pack of more than one window. */
static int pack_capacity(const scorer *s) {
  const rn_retention_scale scale = s->model->spec.retention_scale;
  const bool may_pack = scale == RN_SCALE_CANONICAL || scale == RN_SCALE_RAW;
  return may_pack ? (int)rn_smaller(s->scoring->capacity, RN_SCORE_SHORT_TOKENS) : 0;
}

/* Returns the pack that begins with window `first`. */
static pack pack_from(const scorer *s, int64_t first) {
  const int capacity = pack_capacity(s);
  pack p = {first, first + 1, window_at(s, first).tokens};
  for (; p.last < s->scoring->windows.count; p.last++) {
    const int tokens = window_at(s, p.last).tokens;
    if (tokens > capacity - p.tokens) break;
    p.tokens += tokens;
  }
  return p;
}

/* Counts the packs and their tokens, and finds the longest pack. */
static void measure_packs(scorer *s) {
  for (pack p = {0}; p.last < s->scoring->windows.count; s->packs++) {
    p = pack_from(s, p.last);
    s->tokens += p.tokens;
    if (p.tokens > s->longest) s->longest = p.tokens;
  }
}

/* Forms the groups of ranks as described in score.h. If the model has attention layers, each rank
 * takes whole packs by default, because ranks then need not exchange keys and values. */
static rn_status make_grid(rn_err *err, scorer *s) {
  const Retnet__Parallel *p = s->scoring->parallel;
  const rn_spec *spec = &s->model->spec;
  const bool attends = rn_spec_attention_layers(spec, 0, spec->layers) > 0;
  const int ranks = rn_world_size(s->world);
  const int most = s->packs >= ranks ? RN_SCORE_LONG_TOKENS : RN_SCORE_SHORT_TOKENS;
  const bool whole = attends || s->longest <= most;
  const int data = p->data > 0       ? p->data
                   : p->sequence > 0 ? ranks / p->sequence
                   : whole           ? ranks
                                     : 1;
  const int sequence = p->sequence > 0 ? p->sequence : data > 0 ? ranks / data : 0;
  if (p->pipeline > 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "parallel.pipeline %d: evaluation has no pipeline stages; leave the key out",
                   p->pipeline);
  }
  if (data * sequence != ranks) {
    return rn_fail(err, RN_ERR_USAGE,
                   "evaluation needs parallel.data %d x parallel.sequence %d ranks, but there are "
                   "%d",
                   data, sequence, ranks);
  }
  return rn_grid_create(err, s->world, data, 1, sequence, &s->grid);
}

static int groups_of(const scorer *s) {
  return rn_world_size(s->world) / rn_grid_sequence_size(s->grid);
}

/* ---- memory ---- */

static rn_status take_memory(rn_err *err, scorer *s, int tokens) {
  const size_t count = (size_t)tokens;
  RN_TRY(err, rn_alloc(err, "inputs", count, sizeof *s->input, &s->input));
  RN_TRY(err, rn_alloc(err, "targets", count, sizeof *s->target, &s->target));
  RN_TRY(err, rn_alloc(err, "positions", count, sizeof *s->doc_position, &s->doc_position));
  RN_TRY(err, rn_alloc(err, "targets", count, sizeof *s->counted, &s->counted));
  RN_TRY(err, rn_alloc(err, "scores", count, sizeof *s->score, &s->score));
  RN_TRY(err, rn_alloc(err, "window", (size_t)s->longest + 1, sizeof *s->whole, &s->whole));
  if (!s->scoring->largest) return RN_OK;
  return rn_alloc(err, "logits", (size_t)LOGIT_ROWS * (size_t)s->model->spec.vocab,
                  sizeof *s->logits, &s->logits);
}

static rn_status open_scorer(rn_err *err, scorer *s) {
  const rn_spec *spec = &s->model->spec;
  const int ranks = rn_grid_sequence_size(s->grid), tokens = (s->longest + ranks - 1) / ranks;
  const rn_scan_source_shape scan = {
      .wanted = s->scoring->parallel->scan, .layers = spec->layers, .sequences = 1, .segments = 1};
  const rn_row_source_shape rows = {.layout = {1, 1, ranks, 1, 1, 0},
                                    .layers = {0, spec->layers},
                                    .sequences = 1,
                                    .tokens = s->longest,
                                    .microbatches = 1};
  RN_TRY(err,
         rn_grid_agree(err, s->grid, rn_scan_source_create(err, s->grid, spec, scan, &s->scan)));
  RN_TRY(err, rn_row_source_create(err, s->grid, spec, rows, &s->rows));
  RN_TRY(err, rn_alloc(err, "packs", (size_t)groups_of(s), sizeof *s->round, &s->round));
  RN_TRY(err, take_memory(err, s, tokens));
  const rn_pipeline_shape shape = {.last_layer = spec->layers, .sequences = 1, .tokens = tokens};
  RN_TRY(err, rn_pipeline_create(err, spec, shape, NULL, &s->pipeline));
  (void)rn_stage_adopt_weights(s->pipeline.stage, (rn_weights_memory){.weights = s->model->params});
  return rn_stage_write_weights(err, s->pipeline.stage, s->model->params,
                                (rn_range){0, s->model->table->total});
}

static rn_status start_comm_thread(rn_err *err, scorer *s) {
  const bool scans = rn_grid_sequence_size(s->grid) > 1;
  const rn_comm_thread_use use = {s->scoring->parallel->comm_thread, rn_threads(), scans, scans};
  RN_TRY(err, rn_launch_comm_thread(err, s->world, use, &s->comm_thread));
  rn_scan_use_thread(s->scan.scan, s->comm_thread);
  rn_row_source_use_thread(&s->rows, s->comm_thread);
  s->pipeline.comm_thread = s->comm_thread;
  return RN_OK;
}

static void close_scorer(scorer *s) {
  rn_comm_thread_stop(&s->comm_thread);
  rn_pipeline_destroy(&s->pipeline);
  rn_row_source_destroy(&s->rows);
  rn_scan_source_destroy(&s->scan);
  rn_grid_destroy(&s->grid);
  free(s->round);
  free(s->input);
  free(s->target);
  free(s->doc_position);
  free(s->counted);
  free(s->score);
  free(s->whole);
  free(s->logits);
}

/* ---- a pack ---- */

/* Reads the tokens of a window that belong to `piece`, the range of the pack's tokens that this
 * rank processes. The window begins at token `at` of the pack. */
static rn_status read_window(rn_err *err, scorer *s, const rn_score_window *w, int64_t at,
                             rn_range piece) {
  const int64_t end = rn_smaller(at + w->tokens, piece.end);
  int32_t doc_position = 0;
  if (end <= piece.begin || at >= end) return RN_OK;
  RN_TRY(err, s->source.read(s->source.self, err, w->first, end - at + 1, s->whole));
  for (int64_t t = 0; t < end - at; t++, doc_position++) {
    const int64_t row = at + t - piece.begin;
    const bool is_document = s->whole[t] == s->source.document;
    if (is_document && s->source.resets) doc_position = 0;
    if (row < 0) continue;
    s->input[row] = is_document ? s->source.begin : s->whole[t];
    s->target[row] = s->whole[t + 1];
    s->doc_position[row] = doc_position;
    s->counted[row] = t >= w->tokens - w->counted;
  }
  return RN_OK;
}

static rn_status read_piece(rn_err *err, scorer *s, const pack *p, rn_range piece) {
  int64_t at = 0;
  for (int64_t i = p->first; i < p->last; i++) {
    const rn_score_window window = window_at(s, i);
    RN_TRY(err, read_window(err, s, &window, at, piece));
    at += window.tokens;
  }
  return RN_OK;
}

static int32_t is_largest(const float *logits, int n, int32_t target) {
  for (int i = 0; i < n; i++) {
    if (logits[i] > logits[target]) return 0;
  }
  return 1;
}

/* Recomputes the logits of the rows, a few rows at a time, and checks whether each target has the
 * largest logit. */
static rn_status find_largest(rn_err *err, scorer *s, int rows) {
  const int n = s->model->spec.vocab;
  for (int row = 0; row < rows; row++) {
    if (!s->counted[row]) continue;
    const int last = (int)rn_smaller(row + LOGIT_ROWS, rows);
    RN_TRY(err, rn_stage_logits(err, s->pipeline.stage, s->pipeline.loss_slot.memory,
                                (rn_range){row, last}, s->logits));
    for (int i = 0; i < last - row; i++) {
      s->score[row + i].largest = is_largest(s->logits + (int64_t)i * n, n, s->target[row + i]);
    }
    row = last - 1;
  }
  return RN_OK;
}

/* Scores this rank's piece of a pack of `length` tokens. */
static rn_status score_piece(rn_err *err, scorer *s, rn_range piece, int64_t length) {
  const int64_t index = 0;
  const int tokens = (int)rn_range_count(piece);
  const rn_unit unit = {.sequences = 1,
                        .tokens = tokens,
                        .input = s->input,
                        .target = s->target,
                        .doc_position = s->doc_position,
                        .sequence_index = &index,
                        .position = piece.begin};
  const rn_loss_pass how = {s->scoring->form, rn_scan_source_port(&s->scan, (rn_scan_unit){0}),
                            rn_row_source_port(&s->rows, (rn_row_source_unit){.length = length})};
  rn_loss_sum unused = {0};
  RN_TRY(err, rn_pipeline_loss_of_unit(err, &s->pipeline, &unit, how, &unused));
  for (int t = 0; t < tokens; t++) {
    s->score[t] = (rn_token_score){s->target[t], s->pipeline.token_loss[t], 0};
  }
  return s->scoring->largest ? find_largest(err, s, tokens) : RN_OK;
}

/* ---- rounds ---- */

/* Forms the packs of the round that begins with window `first`. Returns their number: that of the
 * groups of ranks, or less in the last round. */
static int form_round(scorer *s, int64_t first) {
  int packs = 0;
  for (; packs < groups_of(s) && first < s->scoring->windows.count; packs++) {
    s->round[packs] = pack_from(s, first);
    first = s->round[packs].last;
  }
  return packs;
}

/* Passes the scores of the windows [first, last), one after the other, to the visitor. */
static rn_status visit(rn_err *err, const scorer *s, int64_t first, int64_t last,
                       const rn_token_score *score) {
  for (int64_t i = first; i < last; i++) {
    RN_TRY(err, s->visitor.visit(s->visitor.self, err, i, score));
    score += window_at(s, i).tokens;
  }
  return RN_OK;
}

/* Gathers the scores of one round, in which each group of ranks has scored one pack. The scores
 * arrive in the order of the packs and their tokens: a group has consecutive ranks, which have
 * consecutive pieces of the group's pack. */
static rn_status collect(rn_err *err, scorer *s, int packs, int tokens) {
  char *all = NULL;
  size_t *sizes = NULL;
  rn_status status = RN_OK;
  assert(s->round != NULL && packs > 0);
  RN_TRY(err, rn_world_gather_bytes(err, s->world, s->score, (size_t)tokens * sizeof *s->score,
                                    &all, &sizes));
  if (all != NULL) {
    status = visit(err, s, s->round[0].first, s->round[packs - 1].last,
                   (const rn_token_score *)(void *)all);
  }
  free(all);
  free(sizes);
  return rn_agree(err, s->world, status);
}

/* Scores the packs of a round, each on a group of ranks. If there are fewer packs than groups, the
 * last groups have no pack. */
static rn_status score_round(rn_err *err, scorer *s, int packs) {
  const int group = rn_grid_data(s->grid);
  const pack *own = group < packs ? &s->round[group] : NULL;
  rn_range piece = {0, 0};
  rn_status status = RN_OK;
  rn_progress_begin("evaluation", s->model->manifest->step);
  if (own != NULL) {
    piece = rn_cut(own->tokens, rn_grid_sequence_size(s->grid), rn_grid_sequence(s->grid));
    status = read_piece(err, s, own, piece);
  }
  RN_TRY(err, rn_agree(err, s->world, status));
  if (own != NULL) RN_TRY(err, score_piece(err, s, piece, own->tokens));
  return collect(err, s, packs, (int)rn_range_count(piece));
}

/* Shows the number of tokens, the rate and the time left, at most four times a second. */
static void show_progress(scorer *s, int64_t done) {
  static const double every_s = 0.25;
  const double now_s = rn_clock_s(), rate = (double)done / (now_s - s->begin_s + 1e-9);
  if (done == s->tokens || now_s - s->shown_s < every_s) return;
  rn_log_progress("%lld of %lld tokens, %.0f %%, %.0f tokens/s, %.0f s left", (long long)done,
                  (long long)s->tokens, 100 * (double)done / (double)s->tokens, rate,
                  (double)(s->tokens - done) / rate);
  s->shown_s = now_s;
}

static rn_status score_all(rn_err *err, scorer *s) {
  int64_t done = 0;
  rn_status status = RN_OK;
  s->begin_s = rn_clock_s();
  for (int64_t first = 0; status == RN_OK && first < s->scoring->windows.count;) {
    const int packs = form_round(s, first);
    for (int i = 0; i < packs; i++) done += s->round[i].tokens;
    status = score_round(err, s, packs);
    first = s->round[packs - 1].last;
    show_progress(s, done);
  }
  if (s->shown_s > 0) rn_log_progress("%s", "");
  return status;
}

rn_status rn_score_windows(rn_err *err, rn_world *world, const rn_checkpoint_model *model,
                           const rn_scoring *scoring, rn_window_source source,
                           rn_score_visitor visitor) {
  scorer s = {
      .model = model, .scoring = scoring, .source = source, .visitor = visitor, .world = world};
  measure_packs(&s);
  rn_status status = make_grid(err, &s);
  if (status == RN_OK && s.packs > 0) {
    status = rn_agree(err, world, open_scorer(err, &s));
    if (status == RN_OK) status = start_comm_thread(err, &s);
    if (status == RN_OK) status = score_all(err, &s);
  }
  close_scorer(&s);
  return status;
}
