#include "trainer/checkpoint/rollback.h"

#include <stdlib.h>

#include "data/checkpoint/ckpt.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "trainer/checkpoint/checkpoint.h"

/* A checkpoint to roll back to; step -1: there is none. Contains no pointers, so it can be
 * broadcast. */
typedef struct target {
  int64_t step;
  rn_path path;
} target;

/* Chooses the checkpoint to roll back to among those before step `limit`. */
static target choose(const rn_saving *saving, const rn_ckpt_entry *entries, int count,
                     int64_t limit) {
  const int64_t every = saving->config->checkpoint->every;
  target newest = {.step = -1};
  for (int i = count - 1; i >= 0; i--) {
    const int64_t step = entries[i].step;
    if (entries[i].state != RN_CKPT_WHOLE || step >= limit) continue;
    if (!rn_saving_is_proven(saving, step)) continue;
    if (every > 0 && step % every == 0) return (target){step, entries[i].path};
    if (newest.step < 0) newest = (target){step, entries[i].path};
  }
  return newest;
}

/* Lists the checkpoints and chooses one; rank 0 only. */
static rn_status find_target(rn_err *err, const rn_saving *saving, int64_t limit, target *out) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  RN_TRY(err, rn_ckpt_list(err, saving->config->run->dir, &entries, &count));
  *out = choose(saving, entries, count, limit);
  free(entries);
  return RN_OK;
}

/* Renames the checkpoints after step `step`; rank 0 only. Before that, lets `latest` name the
 * checkpoint of `step`, so that it never names one that was renamed. A step-N.old must not be left
 * either, because it would become the checkpoint of the renamed step-N. */
static rn_status abandon_later(rn_err *err, const char *run_dir, rn_run_lock *lock, int64_t step) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  RN_TRY(err, rn_run_lock_verify(err, lock));
  RN_TRY(err, rn_ckpt_list(err, run_dir, &entries, &count));
  rn_err failure = {0};
  if (rn_ckpt_point_latest(&failure, run_dir, step) != RN_OK) rn_log_warn("%s", failure.text);
  rn_status status = RN_OK;
  for (int i = 0; i < count && status == RN_OK; i++) {
    const rn_ckpt_state state = entries[i].state;
    if (entries[i].step <= step) continue;
    if (state == RN_CKPT_REPLACED) status = rn_file_remove_tree(err, entries[i].path.text);
    if (state == RN_CKPT_WHOLE) status = rn_ckpt_mark_bad(err, entries[i].path.text);
  }
  free(entries);
  return status;
}

/* Tries to load the checkpoints, from the newest to the oldest, until one can be read. *out has
 * step -1 if there is no checkpoint at all. */
static rn_status load_newest(rn_err *err, const rn_saving *saving, rn_run *run, target *out) {
  rn_world *world = run->parallel.world;
  const bool root = rn_world_rank(world) == 0;
  rn_err why = {0};
  rn_status status = RN_OK;
  for (int64_t limit = run->counters.step; true; limit = out->step) {
    *out = (target){.step = -1};
    RN_TRY(err, rn_agree(err, world, root ? find_target(err, saving, limit, out) : RN_OK));
    RN_TRY(err, rn_world_broadcast(err, world, out, sizeof *out));
    if (out->step < 0) return status == RN_OK ? RN_OK : rn_fail(err, status, "%s", why.text);
    rn_err_clear(&why);
    status = rn_checkpoint_reload(&why, out->path.text, run);
    if (status == RN_OK) return RN_OK;
    if (status != RN_ERR_FORMAT && status != RN_ERR_NOT_FOUND) {
      return rn_fail(err, status, "%s", why.text);
    }
    char line[RN_CKPT_SKIPPED_BYTES];
    rn_ckpt_skipped_text(out->path.text, &why, line);
    rn_log_warn("%s", line);
  }
}

rn_status rn_rollback(rn_err *err, rn_saving *saving, rn_run *run, rn_run_lock *lock, int64_t *to) {
  const Retnet__Config *config = run->settings.config;
  const rn_step_counters spiked = run->counters;
  const int rollbacks = run->spikes.rollbacks;
  target found;
  *to = -1;
  if (rollbacks >= config->train->max_rollbacks) {
    return rn_fail(err, RN_ERR_NUMERICS,
                   "step %lld: another loss spike after %d rollbacks (train.max_rollbacks)",
                   (long long)spiked.step, rollbacks);
  }
  rn_progress_begin("roll back", spiked.step);
  RN_TRY(err, rn_saving_settle(err, saving));
  RN_TRY(err, load_newest(err, saving, run, &found));
  if (found.step < 0) {
    rn_log_warn("step %lld: there is no earlier good checkpoint to roll back to",
                (long long)spiked.step);
    return RN_OK;
  }
  const bool root = rn_world_rank(run->parallel.world) == 0;
  RN_TRY(err, rn_agree(err, run->parallel.world,
                       root ? abandon_later(err, config->run->dir, lock, found.step) : RN_OK));
  const int64_t batches =
      (spiked.next_sequence - run->counters.next_sequence) / config->data->batch_sequences;
  run->counters.next_sequence = spiked.next_sequence;
  run->spikes.rollbacks = rollbacks + 1;
  rn_data_stream_skip(&run->data, batches);
  rn_saving_rolled_back(saving, found.step);
  rn_log_warn(
      "rolled back from step %lld to checkpoint %s, skipping %lld batches (rollback %d; "
      "train.max_rollbacks is %d)",
      (long long)spiked.step, found.path.text, (long long)batches, rollbacks + 1,
      config->train->max_rollbacks);
  *to = found.step;
  return RN_OK;
}
