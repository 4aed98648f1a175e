/* Checks that parallel, recurrent and chunkwise retention agree for any chunk size, any boundaries
 * of documents and any segments. Also checks that the phases of a profile do not speak of chunks in
 * the forms that have none. */
#include "proto/base/span.h"
#include "tests/support/sets.h"
#include "tests/support/stage.h"

#ifdef RN_REAL_F64
static const double close = 1e-11;
#else
static const double close = 1e-5;
#endif

enum { SEQUENCES = 2, TOKENS = 13 };

typedef struct packing {
  const char *what;
  int offset; /* tokens of the first document before the sequence */
  const char *begins[SEQUENCES];
} packing;

static const packing packings[] = {
    {"one document", 0, {"-------------", "-------------"}},
    {"begun before", 40, {"-------------", "-------------"}},
    {"several, and at chunk edges", 3, {"---|--|------", "|----|-|||---"}},
    {"one each row, and at the end", 0, {"|||||||||||||", "------------|"}},
};
enum { PACKINGS = sizeof packings / sizeof packings[0] };

static test_model open(rn_spec spec, int chunk, const packing *packed) {
  spec.chunk = chunk;
  test_model m = test_model_open(&spec, SEQUENCES, TOKENS);
  test_documents(&m, packed->offset, packed->begins);
  return m;
}

static void every_chunk_is_the_parallel_form(const char *what, rn_spec spec,
                                             const packing *packed) {
  test_model oracle = open(spec, 1, packed);
  double want = test_step_whole(&oracle, RN_FORM_PARALLEL, true);
  for (int chunk = 1; chunk <= TOKENS; chunk++) {
    test_model m = open(spec, chunk, packed);
    CHECK_NEAR(test_step_whole(&m, RN_FORM_CHUNKWISE, true), want, close);
    CHECK_ARRAY(what, m.y, oracle.y, m.rows * m.spec.dim, close);
    test_same_gradient(&m, oracle.gradient, close);
    test_model_close(&m);
  }
  test_model_close(&oracle);
}

static void token_by_token_is_the_parallel_form(const char *what, rn_spec spec,
                                                const packing *packed) {
  test_model m = open(spec, 1, packed), oracle = open(spec, 1, packed);
  test_step_whole(&oracle, RN_FORM_PARALLEL, false);
  test_step_whole(&m, RN_FORM_RECURRENT, false);
  CHECK_ARRAY(what, m.y, oracle.y, m.rows * m.spec.dim, close);
  test_model_close(&m);
  test_model_close(&oracle);
}

/* Segments end inside documents, at their boundaries and inside chunks; one segment is empty. */
static void any_cut_is_the_whole(const packing *packed, rn_form form) {
  static const int cuts[][TEST_SEGMENTS] = {
      {6, 13}, {1, 5, 5, 7, 13}, {3, 6, 7, 8, 12, 13}, {13, 13}};
  static const int segments[] = {2, 5, 6, 2};
  bool backward = form != RN_FORM_RECURRENT;
  test_model whole = open(test_spec(), 4, packed);
  double want = test_step_whole(&whole, form, backward);
  for (int i = 0; i < 4; i++) {
    test_model m = open(test_spec(), 4, packed);
    test_forward(&m, form, cuts[i], segments[i]);
    CHECK_NEAR(test_loss(&m, segments[i], backward), want, close);
    CHECK_ARRAY(packed->what, m.y, whole.y, m.rows * m.spec.dim, close);
    if (backward) test_same_gradient(&m, whole.gradient, close);
    test_model_close(&m);
  }
  test_model_close(&whole);
}

static void forms_may_follow_each_other(void) {
  test_model whole = open(test_spec(), 4, &packings[1]), m = open(test_spec(), 4, &packings[1]);
  test_step_whole(&whole, RN_FORM_PARALLEL, false);
  rn_err err = {0};
  static const rn_form forms[] = {RN_FORM_CHUNKWISE, RN_FORM_RECURRENT, RN_FORM_PARALLEL};
  static const int ends[] = {6, 9, 13};
  for (int p = 0, begin = 0; p < 3; begin = ends[p++]) {
    test_cut(&m, p, begin, ends[p]);
    const rn_pass pass = test_pass(&m, p, forms[p]);
    CHECK_OK(&err, rn_layer_stack_forward(&err, m.stage, &pass, NULL, m.segment_y[p]));
    for (int b = 0; b < SEQUENCES; b++) {
      const int width = m.spec.dim, tokens = ends[p] - begin;
      CHECK_ARRAY("rows", m.segment_y[p] + (int64_t)b * tokens * width,
                  whole.y + (int64_t)(b * TOKENS + begin) * width, (int64_t)tokens * width, close);
    }
  }
  test_model_close(&m);
  test_model_close(&whole);
}

/* Heads are wide, and chunks are longer than any tile inside the kernels. */
static void long_chunks_are_the_parallel_form(void) {
  enum { LONG = 150 };
  rn_spec spec = test_spec();
  spec.layers = 1, spec.dim = 32, spec.value_dim = 48;
  static const int chunks[] = {63, 64, 65, 100, 128, 150};
  spec.chunk = 1;
  test_model oracle = test_model_open(&spec, 1, LONG);
  for (int t = 0; t < LONG; t++)
    oracle.doc_position[t] = t < 70 ? t + 1000 : t < 81 ? t - 70 : t - 81;
  test_fill(oracle.params, oracle.table->total, 0.2, 3);
  double want = test_step_whole(&oracle, RN_FORM_PARALLEL, true);
  for (int i = 0; i < 6; i++) {
    spec.chunk = chunks[i];
    test_model m = test_model_open(&spec, 1, LONG);
    memcpy(m.doc_position, oracle.doc_position, LONG * sizeof m.doc_position[0]);
    memcpy(m.params, oracle.params, (size_t)m.table->total * sizeof(rn_real));
    CHECK_NEAR(test_step_whole(&m, RN_FORM_CHUNKWISE, true), want, close);
    CHECK_ARRAY("y", m.y, oracle.y, m.rows * m.spec.dim, close);
    test_same_gradient(&m, oracle.gradient, close);
    test_model_close(&m);
  }
  test_model_close(&oracle);
}

/* Returns the number of phases with this word in their names. */
static int phases_with(const char *word) {
  const rn_spans *spans = rn_spans_get();
  int phases = 0;
  for (int i = 0; i < spans->paths; i++) phases += strstr(spans->path[i].name, word) != NULL;
  return phases;
}

static void phases_have_true_names(rn_form form) {
  rn_err err = {0};
  test_model m = open(test_spec(), 4, &packings[0]);
  if (!CHECK_OK(&err, rn_spans_start(&err, 0))) return;
  rn_span_begin("step");
  test_step_whole(&m, form, form != RN_FORM_RECURRENT);
  rn_span_end();
  CHECK((phases_with("chunk") > 0) == (form == RN_FORM_CHUNKWISE));
  CHECK(phases_with("retention (all terms)") > 0 || form == RN_FORM_CHUNKWISE);
  rn_spans_stop();
  test_model_close(&m);
}

static void forms_agree(const char *what, rn_spec spec) {
  every_chunk_is_the_parallel_form(what, spec, &packings[2]);
  token_by_token_is_the_parallel_form(what, spec, &packings[2]);
}

static void decays_and_scales_do_not_matter(void) {
  for (rn_decay decay = RN_DECAY_EQ8; decay <= RN_DECAY_LIGHTNING; decay++) {
    rn_spec spec = test_spec();
    spec.decay = decay;
    forms_agree("decay", spec);
    spec.retention_scale = RN_SCALE_RAW;
    forms_agree("decay, raw", spec);
  }
}

static void choices_inside_the_blocks_do_not_matter(void) {
  for (rn_head_norm norm = RN_HEAD_NORM_RMS; norm <= RN_HEAD_NORM_NONE; norm++) {
    rn_spec spec = test_spec();
    spec.head_norm = norm;
    forms_agree("head norm", spec);
    spec.gate = false;
    forms_agree("head norm, no gate", spec);
  }
  for (rn_rotary rotary = RN_ROTARY_TORCHSCALE; rotary <= RN_ROTARY_NONE; rotary++) {
    rn_spec spec = test_spec();
    spec.rotary = rotary;
    forms_agree("rotation", spec);
  }
  rn_spec spec = test_spec();
  spec.ffn = RN_FFN_MLP, spec.activation = RN_ACTIVATION_GELU;
  forms_agree("mlp, gelu", spec);
}

static void choices_around_the_blocks_do_not_matter(void) {
  rn_spec spec = test_spec();
  spec.tie_embeddings = spec.scale_embedding = spec.embedding_norm = true;
  forms_agree("tied, scaled, normed embedding", spec);
  spec = test_spec(), spec.block_norm = RN_BLOCK_NORM_LAYER;
  forms_agree("layer norm", spec);
  spec.pre_norm = false, spec.deepnorm = true;
  forms_agree("layer norm behind the blocks, deepnorm", spec);
}

int main(void) {
  test_use_sets();
  for (int i = 0; i < PACKINGS; i++) {
    every_chunk_is_the_parallel_form(packings[i].what, test_spec(), &packings[i]);
    token_by_token_is_the_parallel_form(packings[i].what, test_spec(), &packings[i]);
    for (rn_form form = RN_FORM_CHUNKWISE; form <= RN_FORM_RECURRENT; form++) {
      any_cut_is_the_whole(&packings[i], form);
    }
  }
  for (rn_form form = RN_FORM_CHUNKWISE; form <= RN_FORM_RECURRENT; form++) {
    phases_have_true_names(form);
  }
  forms_may_follow_each_other();
  long_chunks_are_the_parallel_form();
  decays_and_scales_do_not_matter();
  choices_inside_the_blocks_do_not_matter();
  choices_around_the_blocks_do_not_matter();
  return check_result();
}
