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
#include "model/stage/waiting_units.h"
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
  rn_block_attention attention;
  int attending;                /* number of attention layers of this stage */
  rn_block_retention *of_layer; /* [layer_count]: one copy per layer, with the layer's decays; NULL
                                   if all decays are equal */
  bool has_embedding, has_head;
  rn_embed embed;
  rn_head head;
  rn_arena arena;
  bool bf16;        /* true if the operands of matrix products are in bf16 */
  rn_bf16 *weights; /* [total]: the bf16 shadow, or NULL */
  rn_bf16 *own;     /* the bf16 shadow if the stack owns it, else NULL */
  rn_stage_memory memory;
  rn_weight_queue *queue; /* deferred weight gradients */
  rn_waiting_units waiting;
};

static int64_t max_rows(const rn_layer_stack *stack) {
  const int64_t rows = (int64_t)stack->max_sequences * stack->max_tokens;
  return rows > 0 ? rows : 1;
}

/* True if the stage has retention layers or no layers at all. */
static bool retains(const rn_layer_stack *stack) {
  return stack->attending == 0 || stack->attending < stack->layer_count;
}

static bool attends(const rn_layer_stack *stack) {
  return stack->attending > 0;
}

static rn_layer make_layer(rn_layer_stack *stack, int index) {
  const rn_spec *spec = &stack->spec;
  const rn_layer_params *at = &stack->table->layer[index];
  return (rn_layer){
      .index = stack->first_layer + index,
      .pre_norm = spec->pre_norm,
      .residual = (rn_real)rn_spec_residual(spec),
      .dropout = spec->dropout,
      .seed = stack->seed,
      .at = *at,
      .retention_norm = rn_norm_make(spec, at->retention_norm, at->retention_norm_bias),
      .ffn_norm = rn_norm_make(spec, at->ffn_norm, at->ffn_norm_bias),
      .retention = retains(stack) ? &stack->retention : NULL,
      .attention = attends(stack) ? &stack->attention : NULL,
      .attends = rn_spec_attends(spec, stack->first_layer + index),
      .bf16 = stack->bf16,
      .ffn = rn_ffn_block_make(spec, at, stack->bf16)};
}

/* Stores the address of the bf16 shadow in all objects that read it. */
static void place_copy(rn_layer_stack *stack, rn_bf16 *copy) {
  stack->weights = copy;
  stack->head.weights = copy;
  stack->retention.weights = copy;
  stack->attention.weights = copy;
  for (int i = 0; i < stack->layer_count; i++) {
    stack->layer[i].ffn.weights = copy;
    if (stack->layer[i].retention != NULL) stack->layer[i].retention->weights = copy;
  }
}

static rn_status take_copy(rn_err *err, rn_layer_stack *stack) {
  if (!stack->bf16) return RN_OK;
  RN_TRY(err, rn_alloc(err, "weights in bf16", (size_t)stack->table->total, sizeof *stack->own,
                       &stack->own));
  place_copy(stack, stack->own);
  return RN_OK;
}

/* Lets all norms share one buffer for the sums of their backward, because only one norm runs at a
 * time. */
static void place_norm_sums(rn_layer_stack *stack, double *sums) {
  stack->embed.norm.sums = sums;
  stack->head.norm.sums = sums;
  for (int i = 0; i < stack->layer_count; i++) {
    stack->layer[i].retention_norm.sums = sums;
    stack->layer[i].ffn_norm.sums = sums;
  }
}

/* If decays differ between layers, gives every layer a retention block with the layer's decays; the
 * blocks share all other memory. */
static rn_status place_decays(rn_err *err, rn_layer_stack *stack) {
  if (!rn_spec_decay_varies(&stack->spec) || !retains(stack)) return RN_OK;
  RN_TRY(err, rn_alloc(err, "retention of layers", (size_t)stack->layer_count,
                       sizeof *stack->of_layer, &stack->of_layer));
  for (int i = 0; i < stack->layer_count; i++) {
    stack->of_layer[i] = stack->retention;
    stack->of_layer[i].core = rn_retention_of_layer(&stack->retention.core, stack->first_layer + i);
    stack->layer[i].retention = &stack->of_layer[i];
  }
  return RN_OK;
}

/* Allocates the memory of the retention and attention blocks, the scratch memory in which the norms
 * sum the gradients of their weights, the weight queue, and the bf16 shadow. Workspaces are
 * allocated with the activations. */
static rn_status take_work(rn_err *err, rn_layer_stack *stack) {
  const rn_spec *spec = &stack->spec;
  if (retains(stack)) {
    RN_TRY(err, rn_block_retention_create(err, spec, stack->max_sequences, stack->max_tokens,
                                          &stack->retention));
  }
  if (attends(stack)) {
    const rn_block_attention_limits limits = {stack->max_sequences, stack->max_tokens,
                                              stack->attention.core.max_keys};
    RN_TRY(err, rn_block_attention_create(err, spec, limits, &stack->attention));
  }
  RN_TRY(err, place_decays(err, stack));
  RN_TRY(err, rn_arena_create(err, rn_norm_sums_bytes(spec->dim), &stack->arena));
  RN_TRY(err, rn_weight_queue_create(err, &stack->queue));
  stack->waiting = (rn_waiting_units){.layer = stack->layer, .queue = stack->queue};
  rn_weight_queue_set_source(stack->queue, rn_waiting_units_source(&stack->waiting));
  place_norm_sums(stack, rn_arena_take(&stack->arena, rn_norm_sums_bytes(spec->dim)));
  return take_copy(err, stack);
}

/* Creates a stack without the memory that take_work allocates. This suffices to compute sizes. */
static rn_status outline(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                         rn_layer_stack **out) {
  const int first_layer = shape.first_layer, last_layer = shape.last_layer;
  assert(0 <= first_layer && first_layer <= last_layer && last_layer <= spec->layers);
  *out = NULL;
  rn_layer_stack *stack;
  RN_TRY(err, rn_alloc(err, "stage", 1, sizeof *stack, &stack));
  stack->spec = *spec;
  stack->first_layer = first_layer;
  stack->layer_count = last_layer - first_layer;
  stack->max_sequences = shape.max_sequences;
  stack->max_tokens = shape.max_tokens;
  stack->seed = shape.seed;
  stack->bf16 = rn_gemm_takes_bf16();
  stack->has_embedding = first_layer == 0;
  stack->has_head = last_layer == spec->layers;
  rn_status status;
  if ((status = rn_alloc(err, "layers", (size_t)stack->layer_count, sizeof *stack->layer,
                         &stack->layer)) != RN_OK ||
      (status = rn_param_table_create(err, spec, first_layer, last_layer, &stack->table)) !=
          RN_OK) {
    rn_layer_stack_destroy(&stack);
    return status;
  }
  stack->attending = rn_spec_attention_layers(spec, first_layer, last_layer);
  if (retains(stack)) {
    stack->retention = rn_block_retention_shape(spec, shape.max_sequences, shape.max_tokens);
  }
  if (attends(stack)) {
    stack->attention = rn_block_attention_shape(
        spec, (rn_block_attention_limits){shape.max_sequences, shape.max_tokens, shape.max_keys});
  }
  if (stack->has_embedding) stack->embed = rn_embed_make(spec, stack->table, shape.seed);
  if (stack->has_head) stack->head = rn_head_make(spec, stack->table);
  stack->head.bf16 = stack->bf16;
  for (int i = 0; i < stack->layer_count; i++) stack->layer[i] = make_layer(stack, i);
  stack->memory = (rn_stage_memory){.layer = stack->layer,
                                    .first_layer = first_layer,
                                    .layer_count = stack->layer_count,
                                    .rows = max_rows(stack),
                                    .dim = spec->dim,
                                    .embed = stack->has_embedding ? &stack->embed : NULL,
                                    .head = stack->has_head ? &stack->head : NULL};
  rn_stage_memory_plan(&stack->memory);
  *out = stack;
  return RN_OK;
}

rn_status rn_layer_stack_create(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                                rn_layer_stack **out) {
  RN_TRY(err, outline(err, spec, shape, out));
  rn_status status = take_work(err, *out);
  if (status != RN_OK) rn_layer_stack_destroy(out);
  return status;
}

void rn_layer_stack_destroy(rn_layer_stack **stack) {
  if (*stack == NULL) return;
  rn_block_retention_destroy(&(*stack)->retention);
  rn_block_attention_destroy(&(*stack)->attention);
  rn_arena_destroy(&(*stack)->arena);
  rn_stage_memory_destroy(&(*stack)->memory);
  rn_weight_queue_destroy(&(*stack)->queue);
  rn_param_table_destroy(&(*stack)->table);
  free((*stack)->layer);
  free((*stack)->of_layer);
  free((*stack)->own);
  free(*stack);
  *stack = NULL;
}

void rn_layer_stack_attach(rn_layer_stack *stack, rn_layer_group_port port) {
  stack->port = port;
}

static rn_status wait_for(rn_err *err, const rn_layer_stack *stack, int group) {
  return stack->port.wait == NULL ? RN_OK : stack->port.wait(err, stack->port.self, group);
}

static void report_group(const rn_layer_stack *stack, int group) {
  if (stack->port.added != NULL) stack->port.added(stack->port.self, group);
}

static void group_is_complete(void *self, int group) {
  report_group(self, group);
}

/* Reports a layer group once its deferred weight gradients are complete. */
static void report_group_later(rn_layer_stack *stack, int group) {
  rn_weight_queue_notify(stack->queue, (rn_weight_queue_event){stack, group, group_is_complete});
}

const rn_param_table *rn_layer_stack_table(const rn_layer_stack *stack) {
  return stack->table;
}

size_t rn_layer_stack_bf16_shadow_bytes(const rn_layer_stack *stack) {
  return stack->bf16 ? (size_t)stack->table->total * sizeof(rn_bf16) : 0;
}

void rn_layer_stack_use_bf16_shadow(rn_layer_stack *stack, rn_bf16 *copy) {
  assert(stack->bf16);
  free(stack->own);
  stack->own = NULL;
  place_copy(stack, copy);
}

void rn_layer_stack_cast_weights(rn_layer_stack *stack, const rn_real *params, rn_range range) {
  enum { PIECE = 1 << 14 };
  const rn_kernels *kernels = rn_kernels_table();
  assert(0 <= range.begin && range.end <= stack->table->total);
  if (!stack->bf16) return;
#pragma omp parallel for schedule(static)
  for (int64_t at = range.begin; at < range.end; at += PIECE) {
    const int64_t left = range.end - at;
    kernels->round_bf16(left < PIECE ? left : PIECE, params + at, stack->weights + at);
  }
}

rn_status rn_layer_stack_measure(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                                 rn_stage_sizes *out) {
  rn_layer_stack *stack;
  RN_TRY(err, outline(err, spec, shape, &stack));
  const size_t blocks = (retains(stack) ? rn_block_retention_bytes(&stack->retention) : 0) +
                        (attends(stack) ? rn_block_attention_bytes(&stack->attention) : 0);
  *out = (rn_stage_sizes){
      .parameters = stack->table->total,
      .work_bytes = rn_norm_sums_bytes(spec->dim) + blocks + rn_weight_queue_bytes(),
      .copy_bytes = rn_layer_stack_bf16_shadow_bytes(stack)};
  for (int save = RN_SAVE_NOTHING; save <= RN_SAVE_ALL; save++) {
    out->activation_bytes[save] = rn_activations_bytes(&stack->memory, (rn_save_policy)save);
    out->workspace_bytes[save] =
        rn_stage_memory_workspace_bytes(&stack->memory, (rn_save_policy)save);
    out->buffers[save] = stack->memory.plan[save];
  }
  rn_layer_stack_destroy(&stack);
  return RN_OK;
}

rn_status rn_activations_create(rn_err *err, rn_layer_stack *stack, rn_save_policy save,
                                rn_activations **out) {
  return rn_stage_memory_create_activations(err, &stack->memory, save, out);
}

static void copy_rows(const rn_layer_stack *stack, const rn_unit *unit, const rn_real *from,
                      rn_real *to) {
  const int64_t rows = (int64_t)unit->sequences * unit->tokens, dim = stack->spec.dim;
  if (to == from) return;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; r++) {
    memcpy(to + r * dim, from + r * dim, (size_t)dim * sizeof *to);
  }
}

/* Recomputes a layer's forward from the saved input, into the activations that all layers share. */
static rn_status recompute(rn_err *err, rn_layer_stack *stack, const rn_pass *pass, int layer) {
  rn_layer_activations *activations = &pass->activations->layer[layer];
  rn_state_replay replay = {.before = rn_activations_before(pass->activations, layer)};
  rn_scan_port port = rn_state_replay_port(&replay);
  rn_pass forward = *pass;
  forward.port = &port;
  forward.form = RN_FORM_CHUNKWISE;
  forward.train = pass->activations->train;
  rn_span_phase("recompute forward");
  rn_span_begin("layer");
  RN_TRY(err, rn_layer_forward(err, &stack->layer[layer], &forward,
                               rn_layer_activations_input(activations), activations, NULL));
  rn_progress_unit();
  rn_span_end();
  return RN_OK;
}

/* Returns the array to which the input rows of layer `index` are written. For index = layer_count,
 * returns the stage's output y. */
static rn_real *rows_before(const rn_layer_stack *stack, const rn_activations *activations,
                            int index, rn_real *y) {
  if (index == stack->layer_count) return y;
  return rn_layer_activations_input(&activations->layer[index]);
}

rn_status rn_layer_stack_forward(rn_err *err, rn_layer_stack *stack, const rn_pass *pass,
                                 const rn_real *x, rn_real *y) {
  const rn_unit *unit = pass->unit;
  rn_activations *activations = pass->activations;
  rn_pass up = *pass;
  up.queue = stack->queue;
  assert(unit->sequences <= stack->max_sequences && unit->tokens <= stack->max_tokens);
  activations->train = pass->train;
  rn_span_phase("embedding");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_EMBED);
  rn_real *rows = rows_before(stack, activations, 0, y);
  if (stack->has_embedding) {
    RN_TRY(err, wait_for(err, stack, 0));
    rn_embed_forward(&stack->embed, pass, activations->embed_stat, rows);
  } else {
    copy_rows(stack, unit, x, rows);
  }
  for (int i = 0; i < stack->layer_count; i++) {
    rn_real *next = rows_before(stack, activations, i + 1, y);
    RN_TRY(err, wait_for(err, stack, 1 + i));
    const double begin_s = rn_slowdown_begin();
    RN_TRY(err, rn_layer_forward(err, &stack->layer[i], &up, rows, &activations->layer[i], next));
    rn_slowdown_end(begin_s);
    rn_progress_unit();
    rows = next;
  }
  if (activations->save != RN_SAVE_NOTHING) copy_rows(stack, unit, y, activations->rows);
  return RN_OK;
}

void rn_layer_stack_loss(rn_layer_stack *stack, const rn_pass *pass, rn_loss *loss) {
  assert(stack->has_head);
  rn_workspace_begin(stack->memory.head_workspace, RN_UNIT_PHASE_HEAD);
  rn_head_loss(&stack->head, pass->params, &stack->memory.head_work, loss, pass->accumulator);
}

void rn_layer_stack_logits(rn_layer_stack *stack, const rn_real *params, int rows, const rn_real *y,
                           rn_real *logits) {
  assert(stack->has_head && rows <= max_rows(stack));
  rn_workspace_begin(stack->memory.head_workspace, RN_UNIT_PHASE_HEAD);
  rn_head_logits(&stack->head, params, rows, y, &stack->memory.head_work, logits);
}

rn_status rn_layer_stack_backward_input(rn_err *err, rn_layer_stack *stack, const rn_pass *pass,
                                        rn_real *dy, rn_real *dx) {
  rn_activations *activations = pass->activations;
  const bool recomputes = activations->save == RN_SAVE_INPUTS;
  rn_pass down = *pass;
  down.queue = stack->queue;
  assert(activations->save != RN_SAVE_NOTHING &&
         (pass->weights || activations->save != RN_SAVE_MOST));
  activations->weights_done = down.weights = pass->weights || recomputes;
  /* No other unit may have deferred weight gradients now: both units would add to the same gradient
   * at the same time. */
  assert(!down.weights || stack->waiting.first == NULL);
  down.train = activations->train;
  for (int i = stack->layer_count - 1; i >= 0; i--) {
    const double begin_s = rn_slowdown_begin();
    if (recomputes) RN_TRY(err, recompute(err, stack, pass, i));
    RN_TRY(err, rn_layer_backward_input(err, &stack->layer[i], &down, &activations->layer[i], dy));
    if (recomputes || (down.weights && i == 0)) {
      rn_span_phase("weight gradient GEMMs");
      rn_weight_queue_finish(stack->queue, NULL);
    }
    rn_slowdown_end(begin_s);
    rn_progress_unit();
    if (down.weights) report_group_later(stack, 1 + i);
  }
  rn_span_phase("embedding");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_D_EMBED);
  if (stack->has_embedding) {
    rn_embed_backward(&stack->embed, &down, activations->embed_stat, activations->d_embed, dy);
    report_group(stack, 0);
  } else {
    copy_rows(stack, pass->unit, dy, dx);
  }
  if (!activations->weights_done) rn_waiting_units_add(&stack->waiting, pass);
  return RN_OK;
}

static void layer_is_complete(void *self, int layer) {
  report_group(self, 1 + layer);
}

void rn_layer_stack_backward_weight(rn_layer_stack *stack, const rn_pass *pass) {
  if (pass->activations->weights_done) return;
  rn_span_phase("weight gradient GEMMs");
  rn_waiting_units_finish(&stack->waiting, pass->activations,
                          (rn_weight_queue_event){.self = stack, .complete = layer_is_complete});
  pass->activations->weights_done = true;
}

void rn_layer_stack_run_waiting_weights(rn_layer_stack *stack, rn_weight_queue_until until) {
  if (stack->waiting.first == NULL) return;
  const double begin_s = rn_slowdown_begin();
  rn_span_begin("weight gradients while waiting");
  rn_weight_queue_run(stack->queue, until);
  rn_span_end();
  rn_slowdown_end(begin_s);
}

const rn_real *rn_layer_stack_hidden(const rn_activations *activations, int layer) {
  const int index = layer - activations->first_layer;
  if (index == activations->layer_count) return activations->rows;
  return rn_layer_activations_input(&activations->layer[index]);
}
