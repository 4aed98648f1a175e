/* Checks that a local state accumulates the decayed states of successive segments, and that a
 * reset clears it. */
#include "model/retention/local_state.h"

#include <string.h>

#include "tests/support/gradient.h"

enum { LAYERS = 2, SEQUENCES = 3, HEADS = 2, KEYS = 4, VALUES = 5 };
enum { MATRIX = KEYS * VALUES, N = SEQUENCES * HEADS, STATE = N * MATRIX };

static rn_local_state *fresh(void) {
  rn_spec spec = {.dim = HEADS * KEYS, .value_dim = HEADS * VALUES, .heads = HEADS};
  rn_err err = {0};
  rn_local_state *local_state = NULL;
  CHECK_OK(&err, rn_local_state_create(&err, &spec, LAYERS, SEQUENCES, &local_state));
  return local_state;
}

static void scan(rn_local_state *local_state, rn_scan_direction direction, int layer,
                 const double *log_decay, const rn_real *own, rn_real *before) {
  rn_scan_port *port = rn_local_state_port(local_state);
  rn_err err = {0};
  const rn_scan_element element = {N, MATRIX, log_decay, own};
  CHECK_OK(&err, port->begin(port->self, &err, direction, layer, element));
  port->poll(port->self);
  CHECK_OK(&err, port->end(port->self, &err, before));
}

static void states_accumulate_by_layer_and_direction(void) {
  rn_local_state *local_state = fresh();
  double log_decay[N];
  rn_real own[STATE], before[STATE], want[STATE] = {0};
  for (int h = 0; h < N; h++) log_decay[h] = -0.1 * (h + 1);
  for (int segment = 0; segment < 4; segment++) {
    test_fill(own, STATE, 1, (uint64_t)segment);
    scan(local_state, RN_SCAN_FORWARD, 1, log_decay, own, before);
    CHECK_ARRAY("before", before, want, STATE, test_tolerance);
    for (int i = 0; i < STATE; i++) {
      want[i] = (rn_real)(exp(log_decay[i / MATRIX]) * (double)want[i] + (double)own[i]);
    }
  }
  CHECK_ARRAY("state", rn_local_state_state(local_state, RN_SCAN_FORWARD, 1), want, STATE,
              test_tolerance);
  scan(local_state, RN_SCAN_FORWARD, 0, log_decay, own, before);
  for (int i = 0; i < STATE; i++) CHECK(before[i] == 0);
  scan(local_state, RN_SCAN_REVERSE, 1, log_decay, own, before);
  for (int i = 0; i < STATE; i++) CHECK(before[i] == 0);
  rn_local_state_reset(local_state);
  scan(local_state, RN_SCAN_FORWARD, 1, log_decay, own, before);
  for (int i = 0; i < STATE; i++) CHECK(before[i] == 0);
  rn_local_state_destroy(&local_state);
  CHECK(local_state == NULL);
}

static void a_document_boundary_lets_nothing_through(void) {
  rn_local_state *local_state = fresh();
  double log_decay[N];
  rn_real own[STATE], before[STATE], *state = rn_local_state_state(local_state, RN_SCAN_FORWARD, 0);
  test_fill(own, STATE, 1, 1);
  for (int h = 0; h < N; h++) log_decay[h] = -INFINITY;
  for (int i = 0; i < STATE; i++) state[i] = (rn_real)NAN;
  scan(local_state, RN_SCAN_FORWARD, 0, log_decay, own, before);
  CHECK(isnan((double)before[0]));
  scan(local_state, RN_SCAN_FORWARD, 0, log_decay, own, before);
  CHECK(memcmp(before, own, sizeof own) == 0);
  rn_local_state_destroy(&local_state);
}

static void fewer_sequences_than_capacity_is_fine(void) {
  rn_local_state *local_state = fresh();
  rn_scan_port *port = rn_local_state_port(local_state);
  rn_err err = {0};
  double log_decay[HEADS] = {0, 0};
  rn_real own[HEADS * MATRIX], before[HEADS * MATRIX];
  test_fill(own, HEADS * MATRIX, 1, 1);
  for (int i = 0; i < 2; i++) {
    CHECK_OK(&err, port->begin(port->self, &err, RN_SCAN_FORWARD, 0,
                               (rn_scan_element){HEADS, MATRIX, log_decay, own}));
    CHECK_OK(&err, port->end(port->self, &err, before));
  }
  CHECK(memcmp(before, own, sizeof own) == 0);
  CHECK(rn_local_state_state(local_state, RN_SCAN_FORWARD, 0)[HEADS * MATRIX] == 0);
  rn_local_state_destroy(&local_state);
}

int main(void) {
  states_accumulate_by_layer_and_direction();
  a_document_boundary_lets_nothing_through();
  fewer_sequences_than_capacity_is_fine();
  return check_result();
}
