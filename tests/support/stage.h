/**
 * Defines a small model with all memory and ports that a training step needs, over whole sequences
 * or over segments of sequences.
 */
#ifndef RN_TESTS_SUPPORT_STAGE_H
#define RN_TESTS_SUPPORT_STAGE_H

#include <stdlib.h>
#include <string.h>

#include "model/retention/local_state.h"
#include "model/stage/layer_stack.h"
#include "tests/support/gradient.h"

enum { TEST_SEGMENTS = 8 };

typedef struct test_model {
  rn_spec spec;
  int sequences, tokens; /* of whole sequences, not of segments */
  int64_t rows;
  rn_layer_stack *stage;
  rn_activations *activations[TEST_SEGMENTS];
  rn_local_state *local_state;
  const rn_param_table *table;
  rn_real *params, *gradient;
  rn_grad_accumulator accumulator;
  int32_t *input, *target, *doc_position; /* [B, T] */
  int64_t *sequence_index;                /* [B] */
  int64_t position;
  rn_real *y; /* [B, T, D] output of the last run */
  rn_real *segment_y[TEST_SEGMENTS];
  rn_unit unit[TEST_SEGMENTS];
  bool train;
} test_model;

/** Returns a spec with two layers, two heads of 4 keys and 3 values, and chunks of 3 tokens. */
static inline rn_spec test_spec(void) {
  return (rn_spec){.layers = 2,
                   .dim = 8,
                   .value_dim = 6,
                   .ffn_dim = 5,
                   .heads = 2,
                   .vocab = 7,
                   .gate = true,
                   .pre_norm = true,
                   .norm_eps = 0.1,
                   .chunk = 3};
}

static inline void *test_take(size_t count, size_t bytes) {
  void *memory = calloc(count > 0 ? count : 1, bytes);
  if (memory == NULL) abort();
  return memory;
}

/** Fills doc_position. Documents begin where `begins` [B][T] has '|'; the first one of a sequence
 * begins `offset` tokens before row 0. */
static inline void test_documents(test_model *m, int offset, const char *const *begins) {
  for (int b = 0; b < m->sequences; b++) {
    for (int t = 0; t < m->tokens; t++) {
      bool begin = begins != NULL && begins[b][t] == '|';
      int32_t before = t == 0 ? offset - 1 : m->doc_position[b * m->tokens + t - 1];
      m->doc_position[b * m->tokens + t] = begin ? 0 : before + 1;
    }
  }
}

static inline test_model test_model_open(const rn_spec *spec, int sequences, int tokens) {
  rn_err err = {0};
  test_model m = {.spec = *spec, .sequences = sequences, .tokens = tokens, .position = 5};
  m.rows = (int64_t)sequences * tokens;
  const size_t rows = (size_t)m.rows, width = (size_t)spec->dim;
  CHECK_OK(&err,
           rn_layer_stack_create(
               &err, spec, (rn_stage_shape){0, spec->layers, sequences, tokens, 11, 0}, &m.stage));
  CHECK_OK(&err, rn_local_state_create(&err, spec, spec->layers, sequences, &m.local_state));
  m.table = rn_layer_stack_table(m.stage);
  m.params = test_take((size_t)m.table->total, sizeof(rn_real));
  m.gradient = test_take((size_t)m.table->total, sizeof(rn_real));
  m.accumulator = (rn_grad_accumulator){.gradient = m.gradient, .total = m.table->total};
  m.input = test_take(rows, sizeof(int32_t));
  m.target = test_take(rows, sizeof(int32_t));
  m.doc_position = test_take(rows, sizeof(int32_t));
  m.sequence_index = test_take((size_t)sequences, sizeof(int64_t));
  m.y = test_take(rows * width, sizeof(rn_real));
  for (int p = 0; p < TEST_SEGMENTS; p++) {
    CHECK_OK(&err, rn_activations_create(&err, m.stage, RN_SAVE_ALL, &m.activations[p]));
    m.segment_y[p] = test_take(2 * rows * width, sizeof(rn_real));
    m.unit[p].input = test_take(3 * rows, sizeof(int32_t));
  }
  test_fill(m.params, m.table->total, 0.5, 3);
  rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, 5, "tokens");
  for (uint64_t i = 0; i < rows; i++) {
    m.input[i] = (int32_t)(rn_random_bits(key, 2 * i) % (uint64_t)spec->vocab);
    m.target[i] = (int32_t)(rn_random_bits(key, 2 * i + 1) % (uint64_t)spec->vocab);
  }
  for (int b = 0; b < sequences; b++) m.sequence_index[b] = 100 + b;
  test_documents(&m, 0, NULL);
  return m;
}

static inline void test_model_close(test_model *m) {
  for (int p = 0; p < TEST_SEGMENTS; p++) {
    rn_activations_destroy(&m->activations[p]);
    free(m->segment_y[p]);
    free((void *)m->unit[p].input);
  }
  rn_layer_stack_destroy(&m->stage);
  rn_local_state_destroy(&m->local_state);
  free(m->params);
  free(m->gradient);
  free(m->input);
  free(m->target);
  free(m->doc_position);
  free(m->sequence_index);
  free(m->y);
}

/**
 * Makes unit p, a segment of the sequences, from tokens [begin, end) of all sequences, in memory
 * that test_model_open allocated.
 */
static inline void test_cut(test_model *m, int p, int begin, int end) {
  int32_t *input = (int32_t *)m->unit[p].input, *target = input + m->rows;
  int32_t *doc_position = input + 2 * m->rows;
  int tokens = end - begin;
  for (int b = 0; b < m->sequences; b++) {
    size_t bytes = (size_t)tokens * sizeof(int32_t);
    memcpy(input + b * tokens, m->input + b * m->tokens + begin, bytes);
    memcpy(target + b * tokens, m->target + b * m->tokens + begin, bytes);
    memcpy(doc_position + b * tokens, m->doc_position + b * m->tokens + begin, bytes);
  }
  m->unit[p] = (rn_unit){.sequences = m->sequences,
                         .tokens = tokens,
                         .input = input,
                         .target = target,
                         .doc_position = doc_position,
                         .sequence_index = m->sequence_index,
                         .position = m->position + begin,
                         .step = 9};
}

/** Returns the arguments of a forward or backward pass over unit p, with a scan port that
 * stays within the process (rn_local_state). */
static inline rn_pass test_pass(test_model *m, int p, rn_form form) {
  return (rn_pass){.params = m->params,
                   .unit = &m->unit[p],
                   .port = rn_local_state_port(m->local_state),
                   .form = form,
                   .train = m->train,
                   .activations = m->activations[p],
                   .accumulator = &m->accumulator};
}

/** Returns the arguments of the loss of rows y [B, T, D] of unit p. */
static inline rn_loss test_loss_of(const test_model *m, int p, const rn_real *y, rn_real *dy) {
  return (rn_loss){.rows = (int64_t)m->unit[p].sequences * m->unit[p].tokens,
                   .y = y,
                   .target = m->unit[p].target,
                   .scale = 1,
                   .dy = dy};
}

/**
 * Runs forward over segments that end before tokens ends[0], ..., ends[segments - 1] = T; fills y.
 */
static inline void test_forward(test_model *m, rn_form form, const int *ends, int segments) {
  rn_err err = {0};
  const int width = m->spec.dim;
  rn_local_state_reset(m->local_state);
  for (int p = 0, begin = 0; p < segments; begin = ends[p++]) {
    test_cut(m, p, begin, ends[p]);
    const rn_pass pass = test_pass(m, p, form);
    CHECK_OK(&err, rn_layer_stack_forward(&err, m->stage, &pass, NULL, m->segment_y[p]));
    int tokens = ends[p] - begin;
    for (int b = 0; b < m->sequences; b++) {
      memcpy(m->y + (int64_t)(b * m->tokens + begin) * width,
             m->segment_y[p] + (int64_t)b * tokens * width,
             (size_t)tokens * (size_t)width * sizeof(rn_real));
    }
  }
}

/**
 * Returns the loss summed over all targets; with `backward` also computes the gradient. Call it
 * after test_forward.
 */
static inline double test_loss(test_model *m, int segments, bool backward) {
  rn_err err = {0};
  double loss = 0;
  rn_grad_accumulator_start(&m->accumulator);
  for (int p = segments - 1; p >= 0; p--) {
    rn_real *dy = backward ? m->segment_y[p] + m->rows * m->spec.dim : NULL;
    rn_loss part = test_loss_of(m, p, m->segment_y[p], dy);
    rn_pass pass = test_pass(m, p, RN_FORM_CHUNKWISE);
    rn_layer_stack_loss(m->stage, &pass, &part);
    loss += part.sum;
    if (!backward) continue;
    pass.weights = p % 2 == 0 || m->activations[p]->save == RN_SAVE_MOST;
    CHECK_OK(&err, rn_layer_stack_backward_input(&err, m->stage, &pass, dy, NULL));
    rn_layer_stack_backward_weight(m->stage, &pass);
  }
  return loss;
}

/** Runs a step with whole sequences as one segment; returns the loss. */
static inline double test_step_whole(test_model *m, rn_form form, bool backward) {
  test_forward(m, form, &m->tokens, 1);
  return test_loss(m, 1, backward);
}

/**
 * Fails unless each tensor's gradient equals `want` up to `tolerance` times the largest element of
 * that gradient.
 */
static inline void test_same_gradient(const test_model *m, const rn_real *want, double tolerance) {
  for (int i = 0; i < m->table->count; i++) {
    const rn_param *param = &m->table->param[i];
    const rn_real *got = m->gradient + param->offset;
    CHECK_ARRAY(param->name, got, want + param->offset, param->rows * param->cols, tolerance);
  }
}

#endif
