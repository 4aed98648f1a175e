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

/* Waits for the weights of the head. The stage itself waits for the other layer groups. */
static rn_status wait_for_head(rn_err *err, rn_pipeline *p) {
  if (p->optimizer == NULL) return RN_OK;
  const rn_layer_group_port port = rn_distributed_optimizer_port(p->optimizer);
  return port.wait(err, port.self, p->head);
}

static void report_head(rn_pipeline *p) {
  if (p->optimizer == NULL) return;
  const rn_layer_group_port port = rn_distributed_optimizer_port(p->optimizer);
  port.added(port.self, p->head);
}

static int64_t rows_of(const rn_unit *unit) {
  return (int64_t)unit->sequences * unit->tokens;
}

/* ---- creation ---- */

/*
 * True if there is only one stage. It receives no rows from another stage, so a slot needs only one
 * buffer for the rows and their gradient.
 */
static bool is_single(rn_pipeline_shape shape) {
  return shape.schedule.stages == 1;
}

static rn_slot slot_of(rn_stage_slot *memory, int dim) {
  return (rn_slot){
      .memory = memory,
      .rows_in = rn_row_transfer_make(memory, RN_PIPELINE_P2P_ROWS, RN_ACCESS_WRITE, dim),
      .rows_out = rn_row_transfer_make(memory, RN_PIPELINE_P2P_ROWS, RN_ACCESS_READ, dim),
      .gradient_in = rn_row_transfer_make(memory, RN_PIPELINE_P2P_GRADIENTS, RN_ACCESS_WRITE, dim),
      .gradient_out = rn_row_transfer_make(memory, RN_PIPELINE_P2P_GRADIENTS, RN_ACCESS_READ, dim)};
}

static rn_status make_slots(rn_err *err, rn_pipeline *p, rn_pipeline_shape shape) {
  const rn_stage_slot_shape slot = {.save = shape.save, .separate_gradient = !is_single(shape)};
  RN_TRY(err, rn_pipeline_schedule_create(err, p->schedule, shape.stage, &p->tasks));
  RN_TRY(err, rn_alloc(err, "slots", (size_t)p->tasks.pool, sizeof *p->slot, &p->slot));
  for (int i = 0; i < p->tasks.pool; i++) {
    rn_stage_slot *memory;
    RN_TRY(err, rn_stage_slot_create(err, p->stage, slot, &memory));
    p->slot[i] = slot_of(memory, p->dim);
  }
  return RN_OK;
}

static rn_stage_shape stage_shape(rn_pipeline_shape shape) {
  return (rn_stage_shape){shape.first_layer, shape.last_layer, shape.sequences,
                          shape.tokens,      shape.seed,       shape.keys};
}

static rn_status make_parts(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                            rn_pipeline *p) {
  const size_t rows = (size_t)shape.sequences * (size_t)shape.tokens;
  rn_stage_slot *memory;
  RN_TRY(err, rn_stage_create(err, spec, stage_shape(shape), &p->stage));
  if (shape.schedule.microbatches > 0) RN_TRY(err, make_slots(err, p, shape));
  const rn_stage_slot_shape slot = {.save = RN_SAVE_NOTHING,
                                    .reuse = p->tasks.pool > 0 ? p->slot[0].memory : NULL};
  RN_TRY(err, rn_stage_slot_create(err, p->stage, slot, &memory));
  p->loss_slot = slot_of(memory, p->dim);
  return rn_alloc(err, "token losses", rows, sizeof(float), &p->token_loss);
}

rn_status rn_pipeline_measure(rn_err *err, const rn_spec *spec, rn_pipeline_shape shape,
                              rn_pipeline_sizes *out) {
  const size_t rows = (size_t)shape.sequences * (size_t)shape.tokens;
  const size_t rows_bytes = rows * (size_t)spec->dim * sizeof(float);
  rn_stage_sizes stage;
  int pool = 0;
  RN_TRY(err, rn_stage_measure(err, spec, stage_shape(shape), &stage));
  if (shape.schedule.microbatches > 0) {
    RN_TRY(err, rn_pipeline_schedule_slots(err, shape.schedule, shape.stage, &pool));
  }
  const size_t gradient_bytes = is_single(shape) ? 0 : rows_bytes;
  *out = (rn_pipeline_sizes){
      .parameters = stage.parameters,
      .pool = pool,
      .copy_bytes = stage.copy_bytes,
      .activation_bytes = (size_t)pool * (stage.activation_bytes[shape.save] + gradient_bytes),
      .work_bytes = stage.work_bytes + rows * sizeof(float),
      .buffers = stage.buffers[pool > 0 ? shape.save : RN_SAVE_NOTHING]};
  out->work_bytes += stage.workspace_bytes[pool > 0 ? shape.save : RN_SAVE_NOTHING];
  if (pool == 0) out->work_bytes += stage.activation_bytes[RN_SAVE_NOTHING];
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
  rn_stage_attach(p->stage, rn_distributed_optimizer_port(optimizer));
}

void rn_pipeline_destroy(rn_pipeline *p) {
  if (p->loss_slot.memory != NULL) rn_stage_slot_destroy(p->stage, &p->loss_slot.memory);
  for (int i = 0; p->slot != NULL && i < p->tasks.pool; i++) {
    rn_stage_slot_destroy(p->stage, &p->slot[i].memory);
  }
  free(p->slot);
  rn_stage_destroy(&p->stage);
  rn_pipeline_schedule_destroy(&p->tasks);
  free(p->token_loss);
  *p = (rn_pipeline){0};
}

/* ---- training ---- */

/* Context of one training step: the pipeline, and the data that its tasks use. */
typedef struct training {
  rn_pipeline *pipeline;
  rn_pipeline_batch batch;
  rn_scan_source *scan;
  double scale;
  rn_batch_loss *loss;
} training;

/* Returns the index of a task's unit in the step; it is the same on every stage. */
static int unit_index(const training *t, const rn_task *task) {
  return task->microbatch * t->pipeline->schedule.segments + task->segment;
}

static const rn_unit *unit_of(const training *t, const rn_task *task) {
  return t->batch.unit + unit_index(t, task);
}

/* Returns the port of keys and values for a task, or NULL. */
static rn_row_port *rows_of_task(rn_row_source *rows, const rn_task *task) {
  if (rows == NULL) return NULL;
  return rn_row_source_port(rows, (rn_row_source_unit){.microbatch = task->microbatch,
                                                       .segment = task->segment,
                                                       .length = rows->tokens,
                                                       .backward = task->kind != RN_TASK_FORWARD});
}

/* Returns the pass context of a task, with the port for the task's scans. */
static rn_pass pass_of(const training *t, const rn_task *task) {
  const rn_pipeline *p = t->pipeline;
  const rn_scan_unit unit = {task->microbatch, task->segment, t->batch.streams};
  return (rn_pass){.unit = unit_of(t, task),
                   .port = rn_scan_source_port(t->scan, unit),
                   .rows = rows_of_task(p->rows, task),
                   .form = RN_FORM_CHUNKWISE,
                   .train = true,
                   .weights = !p->schedule.split_weight};
}

static rn_status start(rn_err *err, const training *t, const rn_task *task,
                       rn_row_transfer *transfer) {
  const rn_pipeline *p = t->pipeline;
  return rn_row_transfer_start(err, transfer, p->p2p, p->stage, unit_index(t, task),
                               rows_of(unit_of(t, task)));
}

/* A transfer for which the stage waits. */
typedef struct awaited {
  const rn_pipeline *pipeline;
  rn_row_transfer *transfer;
  rn_err *err;
  rn_status status; /* status of the last rn_row_transfer_test */
} awaited;

static bool is_complete_or_failed(void *self) {
  awaited *a = self;
  bool complete = false;
  a->status = rn_row_transfer_test(a->err, a->transfer, a->pipeline->p2p, &complete);
  return complete || a->status != RN_OK;
}

/* Completes a transfer. While the message is in flight, the stage computes weight gradients that
 * belong to later weight tasks. */
static rn_status complete(rn_err *err, const rn_pipeline *p, rn_row_transfer *transfer) {
  if (p->schedule.split_weight && transfer->in_flight) {
    awaited a = {p, transfer, err, RN_OK};
    const rn_stage_until until = {&a, is_complete_or_failed};
    RN_TRY(err, rn_stage_run_waiting_weights(err, p->stage, until));
    RN_TRY(err, a.status);
  }
  return rn_row_transfer_wait(err, transfer, p->p2p, p->stage);
}

/* Posts the receive for the rows of the slot's next forward task at or after index `from`. */
static rn_status expect_rows(rn_err *err, training *t, int slot, int from) {
  rn_pipeline *p = t->pipeline;
  if (is_first(p)) return RN_OK;
  for (int i = from; i < p->tasks.count; i++) {
    const rn_task *task = &p->tasks.task[i];
    if (task->activations != slot || task->kind != RN_TASK_FORWARD) continue;
    RN_TRY(err, complete(err, p, &p->slot[slot].rows_out));
    return start(err, t, task, &p->slot[slot].rows_in);
  }
  return RN_OK;
}

static rn_status forward(rn_err *err, training *t, const rn_task *task) {
  rn_pipeline *p = t->pipeline;
  rn_slot *slot = &p->slot[task->activations];
  const rn_pass pass = pass_of(t, task);
  RN_TRY(err, complete(err, p, &slot->rows_in));
  RN_TRY(err, complete(err, p, &slot->rows_out));
  rn_comm_thread_release(p->comm_thread);
  rn_status status = rn_stage_forward(err, p->stage, slot->memory, &pass);
  (void)rn_comm_thread_acquire(p->comm_thread);
  if (status != RN_OK) return status;
  if (is_last(p)) return RN_OK;
  RN_TRY(err, complete(err, p, &slot->gradient_out));
  RN_TRY(err, start(err, t, task, &slot->gradient_in));
  return start(err, t, task, &slot->rows_out);
}

/*
 * Returns the reduction block that begins at token `first` of sequence b, as a unit for the
 * computation of the loss. *row is the first row of the block.
 */
static rn_unit reduction_block_of(const rn_unit *unit, int b, int first, int64_t *row) {
  const int left = unit->tokens - first;
  rn_unit reduction_block = *unit;
  *row = (int64_t)b * unit->tokens + first;
  reduction_block.sequences = 1;
  reduction_block.tokens = left < unit->reduction_block ? left : unit->reduction_block;
  reduction_block.target = unit->target + *row;
  return reduction_block;
}

/* Computes the loss and the gradient of a unit whose rows begin at row `first` of the slot. */
static rn_status loss_of_rows(rn_err *err, training *t, const rn_unit *unit, rn_slot *slot,
                              int64_t first, double *sum) {
  rn_unit_loss loss = {.unit = unit, .first_row = first, .gradient = true, .scale = t->scale};
  RN_TRY(err, rn_stage_loss(err, t->pipeline->stage, slot->memory, &loss));
  *sum += loss.sum;
  return RN_OK;
}

/*
 * Returns the element to which the loss of the reduction block that begins at token `first` of
 * sequence b is added.
 */
static double *loss_of_reduction_block(const training *t, const rn_unit *unit, int b, int first) {
  const int64_t sequence = unit->sequence_index[b] - t->loss->first_sequence;
  const int64_t position = unit->position - t->loss->first_position + first;
  return &t->loss->block[sequence * t->loss->each + position / unit->reduction_block];
}

static rn_status take_loss(rn_err *err, training *t, const rn_unit *unit, rn_slot *slot) {
  if (unit->reduction_block == 0) return loss_of_rows(err, t, unit, slot, 0, &t->loss->sum);
  for (int b = 0; b < unit->sequences; b++) {
    for (int first = 0; first < unit->tokens; first += unit->reduction_block) {
      int64_t row;
      const rn_unit block = reduction_block_of(unit, b, first, &row);
      RN_TRY(err,
             loss_of_rows(err, t, &block, slot, row, loss_of_reduction_block(t, unit, b, first)));
    }
  }
  return RN_OK;
}

/* Runs the computation of a backward task; on the last stage it begins with the loss. */
static rn_status compute_backward(rn_err *err, training *t, const rn_task *task, rn_slot *slot) {
  rn_pipeline *p = t->pipeline;
  const rn_unit *unit = unit_of(t, task);
  if (is_last(p)) {
    RN_TRY(err, wait_for_head(err, p));
    RN_TRY(err, take_loss(err, t, unit, slot));
    report_head(p);
  }
  const rn_pass pass = pass_of(t, task);
  return rn_stage_backward_input(err, p->stage, slot->memory, &pass);
}

/*
 * The last stage computes the loss here and not in forward, so that the rows and their gradient can
 * use one buffer.
 */
static rn_status backward(rn_err *err, training *t, const rn_task *task) {
  rn_pipeline *p = t->pipeline;
  rn_slot *slot = &p->slot[task->activations];
  RN_TRY(err, complete(err, p, &slot->gradient_in));
  if (is_last(p)) RN_TRY(err, complete(err, p, &slot->gradient_out));
  rn_comm_thread_release(p->comm_thread);
  rn_status status = compute_backward(err, t, task, slot);
  (void)rn_comm_thread_acquire(p->comm_thread);
  if (status != RN_OK) return status;
  return is_first(p) ? RN_OK : start(err, t, task, &slot->gradient_out);
}

/*
 * Runs the weight phase of backward. Then posts the receive for the rows of the next unit, because
 * the slot is free.
 */
static rn_status backward_weight(rn_err *err, training *t, int at) {
  rn_pipeline *p = t->pipeline;
  const rn_task *task = &p->tasks.task[at];
  const rn_pass pass = pass_of(t, task);
  rn_comm_thread_release(p->comm_thread);
  rn_status status =
      rn_stage_backward_weight(err, p->stage, p->slot[task->activations].memory, &pass);
  (void)rn_comm_thread_acquire(p->comm_thread);
  if (status != RN_OK) return status;
  return expect_rows(err, t, task->activations, at + 1);
}

/* True if no task of the same kind follows, so that this task completes the step's gradients. */
static bool is_last_of_kind(const training *t, int at) {
  const rn_pipeline_schedule *tasks = &t->pipeline->tasks;
  for (int i = at + 1; i < tasks->count; i++) {
    if (tasks->task[i].kind == tasks->task[at].kind) return false;
  }
  return true;
}

static rn_status run_phase(rn_err *err, training *t, int at, rn_task_kind kind) {
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

/*
 * Runs a task. Without split_weight, the weight phase of backward runs directly after the input
 * phase.
 */
static rn_status run_task(rn_err *err, training *t, int at) {
  const rn_task_kind kind = t->pipeline->tasks.task[at].kind;
  RN_TRY(err, run_phase(err, t, at, kind));
  if (kind != RN_TASK_BACKWARD || t->pipeline->schedule.split_weight) return RN_OK;
  return run_phase(err, t, at, RN_TASK_WEIGHT);
}

rn_status rn_pipeline_train(rn_err *err, rn_pipeline *p, rn_pipeline_batch batch,
                            rn_scan_source *scan, double scale, rn_batch_loss *loss) {
  training t = {p, batch, scan, scale, loss};
  for (int s = 0; s < p->tasks.pool; s++) RN_TRY(err, expect_rows(err, &t, s, 0));
  for (int i = 0; i < p->tasks.count; i++) RN_TRY(err, run_task(err, &t, i));
  for (int s = 0; s < p->tasks.pool; s++) {
    RN_TRY(err, complete(err, p, &p->slot[s].rows_out));
    RN_TRY(err, complete(err, p, &p->slot[s].gradient_out));
  }
  return RN_OK;
}

/* ---- losses only ---- */

/*
 * Computes the loss, without gradient, of a unit whose rows begin at row `first` of the loss slot.
 */
static rn_status loss_only(rn_err *err, rn_pipeline *p, const rn_unit *unit, int64_t first,
                           double *sum) {
  rn_unit_loss loss = {.unit = unit, .first_row = first, .token_loss = p->token_loss + first};
  RN_TRY(err, rn_stage_loss(err, p->stage, p->loss_slot.memory, &loss));
  *sum = loss.sum;
  return RN_OK;
}

static rn_status add_losses(rn_err *err, rn_pipeline *p, const rn_unit *unit, rn_loss_sum *sum) {
  double loss = 0;
  if (unit->reduction_block == 0) {
    RN_TRY(err, loss_only(err, p, unit, 0, &loss));
    sum->plain += loss;
    return RN_OK;
  }
  for (int b = 0; b < unit->sequences; b++) {
    for (int first = 0; first < unit->tokens; first += unit->reduction_block) {
      int64_t row;
      const rn_unit block = reduction_block_of(unit, b, first, &row);
      RN_TRY(err, loss_only(err, p, &block, row, &loss));
      rn_exact_sum_add(&sum->exact, loss);
    }
  }
  return RN_OK;
}

rn_status rn_pipeline_loss_of_unit(rn_err *err, rn_pipeline *p, const rn_unit *unit,
                                   rn_loss_pass how, rn_loss_sum *sum) {
  const rn_pass pass = {.unit = unit, .port = how.port, .rows = how.rows, .form = how.form};
  rn_slot *slot = &p->loss_slot;
  if (!is_first(p)) {
    RN_TRY(err, rn_row_transfer_start(err, &slot->rows_in, p->p2p, p->stage, 0, rows_of(unit)));
    RN_TRY(err, complete(err, p, &slot->rows_in));
  }
  rn_comm_thread_release(p->comm_thread);
  rn_status status = rn_stage_forward(err, p->stage, slot->memory, &pass);
  (void)rn_comm_thread_acquire(p->comm_thread);
  if (status != RN_OK) return status;
  if (!is_last(p)) {
    RN_TRY(err, rn_row_transfer_start(err, &slot->rows_out, p->p2p, p->stage, 0, rows_of(unit)));
    return complete(err, p, &slot->rows_out);
  }
  RN_TRY(err, wait_for_head(err, p));
  return add_losses(err, p, unit, sum);
}
