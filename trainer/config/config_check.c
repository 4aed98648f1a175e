#include "trainer/config/config_check.h"

static rn_status check_schedule(rn_err *err, const Retnet__Optimizer *o) {
  if (o->min_lr > o->lr) {
    return rn_fail(err, RN_ERR_USAGE,
                   "optimizer.min_lr %g is above optimizer.lr %g: the learning rate falls from lr "
                   "to min_lr",
                   o->min_lr, o->lr);
  }
  if (o->schedule != RETNET__SCHEDULE__SCHEDULE_CONSTANT && o->decay_steps > 0 &&
      o->decay_steps < o->warmup_steps) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "optimizer.decay_steps %lld is below optimizer.warmup_steps %lld, so the decay would end "
        "before the warm-up does: raise decay_steps (0: train.steps) or lower warmup_steps",
        (long long)o->decay_steps, (long long)o->warmup_steps);
  }
  return RN_OK;
}

static rn_status check_spikes(rn_err *err, const Retnet__Config *config) {
  if (config->train->spike_action == RETNET__SPIKE_ACTION__SPIKE_ACTION_ROLLBACK &&
      config->checkpoint->every == 0) {
    return rn_fail(err, RN_ERR_USAGE,
                   "train.spike_action is rollback, but checkpoint.every is 0: there would be no "
                   "checkpoint to return to");
  }
  return RN_OK;
}

rn_status rn_config_check(rn_err *err, const Retnet__Config *config) {
  const int reduction_block = config->run->leaf, tokens = config->data->sequence_length;
  RN_TRY(err, check_schedule(err, config->optimizer));
  RN_TRY(err, check_spikes(err, config));
  if (config->run->reproducible && reduction_block > tokens) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "run.leaf %d is above data.sequence_length %d: run.leaf is the length of a reduction "
        "block, which cannot be longer than a sequence (0: chosen automatically)",
        reduction_block, tokens);
  }
  if (config->checkpoint->resume[0] == '\0') {
    return rn_fail(err, RN_ERR_USAGE,
                   "checkpoint.resume is empty: set auto, never or the path of a checkpoint");
  }
  return RN_OK;
}
