/* Defines the sizes, tables and buffers of an attention block. */
#include "model/attention/block_attention.h"
#include "model/attention/block_attention_weights.h"
#include "model/kernel/gemm.h"
#include "model/memory/buffer.h"

rn_block_attention rn_block_attention_shape(const rn_spec *spec, rn_block_attention_limits limits) {
  const int keys = limits.keys > limits.tokens ? limits.keys : limits.tokens;
  const bool bf16 = rn_gemm_takes_bf16();
  const int pair = 2 * spec->kv_heads * rn_spec_attention_width(spec);
  return (rn_block_attention){.dim = spec->dim,
                              .pair = pair,
                              .ld_q = rn_row_distance(spec->dim, bf16),
                              .ld_pair = rn_row_distance(pair, bf16),
                              .ld_o = rn_input_distance(spec->dim, bf16),
                              .bf16 = bf16,
                              .max_sequences = limits.sequences,
                              .max_tokens = limits.tokens,
                              .rope_theta = spec->rope_theta,
                              .core = rn_attention_shape(spec, limits.sequences, keys)};
}

rn_attention_row_size rn_block_attention_row_size(const rn_spec *spec) {
  const rn_block_attention b = rn_block_attention_shape(spec, (rn_block_attention_limits){0});
  return (rn_attention_row_size){b.ld_pair, (size_t)b.ld_pair * rn_element_bytes(b.bf16)};
}

size_t rn_block_attention_bytes(const rn_block_attention *b) {
  return rn_attention_bytes(&b->core) + rn_rotary_bytes(b->core.width, b->max_tokens);
}

rn_status rn_block_attention_create(rn_err *err, const rn_spec *spec,
                                    rn_block_attention_limits limits, rn_block_attention *out) {
  *out = rn_block_attention_shape(spec, limits);
  const int K = out->core.width;
  rn_status status = rn_attention_create(err, &out->core, &out->core);
  if (status == RN_OK) {
    status = rn_rotary_create(err, RN_ROTARY_ROPE_HALF, K, limits.tokens, &out->rotary);
  }
  if (status != RN_OK) {
    rn_block_attention_destroy(out);
    return status;
  }
  rn_spec_rope_angles(out->rope_theta, K, out->rotary.theta);
  return RN_OK;
}

void rn_block_attention_destroy(rn_block_attention *block) {
  rn_attention_destroy(&block->core);
  rn_rotary_destroy(&block->rotary);
}

static size_t packed_bytes(const rn_block_attention *b) {
  const rn_layer_params none = {0};
  size_t largest = 0;
  for (int phase = 0; phase < RN_ATTENTION_PHASES; phase++) {
    const rn_attention_weights w =
        rn_attention_weights_of(b, NULL, &none, (rn_attention_phase)phase);
    const size_t bytes = rn_pack_weights_bytes(w.of, w.count);
    if (bytes > largest) largest = bytes;
  }
  return largest;
}

static void take_packed(const rn_block_attention *b, const rn_buffer_space *s,
                        rn_block_attention_activations *t) {
  const size_t bytes = packed_bytes(b);
  if (bytes == 0) return;
  t->packed = rn_buffer_take(
      s, "packed attention weights", bytes,
      (rn_buffer_use){.kind = RN_BUFFER_TEMPORARY,
                      .forward = rn_phase_range(RN_UNIT_PHASE_KV, RN_UNIT_PHASE_KV) |
                                 rn_phase_range(RN_UNIT_PHASE_OUT, RN_UNIT_PHASE_OUT),
                      .backward = rn_phase_range(RN_UNIT_PHASE_D_OUT, RN_UNIT_PHASE_D_OUT) |
                                  rn_phase_range(RN_UNIT_PHASE_D_QKVG, RN_UNIT_PHASE_D_QKVG)});
}

rn_block_attention_activations rn_block_attention_buffers(const rn_block_attention *b,
                                                          const rn_buffer_space *s) {
  const int64_t rows = (int64_t)b->max_sequences * b->max_tokens;
  const rn_buffer_use in =
      rn_use_saved(RN_UNIT_PHASE_KV, RN_UNIT_PHASE_INNER, RN_UNIT_PHASE_QKVG_WEIGHT);
  const rn_buffer_use core = rn_use_in_backward(RN_UNIT_PHASE_D_INNER, RN_UNIT_PHASE_D_QKVG);
  rn_block_attention_activations t = {
      .kv = rn_buffer_array(s, "attention k, v", rows * b->ld_pair, b->bf16, in),
      .q = rn_buffer_array(s, "attention q", rows * b->ld_q, b->bf16, in),
      /* o must stay live until the end of backward, because the weight gradient of the output
       * projection may be deferred until then. */
      .o = rn_buffer_array(
          s, "attention o", rows * b->ld_o, b->bf16,
          rn_use_saved(RN_UNIT_PHASE_INNER, RN_UNIT_PHASE_OUT, RN_UNIT_PHASE_QKVG_WEIGHT)),
      .lse = rn_buffer_reals(
          s, "attention log-sum-exp", rows * b->core.heads,
          rn_use_saved(RN_UNIT_PHASE_INNER, RN_UNIT_PHASE_INNER, RN_UNIT_PHASE_D_INNER)),
      .d_o = rn_buffer_array(s, "attention d o", rows * b->dim, b->bf16,
                             rn_use_in_backward(RN_UNIT_PHASE_D_OUT, RN_UNIT_PHASE_D_INNER)),
      .d_kv = rn_buffer_reals(s, "attention d k, v", rows * b->ld_pair, core),
      .delta = rn_buffer_reals(s, "attention delta", rows * b->core.heads, core)};
  take_packed(b, s, &t);
  return t;
}
