#include "model/retention/block_retention_buffers.h"

#include <stdlib.h>

#include "model/kernel/gemm.h"
#include "model/ops/row_sums.h"
#include "model/retention/block_retention_weights.h"
#include "proto/base/arena.h"

static int64_t rows_of(const rn_block_retention *b) {
  return (int64_t)b->max_sequences * b->max_tokens;
}

static int64_t state_count(const rn_block_retention *b) {
  return (int64_t)b->max_sequences * b->heads * b->key_width * b->value_width;
}

static int64_t chunk_state_count(const rn_block_retention *b) {
  const int chunks = rn_retention_chunks(&b->core, b->max_tokens);
  return state_count(b) * (chunks > 0 ? chunks : 1);
}

rn_block_retention rn_block_retention_shape(const rn_spec *spec, int max_sequences,
                                            int max_tokens) {
  const bool bf16 = rn_gemm_takes_bf16();
  return (rn_block_retention){.dim = spec->dim,
                              .value_dim = spec->value_dim,
                              .heads = spec->heads,
                              .key_width = rn_spec_key_width(spec),
                              .value_width = rn_spec_value_width(spec),
                              .ld_gated = rn_input_distance(spec->value_dim, bf16),
                              .max_sequences = max_sequences,
                              .max_tokens = max_tokens,
                              .gate = spec->gate,
                              .bf16 = bf16,
                              .pair = spec->dim + spec->value_dim,
                              .ld_pair = rn_row_distance(spec->dim + spec->value_dim, bf16),
                              .head_norm = spec->head_norm,
                              .eps = spec->norm_eps,
                              .core = rn_retention_shape(spec, max_tokens)};
}

/* Returns the size in bytes of the sums for the gradient of the head norm's weight. */
static size_t weight_sums_bytes(const rn_block_retention *b) {
  return b->head_norm == RN_HEAD_NORM_RMS_AFFINE ? rn_row_sums_bytes(1, b->value_width) : 0;
}

size_t rn_block_retention_bytes(const rn_block_retention *b) {
  return rn_retention_bytes(&b->core) + rn_rotary_bytes(b->key_width, b->max_tokens) +
         weight_sums_bytes(b);
}

rn_status rn_block_retention_create(rn_err *err, const rn_spec *spec, int max_sequences,
                                    int max_tokens, rn_block_retention *out) {
  *out = rn_block_retention_shape(spec, max_sequences, max_tokens);
  rn_status status = rn_retention_create(err, spec, max_tokens, &out->core);
  if (status == RN_OK) {
    status = rn_rotary_create(err, spec->rotary, out->key_width, max_tokens, &out->rotary);
  }
  if (status == RN_OK && weight_sums_bytes(out) > 0) {
    status = rn_alloc(err, "head weight sums", weight_sums_bytes(out), 1, &out->sums);
  }
  if (status != RN_OK) rn_block_retention_destroy(out);
  return status;
}

void rn_block_retention_destroy(rn_block_retention *block) {
  rn_retention_destroy(&block->core);
  rn_rotary_destroy(&block->rotary);
  free(block->sums);
  block->sums = NULL;
}

/* Returns the lifetime of `received`. After forward, only a recomputed forward reads it. */
static rn_buffer_use use_of_received(rn_save_policy policy) {
  rn_buffer_use use = rn_use_in_forward(RN_UNIT_PHASE_QG, RN_UNIT_PHASE_CROSS);
  if (policy == RN_SAVE_INPUTS) use.kind = RN_BUFFER_INPUT;
  return use;
}

static void take_saved(const rn_block_retention *b, const rn_buffer_space *s,
                       rn_block_retention_activations *t) {
  const int64_t rows = rows_of(b);
  t->kv = rn_buffer_array(
      s, "k, v", rows * b->ld_pair, b->bf16,
      rn_use_saved(RN_UNIT_PHASE_KV, RN_UNIT_PHASE_CROSS, RN_UNIT_PHASE_QKVG_WEIGHT));
  t->qg =
      rn_buffer_array(s, "q, g", rows * b->ld_pair, b->bf16,
                      rn_use_saved(RN_UNIT_PHASE_QG, RN_UNIT_PHASE_OUT, RN_UNIT_PHASE_QKVG_WEIGHT));
  t->normed = rn_buffer_array(s, "head norm", rows * b->value_dim, b->bf16,
                              rn_use_saved(b->bf16 ? RN_UNIT_PHASE_OUT : RN_UNIT_PHASE_INNER,
                                           RN_UNIT_PHASE_OUT, RN_UNIT_PHASE_D_OUT));
  /* With RN_SAVE_MOST, the weight gradient of the output projection is not deferred: `gated` would
   * have to stay live for longer, which would enlarge the workspace. */
  t->defers_out = s->plan->policy != RN_SAVE_MOST;
  t->gated = rn_buffer_array(
      s, "gated", rows * b->ld_gated, b->bf16,
      rn_use_recomputed(RN_UNIT_PHASE_OUT, RN_UNIT_PHASE_OUT, RN_UNIT_PHASE_D_OUT,
                        t->defers_out ? RN_UNIT_PHASE_SCAN_WEIGHT : RN_UNIT_PHASE_OUT_WEIGHT));
  t->factor =
      rn_buffer_reals(s, "head norm factor", rows * b->heads,
                      rn_use_saved(RN_UNIT_PHASE_OUT, RN_UNIT_PHASE_OUT, RN_UNIT_PHASE_D_OUT));
  t->states = rn_buffer_array(
      s, "states", chunk_state_count(b), b->bf16,
      rn_use_saved(RN_UNIT_PHASE_STATES, RN_UNIT_PHASE_CROSS, RN_UNIT_PHASE_D_CROSS));
  t->received =
      rn_buffer_reals(s, "state received", state_count(b), use_of_received(s->plan->policy));
}

/* Declares or gets the buffers of the scan (see rn_buffer_take), which forward and backward both
 * use. */
static void take_scanned(const rn_block_retention *b, const rn_buffer_space *s,
                         rn_block_retention_activations *t) {
  const rn_buffer_use scan =
      rn_use_twice(rn_use_in_forward(RN_UNIT_PHASE_STATES, RN_UNIT_PHASE_CROSS),
                   rn_use_in_backward(RN_UNIT_PHASE_D_STATES, RN_UNIT_PHASE_D_CROSS));
  t->own = rn_buffer_reals(s, "state of segment", state_count(b), scan);
  t->state = rn_buffer_reals(s, "scan state", state_count(b), scan);
  t->log_decay = rn_buffer_doubles(s, "log decay", (int64_t)b->max_sequences * b->heads, scan);
}

static void take_forward(const rn_block_retention *b, const rn_buffer_space *s,
                         rn_block_retention_activations *t) {
  const int64_t rows = rows_of(b);
  t->alpha = rn_buffer_reals(s, "alpha", rows * b->heads,
                             rn_use_in_forward(RN_UNIT_PHASE_INNER, RN_UNIT_PHASE_OUT));
  if (!b->bf16) {
    t->o = t->normed.at;
    t->chunk_states = t->states.at;
    return;
  }
  t->o = rn_buffer_reals(s, "o", rows * b->value_dim,
                         rn_use_in_forward(RN_UNIT_PHASE_INNER, RN_UNIT_PHASE_OUT));
  t->chunk_states = rn_buffer_reals(s, "chunk states", chunk_state_count(b),
                                    rn_use_in_forward(RN_UNIT_PHASE_STATES, RN_UNIT_PHASE_CROSS));
  t->kv_reals = rn_buffer_reals(s, "k, v in fp32", rows * b->ld_pair,
                                rn_use_in_forward(RN_UNIT_PHASE_STATES, RN_UNIT_PHASE_CROSS));
  t->q = rn_buffer_reals(s, "q in fp32", rows * b->dim,
                         rn_use_in_forward(RN_UNIT_PHASE_CROSS, RN_UNIT_PHASE_CROSS));
}

static void take_backward(const rn_block_retention *b, const rn_buffer_space *s,
                          rn_block_retention_activations *t) {
  const int64_t rows = rows_of(b);
  t->d_o = rn_buffer_array(s, "d o", rows * b->value_dim, b->bf16,
                           rn_use_in_backward(RN_UNIT_PHASE_D_OUT, RN_UNIT_PHASE_D_CROSS));
  t->d_kv = rn_buffer_reals(s, "d k, v", rows * b->ld_pair,
                            rn_use_in_backward(RN_UNIT_PHASE_D_INNER, RN_UNIT_PHASE_D_QKVG));
  t->d_chunk_states =
      rn_buffer_reals(s, "d states of chunks", chunk_state_count(b),
                      rn_use_in_backward(RN_UNIT_PHASE_D_STATES, RN_UNIT_PHASE_D_CROSS));
  t->adjoints = rn_reals(t->d_chunk_states);
  if (!b->bf16) return;
  t->adjoints =
      rn_buffer_array(s, "adjoints", chunk_state_count(b), true,
                      rn_use_in_backward(RN_UNIT_PHASE_SCAN_WEIGHT, RN_UNIT_PHASE_D_CROSS));
}

static void take_packed(const rn_block_retention *b, const rn_buffer_space *s,
                        rn_block_retention_activations *t) {
  const size_t bytes = rn_retention_weights_bytes(b);
  if (bytes == 0) return;
  t->packed = rn_buffer_take(
      s, "packed weights", bytes,
      (rn_buffer_use){.kind = RN_BUFFER_TEMPORARY,
                      .forward = rn_phase_range(RN_UNIT_PHASE_KV, RN_UNIT_PHASE_KV) |
                                 rn_phase_range(RN_UNIT_PHASE_QG, RN_UNIT_PHASE_QG) |
                                 rn_phase_range(RN_UNIT_PHASE_OUT, RN_UNIT_PHASE_OUT),
                      .backward = rn_phase_range(RN_UNIT_PHASE_D_OUT, RN_UNIT_PHASE_D_OUT) |
                                  rn_phase_range(RN_UNIT_PHASE_D_QKVG, RN_UNIT_PHASE_D_QKVG)});
}

rn_block_retention_activations rn_block_retention_buffers(const rn_block_retention *b,
                                                          const rn_buffer_space *space) {
  rn_block_retention_activations t = {0};
  take_saved(b, space, &t);
  take_scanned(b, space, &t);
  take_forward(b, space, &t);
  take_backward(b, space, &t);
  take_packed(b, space, &t);
  return t;
}
