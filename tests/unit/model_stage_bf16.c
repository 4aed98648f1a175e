/* Checks that a stage with rows and weights in bf16 matches one in fp32 within rounding: in
 * every form, with every norm, in one or several segments, with activations saved or recomputed. */
#include <math.h>

#include "model/base/threads.h"
#include "model/kernel/gemm.h"
#include "tests/support/sets.h"
#include "tests/support/stage.h"

enum { SEQUENCES = 2, TOKENS = 75, DIM = 32 };

/* Tolerance relative to the largest element; several roundings to 8 bits add up. */
static const double near_it = 0.03;

static void use(Retnet__Precision precision) {
  rn_err err = {0};
  const char *lack = NULL;
  if (precision == RETNET__PRECISION__PRECISION_BF16) {
    test_use_bf16();
  } else {
    CHECK_OK(&err, rn_gemm_backend_use(&err, RETNET__PRODUCTS__PRODUCTS_AUTO, precision, &lack));
  }
}

static test_model open_in(Retnet__Precision precision, const rn_spec *spec) {
  static const char with_document[TOKENS] = {[33] = '|'}, without[TOKENS];
  static const char *const begins[SEQUENCES] = {with_document, without};
  use(precision);
  test_model m = test_model_open(spec, SEQUENCES, TOKENS);
  test_fill(m.params, m.table->total, 0.25 * sqrt((double)DIM / spec->dim), 3);
  rn_layer_stack_cast_weights(m.stage, m.params, (rn_range){0, m.table->total});
  test_documents(&m, 1, begins);
  m.train = true;
  return m;
}

static rn_spec base(void) {
  rn_spec spec = test_spec();
  spec.dim = DIM;
  spec.value_dim = 48;
  spec.ffn_dim = 40;
  spec.vocab = 50;
  spec.chunk = 16;
  return spec;
}

static double step(test_model *m, Retnet__Precision precision, const int *ends, int segments) {
  use(precision);
  test_forward(m, RN_FORM_CHUNKWISE, ends, segments);
  return test_loss(m, segments, true);
}

static void same_as_fp32(rn_spec spec) {
  static const int whole[] = {TOKENS}, cut[] = {20, TOKENS};
  test_model want = open_in(RETNET__PRECISION__PRECISION_FP32, &spec);
  test_model got = open_in(RETNET__PRECISION__PRECISION_BF16, &spec);
  const double loss = step(&want, RETNET__PRECISION__PRECISION_FP32, whole, 1);
  const bool attends = rn_spec_attention_layers(&spec, 0, spec.layers) > 0;
  for (int segments = 1; segments <= (attends ? 1 : 2); segments++) {
    const double in_bf16 =
        step(&got, RETNET__PRECISION__PRECISION_BF16, segments == 1 ? whole : cut, segments);
    CHECK_RELATIVE(in_bf16, loss, 0.01);
    CHECK(in_bf16 != loss);
    CHECK_ARRAY("rows", got.y, want.y, got.rows * spec.dim, near_it);
    test_same_gradient(&got, want.gradient, 2 * near_it);
  }
  test_model_close(&want);
  test_model_close(&got);
}

static void forms_agree(rn_spec spec) {
  test_model want = open_in(RETNET__PRECISION__PRECISION_FP32, &spec);
  want.train = false;
  test_forward(&want, RN_FORM_CHUNKWISE, &want.tokens, 1);
  test_model got = open_in(RETNET__PRECISION__PRECISION_BF16, &spec);
  got.train = false;
  for (rn_form form = RN_FORM_CHUNKWISE; form <= RN_FORM_RECURRENT; form++) {
    test_forward(&got, form, &got.tokens, 1);
    CHECK_ARRAY("rows", got.y, want.y, got.rows * spec.dim, near_it);
  }
  test_model_close(&want);
  test_model_close(&got);
}

static void saving_less_gives_the_same_bits_with(rn_spec spec, rn_save_policy save) {
  static const int cut[] = {20, TOKENS}, whole[] = {TOKENS};
  const bool attends = rn_spec_attention_layers(&spec, 0, spec.layers) > 0;
  const int *ends = attends ? whole : cut, segments = attends ? 1 : 2;
  const Retnet__Precision bf16 = RETNET__PRECISION__PRECISION_BF16;
  rn_err err = {0};
  test_model kept = open_in(bf16, &spec), less = open_in(bf16, &spec);
  for (int p = 0; p < 2; p++) {
    rn_activations_destroy(&less.activations[p]);
    CHECK_OK(&err, rn_activations_create(&err, less.stage, save, &less.activations[p]));
  }
  CHECK(step(&kept, bf16, ends, segments) == step(&less, bf16, ends, segments));
  CHECK(memcmp(less.gradient, kept.gradient, (size_t)kept.table->total * sizeof(rn_real)) == 0);
  test_model_close(&kept);
  test_model_close(&less);
}

static void saving_less_gives_the_same_bits(rn_spec spec) {
  saving_less_gives_the_same_bits_with(spec, RN_SAVE_INPUTS);
  saving_less_gives_the_same_bits_with(spec, RN_SAVE_MOST);
}

/* Checks that casting the weights again replaces the bf16 shadow of the previous weights. */
static void weights_are_cast_again(rn_spec spec) {
  const Retnet__Precision bf16 = RETNET__PRECISION__PRECISION_BF16;
  test_model fresh = open_in(bf16, &spec), used = open_in(bf16, &spec);
  test_fill(used.params, used.table->total, 0.5, 8);
  rn_layer_stack_cast_weights(used.stage, used.params, (rn_range){0, used.table->total});
  step(&used, bf16, &used.tokens, 1);
  memcpy(used.params, fresh.params, (size_t)fresh.table->total * sizeof(rn_real));
  rn_layer_stack_cast_weights(used.stage, used.params, (rn_range){0, used.table->total});
  CHECK(step(&used, bf16, &used.tokens, 1) == step(&fresh, bf16, &fresh.tokens, 1));
  test_model_close(&fresh);
  test_model_close(&used);
}

int main(void) {
  rn_threads_start(2);
  rn_spec spec = base();
  same_as_fp32(spec);
  forms_agree(spec);
  saving_less_gives_the_same_bits(spec);
  weights_are_cast_again(spec);
  spec.dropout = 0.2;
  spec.head_norm = RN_HEAD_NORM_RMS_AFFINE;
  spec.tie_embeddings = true;
  same_as_fp32(spec);
  saving_less_gives_the_same_bits(spec);
  /* Rows of a whole number of KiB are padded: first those of the gated feed-forward block, then
   * those of k and v. */
  spec = base();
  spec.ffn_dim = 512;
  spec.value_dim = 512;
  same_as_fp32(spec);
  spec.value_dim = 512 - spec.dim;
  same_as_fp32(spec);
  spec = base();
  spec.pre_norm = false;
  spec.block_norm = RN_BLOCK_NORM_LAYER;
  spec.head_norm = RN_HEAD_NORM_GROUP;
  spec.rotary = RN_ROTARY_ROPE_HALF;
  same_as_fp32(spec);
  saving_less_gives_the_same_bits(spec);
  spec.dropout = 0.2;
  spec.gate = false;
  spec.ffn = RN_FFN_MLP;
  same_as_fp32(spec);
  /* Tests softmax attention in all layers, then in one layer. */
  spec = base();
  spec.arch = RN_ARCH_TRANSFORMER, spec.rope_theta = 100;
  spec.attention_heads = 4, spec.kv_heads = 2;
  same_as_fp32(spec);
  saving_less_gives_the_same_bits(spec);
  spec.arch = RN_ARCH_RETNET, spec.attention_layers[0] = 2;
  same_as_fp32(spec);
  saving_less_gives_the_same_bits(spec);
  /* Rows of k and v of a whole number of KiB are padded. */
  spec.dim = 256, spec.kv_heads = 4;
  CHECK(rn_row_distance(2 * spec.dim, true) > 2 * spec.dim);
  same_as_fp32(spec);
  saving_less_gives_the_same_bits_with(spec, RN_SAVE_INPUTS);
  return check_result();
}
