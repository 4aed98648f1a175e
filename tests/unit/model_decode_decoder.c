/* Checks that the decoder, which processes one token of one or several sequences per step, gives
 * the result of the stage for whole sequences. */
#include <omp.h>

#include "model/base/array.h"
#include "model/base/threads.h"
#include "model/decode/decode.h"
#include "tests/support/stage.h"

#ifdef RN_REAL_F64
static const double close = 1e-11;
#else
static const double close = 1e-5;
#endif

enum { SEQUENCES = 3, TOKENS = 7, VOCAB = 7 };

static rn_decoder *decoder_of(const rn_spec *spec, int slots, int position, bool bf16) {
  rn_err err = {0};
  rn_decoder *d = NULL;
  CHECK_OK(&err, rn_decoder_create(&err, spec, (rn_decoder_shape){slots, TOKENS, bf16}, &d));
  for (int slot = 0; slot < slots; slot++) rn_decoder_position_of(d, slot, position);
  return d;
}

/* Computes logits of whole sequences in the recurrent form, from empty states; the first token
 * is at `position`. */
static void whole_sequences(test_model *m, int position, rn_real *logits) {
  m->position = position;
  test_documents(m, position, NULL);
  test_step_whole(m, RN_FORM_RECURRENT, false);
  rn_layer_stack_logits(m->stage, m->params, (int)m->rows, m->y, logits);
}

static void decoding_is_the_form(const char *what, rn_spec spec, int position, bool bf16) {
  rn_real want[SEQUENCES * TOKENS * VOCAB], got[SEQUENCES * VOCAB];
  test_model m = test_model_open(&spec, SEQUENCES, TOKENS);
  rn_decoder *d = decoder_of(&spec, SEQUENCES, position, bf16);
  const int slot[SEQUENCES] = {2, 0, 1};
  if (bf16) rn_decoder_cast_weights(d, m.params);
  whole_sequences(&m, position, want);
  for (int t = 0; t < TOKENS; t++) {
    int32_t token[SEQUENCES];
    for (int b = 0; b < SEQUENCES; b++) token[b] = m.input[b * TOKENS + t];
    rn_decoder_step(d, m.params, SEQUENCES, slot, token, got);
    for (int b = 0; b < SEQUENCES; b++) {
      CHECK_ARRAY(what, got + b * VOCAB, want + (b * TOKENS + t) * VOCAB, VOCAB, close);
    }
  }
  rn_decoder_destroy(&d);
  test_model_close(&m);
}

static void decoding_is_the_recurrent_form(const char *what, rn_spec spec, int position) {
  decoding_is_the_form(what, spec, position, false);
}

/* Checks decoding with matrices cast to bf16, in the stage and in the decoder. The decoder must
 * then read only half as many bytes for the matrices. */
static void so_it_is_with_weights_in_bf16(void) {
  rn_spec spec = test_spec();
  decoding_is_the_form("bf16", spec, 0, true);
  spec.tie_embeddings = true;
  spec.dim = 76, spec.value_dim = 92, spec.ffn_dim = 67;
  decoding_is_the_form("bf16, wide", spec, 4, true);
  rn_decoder *whole = decoder_of(&spec, 1, 0, false), *bf16 = decoder_of(&spec, 1, 0, true);
  const int64_t vectors = (2 * spec.layers + 1) * spec.dim;
  const size_t bytes = rn_decoder_weight_bytes(whole, 1);
  CHECK_EQUAL(bytes, (size_t)rn_spec_parameters(&spec) * sizeof(rn_real));
  CHECK_EQUAL(rn_decoder_weight_bytes(bf16, 1),
              (bytes / sizeof(rn_real) - (size_t)vectors) * sizeof(rn_bf16) +
                  (size_t)vectors * sizeof(rn_real));
  rn_decoder_destroy(&whole);
  rn_decoder_destroy(&bf16);
}

/* Checks that decoding can continue from the states of a segment that was computed in chunks. */
static void states_may_come_from_chunks(void) {
  enum { PROMPT = 4 };
  rn_real want[SEQUENCES * TOKENS * VOCAB], got[VOCAB];
  const rn_spec spec = test_spec();
  test_model m = test_model_open(&spec, SEQUENCES, TOKENS);
  rn_err err = {0};
  whole_sequences(&m, 0, want);
  rn_local_state_reset(m.local_state);
  test_cut(&m, 0, 0, PROMPT);
  const rn_pass pass = test_pass(&m, 0, RN_FORM_CHUNKWISE);
  CHECK_OK(&err, rn_layer_stack_forward(&err, m.stage, &pass, NULL, m.segment_y[0]));
  rn_decoder *d = decoder_of(&spec, 1, 0, false);
  const size_t each = (size_t)spec.dim * (size_t)rn_spec_value_width(&spec);
  for (int b = 0, slot = 0; b < SEQUENCES; b++) {
    for (int l = 0; l < spec.layers; l++) {
      memcpy(rn_decoder_state(d, 0, l),
             rn_local_state_state(m.local_state, RN_SCAN_FORWARD, l) + (size_t)b * each,
             each * sizeof(rn_real));
    }
    rn_decoder_position_of(d, 0, PROMPT);
    for (int t = PROMPT; t < TOKENS; t++) {
      rn_decoder_step(d, m.params, 1, &slot, &m.input[b * TOKENS + t], got);
      CHECK_ARRAY("behind chunks", got, want + (b * TOKENS + t) * VOCAB, VOCAB, close);
    }
  }
  rn_decoder_destroy(&d);
  test_model_close(&m);
}

/* Decodes lengths[b] tokens of each sequence b. Each step processes all unfinished sequences.
 */
static void decode(const test_model *m, const int *lengths, int threads, rn_real *logits) {
  rn_threads_start(threads);
  rn_decoder *d = decoder_of(&m->spec, SEQUENCES, 0, false);
  const int vocab = m->spec.vocab;
  rn_real *step = test_take((size_t)(SEQUENCES * vocab), sizeof *step);
  for (int t = 0; t < TOKENS; t++) {
    int slot[SEQUENCES], count = 0;
    int32_t token[SEQUENCES];
    for (int b = 0; b < SEQUENCES; b++) {
      if (t >= lengths[b]) continue;
      slot[count] = b;
      token[count++] = m->input[b * TOKENS + t];
    }
    rn_decoder_step(d, m->params, count, slot, token, step);
    for (int i = 0; i < count; i++) {
      memcpy(logits + (slot[i] * TOKENS + t) * vocab, step + i * vocab,
             (size_t)vocab * sizeof *step);
    }
  }
  free(step);
  rn_decoder_destroy(&d);
}

/* The widths are such that matrix products are split among threads, with remainders in rows and
 * columns. */
static void bits_do_not_depend_on_others_nor_on_threads(bool pre_norm) {
  rn_spec spec = test_spec();
  spec.dim = 76, spec.value_dim = 92, spec.ffn_dim = 67, spec.vocab = 35;
  spec.pre_norm = pre_norm;
  test_model m = test_model_open(&spec, SEQUENCES, TOKENS);
  const int together[SEQUENCES] = {TOKENS, 3, 5};
  const size_t count = (size_t)(SEQUENCES * TOKENS * spec.vocab);
  rn_real *want = test_take(count, sizeof *want), *got = test_take(count, sizeof *got);
  decode(&m, together, 1, want);
  for (int threads = 1; threads <= 3; threads++) {
    memset(got, 0, count * sizeof *got);
    for (int b = 0; b < SEQUENCES; b++) {
      int alone[SEQUENCES] = {0};
      alone[b] = together[b];
      decode(&m, alone, threads, got);
    }
    CHECK(memcmp(got, want, count * sizeof *got) == 0);
    decode(&m, together, threads, got);
    CHECK(memcmp(got, want, count * sizeof *got) == 0);
  }
  free(want);
  free(got);
  test_model_close(&m);
}

static void choices_inside_the_blocks(void) {
  for (rn_head_norm norm = RN_HEAD_NORM_RMS; norm <= RN_HEAD_NORM_NONE; norm++) {
    rn_spec spec = test_spec();
    spec.head_norm = norm;
    decoding_is_the_recurrent_form("head norm", spec, 0);
    spec.gate = false;
    decoding_is_the_recurrent_form("head norm, no gate", spec, 3);
  }
  for (int i = 0; i <= RN_ROTARY_NONE; i++) {
    rn_spec spec = test_spec();
    spec.rotary = (rn_rotary)i, spec.decay = (rn_decay)i;
    decoding_is_the_recurrent_form("rotation, decay", spec, 17);
  }
  rn_spec layered = test_spec();
  layered.decay = RN_DECAY_LIGHTNING;
  decoding_is_the_recurrent_form("decays of layers", layered, 17);
  for (rn_retention_scale scale = RN_SCALE_CANONICAL; scale <= RN_SCALE_RAW; scale++) {
    rn_spec spec = test_spec();
    spec.retention_scale = scale;
    decoding_is_the_recurrent_form("scale", spec, 0);
  }
}

static void choices_around_the_blocks(void) {
  rn_spec spec = test_spec();
  spec.ffn = RN_FFN_MLP, spec.activation = RN_ACTIVATION_GELU;
  decoding_is_the_recurrent_form("mlp, gelu", spec, 0);
  spec = test_spec();
  spec.tie_embeddings = spec.scale_embedding = spec.embedding_norm = true;
  decoding_is_the_recurrent_form("tied, scaled, normed embedding", spec, 0);
  spec = test_spec(), spec.block_norm = RN_BLOCK_NORM_LAYER;
  decoding_is_the_recurrent_form("layer norm", spec, 0);
  spec.pre_norm = false, spec.deepnorm = true;
  decoding_is_the_recurrent_form("layer norm behind the blocks, deepnorm", spec, 0);
}

int main(void) {
  rn_threads_start(2);
  decoding_is_the_recurrent_form("from the start", test_spec(), 0);
  decoding_is_the_recurrent_form("far out", test_spec(), 1000000);
  so_it_is_with_weights_in_bf16();
  states_may_come_from_chunks();
  choices_inside_the_blocks();
  choices_around_the_blocks();
  bits_do_not_depend_on_others_nor_on_threads(true);
  bits_do_not_depend_on_others_nor_on_threads(false);
  return check_result();
}
