/* Checks that a model divided into stages equals the whole model, that the failure of a port is
 * returned, and that no call leaves state that affects the next one. */
#include <stdlib.h>

#include "proto/base/fault.h"
#include "tests/support/sets.h"
#include "tests/support/stage.h"

enum { SEQUENCES = 2, TOKENS = 9 };

static test_model open(rn_spec spec) {
  return test_model_open(&spec, SEQUENCES, TOKENS);
}

/* Copies the weights of a stage from the whole model, where they have the same names. */
static void take_weights(const test_model *m, const rn_param_table *table, rn_real *params) {
  for (int i = 0; i < table->count; i++) {
    const rn_param *param = &table->param[i], *same = rn_param_find(m->table, param->name);
    if (!CHECK(same != NULL)) continue;
    memcpy(params + param->offset, m->params + same->offset,
           (size_t)(param->rows * param->cols) * sizeof(rn_real));
  }
}

static void same_as_whole(const test_model *m, const rn_param_table *table,
                          const rn_real *gradient) {
  for (int i = 0; i < table->count; i++) {
    const rn_param *param = &table->param[i], *same = rn_param_find(m->table, param->name);
    CHECK(memcmp(gradient + param->offset, m->gradient + same->offset,
                 (size_t)(param->rows * param->cols) * sizeof(rn_real)) == 0);
  }
}

static void two_stages_are_one_model(rn_spec spec) {
  test_model m = open(spec);
  rn_err err = {0};
  rn_layer_stack *stage[2];
  rn_activations *activations[2];
  rn_local_state *local_state[2];
  rn_real *params[2], *gradient[2];
  rn_grad_accumulator accumulator[2];
  const int cut = 1;
  rn_real *rows = test_take((size_t)(4 * m.rows * spec.dim), sizeof(rn_real));
  rn_real *middle = rows, *y = rows + m.rows * spec.dim, *dy = y + m.rows * spec.dim;
  rn_real *dmiddle = dy + m.rows * spec.dim;
  m.train = true;
  const double want = test_step_whole(&m, RN_FORM_CHUNKWISE, true);
  for (int s = 0; s < 2; s++) {
    CHECK_OK(&err,
             rn_layer_stack_create(&err, &spec,
                                   (rn_stage_shape){s == 0 ? 0 : cut, s == 0 ? cut : spec.layers,
                                                    SEQUENCES, TOKENS, 11, 0},
                                   &stage[s]));
    CHECK_OK(&err, rn_activations_create(&err, stage[s], RN_SAVE_ALL, &activations[s]));
    CHECK_OK(&err, rn_local_state_create(&err, &spec, spec.layers, SEQUENCES, &local_state[s]));
    const rn_param_table *table = rn_layer_stack_table(stage[s]);
    params[s] = test_take((size_t)table->total, sizeof(rn_real));
    gradient[s] = test_take((size_t)table->total, sizeof(rn_real));
    accumulator[s] = (rn_grad_accumulator){.gradient = gradient[s], .total = table->total};
    take_weights(&m, table, params[s]);
  }
  rn_pass pass[2];
  for (int s = 0; s < 2; s++) {
    pass[s] = (rn_pass){.params = params[s],
                        .unit = &m.unit[0],
                        .port = rn_local_state_port(local_state[s]),
                        .train = true,
                        .activations = activations[s],
                        .accumulator = &accumulator[s]};
  }
  rn_loss got = test_loss_of(&m, 0, y, dy);
  CHECK_OK(&err, rn_layer_stack_forward(&err, stage[0], &pass[0], NULL, middle));
  CHECK_OK(&err, rn_layer_stack_forward(&err, stage[1], &pass[1], middle, y));
  rn_layer_stack_loss(stage[1], &pass[1], &got);
  CHECK_OK(&err, rn_layer_stack_backward_input(&err, stage[1], &pass[1], dy, dmiddle));
  CHECK_OK(&err, rn_layer_stack_backward_input(&err, stage[0], &pass[0], dmiddle, NULL));
  CHECK(got.sum == want);
  CHECK(memcmp(y, m.y, (size_t)(m.rows * spec.dim) * sizeof(rn_real)) == 0);
  for (int s = 0; s < 2; s++) {
    rn_layer_stack_backward_weight(stage[s], &pass[s]);
    same_as_whole(&m, rn_layer_stack_table(stage[s]), gradient[s]);
    rn_activations_destroy(&activations[s]);
    rn_layer_stack_destroy(&stage[s]);
    rn_local_state_destroy(&local_state[s]);
    free(params[s]);
    free(gradient[s]);
  }
  free(rows);
  test_model_close(&m);
}

static void saving_nothing_gives_the_same_rows(void) {
  test_model m = open(test_spec());
  rn_err err = {0};
  rn_activations *activations = NULL;
  CHECK_OK(&err, rn_activations_create(&err, m.stage, RN_SAVE_NOTHING, &activations));
  test_forward(&m, RN_FORM_CHUNKWISE, &m.tokens, 1);
  rn_local_state_reset(m.local_state);
  rn_pass pass = test_pass(&m, 0, RN_FORM_CHUNKWISE);
  pass.activations = activations;
  CHECK_OK(&err, rn_layer_stack_forward(&err, m.stage, &pass, NULL, m.segment_y[0]));
  CHECK(memcmp(m.y, m.segment_y[0], (size_t)(m.rows * m.spec.dim) * sizeof(rn_real)) == 0);
  const rn_real *last = rn_layer_stack_hidden(m.activations[0], m.spec.layers);
  CHECK(memcmp(m.y, last, (size_t)(m.rows * m.spec.dim) * sizeof(rn_real)) == 0);
  CHECK(memcmp(m.y, rn_layer_stack_hidden(m.activations[0], 1),
               (size_t)(m.rows * m.spec.dim) * sizeof(rn_real)) != 0);
  rn_activations_destroy(&activations);
  memset(m.segment_y[0], 0, (size_t)(m.rows * m.spec.dim) * sizeof(rn_real));
  CHECK_OK(&err, rn_activations_create_alias(&err, m.activations[0], &activations));
  CHECK(rn_activations_rows(activations) == rn_activations_rows(m.activations[0]));
  rn_local_state_reset(m.local_state);
  pass.activations = activations;
  CHECK_OK(&err, rn_layer_stack_forward(&err, m.stage, &pass, NULL, m.segment_y[0]));
  CHECK(memcmp(m.y, m.segment_y[0], (size_t)(m.rows * m.spec.dim) * sizeof(rn_real)) == 0);
  rn_activations_destroy(&activations);
  test_model_close(&m);
}

/* Checks that loss and gradient have the same bits whether backward reads saved activations or
 * recomputes them. */
static void saving_less_gives_the_same_gradient_with(rn_spec spec, rn_save_policy save) {
  enum { FIRST = 5 };
  static const int ends[] = {FIRST, TOKENS};
  test_model kept = open(spec), less = open(spec);
  rn_err err = {0};
  kept.train = less.train = true;
  for (int p = 0; p < 2; p++) {
    rn_activations_destroy(&less.activations[p]);
    CHECK_OK(&err, rn_activations_create(&err, less.stage, save, &less.activations[p]));
  }
  test_forward(&kept, RN_FORM_CHUNKWISE, ends, 2);
  test_forward(&less, RN_FORM_CHUNKWISE, ends, 2);
  CHECK(test_loss(&less, 2, true) == test_loss(&kept, 2, true));
  CHECK(memcmp(less.gradient, kept.gradient, (size_t)kept.table->total * sizeof(rn_real)) == 0);
  test_model_close(&kept);
  test_model_close(&less);
}

/* Tests sizes for which all, some or none of the rows of the feed-forward block fit in the memory
 * that retention uses. */
static void saving_less_gives_the_same_gradient(rn_spec spec) {
  static const int ffn_dim[] = {5, 20, 400};
  for (int i = 0; i < 3; i++) {
    spec.ffn_dim = ffn_dim[i];
    saving_less_gives_the_same_gradient_with(spec, RN_SAVE_INPUTS);
    saving_less_gives_the_same_gradient_with(spec, RN_SAVE_MOST);
  }
}

/* Checks that a step leaves no state in the stage or in its activations that affects the next
 * step, which may have another size. */
static void steps_do_not_see_each_other(void) {
  test_model fresh = open(test_spec()), used = open(test_spec());
  used.position = 70;
  test_forward(&used, RN_FORM_CHUNKWISE, (const int[]){4, TOKENS}, 2);
  test_loss(&used, 2, true);
  used.position = fresh.position;
  double want = test_step_whole(&fresh, RN_FORM_CHUNKWISE, true);
  CHECK(test_step_whole(&used, RN_FORM_CHUNKWISE, true) == want);
  CHECK(memcmp(used.gradient, fresh.gradient, (size_t)used.table->total * sizeof(rn_real)) == 0);
  test_model_close(&fresh);
  test_model_close(&used);
}

/* A port that fails after `calls_left` calls. */
typedef struct broken_port {
  int calls_left;
} broken_port;

static rn_status count_down(broken_port *port, rn_err *err) {
  return port->calls_left-- == 0 ? rn_fail(err, RN_ERR_MPI, "the scan failed") : RN_OK;
}
static rn_status broken_begin(void *self, rn_err *err, rn_scan_direction direction, int layer,
                              rn_scan_element element) {
  (void)direction, (void)layer, (void)element;
  return count_down(self, err);
}
static void broken_poll(void *self) {
  (void)self;
}
static rn_status broken_end(void *self, rn_err *err, rn_real *before) {
  (void)before;
  return count_down(self, err);
}

static void a_failing_port_is_reported(void) {
  test_model m = open(test_spec());
  test_step_whole(&m, RN_FORM_CHUNKWISE, false);
  for (int call = 0; call < 4; call++) {
    rn_err err = {0};
    broken_port broken = {call};
    rn_scan_port port = {
        .self = &broken, .begin = broken_begin, .poll = broken_poll, .end = broken_end};
    rn_pass pass = test_pass(&m, 0, RN_FORM_CHUNKWISE);
    pass.port = &port;
    CHECK_FAILS(&err, RN_ERR_MPI, "the scan failed",
                rn_layer_stack_forward(&err, m.stage, &pass, NULL, m.segment_y[0]));
    rn_err_clear(&err);
    broken.calls_left = call;
    CHECK_FAILS(&err, RN_ERR_MPI, "the scan failed",
                rn_layer_stack_backward_input(&err, m.stage, &pass, m.segment_y[0], NULL));
  }
  test_model_close(&m);
}

/* A layer reaches the fault site `compute` once in forward, once in backward-input, and once in
 * backward-weight if that is a separate phase. */
static void each_phase_of_a_layer_can_be_slowed(void) {
  test_model m = open(test_spec());
  rn_err err = {0};
  setenv("RETNET_FAULT", "compute:1-:busy=0", 1);
  test_step_whole(&m, RN_FORM_CHUNKWISE, true);
  CHECK_EQUAL(rn_fault_passes(), 2 * m.spec.layers);
  rn_pass pass = test_pass(&m, 0, RN_FORM_CHUNKWISE);
  pass.weights = false;
  CHECK_OK(&err, rn_layer_stack_forward(&err, m.stage, &pass, NULL, m.segment_y[0]));
  CHECK_OK(&err, rn_layer_stack_backward_input(&err, m.stage, &pass, m.segment_y[0], NULL));
  CHECK_EQUAL(rn_fault_passes(), 4 * m.spec.layers);
  rn_layer_stack_backward_weight(m.stage, &pass);
  CHECK_EQUAL(rn_fault_passes(), 5 * m.spec.layers);
  unsetenv("RETNET_FAULT");
  test_model_close(&m);
}

static void ts_chunkwise_has_no_parallel_form(void) {
  rn_spec spec = test_spec();
  spec.retention_scale = RN_SCALE_TS_CHUNKWISE;
  test_model m = open(spec);
  rn_err err = {0};
  test_cut(&m, 0, 0, TOKENS);
  const rn_pass pass = test_pass(&m, 0, RN_FORM_PARALLEL);
  CHECK_FAILS(&err, RN_ERR_USAGE, "retention_scale|ts_chunkwise|parallel",
              rn_layer_stack_forward(&err, m.stage, &pass, NULL, m.segment_y[0]));
  test_model_close(&m);
}

/* ---- deferred weight gradients ---- */

static bool after_polls(void *self) {
  int *left = self;
  return (*left)-- <= 0;
}

typedef struct reports {
  int count, last;
} reports;

static void note_report(void *self, int group) {
  reports *r = self;
  r->count++;
  r->last = group;
}

static void backward_input_of(test_model *m, int p) {
  rn_err err = {0};
  rn_pass pass = test_pass(m, p, RN_FORM_CHUNKWISE);
  rn_real *dy = m->segment_y[p] + m->rows * m->spec.dim;
  rn_loss loss = test_loss_of(m, p, m->segment_y[p], dy);
  rn_layer_stack_loss(m->stage, &pass, &loss);
  CHECK_OK(&err, rn_layer_stack_backward_input(&err, m->stage, &pass, dy, NULL));
}

static void backward_weight_of(test_model *m, int p) {
  const rn_pass pass = test_pass(m, p, RN_FORM_CHUNKWISE);
  rn_layer_stack_backward_weight(m->stage, &pass);
}

static bool has_matrices(const test_model *m) {
  bool all = true;
  for (int i = 0; i < m->spec.layers; i++) {
    const rn_layer_params *at = &m->table->layer[i];
    all = all && m->gradient[at->k] != 0 && m->gradient[at->fc1] != 0 && m->gradient[at->out] != 0;
  }
  return all;
}

/* Checks that weight gradients computed while the caller waits have the same bits as weight
 * gradients computed immediately. After each backward_input and between the calls of
 * backward_weight, the caller waits until it has polled `polls` times. The layers' groups must be
 * reported by backward_weight only. */
static void waiting_weights_keep_their_order(rn_spec spec, int polls) {
  static const int ends[] = {4, 6, TOKENS};
  enum { UNITS = 3 };
  test_model want = open(spec), early = open(spec);
  reports r = {0};
  rn_layer_stack_attach(early.stage, (rn_layer_group_port){.self = &r, .added = note_report});
  test_forward(&want, RN_FORM_CHUNKWISE, ends, UNITS);
  test_forward(&early, RN_FORM_CHUNKWISE, ends, UNITS);
  rn_grad_accumulator_start(&want.accumulator);
  rn_grad_accumulator_start(&early.accumulator);
  for (int p = UNITS - 1; p >= 0; p--) {
    backward_input_of(&want, p);
    backward_weight_of(&want, p);
    backward_input_of(&early, p);
    int left = p == 1 ? 0 : polls;
    rn_layer_stack_run_waiting_weights(early.stage, (rn_weight_queue_until){&left, after_polls});
  }
  CHECK_EQUAL(r.count, UNITS); /* only the group of the embedding */
  CHECK(polls < 1000 || has_matrices(&early));
  CHECK(polls > 0 || !has_matrices(&early));
  for (int p = UNITS - 1; p >= 0; p--) {
    backward_weight_of(&early, p);
    CHECK_EQUAL(r.count, UNITS + (UNITS - p) * spec.layers);
    CHECK_EQUAL(r.last, 1);
    int left = polls;
    rn_layer_stack_run_waiting_weights(early.stage, (rn_weight_queue_until){&left, after_polls});
  }
  CHECK(memcmp(want.gradient, early.gradient, (size_t)want.table->total * sizeof(rn_real)) == 0);
  test_model_close(&want);
  test_model_close(&early);
}

int main(void) {
  test_use_sets();
  rn_spec spec = test_spec();
  spec.dropout = 0.2;
  two_stages_are_one_model(spec);
  spec.pre_norm = false, spec.embedding_norm = true, spec.head_norm = RN_HEAD_NORM_RMS_AFFINE;
  two_stages_are_one_model(spec);
  spec.decay = RN_DECAY_LIGHTNING;
  two_stages_are_one_model(spec);
  saving_nothing_gives_the_same_rows();
  saving_less_gives_the_same_gradient(test_spec());
  spec.gate = false, spec.ffn = RN_FFN_MLP;
  saving_less_gives_the_same_gradient(spec);
  steps_do_not_see_each_other();
  a_failing_port_is_reported();
  each_phase_of_a_layer_can_be_slowed();
  ts_chunkwise_has_no_parallel_form();
  for (int polls = 0; polls < 8; polls++) waiting_weights_keep_their_order(test_spec(), polls);
  waiting_weights_keep_their_order(test_spec(), 1 << 20);
  return check_result();
}
