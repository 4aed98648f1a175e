/* Checks that the gradient of every parameter matches finite differences of the loss, for all
 * model keys. */
#include <math.h>
#include <omp.h>

#include "tests/support/stage.h"

enum { SEQUENCES = 2, TOKENS = 7 };

typedef struct trial {
  test_model *model;
  rn_form form;
  const int *ends;
  int segments;
} trial;

static double loss_of(void *context) {
  trial *t = context;
  test_forward(t->model, t->form, t->ends, t->segments);
  return test_loss(t->model, t->segments, false);
}

/* Returns whether a gradient consists only of rounding errors and therefore cannot be compared with
 * a slope. An example is the gradient of a bias that a norm cancels. */
static bool is_rounding(const test_model *m, const rn_param *param, const rn_real *gradient) {
  double own =
      test_dot(gradient + param->offset, gradient + param->offset, param->rows * param->cols);
  return own < 1e-24 * test_dot(gradient, gradient, m->table->total);
}

static void slopes_hold(const char *what, trial *t) {
  test_model *m = t->model;
  test_forward(m, t->form, t->ends, t->segments);
  test_loss(m, t->segments, true);
  size_t bytes = (size_t)m->table->total * sizeof(rn_real);
  rn_real *gradient = test_take(1, bytes);
  memcpy(gradient, m->gradient, bytes);
  for (int i = 0; i < m->table->count; i++) {
    const rn_param *param = &m->table->param[i];
    char name[200];
    snprintf(name, sizeof name, "%s: %s", what, param->name);
    if (is_rounding(m, param, gradient)) {
      fprintf(stderr, "  %s: no gradient\n", name);
      CHECK(false);
      continue;
    }
    test_gradient(name, loss_of, t, m->params + param->offset, param->rows * param->cols,
                  gradient + param->offset);
  }
  free(gradient);
}

static void whole(const char *what, rn_spec spec, rn_form form) {
  static const char *const begins[] = {"---|---", "|-|----"};
  test_model m = test_model_open(&spec, SEQUENCES, TOKENS);
  m.train = spec.dropout > 0;
  if (spec.retention_scale < RN_SCALE_TS_PARALLEL || spec.retention_scale > RN_SCALE_TS_CHUNKWISE) {
    test_documents(&m, 2, begins);
  }
  trial t = {&m, form, &m.tokens, 1};
  slopes_hold(what, &t);
  test_model_close(&m);
}

static void segments(void) {
  static const int ends[] = {2, 3, 3, 7};
  static const char *const begins[] = {"---|---", "|-|----"};
  rn_spec spec = test_spec();
  spec.dropout = 0.2;
  test_model m = test_model_open(&spec, SEQUENCES, TOKENS);
  m.train = true;
  test_documents(&m, 2, begins);
  trial t = {&m, RN_FORM_CHUNKWISE, ends, 4};
  slopes_hold("in segments", &t);
  test_model_close(&m);
}

static void move(test_model *m, const rn_param *param, const rn_real *variant, double by) {
  const int64_t n = param->rows * param->cols;
  for (int64_t i = 0; i < n; i++) m->params[param->offset + i] += (rn_real)by * variant[i];
}

/* Returns (loss(x + h * v) - loss(x - h * v)) / (2 * h) for v = variant. */
static double slope_along(trial *t, const rn_param *param, const rn_real *variant, double h) {
  move(t->model, param, variant, h);
  const double ahead = loss_of(t);
  move(t->model, param, variant, -2 * h);
  const double behind = loss_of(t);
  move(t->model, param, variant, h);
  return (ahead - behind) / (2 * h);
}

/* Rows of a whole number of pages are padded. Checks the slope in one direction per parameter,
 * since there are too many elements. */
static void wide_rows(void) {
  enum { PAGE = 4096 / sizeof(double) };
  rn_spec spec = test_spec();
  spec.value_dim = PAGE - spec.dim, spec.ffn_dim = PAGE / 2;
  test_model m = test_model_open(&spec, SEQUENCES, TOKENS);
  trial t = {&m, RN_FORM_CHUNKWISE, &m.tokens, 1};
  loss_of(&t);
  test_loss(&m, 1, true);
  const size_t total = (size_t)m.table->total;
  rn_real *gradient = test_take(total, sizeof *gradient),
          *variant = test_take(total, sizeof *variant);
  memcpy(gradient, m.gradient, total * sizeof *gradient);
  test_fill(variant, (int64_t)total, 1, 77);
  for (int i = 0; i < m.table->count; i++) {
    const rn_param *param = &m.table->param[i];
    const double want = test_dot(gradient + param->offset, variant, param->rows * param->cols);
    const double near = slope_along(&t, param, variant, test_step / 8);
    const double far = slope_along(&t, param, variant, test_step / 4);
    if (!CHECK_RELATIVE((4 * near - far) / 3, want, 1e-6)) {
      fprintf(stderr, "  of %s\n", param->name);
    }
  }
  free(gradient);
  free(variant);
  test_model_close(&m);
}

static void choices_of_the_model(void) {
  rn_spec spec = test_spec();
  whole("plain", spec, RN_FORM_CHUNKWISE);
  whole("parallel form", spec, RN_FORM_PARALLEL);
  spec = test_spec(), spec.head_norm = RN_HEAD_NORM_RMS_AFFINE;
  whole("rms_affine", spec, RN_FORM_CHUNKWISE);
  spec.gate = false;
  whole("rms_affine without a gate", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.head_norm = RN_HEAD_NORM_GROUP;
  whole("group", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.head_norm = RN_HEAD_NORM_NONE;
  whole("no head norm", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.gate = false;
  whole("no gate", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.block_norm = RN_BLOCK_NORM_LAYER;
  whole("layer norm", spec, RN_FORM_CHUNKWISE);
  spec.pre_norm = false;
  whole("layer norm behind the blocks", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.ffn = RN_FFN_MLP, spec.activation = RN_ACTIVATION_GELU;
  whole("mlp, gelu", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.activation = RN_ACTIVATION_GELU;
  whole("gelu", spec, RN_FORM_CHUNKWISE);
}

static void choices_around_the_blocks(void) {
  rn_spec spec = test_spec();
  spec.tie_embeddings = spec.scale_embedding = spec.embedding_norm = true;
  whole("tied, scaled, normed embedding", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.pre_norm = false, spec.deepnorm = true;
  whole("post-norm, deepnorm", spec, RN_FORM_CHUNKWISE);
  spec.dropout = 0.3;
  whole("post-norm, deepnorm, dropout", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.deepnorm = true;
  whole("pre-norm, deepnorm", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.dropout = 0.3;
  whole("dropout", spec, RN_FORM_CHUNKWISE);
  spec.embedding_norm = true;
  whole("dropout, embedding norm", spec, RN_FORM_PARALLEL);
  spec = test_spec(), spec.rotary = RN_ROTARY_ROPE_HALF;
  whole("rope_half", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.rotary = RN_ROTARY_NONE;
  whole("no rotation", spec, RN_FORM_CHUNKWISE);
  for (rn_decay decay = RN_DECAY_PAPER; decay <= RN_DECAY_LIGHTNING; decay++) {
    spec = test_spec(), spec.decay = decay;
    whole("another decay", spec, RN_FORM_CHUNKWISE);
  }
}

/* torchscale's scales depend on q and k, but its gradients treat them as constants. If the eps
 * of the norm is almost 0, the scales cancel in the loss, and the gradients agree with the
 * slopes. */
static void choices_of_scale(void) {
  rn_spec spec = test_spec();
  spec.retention_scale = RN_SCALE_RAW;
  whole("raw", spec, RN_FORM_CHUNKWISE);
  spec.head_norm = RN_HEAD_NORM_NONE;
  whole("raw, no head norm", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.norm_eps = 1e-24, spec.value_dim = 12;
  spec.retention_scale = RN_SCALE_TS_PARALLEL;
  whole("ts_parallel", spec, RN_FORM_CHUNKWISE);
  whole("ts_parallel, parallel form", spec, RN_FORM_PARALLEL);
  spec.retention_scale = RN_SCALE_TS_CHUNKWISE;
  whole("ts_chunkwise", spec, RN_FORM_CHUNKWISE);
}

static void softmax_attention(void) {
  rn_spec spec = test_spec();
  spec.arch = RN_ARCH_TRANSFORMER, spec.rope_theta = 100;
  spec.attention_heads = 2, spec.kv_heads = 2;
  whole("transformer", spec, RN_FORM_CHUNKWISE);
  spec.kv_heads = 1, spec.attention_window = 3, spec.dropout = 0.3;
  whole("transformer with a window, one key head, dropout", spec, RN_FORM_CHUNKWISE);
  spec = test_spec(), spec.pre_norm = false, spec.deepnorm = true;
  spec.attention_layers[0] = 2, spec.rope_theta = 100, spec.attention_heads = 4, spec.kv_heads = 2;
  whole("hybrid, post-norm, deepnorm", spec, RN_FORM_CHUNKWISE);
}

int main(void) {
  omp_set_num_threads(1);
  softmax_attention();
  choices_of_the_model();
  choices_around_the_blocks();
  choices_of_scale();
  segments();
  wide_rows();
  return check_result();
}
