/*
 * Checks that the guarded stage is closed while it calls a scan port outside a parallel region. A
 * port that reads the weights in begin, poll or end ends the process with a message that names the
 * array. With a port that does not read them, the forward pass gives a result.
 */
#include <omp.h>
#include <string.h>

#include "model/retention/local_state.h"
#include "tests/support/check.h"
#include "tests/support/child.h"
#include "tests/support/guarded_pages.h"
#include "tests/support/guarded_stage.h"

enum { TOKENS = 4, VOCABULARY = 7 };

typedef enum { NEVER, IN_BEGIN, IN_POLL, IN_END } moment;

/* A port of local states that reads the weights in one of its calls. */
typedef struct reader {
  rn_scan_port *port;
  moment when;
  const volatile float *weights;
  float value;
} reader;

static void reach(reader *r, moment now) {
  if (r->when == now) r->value = r->weights[0];
}

static rn_status begin(void *self, rn_err *err, rn_scan_direction direction, int layer,
                       rn_scan_element element) {
  reader *r = self;
  reach(r, IN_BEGIN);
  return r->port->begin(r->port->self, err, direction, layer, element);
}

static void poll(void *self) {
  reader *r = self;
  reach(r, IN_POLL);
  r->port->poll(r->port->self);
}

static rn_status end(void *self, rn_err *err, float *before) {
  reader *r = self;
  reach(r, IN_END);
  return r->port->end(r->port->self, err, before);
}

static void forward(rn_stage *stage, rn_scan_port *port) {
  static const int32_t input[TOKENS] = {1, 5, 2, 6}, position[TOKENS] = {0, 1, 2, 3};
  static const int64_t sequence_index[] = {0};
  const rn_unit unit = {.sequences = 1,
                        .tokens = TOKENS,
                        .input = input,
                        .target = input,
                        .doc_position = position,
                        .sequence_index = sequence_index};
  const rn_pass pass = {.unit = &unit, .port = port, .form = RN_FORM_CHUNKWISE};
  float logits[TOKENS * VOCABULARY] = {0};
  rn_err err = {0};
  rn_stage_slot *slot = NULL;
  CHECK_OK(&err, rn_stage_slot_create(&err, stage, (rn_stage_slot_shape){.save = RN_SAVE_NOTHING},
                                      &slot));
  CHECK_OK(&err, rn_stage_forward(&err, stage, slot, &pass));
  CHECK_OK(&err, rn_stage_logits(&err, stage, slot, (rn_range){0, TOKENS}, logits));
  CHECK(logits[0] != 0);
  rn_stage_slot_destroy(stage, &slot);
}

static void run(int when) {
  const rn_spec spec = {.layers = 1,
                        .dim = 8,
                        .value_dim = 8,
                        .ffn_dim = 5,
                        .heads = 2,
                        .vocab = VOCABULARY,
                        .gate = true,
                        .pre_norm = true,
                        .norm_eps = 0.1,
                        .chunk = 2};
  rn_err err = {0};
  rn_stage *stage = NULL;
  rn_local_state *states = NULL;
  void *weights = NULL;
  /* With one thread no region is parallel, so that polls close the stage too. */
  omp_set_num_threads(1);
  CHECK_OK(&err, rn_stage_create(&err, &spec, (rn_stage_shape){0, 1, 1, TOKENS, 11, 0}, &stage));
  CHECK_OK(&err, rn_local_state_create(&err, &spec, 1, 1, &states));
  const rn_stage_region all = {.array = RN_STAGE_WEIGHTS,
                               .range = {0, rn_stage_params(stage)->total}};
  CHECK_OK(&err, rn_stage_map(&err, stage, all, RN_ACCESS_WRITE, &weights));
  for (int64_t i = 0; i < all.range.end; i++) ((float *)weights)[i] = 0.01F * (float)(i % 13 - 5);
  CHECK_OK(&err, rn_stage_unmap(&err, stage, all, RN_ACCESS_WRITE));
  reader r = {.port = rn_local_state_port(states), .when = (moment)when, .weights = weights};
  rn_scan_port port = {.self = &r, .begin = begin, .poll = poll, .end = end};
  forward(stage, &port);
  rn_local_state_destroy(&states);
  rn_stage_destroy(&stage);
}

int main(void) {
  char text[400];
  rn_stage_backend_swap(&guarded_stage);
  CHECK_EQUAL(test_child_status(run, NEVER, text, sizeof text), 0);
  for (int when = IN_BEGIN; when <= IN_END; when++) {
    CHECK_EQUAL(test_child_status(run, when, text, sizeof text), GUARDED_EXIT_STATUS);
    CHECK(strncmp(text, "weights, element 0: ", 20) == 0);
  }
  return check_result();
}
