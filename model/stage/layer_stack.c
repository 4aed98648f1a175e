#include "model/stage/layer_stack.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/embed/embed.h"
#include "model/embed/head.h"
#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "model/retention/state_replay.h"
#include "model/stage/layer.h"
#include "proto/base/arena.h"
#include "proto/base/progress.h"
#include "proto/base/slowdown.h"
#include "proto/base/span.h"

struct rn_layer_stack {
  rn_spec spec;
  int first_layer, layer_count;
  int max_sequences, max_tokens;
  uint64_t seed;
  rn_layer_group_port port;
  rn_param_table *table;
  rn_layer *layer; /* [layer_count] */
  rn_block_retention retention;
  bool has_embedding, has_head;
  rn_embed embed;
  rn_head head;
  rn_arena arena;
  bool bf16;        /* matrix products take bf16, and so do the arrays that they read */
  rn_bf16 *weights; /* [total]: the bf16 shadow, or NULL */
  rn_bf16 *own;     /* the same if the stage owns it, else NULL */
  rn_stage_memory memory;
};

static int64_t max_rows(const rn_layer_stack *stage) {
  const int64_t rows = (int64_t)stage->max_sequences * stage->max_tokens;
  return rows > 0 ? rows : 1;
}

static rn_layer make_layer(const rn_layer_stack *stage, int index) {
  const rn_spec *spec = &stage->spec;
  const rn_layer_params *at = &stage->table->layer[index];
  return (rn_layer){
      .number = stage->first_layer + index,
      .pre_norm = spec->pre_norm,
      .residual = (rn_real)rn_spec_residual(spec),
      .dropout = spec->dropout,
      .seed = stage->seed,
      .at = *at,
      .retention_norm = rn_norm_make(spec, at->retention_norm, at->retention_norm_bias),
      .ffn_norm = rn_norm_make(spec, at->ffn_norm, at->ffn_norm_bias),
      .bf16 = stage->bf16,
      .ffn = rn_ffn_block_make(spec, at, stage->bf16)};
}

/* Sets the bf16 shadow in everything that reads it. */
static void place_copy(rn_layer_stack *stage, rn_bf16 *copy) {
  stage->weights = copy;
  stage->head.weights = copy;
  stage->retention.weights = copy;
  for (int i = 0; i < stage->layer_count; i++) stage->layer[i].ffn.weights = copy;
}

static rn_status take_copy(rn_err *err, rn_layer_stack *stage) {
  if (!stage->bf16) return RN_OK;
  RN_TRY(err, rn_alloc(err, "weights in bf16", (size_t)stage->table->total, sizeof *stage->own,
                       &stage->own));
  place_copy(stage, stage->own);
  return RN_OK;
}

/* All norms share one buffer: only one runs at a time. */
static void place_norm_sums(rn_layer_stack *stage, double *sums) {
  stage->embed.norm.sums = sums;
  stage->head.norm.sums = sums;
  for (int i = 0; i < stage->layer_count; i++) {
    stage->layer[i].retention_norm.sums = sums;
    stage->layer[i].ffn_norm.sums = sums;
  }
}

/* Tables, sums of norms, and the bf16 shadow; the workspace belongs to the activations. */
static rn_status take_work(rn_err *err, rn_layer_stack *stage) {
  const rn_spec *spec = &stage->spec;
  RN_TRY(err, rn_block_retention_create(err, spec, stage->max_sequences, stage->max_tokens,
                                        &stage->retention));
  RN_TRY(err, rn_arena_create(err, rn_norm_sums_bytes(spec->dim), &stage->arena));
  place_norm_sums(stage, rn_arena_take(&stage->arena, rn_norm_sums_bytes(spec->dim)));
  return take_copy(err, stage);
}

/* Makes the stage without its work space: enough to compute sizes. */
static rn_status outline(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                         rn_layer_stack **out) {
  const int first_layer = shape.first_layer, last_layer = shape.last_layer;
  assert(0 <= first_layer && first_layer <= last_layer && last_layer <= spec->layers);
  *out = NULL;
  rn_layer_stack *stage;
  RN_TRY(err, rn_alloc(err, "stage", 1, sizeof *stage, &stage));
  stage->spec = *spec;
  stage->first_layer = first_layer;
  stage->layer_count = last_layer - first_layer;
  stage->max_sequences = shape.max_sequences;
  stage->max_tokens = shape.max_tokens;
  stage->seed = shape.seed;
  stage->bf16 = rn_gemm_takes_bf16();
  stage->has_embedding = first_layer == 0;
  stage->has_head = last_layer == spec->layers;
  rn_status status;
  if ((status = rn_alloc(err, "layers", (size_t)stage->layer_count, sizeof *stage->layer,
                         &stage->layer)) != RN_OK ||
      (status = rn_param_table_create(err, spec, first_layer, last_layer, &stage->table)) !=
          RN_OK) {
    rn_layer_stack_destroy(&stage);
    return status;
  }
  stage->retention = rn_block_retention_shape(spec, shape.max_sequences, shape.max_tokens);
  if (stage->has_embedding) stage->embed = rn_embed_make(spec, stage->table, shape.seed);
  if (stage->has_head) stage->head = rn_head_make(spec, stage->table);
  stage->head.bf16 = stage->bf16;
  for (int i = 0; i < stage->layer_count; i++) {
    stage->layer[i] = make_layer(stage, i);
    stage->layer[i].retention = &stage->retention;
  }
  stage->memory = (rn_stage_memory){.layer = stage->layer,
                                    .first_layer = first_layer,
                                    .layer_count = stage->layer_count,
                                    .rows = max_rows(stage),
                                    .dim = spec->dim,
                                    .embed = stage->has_embedding ? &stage->embed : NULL,
                                    .head = stage->has_head ? &stage->head : NULL};
  rn_stage_memory_plan(&stage->memory);
  *out = stage;
  return RN_OK;
}

rn_status rn_layer_stack_create(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                                rn_layer_stack **out) {
  RN_TRY(err, outline(err, spec, shape, out));
  rn_status status = take_work(err, *out);
  if (status != RN_OK) rn_layer_stack_destroy(out);
  return status;
}

void rn_layer_stack_destroy(rn_layer_stack **stage) {
  if (*stage == NULL) return;
  rn_block_retention_destroy(&(*stage)->retention);
  rn_arena_destroy(&(*stage)->arena);
  rn_stage_memory_destroy(&(*stage)->memory);
  rn_param_table_destroy(&(*stage)->table);
  free((*stage)->layer);
  free((*stage)->own);
  free(*stage);
  *stage = NULL;
}

void rn_layer_stack_attach(rn_layer_stack *stage, rn_layer_group_port port) {
  stage->port = port;
}

static rn_status wait_for(rn_err *err, const rn_layer_stack *stage, int part) {
  return stage->port.wait == NULL ? RN_OK : stage->port.wait(err, stage->port.self, part);
}

static void tell_of(const rn_layer_stack *stage, int part) {
  if (stage->port.added != NULL) stage->port.added(stage->port.self, part);
}

const rn_param_table *rn_layer_stack_table(const rn_layer_stack *stage) {
  return stage->table;
}

size_t rn_layer_stack_bf16_shadow_bytes(const rn_layer_stack *stage) {
  return stage->bf16 ? (size_t)stage->table->total * sizeof(rn_bf16) : 0;
}

void rn_layer_stack_use_bf16_shadow(rn_layer_stack *stage, rn_bf16 *copy) {
  assert(stage->bf16);
  free(stage->own);
  stage->own = NULL;
  place_copy(stage, copy);
}

void rn_layer_stack_cast_weights(rn_layer_stack *stage, const rn_real *params, rn_range range) {
  enum { PIECE = 1 << 14 };
  const rn_kernels *kernels = rn_kernels_table();
  assert(0 <= range.begin && range.end <= stage->table->total);
  if (!stage->bf16) return;
#pragma omp parallel for schedule(static)
  for (int64_t at = range.begin; at < range.end; at += PIECE) {
    const int64_t left = range.end - at;
    kernels->round_bf16(left < PIECE ? left : PIECE, params + at, stage->weights + at);
  }
}

rn_status rn_layer_stack_measure(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                                 rn_stage_sizes *out) {
  rn_layer_stack *stage;
  RN_TRY(err, outline(err, spec, shape, &stage));
  *out = (rn_stage_sizes){
      .parameters = stage->table->total,
      .work_bytes = rn_norm_sums_bytes(spec->dim) + rn_block_retention_bytes(&stage->retention),
      .copy_bytes = rn_layer_stack_bf16_shadow_bytes(stage)};
  for (int keep = RN_SAVE_NOTHING; keep <= RN_SAVE_ALL; keep++) {
    out->activation_bytes[keep] = rn_activations_bytes(&stage->memory, (rn_save_policy)keep);
    out->workspace_bytes[keep] =
        rn_stage_memory_workspace_bytes(&stage->memory, (rn_save_policy)keep);
    out->buffers[keep] = stage->memory.plan[keep];
  }
  rn_layer_stack_destroy(&stage);
  return RN_OK;
}

rn_status rn_activations_create(rn_err *err, rn_layer_stack *stage, rn_save_policy keep,
                                rn_activations **out) {
  return rn_stage_memory_create_activations(err, &stage->memory, keep, out);
}

static void copy_rows(const rn_layer_stack *stage, const rn_unit *unit, const rn_real *from,
                      rn_real *to) {
  const size_t count = (size_t)unit->sequences * (size_t)unit->tokens * (size_t)stage->spec.dim;
  if (to != from) memcpy(to, from, count * sizeof *to);
}

/* Recomputes a layer's forward from its saved input, into the activations that layers share. */
static rn_status recompute(rn_err *err, rn_layer_stack *stage, const rn_pass *pass, int layer) {
  rn_layer_activations *activations = &pass->activations->layer[layer];
  rn_state_replay replay = {.before = rn_activations_before(pass->activations, layer)};
  rn_scan_port port = rn_state_replay_port(&replay);
  rn_pass forward = *pass;
  forward.port = &port;
  forward.form = RN_FORM_CHUNKWISE;
  forward.train = pass->activations->train;
  rn_span_phase("recompute forward");
  rn_span_begin("layer");
  RN_TRY(err, rn_layer_forward(err, &stage->layer[layer], &forward,
                               rn_layer_activations_input(activations), activations, NULL));
  rn_progress_unit();
  rn_span_end();
  return RN_OK;
}

/* Where the input rows of layer `index` are written; for layer_count, the stage's output y. */
static rn_real *rows_before(const rn_layer_stack *stage, const rn_activations *activations,
                            int index, rn_real *y) {
  if (index == stage->layer_count) return y;
  return rn_layer_activations_input(&activations->layer[index]);
}

rn_status rn_layer_stack_forward(rn_err *err, rn_layer_stack *stage, const rn_pass *pass,
                                 const rn_real *x, rn_real *y) {
  const rn_unit *unit = pass->unit;
  rn_activations *activations = pass->activations;
  assert(unit->sequences <= stage->max_sequences && unit->tokens <= stage->max_tokens);
  activations->train = pass->train;
  rn_span_phase("embedding");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_EMBED);
  rn_real *rows = rows_before(stage, activations, 0, y);
  if (stage->has_embedding) {
    RN_TRY(err, wait_for(err, stage, 0));
    rn_embed_forward(&stage->embed, pass, activations->embed_stat, rows);
  } else {
    copy_rows(stage, unit, x, rows);
  }
  for (int i = 0; i < stage->layer_count; i++) {
    rn_real *next = rows_before(stage, activations, i + 1, y);
    RN_TRY(err, wait_for(err, stage, 1 + i));
    const double begin_s = rn_slowdown_begin();
    RN_TRY(err, rn_layer_forward(err, &stage->layer[i], pass, rows, &activations->layer[i], next));
    rn_slowdown_end(begin_s);
    rn_progress_unit();
    rows = next;
  }
  if (activations->keep != RN_SAVE_NOTHING) copy_rows(stage, unit, y, activations->last);
  return RN_OK;
}

void rn_layer_stack_loss(rn_layer_stack *stage, const rn_pass *pass, rn_loss *loss) {
  assert(stage->has_head);
  rn_workspace_begin(stage->memory.head_workspace, RN_UNIT_PHASE_HEAD);
  rn_head_loss(&stage->head, pass->params, &stage->memory.head_work, loss, pass->accumulator);
}

void rn_layer_stack_logits(rn_layer_stack *stage, const rn_real *params, int rows, const rn_real *y,
                           rn_real *logits) {
  assert(stage->has_head && rows <= max_rows(stage));
  rn_workspace_begin(stage->memory.head_workspace, RN_UNIT_PHASE_HEAD);
  rn_head_logits(&stage->head, params, rows, y, &stage->memory.head_work, logits);
}

rn_status rn_layer_stack_backward_input(rn_err *err, rn_layer_stack *stage, const rn_pass *pass,
                                        rn_real *dy, rn_real *dx) {
  rn_activations *activations = pass->activations;
  const bool again = activations->keep == RN_SAVE_INPUTS;
  rn_pass down = *pass;
  assert(activations->keep != RN_SAVE_NOTHING &&
         (pass->weights || activations->keep != RN_SAVE_MOST));
  activations->weights_done = down.weights = pass->weights || again;
  down.train = activations->train;
  for (int i = stage->layer_count - 1; i >= 0; i--) {
    const double begin_s = rn_slowdown_begin();
    if (again) RN_TRY(err, recompute(err, stage, pass, i));
    RN_TRY(err, rn_layer_backward_input(err, &stage->layer[i], &down, &activations->layer[i], dy));
    rn_slowdown_end(begin_s);
    rn_progress_unit();
    if (down.weights) tell_of(stage, 1 + i);
  }
  rn_span_phase("embedding");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_D_EMBED);
  if (stage->has_embedding) {
    rn_embed_backward(&stage->embed, &down, activations->embed_stat, activations->d_embed, dy);
    tell_of(stage, 0);
  } else {
    copy_rows(stage, pass->unit, dy, dx);
  }
  return RN_OK;
}

void rn_layer_stack_backward_weight(rn_layer_stack *stage, const rn_pass *pass) {
  const rn_activations *activations = pass->activations;
  for (int i = stage->layer_count - 1; !activations->weights_done && i >= 0; i--) {
    const double begin_s = rn_slowdown_begin();
    rn_layer_backward_weight(&stage->layer[i], pass, &activations->layer[i]);
    rn_slowdown_end(begin_s);
    rn_progress_unit();
    tell_of(stage, 1 + i);
  }
}

const rn_real *rn_layer_stack_hidden(const rn_activations *activations, int layer) {
  const int index = layer - activations->first_layer;
  if (index == activations->layer_count) return activations->last;
  return rn_layer_activations_input(&activations->layer[index]);
}
