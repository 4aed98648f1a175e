#include "model/retention/state_replay.h"

#include <string.h>

static rn_status replay_begin(void *self, rn_err *err, rn_scan_direction direction, int layer,
                              rn_scan_element element) {
  rn_state_replay *replay = self;
  (void)err, (void)direction, (void)layer;
  replay->count = element.n * element.m;
  return RN_OK;
}

static void replay_poll(void *self) {
  (void)self;
}

static rn_status replay_end(void *self, rn_err *err, rn_real *before) {
  const rn_state_replay *replay = self;
  (void)err;
  memcpy(before, replay->before, (size_t)replay->count * sizeof *before);
  return RN_OK;
}

static bool replay_test(void *self) {
  (void)self;
  return true;
}

rn_scan_port rn_state_replay_port(rn_state_replay *replay) {
  return (rn_scan_port){.self = replay,
                        .begin = replay_begin,
                        .poll = replay_poll,
                        .end = replay_end,
                        .test = replay_test};
}
