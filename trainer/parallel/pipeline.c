#include "trainer/parallel/pipeline.h"

#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"

static bool is_first(const rn_pipeline *p) {
  return p->p2p == NULL || rn_pipeline_p2p_is_first(p->p2p);
}

static bool is_last(const rn_pipeline *p) {
  return p->p2p == NULL || rn_pipeline_p2p_is_last(p->p2p);
}

/* The stage waits for its other layer groups itself. */
static rn_status wait_for_head(rn_err *err, rn_pipeline *p) {
  if (p->optimizer == NULL) return RN_OK;
  const rn_layer_group_port port = rn_distributed_optimizer_port(p->optimizer);
  return port.wait(err, port.self, p->head);
}

static void tell_of_head(rn_pipeline *p) {
  if (p->optimizer == NULL) return;
  const rn_layer_group_port port = rn_distributed_optimizer_port(p->optimizer);
  port.added(port.self, p->head);
}

static int64_t rows_of(const rn_unit *unit) {
  return (int64_t)unit->sequences * unit->tokens;
}

/* ---- creation ---- */

/* A single stage receives no rows, so their gradient may use the same buffer. */
static bool is_alone(rn_pipeline_shape shape) {
  return shape.schedule.stages == 1;
}

static rn_status make_slots(rn_err *err, rn_pipeline *p, rn_pipeline_shape shape, size_t elements) {
  RN_TRY(err, rn_pipeline_schedule_create(err, p->schedule, shape.stage, &p->tasks));
  RN_TRY(err, rn_alloc(err, "slots", (size_t)p->tasks.pool, sizeof *p->slot, &p->slot));
  for (int i = 0; i < p->tasks.pool; i++) {
    rn_slot *slot = &p->slot[i];
    slot->rows_in = slot->rows_out = slot->gradient_in = slot->gradient_out =
        RN_PIPELINE_P2P_NO_MESSAGE;
    RN_TRY(err, rn_activations_create(err, p->stage, shape.keep, &slot->activations));
    slot->gradient = rn_activations_rows(slot->activations);
    if (is_alone(shape)) continue;
    RN_TRY(err, rn_alloc(err, "gradients of rows", elements, sizeof(float), &slot->gradient));
  }
  return RN_OK;
}

static rn_stage_shape stage_shape(rn_pipeline_shape shape) {
  return (rn_stage_shape){shape.first_layer, shape.last_layer, shape.sequences, shape.tokens,
                          shape.seed};
}

static rn_status make_parts(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                            rn_pipeline *p) {
  const size_t rows = (size_t)shape.sequences * (size_t)shape.tokens;
  const size_t elements = rows * (size_t)spec->dim;
  RN_TRY(err, rn_layer_stack_create(err, spec, stage_shape(shape), &p->stage));
  if (shape.schedule.microbatches > 0) {
    RN_TRY(err, make_slots(err, p, shape, elements));
    RN_TRY(err, rn_activations_create_alias(err, p->slot[0].activations, &p->loss_tape));
  } else {
    RN_TRY(err, rn_activations_create(err, p->stage, RN_SAVE_NOTHING, &p->loss_tape));
  }
  return rn_alloc(err, "losses of tokens", rows, sizeof(float), &p->token_loss);
}

rn_status rn_pipeline_measure(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                              rn_pipeline_sizes *out) {
  const size_t rows = (size_t)shape.sequences * (size_t)shape.tokens;
  const size_t rows_bytes = rows * (size_t)spec->dim * sizeof(float);
  rn_stage_sizes stage;
  int pool = 0;
  RN_TRY(err, rn_layer_stack_measure(err, spec, stage_shape(shape), &stage));
  if (shape.schedule.microbatches > 0) {
    RN_TRY(err, rn_pipeline_schedule_slots(err, shape.schedule, shape.stage, &pool));
  }
  const size_t gradient_bytes = is_alone(shape) ? 0 : rows_bytes;
  *out = (rn_pipeline_sizes){
      .parameters = stage.parameters,
      .pool = pool,
      .copy_bytes = stage.copy_bytes,
      .activation_bytes = (size_t)pool * (stage.tape_bytes[shape.keep] + gradient_bytes),
      .work_bytes = stage.work_bytes + rows * sizeof(float)};
  out->work_bytes += stage.shared_bytes[pool > 0 ? shape.keep : RN_SAVE_NOTHING];
  if (pool == 0) out->work_bytes += stage.tape_bytes[RN_SAVE_NOTHING];
  return RN_OK;
}

rn_status rn_pipeline_create(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                             rn_pipeline_p2p *p2p, rn_pipeline *out) {
  *out = (rn_pipeline){.p2p = p2p,
                       .dim = spec->dim,
                       .head = 1 + shape.last_layer - shape.first_layer,
                       .schedule = shape.schedule};
  rn_status status = make_parts(err, spec, shape, out);
  if (status != RN_OK) rn_pipeline_destroy(out);
  return status;
}

void rn_pipeline_attach(rn_pipeline *p, rn_distributed_optimizer *optimizer) {
  p->optimizer = optimizer;
  rn_layer_stack_attach(p->stage, rn_distributed_optimizer_port(optimizer));
}

void rn_pipeline_destroy(rn_pipeline *p) {
  for (int i = 0; p->slot != NULL && i < p->tasks.pool; i++) {
    rn_slot *slot = &p->slot[i];
    if (slot->activations != NULL && slot->gradient != rn_activations_rows(slot->activations))
      free(slot->gradient);
    rn_activations_destroy(&slot->activations);
  }
  free(p->slot);
  rn_activations_destroy(&p->loss_tape);
  rn_layer_stack_destroy(&p->stage);
  rn_pipeline_schedule_destroy(&p->tasks);
  free(p->token_loss);
  *p = (rn_pipeline){0};
}

/* ---- training ---- */

/* Context of one training step: the pipeline and the data of its tasks. */
typedef struct training {
  rn_pipeline *pipeline;
  const rn_unit *unit; /* [micro-batches, segments] */
  rn_scan_source *scan;
  double scale;
  const rn_reduction_block_losses *block_losses;
  double *loss_sum;
  rn_grad_accumulator *accumulator;
} training;

/* Index of a task's unit in the step; the same on every stage. */
static int number_of(const training *t, const rn_task *task) {
  return task->microbatch * t->pipeline->schedule.segments + task->segment;
}

static const rn_unit *unit_of(const training *t, const rn_task *task) {
  return t->unit + number_of(t, task);
}

/* The pass context of a task, with the port of its scans. */
static rn_pass pass_of(const training *t, const rn_task *task) {
  const rn_pipeline *p = t->pipeline;
  return (rn_pass){.params = p->params,
                   .unit = unit_of(t, task),
                   .port = rn_scan_source_port(t->scan, task->microbatch, task->segment),
                   .form = RN_FORM_CHUNKWISE,
                   .train = true,
                   .weights = !p->schedule.split_weight,
                   .activations = p->slot[task->activations].activations,
                   .accumulator = t->accumulator};
}

static rn_pipeline_p2p_envelope envelope_of(const training *t, const rn_task *task,
                                            rn_pipeline_p2p_direction direction) {
  return (rn_pipeline_p2p_envelope){direction, number_of(t, task)};
}

/* Posts the receive of the rows for the slot's next forward task, at or after task `from`. */
static rn_status expect_rows(rn_err *err, training *t, int slot, int from) {
  rn_pipeline *p = t->pipeline;
  if (is_first(p)) return RN_OK;
  for (int i = from; i < p->tasks.count; i++) {
    const rn_task *task = &p->tasks.task[i];
    if (task->activations != slot || task->kind != RN_TASK_FORWARD) continue;
    RN_TRY(err, rn_pipeline_p2p_wait(err, p->p2p, &p->slot[slot].rows_out));
    return rn_pipeline_p2p_receive(
        err, p->p2p, envelope_of(t, task, RN_PIPELINE_P2P_ROWS), rows_of(unit_of(t, task)),
        rn_activations_rows(p->slot[slot].activations), &p->slot[slot].rows_in);
  }
  return RN_OK;
}

static rn_status forward(rn_err *err, training *t, const rn_task *task) {
  rn_pipeline *p = t->pipeline;
  rn_slot *slot = &p->slot[task->activations];
  const rn_unit *unit = unit_of(t, task);
  float *rows = rn_activations_rows(slot->activations);
  const rn_pass pass = pass_of(t, task);
  RN_TRY(err, rn_pipeline_p2p_wait(err, p->p2p, &slot->rows_in));
  RN_TRY(err, rn_pipeline_p2p_wait(err, p->p2p, &slot->rows_out));
  rn_comm_thread_release(p->comm_thread);
  rn_status status = rn_layer_stack_forward(err, p->stage, &pass, rows, rows);
  (void)rn_comm_thread_acquire(p->comm_thread);
  if (status != RN_OK) return status;
  if (is_last(p)) return RN_OK;
  RN_TRY(err, rn_pipeline_p2p_wait(err, p->p2p, &slot->gradient_out));
  RN_TRY(err, rn_pipeline_p2p_receive(err, p->p2p, envelope_of(t, task, RN_PIPELINE_P2P_GRADIENTS),
                                      rows_of(unit), slot->gradient, &slot->gradient_in));
  return rn_pipeline_p2p_send(err, p->p2p, envelope_of(t, task, RN_PIPELINE_P2P_ROWS),
                              rows_of(unit), rows, &slot->rows_out);
}

/* The reduction block of a unit that begins at token `first` of sequence b, as a unit for its loss;
 * *row is its first row. */
static rn_unit reduction_block_of(const rn_unit *unit, int b, int first, int64_t *row) {
  const int left = unit->tokens - first;
  rn_unit reduction_block = *unit;
  *row = (int64_t)b * unit->tokens + first;
  reduction_block.sequences = 1;
  reduction_block.tokens = left < unit->reduction_block ? left : unit->reduction_block;
  reduction_block.target = unit->target + *row;
  return reduction_block;
}

/* Loss and gradient of a unit whose rows begin at row `first` of the slot. */
static double loss_of_rows(training *t, const rn_unit *unit, rn_slot *slot, int64_t first) {
  rn_pipeline *p = t->pipeline;
  const rn_pass pass = {.params = p->params, .unit = unit, .accumulator = t->accumulator};
  rn_loss loss = {.rows = rows_of(unit),
                  .y = rn_activations_rows(slot->activations) + first * p->dim,
                  .target = unit->target,
                  .scale = t->scale,
                  .dy = slot->gradient + first * p->dim};
  rn_layer_stack_loss(p->stage, &pass, &loss);
  return loss.sum;
}

/* Loss and gradient of the reduction block that begins at token `first` of sequence b of a unit. */
static void loss_of_reduction_block(training *t, const rn_unit *unit, rn_slot *slot, int b,
                                    int first) {
  int64_t row;
  const rn_unit reduction_block = reduction_block_of(unit, b, first, &row);
  const int64_t sequence = unit->sequence_index[b] - t->block_losses->first_sequence;
  const int64_t place = unit->position - t->block_losses->first_position + first;
  const int64_t number = sequence * t->block_losses->each + place / unit->reduction_block;
  t->block_losses->loss[number] = loss_of_rows(t, &reduction_block, slot, row);
}

static void take_loss(training *t, const rn_unit *unit, rn_slot *slot) {
  if (unit->reduction_block == 0) {
    *t->loss_sum += loss_of_rows(t, unit, slot, 0);
    return;
  }
  for (int b = 0; b < unit->sequences; b++) {
    for (int first = 0; first < unit->tokens; first += unit->reduction_block) {
      loss_of_reduction_block(t, unit, slot, b, first);
    }
  }
}

/* The computation of a backward task; on the last stage it begins with the loss. */
static rn_status compute_backward(rn_err *err, training *t, const rn_task *task, rn_slot *slot) {
  rn_pipeline *p = t->pipeline;
  const rn_unit *unit = unit_of(t, task);
  if (is_last(p)) {
    RN_TRY(err, wait_for_head(err, p));
    take_loss(t, unit, slot);
    tell_of_head(p);
  }
  const rn_pass pass = pass_of(t, task);
  return rn_layer_stack_backward_input(err, p->stage, &pass, slot->gradient, slot->gradient);
}

/* The last stage computes the loss here, not in forward, so that the rows and their gradient need
 * no second buffer. */
static rn_status backward(rn_err *err, training *t, const rn_task *task) {
  rn_pipeline *p = t->pipeline;
  rn_slot *slot = &p->slot[task->activations];
  const rn_unit *unit = unit_of(t, task);
  RN_TRY(err, rn_pipeline_p2p_wait(err, p->p2p, &slot->gradient_in));
  if (is_last(p)) RN_TRY(err, rn_pipeline_p2p_wait(err, p->p2p, &slot->gradient_out));
  rn_comm_thread_release(p->comm_thread);
  rn_status status = compute_backward(err, t, task, slot);
  (void)rn_comm_thread_acquire(p->comm_thread);
  if (status != RN_OK) return status;
  if (is_first(p)) return RN_OK;
  return rn_pipeline_p2p_send(err, p->p2p, envelope_of(t, task, RN_PIPELINE_P2P_GRADIENTS),
                              rows_of(unit), slot->gradient, &slot->gradient_out);
}

/* The weight phase of backward. After it the slot is free, so the receive of the next unit's rows
 * is posted. */
static rn_status backward_weight(rn_err *err, training *t, int at) {
  rn_pipeline *p = t->pipeline;
  const rn_task *task = &p->tasks.task[at];
  const rn_pass pass = pass_of(t, task);
  rn_comm_thread_release(p->comm_thread);
  rn_layer_stack_backward_weight(p->stage, &pass);
  (void)rn_comm_thread_acquire(p->comm_thread);
  return expect_rows(err, t, task->activations, at + 1);
}

/* True if no task of this kind follows: its additions complete the step's gradients. */
static bool is_last_of_kind(const training *t, int at) {
  const rn_pipeline_schedule *tasks = &t->pipeline->tasks;
  for (int i = at + 1; i < tasks->count; i++) {
    if (tasks->task[i].kind == tasks->task[at].kind) return false;
  }
  return true;
}

static rn_status run_half(rn_err *err, training *t, int at, rn_task_kind kind) {
  const rn_task *task = &t->pipeline->tasks.task[at];
  rn_status status = RN_OK;
  if (t->pipeline->optimizer != NULL) t->pipeline->optimizer->last = is_last_of_kind(t, at);
  rn_progress_begin(rn_task_kind_name(kind), unit_of(t, task)->step);
  rn_span_begin_unit(rn_task_kind_name(kind), task->microbatch, task->segment);
  switch (kind) {
    case RN_TASK_FORWARD:
      status = forward(err, t, task);
      break;
    case RN_TASK_BACKWARD:
      status = backward(err, t, task);
      break;
    case RN_TASK_WEIGHT:
      status = backward_weight(err, t, at);
      break;
  }
  rn_span_end();
  return status;
}

/* Without split_weight, the weight phase of backward runs directly after the input phase. */
static rn_status run_task(rn_err *err, training *t, int at) {
  const rn_task_kind kind = t->pipeline->tasks.task[at].kind;
  RN_TRY(err, run_half(err, t, at, kind));
  if (kind != RN_TASK_BACKWARD || t->pipeline->schedule.split_weight) return RN_OK;
  return run_half(err, t, at, RN_TASK_WEIGHT);
}

rn_status rn_pipeline_train(rn_err *err, rn_pipeline *p, const rn_unit *unit, rn_scan_source *scan,
                            double scale, const rn_reduction_block_losses *block_losses,
                            double *loss_sum, rn_grad_accumulator *accumulator) {
  training t = {p, unit, scan, scale, block_losses, loss_sum, accumulator};
  for (int s = 0; s < p->tasks.pool; s++) RN_TRY(err, expect_rows(err, &t, s, 0));
  for (int i = 0; i < p->tasks.count; i++) RN_TRY(err, run_task(err, &t, i));
  for (int s = 0; s < p->tasks.pool; s++) {
    RN_TRY(err, rn_pipeline_p2p_wait(err, p->p2p, &p->slot[s].rows_out));
    RN_TRY(err, rn_pipeline_p2p_wait(err, p->p2p, &p->slot[s].gradient_out));
  }
  return RN_OK;
}

/* ---- losses only ---- */

/* Loss, without gradient, of a unit whose rows begin at row `first` of `rows`. */
static double loss_only(rn_pipeline *p, const rn_unit *unit, const float *rows, int64_t first) {
  const rn_pass pass = {.params = p->params, .unit = unit};
  rn_loss loss = {.rows = rows_of(unit),
                  .y = rows + first * p->dim,
                  .target = unit->target,
                  .token_loss = p->token_loss + first};
  rn_layer_stack_loss(p->stage, &pass, &loss);
  return loss.sum;
}

/* Adds the loss of a unit to *loss_sum, or in reproducible mode that of each reduction block to
 * *reduction_block_sum. */
static void add_losses(rn_pipeline *p, const rn_unit *unit, const float *rows, double *loss_sum,
                       rn_exact_sum *reduction_block_sum) {
  if (unit->reduction_block == 0) {
    *loss_sum += loss_only(p, unit, rows, 0);
    return;
  }
  for (int b = 0; b < unit->sequences; b++) {
    for (int first = 0; first < unit->tokens; first += unit->reduction_block) {
      int64_t row;
      const rn_unit reduction_block = reduction_block_of(unit, b, first, &row);
      rn_exact_sum_add(reduction_block_sum, loss_only(p, &reduction_block, rows, row));
    }
  }
}

rn_status rn_pipeline_loss_of_unit(rn_err *err, rn_pipeline *p, const rn_unit *unit, rn_form form,
                                   rn_scan_port *port, double *loss_sum,
                                   rn_exact_sum *reduction_block_sum) {
  const rn_pipeline_p2p_envelope envelope = {RN_PIPELINE_P2P_ROWS, 0};
  rn_pipeline_p2p_message message = RN_PIPELINE_P2P_NO_MESSAGE;
  float *rows = rn_activations_rows(p->loss_tape);
  const rn_pass pass = {
      .params = p->params, .unit = unit, .port = port, .form = form, .activations = p->loss_tape};
  if (!is_first(p)) {
    RN_TRY(err, rn_pipeline_p2p_receive(err, p->p2p, envelope, rows_of(unit), rows, &message));
    RN_TRY(err, rn_pipeline_p2p_wait(err, p->p2p, &message));
  }
  rn_comm_thread_release(p->comm_thread);
  rn_status status = rn_layer_stack_forward(err, p->stage, &pass, rows, rows);
  (void)rn_comm_thread_acquire(p->comm_thread);
  if (status != RN_OK) return status;
  if (!is_last(p)) {
    RN_TRY(err, rn_pipeline_p2p_send(err, p->p2p, envelope, rows_of(unit), rows, &message));
    return rn_pipeline_p2p_wait(err, p->p2p, &message);
  }
  RN_TRY(err, wait_for_head(err, p));
  add_losses(p, unit, rows, loss_sum, reduction_block_sum);
  return RN_OK;
}
