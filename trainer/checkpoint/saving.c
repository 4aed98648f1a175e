#include "trainer/checkpoint/saving.h"

#include <stdio.h>
#include <stdlib.h>

#include "data/checkpoint/ckpt.h"
#include "proto/base/log.h"
#include "proto/base/span.h"

rn_saving rn_saving_create(rn_run *run, rn_saver *saver) {
  return (rn_saving){.run = run, .saver = saver, .failures = {.what = "failed saves"}};
}

/* True if the weights of `step` gave a finite loss and gradient in the step after it. */
static bool is_proven(const rn_run *run, int64_t step) {
  return step < run->counters.step - run->counters.bad_steps;
}

/* An unproven checkpoint must not be the only one kept: a proven one is kept in addition. */
static int checkpoints_to_keep(const rn_run *run, int64_t step) {
  const int keep = run->settings.config->checkpoint->keep_last;
  if (run->counters.bad_steps > 0) return 0;
  return keep == 1 && !is_proven(run, step) ? 2 : keep;
}

static rn_status finish(rn_err *err, const rn_saving *s) {
  return rn_saver_finish(err, s->saver, checkpoints_to_keep(s->run, rn_saver_step(s->saver)));
}

/* Reports a failed save and lets training continue. */
static rn_status survive(rn_err *err, rn_saving *s, int64_t step, rn_status status) {
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
  if (step < 0 || s->run->counters.bad_steps > 0 || !is_proven(s->run, step)) return RN_OK;
  return survive(err, s, step, finish(err, s));
}

rn_status rn_saving_step(rn_err *err, rn_saving *s) {
  const rn_run *run = s->run;
  const int64_t every = run->settings.config->checkpoint->every;
  if (every > 0 && run->counters.step % every == 0) s->due = true;
  if (!s->due || run->counters.bad_steps > 0) return RN_OK;
  s->due = false;
  RN_TRY(err, rn_saving_written(err, s));
  rn_span_begin("save");
  rn_status status = rn_saver_start(err, s->saver);
  rn_span_end();
  return survive(err, s, run->counters.step, status);
}

/* ---- what is on disk ---- */

/* The newest checkpoint of a run, and the newest one whose weights are proven good. */
typedef struct on_disk {
  bool has_newest, has_good;
  rn_ckpt_entry newest, good;
} on_disk;

static rn_status look_at_disk(rn_err *err, const rn_run *run, on_disk *out) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  on_disk found = {.has_newest = false};
  *out = found;
  RN_TRY(err, rn_ckpt_list(err, run->settings.config->run->dir, &entries, &count));
  for (int i = 0; i < count; i++) {
    if (entries[i].state != RN_CKPT_WHOLE) continue;
    found.newest = entries[i];
    found.has_newest = true;
    if (!is_proven(run, entries[i].step)) continue;
    found.good = entries[i];
    found.has_good = true;
  }
  free(entries);
  *out = found;
  return RN_OK;
}

/* Adds to the error of a failed last save the checkpoint that the next start would continue from.
 */
static rn_status not_saved(rn_err *err, const rn_run *run, rn_status status) {
  const rn_err why = *err;
  rn_err unread = {0};
  on_disk disk;
  rn_err_clear(err);
  if (look_at_disk(&unread, run, &disk) != RN_OK) {
    return rn_fail(err, status,
                   "step %lld is not saved, and the checkpoints on disk cannot be listed (%s): %s",
                   (long long)run->counters.step, unread.text, why.text);
  }
  if (!disk.has_newest) {
    return rn_fail(err, status, "step %lld is not saved, and %s has no checkpoint: %s",
                   (long long)run->counters.step, run->settings.config->run->dir, why.text);
  }
  return rn_fail(err, status, "step %lld is not saved; the newest checkpoint on disk is %s: %s",
                 (long long)run->counters.step, disk.newest.path.text, why.text);
}

/* ---- the end ---- */

static rn_status save_now(rn_err *err, rn_saving *s) {
  rn_status status = rn_saver_start(err, s->saver);
  return status == RN_OK ? finish(err, s) : status;
}

/* Handles a save in progress while steps are skipped: names it if its weights are good, else drops
 * it. */
static rn_status settle(rn_err *err, rn_saving *s) {
  const int64_t step = rn_saver_step(s->saver);
  if (step < 0) return RN_OK;
  if (is_proven(s->run, step)) return survive(err, s, step, finish(err, s));
  rn_err told = {0};
  const rn_status status = rn_saver_drop(&told, s->saver);
  if (status == RN_ERR_MPI) return rn_fail(err, status, "%s", told.text);
  if (status != RN_OK) rn_log_warn("%s", told.text);
  return RN_OK;
}

/* Finishes a save in progress, which may be of this step or of an earlier one, then saves this step
 * if it is not saved yet. */
static rn_status save_last(rn_err *err, rn_saving *s) {
  const int64_t step = s->run->counters.step, under_way = rn_saver_step(s->saver);
  if (under_way >= 0) RN_TRY(err, survive(err, s, under_way, finish(err, s)));
  return rn_saver_saved_step(s->saver) == step ? RN_OK : save_now(err, s);
}

rn_status rn_saving_last(rn_err *err, rn_saving *s) {
  const rn_run *run = s->run;
  rn_status status;
  rn_span_begin("save");
  if (run->counters.bad_steps == 0) {
    status = save_last(err, s);
  } else {
    status = settle(err, s);
    if (status == RN_OK) {
      status = rn_fail(err, RN_ERR_MISMATCH,
                       "the loss or gradient norm was not finite in the last %d steps; these were "
                       "skipped, and nothing is saved in that state; start again from that "
                       "checkpoint, with a smaller optimizer.lr if this happens again",
                       run->counters.bad_steps);
    }
  }
  rn_span_end();
  return status == RN_OK || status == RN_ERR_MPI ? status : not_saved(err, run, status);
}

/* Adds to *err the last good checkpoint, and what to do with those after it. */
static void advise(rn_err *err, const rn_run *run) {
  const rn_err why = *err;
  const char *dir = run->settings.config->run->dir;
  rn_err unread = {0};
  on_disk disk;
  rn_err_clear(err);
  if (look_at_disk(&unread, run, &disk) != RN_OK) {
    (void)rn_fail(
        err, RN_ERR_NUMERICS,
        "%s; the last good checkpoint cannot be determined (%s): once the directory can be read, "
        "start again from a checkpoint before step %lld with a smaller optimizer.lr",
        why.text, unread.text, (long long)(run->counters.step - run->counters.bad_steps));
  } else if (!disk.has_good) {
    (void)rn_fail(
        err, RN_ERR_NUMERICS,
        "%s; no checkpoint in %s is known to be good: start again in another run.dir with "
        "a smaller optimizer.lr",
        why.text, dir);
  } else if (disk.newest.step == disk.good.step) {
    (void)rn_fail(err, RN_ERR_NUMERICS,
                  "%s; the last good checkpoint is %s: start again from it with a smaller "
                  "optimizer.lr",
                  why.text, disk.good.path.text);
  } else {
    (void)rn_fail(err, RN_ERR_NUMERICS,
                  "%s; the last good checkpoint is %s: remove those after it (up to %s), whose "
                  "weights are affected, and start again with a smaller optimizer.lr",
                  why.text, disk.good.path.text, disk.newest.path.text);
  }
}

rn_status rn_saving_end(rn_err *err, rn_saving *s, rn_status status) {
  const int64_t under_way = rn_saver_step(s->saver);
  rn_err told = {0};
  rn_status ended = RN_OK;
  if (s->run->counters.bad_steps > 0) {
    ended = settle(&told, s);
  } else if (under_way >= 0) {
    ended = survive(&told, s, under_way, finish(&told, s));
  }
  if (ended != RN_OK) return rn_fail(err, ended, "%s", told.text);
  rn_repeated_warning_end(&s->failures);
  if (status == RN_ERR_NUMERICS) advise(err, s->run);
  return RN_OK;
}
