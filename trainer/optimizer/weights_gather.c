#include "trainer/optimizer/weights_gather.h"

rn_status rn_weights_gather_start(rn_err *err, rn_weights_gather *g) {
  g->written = 0;
  return rn_all_gather_start(err, g->all_gather);
}

bool rn_weights_gather_is_complete(const rn_weights_gather *g, int bucket) {
  return rn_all_gather_is_complete(g->all_gather, bucket);
}

rn_status rn_weights_gather_wait(rn_err *err, rn_weights_gather *g, int bucket) {
  return rn_all_gather_wait(err, g->all_gather, bucket);
}

rn_status rn_weights_gather_write(rn_err *err, rn_weights_gather *g, int bucket) {
  for (; !g->adopted && g->written <= bucket; g->written++) {
    const rn_range range = rn_optimizer_shards_bucket(g->shards, g->written);
    RN_TRY(err, rn_stage_write_weights(err, g->stage, g->weights, range));
  }
  return RN_OK;
}

rn_status rn_weights_gather_finish(rn_err *err, rn_weights_gather *g) {
  return rn_all_gather_finish(err, g->all_gather);
}
