#include "trainer/parallel/row_transfer.h"

#include <assert.h>

rn_row_transfer rn_row_transfer_make(rn_stage_slot *slot, rn_pipeline_p2p_direction direction,
                                     rn_access access, int width) {
  const rn_stage_array array =
      direction == RN_PIPELINE_P2P_ROWS ? RN_STAGE_ROWS : RN_STAGE_ROWS_GRADIENT;
  return (rn_row_transfer){.direction = direction,
                           .access = access,
                           .region = {.array = array, .slot = slot},
                           .width = width,
                           .message = RN_PIPELINE_P2P_NO_MESSAGE};
}

rn_status rn_row_transfer_start(rn_err *err, rn_row_transfer *t, rn_pipeline_p2p *p2p,
                                rn_stage *stage, int unit, int64_t rows) {
  const rn_pipeline_p2p_envelope envelope = {t->direction, unit};
  void *at;
  assert(!t->in_flight);
  t->region.range = (rn_range){0, rows * t->width};
  RN_TRY(err, rn_stage_map(err, stage, t->region, t->access, &at));
  t->in_flight = true;
  if (t->access == RN_ACCESS_READ) {
    return rn_pipeline_p2p_send(err, p2p, envelope, rows, at, &t->message);
  }
  return rn_pipeline_p2p_receive(err, p2p, envelope, rows, at, &t->message);
}

rn_status rn_row_transfer_test(rn_err *err, rn_row_transfer *t, rn_pipeline_p2p *p2p,
                               bool *complete) {
  *complete = true;
  return t->in_flight ? rn_pipeline_p2p_test(err, p2p, &t->message, complete) : RN_OK;
}

rn_status rn_row_transfer_wait(rn_err *err, rn_row_transfer *t, rn_pipeline_p2p *p2p,
                               rn_stage *stage) {
  if (!t->in_flight) return RN_OK;
  RN_TRY(err, rn_pipeline_p2p_wait(err, p2p, &t->message));
  t->in_flight = false;
  return rn_stage_unmap(err, stage, t->region, t->access);
}
