/* Checks the arguments of the calls of a stage and calls its backend. */
#include "model/stage/stage.h"

#include <assert.h>
#include <string.h>

#include "model/attention/block_attention.h"
#include "model/decode/decode.h"

static const rn_stage_ops *in_use = &rn_stage_cpu;

const rn_stage_ops *rn_stage_backend_swap(const rn_stage_ops *ops) {
  const rn_stage_ops *before = in_use;
  in_use = ops;
  return before;
}

/* ---- map and unmap ---- */

static void check_region(const rn_stage *stage, rn_stage_region region) {
  const bool of_slot = region.array == RN_STAGE_ROWS || region.array == RN_STAGE_ROWS_GRADIENT;
  assert((region.slot != NULL) == of_slot);
  assert(0 <= region.range.begin && region.range.begin <= region.range.end);
  assert(of_slot || region.range.end <= stage->table->total);
  (void)stage;
  (void)of_slot;
}

rn_status rn_stage_map(rn_err *err, rn_stage *stage, rn_stage_region region, rn_access access,
                       void **out) {
  check_region(stage, region);
  return stage->ops->map(err, stage, region, access, out);
}

rn_status rn_stage_unmap(rn_err *err, rn_stage *stage, rn_stage_region region, rn_access access) {
  check_region(stage, region);
  return stage->ops->unmap(err, stage, region, access);
}

rn_status rn_stage_write_weights(rn_err *err, rn_stage *stage, const float *weights,
                                 rn_range range) {
  const rn_stage_region region = {.array = RN_STAGE_WEIGHTS, .range = range};
  const float *from = weights + range.begin;
  void *to;
  RN_TRY(err, rn_stage_map(err, stage, region, RN_ACCESS_WRITE, &to));
  if (to != from) memcpy(to, from, (size_t)rn_range_count(range) * sizeof *from);
  return rn_stage_unmap(err, stage, region, RN_ACCESS_WRITE);
}

/* ---- creation ---- */

rn_status rn_stage_create(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage **out) {
  return in_use->create(err, spec, shape, out);
}

void rn_stage_destroy(rn_stage **stage) {
  if (*stage == NULL) return;
  (*stage)->ops->destroy(*stage);
  *stage = NULL;
}

rn_status rn_stage_measure(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                           rn_stage_sizes *out) {
  return in_use->measure(err, spec, shape, out);
}

const rn_param_table *rn_stage_params(const rn_stage *stage) {
  return stage->table;
}

size_t rn_stage_derived_bytes(const rn_stage *stage) {
  return stage->ops->derived_bytes(stage);
}

bool rn_stage_adopt_weights(rn_stage *stage, rn_weights_memory memory) {
  return stage->ops->adopt_weights(stage, memory);
}

bool rn_stage_adopt_gradient(rn_stage *stage, void *memory) {
  return stage->ops->adopt_gradient(stage, memory);
}

rn_status rn_stage_create_gradient(rn_err *err, rn_stage *stage, rn_gradient_kind kind,
                                   int64_t reduction_blocks) {
  return stage->ops->create_gradient(err, stage, kind, reduction_blocks);
}

rn_status rn_stage_slot_create(rn_err *err, rn_stage *stage, rn_stage_slot_shape shape,
                               rn_stage_slot **out) {
  assert(shape.reuse == NULL || (shape.save == RN_SAVE_NOTHING && !shape.separate_gradient));
  return stage->ops->slot_create(err, stage, shape, out);
}

void rn_stage_slot_destroy(rn_stage *stage, rn_stage_slot **slot) {
  if (*slot == NULL) return;
  stage->ops->slot_destroy(stage, *slot);
  *slot = NULL;
}

void rn_stage_attach(rn_stage *stage, rn_layer_group_port port) {
  stage->ops->attach(stage, port);
}

/* ---- the tasks of a unit ---- */

rn_status rn_stage_start_gradient(rn_err *err, rn_stage *stage) {
  return stage->ops->start_gradient(err, stage);
}

bool rn_stage_gradient_overflowed(const rn_stage *stage) {
  return stage->ops->gradient_overflowed(stage);
}

rn_status rn_stage_forward(rn_err *err, rn_stage *stage, rn_stage_slot *slot, const rn_pass *pass) {
  return stage->ops->forward(err, stage, slot, pass);
}

rn_status rn_stage_loss(rn_err *err, rn_stage *stage, rn_stage_slot *slot, rn_unit_loss *loss) {
  return stage->ops->loss(err, stage, slot, loss);
}

rn_status rn_stage_logits(rn_err *err, rn_stage *stage, rn_stage_slot *slot, rn_range rows,
                          float *logits) {
  return stage->ops->logits(err, stage, slot, rows, logits);
}

rn_status rn_stage_backward_input(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                  const rn_pass *pass) {
  return stage->ops->backward_input(err, stage, slot, pass);
}

rn_status rn_stage_backward_weight(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                   const rn_pass *pass) {
  return stage->ops->backward_weight(err, stage, slot, pass);
}

rn_status rn_stage_run_waiting_weights(rn_err *err, rn_stage *stage, rn_stage_until until) {
  return stage->ops->run_waiting_weights(err, stage, until);
}

rn_stage_row_size rn_stage_measure_rows(const rn_spec *spec) {
  const rn_attention_row_size size = rn_block_attention_row_size(spec);
  return (rn_stage_row_size){size.elements, size.bytes};
}

/* ---- decoding ---- */

rn_status rn_stage_decoder_create(rn_err *err, rn_stage *stage, rn_decoder_shape shape,
                                  rn_stage_decoder **out) {
  return stage->ops->decoder_create(err, stage, shape, out);
}

void rn_stage_decoder_destroy(rn_stage *stage, rn_stage_decoder **decoder) {
  if (*decoder == NULL) return;
  stage->ops->decoder_destroy(stage, *decoder);
  *decoder = NULL;
}

void rn_stage_decoder_reset(rn_stage *stage, rn_stage_decoder *decoder, int sequence) {
  stage->ops->decoder_reset(stage, decoder, sequence);
}

rn_status rn_stage_decoder_prefill(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                   rn_stage_decoder *decoder, rn_decoder_prompt prompt) {
  return stage->ops->decoder_prefill(err, stage, slot, decoder, prompt);
}

size_t rn_stage_decoder_saved_bytes(rn_stage *stage, rn_stage_decoder *decoder, int sequence) {
  return stage->ops->decoder_saved_bytes(stage, decoder, sequence);
}

rn_status rn_stage_decoder_save(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                                int sequence, void *to) {
  return stage->ops->decoder_save(err, stage, decoder, sequence, to);
}

int64_t rn_stage_saved_position(const void *saved, size_t bytes) {
  return rn_decoder_saved_position(saved, bytes);
}

rn_status rn_stage_decoder_load(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                                int sequence, const void *from, size_t bytes) {
  return stage->ops->decoder_load(err, stage, decoder, sequence, from, bytes);
}

rn_status rn_stage_decoder_step(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                                rn_decoder_tokens tokens) {
  return stage->ops->decoder_step(err, stage, decoder, tokens);
}
