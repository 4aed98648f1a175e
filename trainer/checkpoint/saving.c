#include "trainer/checkpoint/saving.h"

#include <stdio.h>
#include <stdlib.h>

#include "data/checkpoint/ckpt.h"
#include "proto/base/log.h"
#include "proto/base/span.h"

rn_saving rn_saving_create(const Retnet__Config *config, const rn_step_counters *counters,
                           rn_saver *saver) {
  return (rn_saving){.config = config,
                     .counters = counters,
                     .saver = saver,
                     .rolled_back_to = -1,
                     .failures = {.what = "failed saves"}};
}

/* The weights of a step are proven good if a later step computed a finite loss and gradient with
 * them and was not a spike. */
bool rn_saving_is_proven(const rn_saving *s, int64_t step) {
  const rn_step_counters *c = s->counters;
  return step <= s->rolled_back_to || step < c->step - c->bad_steps;
}

void rn_saving_rolled_back(rn_saving *s, int64_t step) {
  s->rolled_back_to = step;
  s->due = false;
  rn_saver_rolled_back(s->saver);
}

void rn_saving_distrust(rn_saving *s) {
  s->corrupted = true;
}

/* Returns how many checkpoints to keep (0: all). If only one is to be kept and it is not proven,
 * keeps a proven one as well. */
static int checkpoints_to_keep(const rn_saving *s, int64_t step) {
  const int keep = s->config->checkpoint->keep_last;
  if (s->counters->bad_steps > 0) return 0;
  return keep == 1 && !rn_saving_is_proven(s, step) ? 2 : keep;
}

static rn_status finish(rn_err *err, const rn_saving *s) {
  return rn_saver_finish(err, s->saver, checkpoints_to_keep(s, rn_saver_step(s->saver)));
}

/* Reports a failed save and lets training continue. */
static rn_status tolerate(rn_err *err, rn_saving *s, int64_t step, rn_status status) {
  if (status == RN_ERR_MPI) return status;
  if (status == RN_OK) {
    if (rn_saver_saved_step(s->saver) == step) rn_repeated_warning_end(&s->failures);
    return RN_OK;
  }
  rn_repeated_warning_add(&s->failures, "step %lld is not saved: %s", (long long)step, err->text);
  rn_err_clear(err);
  return RN_OK;
}

rn_status rn_saving_written(rn_err *err, rn_saving *s) {
  const int64_t step = rn_saver_step(s->saver);
  if (step < 0 || s->counters->bad_steps > 0 || !rn_saving_is_proven(s, step)) return RN_OK;
  return tolerate(err, s, step, finish(err, s));
}

rn_status rn_saving_step(rn_err *err, rn_saving *s) {
  const int64_t every = s->config->checkpoint->every;
  if (every > 0 && s->counters->step % every == 0) s->due = true;
  if (!s->due || s->counters->bad_steps > 0) return RN_OK;
  s->due = false;
  RN_TRY(err, rn_saving_written(err, s));
  rn_span_begin("save");
  rn_status status = rn_saver_start(err, s->saver);
  rn_span_end();
  return tolerate(err, s, s->counters->step, status);
}

/* ---- checkpoints on disk ---- */

/* The newest checkpoint of a run on disk, and the newest one whose weights are proven good. */
typedef struct on_disk {
  bool has_newest, has_good;
  rn_ckpt_entry newest, good;
} on_disk;

static rn_status look_at_disk(rn_err *err, const rn_saving *s, on_disk *out) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  on_disk found = {.has_newest = false};
  *out = found;
  RN_TRY(err, rn_ckpt_list(err, s->config->run->dir, &entries, &count));
  for (int i = 0; i < count; i++) {
    if (entries[i].state != RN_CKPT_WHOLE) continue;
    found.newest = entries[i];
    found.has_newest = true;
    if (!rn_saving_is_proven(s, entries[i].step)) continue;
    found.good = entries[i];
    found.has_good = true;
  }
  free(entries);
  *out = found;
  return RN_OK;
}

/* Adds two things to the error of a failed last save: the name of the checkpoint from which the
 * next launch would continue, and `advice`. */
static rn_status not_saved(rn_err *err, const rn_saving *s, rn_status status, const char *advice) {
  const rn_err why = *err;
  rn_err unread = {0};
  on_disk disk;
  rn_err_clear(err);
  if (look_at_disk(&unread, s, &disk) != RN_OK) {
    return rn_fail(err, status,
                   "step %lld is not saved: %s; the checkpoints on disk cannot be listed: %s",
                   (long long)s->counters->step, why.text, unread.text);
  }
  if (!disk.has_newest) {
    return rn_fail(err, status, "step %lld is not saved: %s; %s contains no checkpoint",
                   (long long)s->counters->step, why.text, s->config->run->dir);
  }
  return rn_fail(err, status, "step %lld is not saved: %s; the newest checkpoint on disk is %s%s",
                 (long long)s->counters->step, why.text, disk.newest.path.text, advice);
}

/* ---- the end ---- */

static rn_status save_now(rn_err *err, rn_saving *s) {
  rn_status status = rn_saver_start(err, s->saver);
  return status == RN_OK ? finish(err, s) : status;
}

rn_status rn_saving_settle(rn_err *err, rn_saving *s) {
  const int64_t step = rn_saver_step(s->saver);
  if (step < 0) return RN_OK;
  if (rn_saving_is_proven(s, step)) return tolerate(err, s, step, finish(err, s));
  rn_err failure = {0};
  const rn_status status = rn_saver_drop(&failure, s->saver);
  if (status == RN_ERR_MPI) return rn_fail(err, status, "%s", failure.text);
  if (status != RN_OK) rn_log_warn("%s", failure.text);
  return RN_OK;
}

/* Finishes the save in progress, if any. Then saves this step, unless the finished save was already
 * of this step. */
static rn_status save_last(rn_err *err, rn_saving *s) {
  const int64_t step = s->counters->step, in_progress = rn_saver_step(s->saver);
  if (in_progress >= 0) RN_TRY(err, tolerate(err, s, in_progress, finish(err, s)));
  return rn_saver_saved_step(s->saver) == step ? RN_OK : save_now(err, s);
}

rn_status rn_saving_last(rn_err *err, rn_saving *s) {
  const char *advice = "";
  rn_status status;
  rn_span_begin("save");
  if (s->counters->bad_steps == 0) {
    status = save_last(err, s);
  } else {
    status = rn_saving_settle(err, s);
    if (status == RN_OK) {
      status = rn_fail(err, RN_ERR_MISMATCH,
                       "the last %d steps were skipped, because the loss or gradient norm %s, and "
                       "the state after a skipped step is never saved",
                       s->counters->bad_steps, rn_step_counters_reason(s->counters));
      advice =
          "; start again from that checkpoint, with a smaller optimizer.lr if this happens again";
    }
  }
  rn_span_end();
  return status == RN_OK || status == RN_ERR_MPI ? status : not_saved(err, s, status, advice);
}

/* Adds to *err the name of the last good checkpoint, and advice on what to do with later
 * checkpoints. `how` completes the advice "start again ...", for example "without that host". */
static void advise(rn_err *err, const rn_saving *s, rn_status status, const char *how) {
  const rn_err why = *err;
  const char *dir = s->config->run->dir;
  rn_err unread = {0};
  on_disk disk;
  rn_err_clear(err);
  if (look_at_disk(&unread, s, &disk) != RN_OK) {
    (void)rn_fail(
        err, status,
        "%s; the last good checkpoint cannot be determined (%s): once the directory can be read, "
        "start again from a checkpoint before step %lld %s",
        why.text, unread.text, (long long)(s->counters->step - s->counters->bad_steps), how);
  } else if (!disk.has_good) {
    (void)rn_fail(
        err, status,
        "%s; no checkpoint in %s is known to be good: start a new run in another run.dir, %s",
        why.text, dir, how);
  } else if (disk.newest.step == disk.good.step) {
    (void)rn_fail(err, status,
                  "%s; the last good checkpoint is %s: start again from this checkpoint %s",
                  why.text, disk.good.path.text, how);
  } else {
    (void)rn_fail(
        err, status,
        "%s; the last good checkpoint is %s: remove the later checkpoints (up to %s), whose "
        "weights may be affected, and start again %s",
        why.text, disk.good.path.text, disk.newest.path.text, how);
  }
}

rn_status rn_saving_end(rn_err *err, rn_saving *s, rn_status status) {
  const int64_t in_progress = rn_saver_step(s->saver);
  rn_err failure = {0};
  rn_status ended = RN_OK;
  if (s->counters->bad_steps > 0 || s->corrupted) {
    ended = rn_saving_settle(&failure, s);
  } else if (in_progress >= 0) {
    ended = tolerate(&failure, s, in_progress, finish(&failure, s));
  }
  if (ended != RN_OK) return rn_fail(err, ended, "%s", failure.text);
  rn_repeated_warning_end(&s->failures);
  if (status == RN_ERR_NUMERICS) advise(err, s, status, "with a smaller optimizer.lr");
  if (s->corrupted) advise(err, s, status, "without that host");
  return RN_OK;
}
