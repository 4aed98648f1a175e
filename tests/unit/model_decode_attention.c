/* Checks the decoder with attention layers. Token by token, it gives the same logits as the stage
 * for whole sequences. The cases cover several blocks of the cache, a window (kept in a ring
 * buffer), grouped heads, and a model with both kinds of layers. The bits depend neither on
 * other sequences nor on the number of threads. Another decoder that loads a saved state continues
 * with the same bits. */
#include "model/base/threads.h"
#include "model/decode/decode.h"
#include "model/stage/layer_stack_prefill.h"
#include "tests/support/stage.h"

#ifdef RN_REAL_F64
static const double close = 1e-11;
#else
static const double close = 2e-5;
#endif

enum { SEQUENCES = 2, TOKENS = 2 * 256 + 40, VOCAB = 7 };

static rn_spec attention_spec(int kv_heads, int window) {
  rn_spec spec = test_spec();
  spec.arch = RN_ARCH_TRANSFORMER;
  spec.heads = spec.attention_heads = 4, spec.dim = 16, spec.kv_heads = kv_heads;
  spec.attention_window = window, spec.rope_theta = 100;
  return spec;
}

static rn_spec hybrid_spec(void) {
  rn_spec spec = test_spec();
  spec.layers = 3, spec.attention_layers[0] = 2;
  spec.attention_heads = 4, spec.kv_heads = 2, spec.rope_theta = 100;
  return spec;
}

static test_model model_of(const rn_spec *spec) {
  test_model m = test_model_open(spec, SEQUENCES, TOKENS);
  m.position = 0;
  return m;
}

static rn_decoder *decoder_of(const rn_spec *spec, int slots, int64_t tokens) {
  rn_err err = {0};
  rn_decoder *d = NULL;
  CHECK_OK(&err, rn_decoder_create(&err, spec, (rn_decoder_shape){slots, tokens, false}, &d));
  return d;
}

/* Decodes the tokens [begin, end) of sequence b in the slot, and writes their rows of `logits`
 * [TOKENS, VOCAB]. */
static void decode(const test_model *m, rn_decoder *d, int slot, int b, int begin, int end,
                   rn_real *logits) {
  for (int t = begin; t < end; t++) {
    rn_decoder_step(d, m->params, 1, &slot, &m->input[b * TOKENS + t], logits + t * VOCAB);
  }
}

static void decoding_is_the_forward_pass(const char *what, rn_spec spec) {
  static rn_real want[SEQUENCES * TOKENS * VOCAB], got[SEQUENCES * TOKENS * VOCAB];
  test_model m = model_of(&spec);
  test_step_whole(&m, RN_FORM_CHUNKWISE, false);
  rn_layer_stack_logits(m.stage, m.params, (int)m.rows, m.y, want);
  rn_decoder *d = decoder_of(&spec, SEQUENCES, TOKENS);
  for (int t = 0; t < TOKENS; t++) {
    const int slot[SEQUENCES] = {1, 0};
    const int32_t token[SEQUENCES] = {m.input[t], m.input[TOKENS + t]};
    rn_real step[SEQUENCES * VOCAB];
    rn_decoder_step(d, m.params, SEQUENCES, slot, token, step);
    for (int b = 0; b < SEQUENCES; b++) {
      memcpy(got + (b * TOKENS + t) * VOCAB, step + b * VOCAB, VOCAB * sizeof *step);
    }
  }
  CHECK_ARRAY(what, got, want, SEQUENCES * TOKENS * VOCAB, close);
  rn_decoder_destroy(&d);
  test_model_close(&m);
}

/* Decodes a few tokens, then processes several prompts, each in one or more units of at most UNIT
 * tokens, then decodes the remaining tokens. Compares the logits with those of a forward pass over
 * the whole sequence. */
static void prefill_continues_a_sequence(const char *what, rn_spec spec) {
  enum { UNIT = 100, PIECES = 4 };
  static const int ends[PIECES] = {3, 250, 251, 480};
  static rn_real want[SEQUENCES * TOKENS * VOCAB], got[TOKENS * VOCAB];
  rn_err err = {0};
  rn_layer_stack *stack = NULL;
  rn_activations *activations = NULL;
  rn_prefill *prefill = NULL;
  test_model m = model_of(&spec);
  test_step_whole(&m, RN_FORM_CHUNKWISE, false);
  rn_layer_stack_logits(m.stage, m.params, (int)m.rows, m.y, want);
  rn_decoder *d = decoder_of(&spec, 2, TOKENS);
  const rn_stage_shape shape = {.last_layer = spec.layers, .max_sequences = 1, .max_tokens = UNIT};
  CHECK_OK(&err, rn_layer_stack_create(&err, &spec, shape, &stack));
  CHECK_OK(&err, rn_activations_create(&err, stack, RN_SAVE_NOTHING, &activations));
  CHECK_OK(&err, rn_prefill_create(&err, d, UNIT, &prefill));
  decode(&m, d, 1, 0, 0, ends[0], got);
  for (int i = 1; i < PIECES; i++) {
    const rn_layer_stack_prompt prompt = {m.params, 1, m.input + ends[i - 1], ends[i] - ends[i - 1],
                                          got + (ends[i] - 1) * VOCAB};
    CHECK_OK(&err, rn_layer_stack_prefill(&err, stack, activations, prefill, &prompt));
    CHECK_ARRAY(what, got + (ends[i] - 1) * VOCAB, want + (ends[i] - 1) * VOCAB, VOCAB, close);
  }
  decode(&m, d, 1, 0, ends[PIECES - 1], TOKENS, got);
  CHECK_ARRAY(what, got + ends[PIECES - 1] * VOCAB, want + ends[PIECES - 1] * VOCAB,
              (TOKENS - ends[PIECES - 1]) * VOCAB, close);
  rn_prefill_destroy(&prefill);
  rn_activations_destroy(&activations);
  rn_layer_stack_destroy(&stack);
  rn_decoder_destroy(&d);
  test_model_close(&m);
}

/* Decodes `tokens` tokens of two sequences together, then one of them alone on another number of
 * threads. The second time, another decoder loads the state after `half` tokens and continues. Both
 * times the logits must have the same bits. `tokens` is limited because each token takes several
 * barriers of all threads. */
static void bits_survive(const char *what, rn_spec spec, int half, int tokens) {
  static rn_real want[TOKENS * VOCAB], got[TOKENS * VOCAB];
  rn_err err = {0};
  test_model m = model_of(&spec);
  rn_threads_start(2);
  rn_decoder *both = decoder_of(&spec, SEQUENCES, TOKENS);
  for (int t = 0; t < tokens; t++) {
    const int slot[SEQUENCES] = {0, 1};
    const int32_t token[SEQUENCES] = {m.input[t], m.input[TOKENS + t]};
    rn_real step[SEQUENCES * VOCAB];
    /* The first sequence starts three tokens later, so the two positions always differ. */
    rn_decoder_step(both, m.params, t < 3 ? 1 : 2, t < 3 ? slot + 1 : slot,
                    t < 3 ? token + 1 : token, step);
    if (t >= 3) memcpy(want + (t - 3) * VOCAB, step, VOCAB * sizeof *step);
  }
  rn_threads_start(3);
  rn_decoder *first = decoder_of(&spec, 1, TOKENS);
  rn_decoder *second = decoder_of(&spec, SEQUENCES, 4 * TOKENS);
  memmove(m.input, m.input + 3, (size_t)(tokens - 3) * sizeof *m.input);
  decode(&m, first, 0, 0, 0, half, got);
  const size_t bytes = rn_decoder_saved_bytes(first, 0);
  char *saved = test_take(bytes, 1);
  rn_decoder_save(first, 0, saved);
  CHECK(rn_decoder_load(&err, second, 1, saved, bytes - 1) == RN_ERR_FORMAT);
  err = (rn_err){0};
  CHECK_OK(&err, rn_decoder_load(&err, second, 1, saved, bytes));
  decode(&m, second, 1, 0, half, tokens - 3, got);
  if (!CHECK(memcmp(got, want, (size_t)(tokens - 3) * VOCAB * sizeof *got) == 0))
    printf("  %s\n", what);
  free(saved);
  rn_decoder_destroy(&first);
  rn_decoder_destroy(&second);
  rn_decoder_destroy(&both);
  test_model_close(&m);
  rn_threads_start(1);
}

/* The memory of attention layers grows with the length, but not beyond the window. The memory of
 * retention layers does not depend on the length. */
static void memory_is_known_before(void) {
  const rn_decoder_shape near = {3, 512, false}, far = {3, 1024, false};
  const rn_spec whole = attention_spec(2, 0), window = attention_spec(2, 256), rows = test_spec();
  const size_t token = 2 * 2 * 4 * 2 * sizeof(rn_real); /* k and v, times G, K and layers */
  CHECK_EQUAL(rn_decoder_measure_state(&whole, near), 3 * 512 * token);
  CHECK_EQUAL(rn_decoder_measure_state(&whole, far), 3 * 1024 * token);
  CHECK_EQUAL(rn_decoder_measure_state(&window, near), 3 * 256 * token);
  CHECK_EQUAL(rn_decoder_measure_state(&window, far), 3 * 256 * token);
  CHECK_EQUAL(rn_decoder_measure_state(&rows, near), rn_decoder_measure_state(&rows, far));
  const rn_decoder_shape endless = {1, INT64_C(9000000000000000), false};
  rn_err err = {0};
  rn_decoder *none = NULL;
  CHECK_FAILS(&err, RN_ERR_MEMORY, "1 sequences|tokens|GiB",
              rn_decoder_create(&err, &whole, endless, &none));
  /* A size that is 0 modulo 2^64 bytes is refused as well. */
  rn_spec wide = attention_spec(32, 0);
  wide.layers = wide.heads = wide.attention_heads = 32, wide.dim = 4096;
  rn_err_clear(&err);
  CHECK_FAILS(
      &err, RN_ERR_MEMORY, "4096 sequences|tokens|GiB",
      rn_decoder_create(&err, &wide, (rn_decoder_shape){4096, endless.max_tokens, false}, &none));
  rn_decoder *d = decoder_of(&whole, 3, 512);
  CHECK_EQUAL(rn_decoder_state_bytes(d), rn_decoder_measure_state(&whole, near));
  CHECK_EQUAL(rn_decoder_saved_bytes(d, 0), sizeof(int64_t));
  rn_decoder_destroy(&d);
}

/* A decoder refuses a state with more tokens than it has memory for. */
static void longer_state_is_refused(int window) {
  const rn_spec spec = attention_spec(2, window);
  rn_err err = {0};
  test_model m = model_of(&spec);
  rn_real logits[10 * VOCAB];
  rn_decoder *d = decoder_of(&spec, 1, 10), *small = decoder_of(&spec, 1, 9);
  decode(&m, d, 0, 0, 0, 10, logits);
  const size_t bytes = rn_decoder_saved_bytes(d, 0);
  char *saved = test_take(bytes, 1);
  rn_decoder_save(d, 0, saved);
  CHECK(rn_decoder_load(&err, small, 0, saved, bytes) == RN_ERR_USAGE);
  free(saved);
  rn_decoder_destroy(&small);
  rn_decoder_destroy(&d);
  test_model_close(&m);
}

int main(void) {
  rn_threads_start(1);
  decoding_is_the_forward_pass("all heads", attention_spec(4, 0));
  decoding_is_the_forward_pass("grouped heads, window", attention_spec(2, 300));
  decoding_is_the_forward_pass("one key head, window within a block", attention_spec(1, 9));
  decoding_is_the_forward_pass("hybrid", hybrid_spec());
  prefill_continues_a_sequence("prefill, grouped heads", attention_spec(2, 0));
  prefill_continues_a_sequence("prefill, window", attention_spec(2, 130));
  prefill_continues_a_sequence("prefill, window within a unit", attention_spec(1, 9));
  prefill_continues_a_sequence("prefill, hybrid", hybrid_spec());
  bits_survive("grouped heads", attention_spec(2, 0), 270, 300);
  bits_survive("window", attention_spec(2, 257), 270, 290);
  bits_survive("hybrid", hybrid_spec(), 20, 40);
  memory_is_known_before();
  longer_state_is_refused(0);
  longer_state_is_refused(12);
  return check_result();
}
