/* Checks that no phase reads a buffer of the workspace outside its declared lifetime or before
 * it is written. When a phase begins, all other bytes of the workspace are set to NaN, and saved
 * buffers are set to NaN before forward: rows, losses and gradients must have the same bits as in a
 * run without these NaNs. */
#include "model/base/threads.h"
#include "model/kernel/gemm.h"
#include "tests/support/sets.h"
#include "tests/support/stage.h"

enum { SEQUENCES = 2, TOKENS = 11, FIRST = 5 };

static test_model open(const rn_spec *spec, rn_save_policy policy, bool poison) {
  static const char with_document[TOKENS] = {[7] = '|'}, without[TOKENS];
  static const char *const begins[SEQUENCES] = {with_document, without};
  rn_err err = {0};
  test_model m = test_model_open(spec, SEQUENCES, TOKENS);
  rn_layer_stack_cast_weights(m.stage, m.params, (rn_range){0, m.table->total});
  test_documents(&m, 1, begins);
  for (int p = 0; p < TEST_SEGMENTS; p++) {
    rn_activations_destroy(&m.activations[p]);
    CHECK_OK(&err, rn_activations_create(&err, m.stage, policy, &m.activations[p]));
    if (poison) rn_activations_poison(m.activations[p]);
  }
  return m;
}

static void same_rows(const test_model *a, const test_model *b) {
  CHECK(memcmp(a->y, b->y, (size_t)(a->rows * a->spec.dim) * sizeof(rn_real)) == 0);
}

/* Runs two training steps in two segments, or in one if there are attention layers, which need
 * whole sequences. */
static void steps_are_the_same(const rn_spec *spec, rn_save_policy policy) {
  static const int cut[] = {FIRST, TOKENS}, whole[] = {TOKENS};
  const int segments = rn_spec_attention_layers(spec, 0, spec->layers) > 0 ? 1 : 2;
  const int *ends = segments == 1 ? whole : cut;
  test_model clean = open(spec, policy, false), poisoned = open(spec, policy, true);
  clean.train = poisoned.train = true;
  for (int step = 0; step < 2; step++) {
    test_forward(&clean, RN_FORM_CHUNKWISE, ends, segments);
    test_forward(&poisoned, RN_FORM_CHUNKWISE, ends, segments);
    same_rows(&clean, &poisoned);
    memset(clean.gradient, 0, (size_t)clean.table->total * sizeof(rn_real));
    memset(poisoned.gradient, 0, (size_t)clean.table->total * sizeof(rn_real));
    const double loss = test_loss(&clean, segments, true);
    CHECK(loss == loss);
    CHECK(test_loss(&poisoned, segments, true) == loss);
    CHECK(memcmp(clean.gradient, poisoned.gradient, (size_t)clean.table->total * sizeof(rn_real)) ==
          0);
  }
  test_model_close(&clean);
  test_model_close(&poisoned);
}

static void forms_are_the_same(const rn_spec *spec, rn_save_policy policy) {
  for (rn_form form = RN_FORM_CHUNKWISE; form <= RN_FORM_RECURRENT; form++) {
    test_model clean = open(spec, policy, false), poisoned = open(spec, policy, true);
    test_forward(&clean, form, &clean.tokens, 1);
    test_forward(&poisoned, form, &poisoned.tokens, 1);
    same_rows(&clean, &poisoned);
    CHECK(test_loss(&clean, 1, false) == test_loss(&poisoned, 1, false));
    test_model_close(&clean);
    test_model_close(&poisoned);
  }
}

/* The parallel form has a backward pass only in rn_real. */
static void parallel_steps_are_the_same(const rn_spec *spec) {
  test_model clean = open(spec, RN_SAVE_ALL, false), poisoned = open(spec, RN_SAVE_ALL, true);
  const double loss = test_step_whole(&clean, RN_FORM_PARALLEL, true);
  CHECK(test_step_whole(&poisoned, RN_FORM_PARALLEL, true) == loss);
  CHECK(memcmp(clean.gradient, poisoned.gradient, (size_t)clean.table->total * sizeof(rn_real)) ==
        0);
  test_model_close(&clean);
  test_model_close(&poisoned);
}

/* Checks activations that share their memory with the activations for training
 * (rn_activations_create_alias); they support only forward. */
static void aliases_are_the_same(const rn_spec *spec, rn_save_policy policy) {
  test_model clean = open(spec, RN_SAVE_NOTHING, false), poisoned = open(spec, policy, true);
  rn_err err = {0};
  rn_activations *training = poisoned.activations[0];
  CHECK_OK(&err, rn_activations_create_alias(&err, training, &poisoned.activations[0]));
  test_forward(&clean, RN_FORM_CHUNKWISE, &clean.tokens, 1);
  test_forward(&poisoned, RN_FORM_CHUNKWISE, &poisoned.tokens, 1);
  same_rows(&clean, &poisoned);
  test_model_close(&clean);
  test_model_close(&poisoned);
  rn_activations_destroy(&training);
}

/* Training steps use two threads, so that tasks of different phases may run at the same time. */
static void check_spec(const rn_spec *spec, bool bf16) {
  for (int policy = RN_SAVE_NOTHING; policy <= RN_SAVE_ALL; policy++) {
    rn_threads_start(2);
    if (policy > RN_SAVE_NOTHING) steps_are_the_same(spec, (rn_save_policy)policy);
    rn_threads_start(1);
    forms_are_the_same(spec, (rn_save_policy)policy);
    aliases_are_the_same(spec, (rn_save_policy)policy);
  }
  if (!bf16) parallel_steps_are_the_same(spec);
}

/* Checks models with attention layers. Their buffers and those of retention layers overlap in the
 * workspace. */
static void check_attention(bool bf16) {
  rn_spec spec = test_spec();
  spec.ffn_dim = 40, spec.dropout = 0.2, spec.rope_theta = 100;
  spec.attention_heads = 4, spec.kv_heads = 2;
  spec.attention_layers[0] = 1;
  check_spec(&spec, bf16);
  spec.pre_norm = false;
  spec.attention_layers[0] = 2;
  check_spec(&spec, bf16);
}

int main(int argc, char **argv) {
  (void)argv;
  test_use_sets();
  const bool bf16 = argc > 1;
  if (bf16) test_use_bf16();
  rn_spec spec = test_spec();
  spec.ffn_dim = 40;
  check_spec(&spec, bf16);
  spec.dropout = 0.2;
  spec.head_norm = RN_HEAD_NORM_RMS_AFFINE;
  spec.tie_embeddings = true;
  check_spec(&spec, bf16);
  spec.pre_norm = false;
  spec.embedding_norm = true;
  spec.block_norm = RN_BLOCK_NORM_LAYER;
  check_spec(&spec, bf16);
  spec.gate = false;
  spec.dropout = 0;
  spec.ffn = RN_FFN_MLP;
  spec.head_norm = RN_HEAD_NORM_GROUP;
  spec.retention_scale = RN_SCALE_TS_PARALLEL;
  check_spec(&spec, bf16);
  check_attention(bf16);
  return check_result();
}
