/* Checks eager completion of a scan. Whenever the state before a segment arrives (immediately,
 * during other work, or only when that work ends), rows and gradients must have the same bits, and
 * the state must be received and published once. In backward, other work includes the weight
 * gradients of the layer's feed-forward block and of the layer above: they are deferred until
 * the layer's scan has begun, and computed before its state is waited for. */
#include "model/retention/eager_completion.h"

#include <stdbool.h>

#include "model/base/threads.h"
#include "tests/support/check.h"
#include "tests/support/stage.h"

enum { SEQUENCES = 2, TOKENS = 29, NEVER = 1 << 20, STATE = 2 * 2 * 4 * 3 };

/* Port of a rank in the middle of a sequence. The state that it receives is synthetic; the
 * states that the layers publish are recorded. */
typedef struct fake {
  /* `early` is the number of calls of end() for which the state had already arrived. */
  int polls_until, polls, ends, publishes, early;
  rn_scan_direction direction;
  int layer;
  /* Numbers of reverse scans that ended before the deferrable weight gradients were computed
   * (waited) and afterwards (done). */
  int waited, done;
  const test_model *model;
  int64_t count;
  rn_real published[8][STATE];
} fake;

static rn_status begin(void *self, rn_err *err, rn_scan_direction direction, int layer,
                       rn_scan_element element) {
  fake *f = self;
  (void)err;
  f->direction = direction;
  f->layer = layer;
  f->polls = 0;
  f->count = element.n * element.m;
  return RN_OK;
}

static void poll(void *self) {
  fake *f = self;
  f->polls++;
}

static bool test(void *self) {
  const fake *f = self;
  return f->polls >= f->polls_until;
}

static bool is_zero(const fake *f, int64_t offset) {
  return f->model->gradient[offset] == 0;
}

/* When a reverse scan ends, increments `waited` if no deferrable weight gradient is computed yet,
 * and `done` if all of them are. */
static void look_at_weights(fake *f) {
  if (f->direction != RN_SCAN_REVERSE) return;
  const rn_layer_params *at = f->model->table->layer;
  const bool above = f->layer + 1 < f->model->spec.layers;
  CHECK(is_zero(f, at[f->layer].k) && !is_zero(f, at[f->layer].fc2));
  f->waited += is_zero(f, at[f->layer].fc1) && (!above || is_zero(f, at[f->layer + 1].k));
  f->done += !is_zero(f, at[f->layer].fc1) && (!above || !is_zero(f, at[f->layer + 1].k));
}

static rn_status end(void *self, rn_err *err, rn_real *before) {
  fake *f = self;
  (void)err;
  look_at_weights(f);
  test_fill(before, f->count, 0.5, (uint64_t)(20 + f->ends));
  f->ends++;
  f->early += test(f);
  return RN_OK;
}

static rn_status publish(void *self, rn_err *err, const rn_real *after) {
  fake *f = self;
  (void)err;
  memcpy(f->published[f->publishes++], after, (size_t)f->count * sizeof *after);
  return RN_OK;
}

/* Runs forward and backward of a segment; in each scan the state arrives at poll `polls_until`. */
static void run(test_model *m, fake *f, int polls_until, bool publishes) {
  rn_err err = {0};
  *f = (fake){.polls_until = polls_until, .model = m};
  rn_scan_port port = {
      .self = f, .begin = begin, .poll = poll, .end = end, .publish = publish, .test = test};
  if (!publishes) port.publish = NULL;
  rn_real *dy = m->segment_y[0] + m->rows * m->spec.dim;
  test_cut(m, 0, 0, TOKENS);
  rn_grad_accumulator_start(&m->accumulator);
  rn_pass pass = test_pass(m, 0, RN_FORM_CHUNKWISE);
  rn_loss loss = test_loss_of(m, 0, m->segment_y[0], dy);
  pass.port = &port;
  pass.weights = true;
  CHECK_OK(&err, rn_layer_stack_forward(&err, m->stage, &pass, NULL, m->segment_y[0]));
  rn_layer_stack_loss(m->stage, &pass, &loss);
  CHECK_OK(&err, rn_layer_stack_backward_input(&err, m->stage, &pass, dy, NULL));
  rn_layer_stack_backward_weight(m->stage, &pass);
  CHECK_EQUAL(f->ends, 2 * m->spec.layers);
  CHECK_EQUAL(f->publishes, publishes ? 2 * m->spec.layers : 0);
  /* With several threads, a thread that has no other tiles left to compute may compute weight
   * gradients before the block waits for the state. */
  if (polls_until == 0 && rn_threads() == 1) CHECK_EQUAL(f->waited, m->spec.layers);
  if (polls_until == NEVER) CHECK_EQUAL(f->done, m->spec.layers);
}

/* If the port has no publish(), a layer that is busy with other work when a state arrives
 * propagates the state only after that work. */
static void bits_do_not_depend_on_when_a_state_arrives(int threads, bool publishes) {
  static const int times[] = {0, 1, 2, 5};
  rn_spec spec = test_spec();
  fake late, f;
  rn_threads_start(threads);
  test_model want = test_model_open(&spec, SEQUENCES, TOKENS);
  run(&want, &late, NEVER, publishes);
  CHECK_EQUAL(late.early, 0);
  for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
    test_model got = test_model_open(&spec, SEQUENCES, TOKENS);
    run(&got, &f, times[i], publishes);
    CHECK(times[i] > 0 || f.early == f.ends);
    CHECK(memcmp(got.segment_y[0], want.segment_y[0],
                 (size_t)(got.rows * spec.dim) * sizeof(rn_real)) == 0);
    CHECK(memcmp(got.gradient, want.gradient, (size_t)got.table->total * sizeof(rn_real)) == 0);
    CHECK(memcmp(f.published, late.published, sizeof f.published) == 0);
    test_model_close(&got);
  }
  test_model_close(&want);
}

static void count_task(const rn_weight_sum *sum, int64_t tile, int piece) {
  (void)sum, (void)tile, (void)piece;
}

/* When the state arrives, the computation of weight gradients of other units must stop, even if
 * several threads work on it and the state is propagated only later. */
static void the_state_ends_the_work_on_other_units(int threads) {
  const rn_weight_sum many = {.add_piece = count_task, .tiles = 1, .pieces = 1 << 24};
  test_model model = {0};
  rn_err err = {0};
  rn_weight_queue *queue;
  rn_eager_completion completion;
  fake f = {.polls_until = 5, .model = &model};
  rn_scan_port port = {.self = &f, .poll = poll, .end = end, .test = test};
  rn_threads_start(threads);
  CHECK_OK(&err, rn_weight_queue_create(&err, &queue));
  rn_weight_queue_add(queue, &many);
  rn_eager_completion_start(&completion, &port, RN_SCAN_FORWARD, NULL, NULL,
                            (rn_segment_states){0});
  CHECK(!completion.arrived);
  rn_eager_completion_run_weights(&completion, queue);
  CHECK(completion.arrived && !completion.done && f.ends == 1);
  CHECK(!rn_weight_queue_is_empty(queue));
  rn_eager_completion_run_weights(&completion, NULL);
  rn_weight_queue_destroy(&queue);
}

int main(void) {
  static const int threads[] = {1, 2, 3, 5, 8};
  for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
    bits_do_not_depend_on_when_a_state_arrives(threads[i], true);
    bits_do_not_depend_on_when_a_state_arrives(threads[i], false);
    if (threads[i] > 1) the_state_ends_the_work_on_other_units(threads[i]);
  }
  return check_result();
}
