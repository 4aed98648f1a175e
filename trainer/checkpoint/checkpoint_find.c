#include "trainer/checkpoint/checkpoint_find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data/checkpoint/ckpt.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"

enum { FIRST_PAUSE_MS = 100, LAST_PAUSE_MS = 1000 };

/* Context of a search, in which rank 0 chooses the folders that all ranks open. */
typedef struct search {
  rn_world *world;
  double timeout_s;
} search;

/* ---- waiting for a file system ---- */

/* State of a wait for the file system. All ranks pause together, again and again, until the time
 * limit has passed. Rank 0 prints the reason before the first pause. */
typedef struct backoff {
  double since_s;
  int pause_ms; /* length of the last pause; 0: no pause yet */
} backoff;

/* Pauses once more, or sets *late if the time limit has passed. *late is the same on all ranks. */
static rn_status wait_a_little(rn_err *err, const search *s, backoff *p, const char *what,
                               bool *late) {
  int64_t over = rn_clock_s() - p->since_s > s->timeout_s;
  RN_TRY(err, rn_world_max(err, s->world, &over, 1));
  *late = over != 0;
  if (*late) return RN_OK;
  if (p->pause_ms == 0) {
    rn_log_warn("%s is not yet visible to all ranks: waiting up to %.0f s for the file system",
                what, s->timeout_s);
  }
  p->pause_ms = p->pause_ms == 0 ? FIRST_PAUSE_MS : 2 * p->pause_ms;
  if (p->pause_ms > LAST_PAUSE_MS) p->pause_ms = LAST_PAUSE_MS;
  const struct timespec pause = {p->pause_ms / 1000, p->pause_ms % 1000 * 1000000L};
  nanosleep(&pause, NULL);
  rn_progress_unit();
  return RN_OK;
}

/* Fails because the time limit has passed. `sees` is true if this rank sees the newest files. */
static rn_status fail_unseen(rn_err *err, const search *s, bool sees, const char *what,
                             const rn_err *why) {
  rn_status status = RN_OK;
  if (!sees) {
    status = rn_fail(err, RN_ERR_MISMATCH,
                     "this rank does not see %s as other ranks do (waited %.0f s): check that all "
                     "nodes mount the same file system at this path%s%s",
                     what, s->timeout_s, why == NULL ? "" : ": ", why == NULL ? "" : why->text);
  }
  return rn_agree(err, s->world, status);
}

/* ---- one folder ---- */

static rn_status open_share(rn_err *err, const char *path, int share, int shares, rn_ckpt **out) {
  rn_ckpt *ckpt = NULL;
  rn_status status = rn_ckpt_open(err, path, &ckpt);
  if (status == RN_OK) status = rn_ckpt_check(err, ckpt, share, shares);
  if (status == RN_OK && out != NULL) {
    *out = ckpt;
    return RN_OK;
  }
  rn_ckpt_close(&ckpt);
  return status;
}

/* Numbers of ranks whose share of the checkpoint (the part of the data that the rank verifies) is
 * good, missing or wrong. */
typedef struct findings {
  int64_t good, missing, wrong;
  int first; /* first rank whose share is missing or wrong; -1: none */
} findings;

static bool is_lacking(rn_status status) {
  return status == RN_ERR_NOT_FOUND || status == RN_ERR_FORMAT;
}

static rn_status share_findings(rn_err *err, rn_world *world, rn_status own, findings *out) {
  const int rank = rn_world_rank(world), size = rn_world_size(world);
  int64_t counts[3] = {own == RN_OK, own == RN_ERR_NOT_FOUND, own == RN_ERR_FORMAT};
  int64_t first = is_lacking(own) ? size - rank : 0;
  *out = (findings){.first = -1};
  RN_TRY(err, rn_world_sum(err, world, counts, 3));
  RN_TRY(err, rn_world_max(err, world, &first, 1));
  *out = (findings){counts[0], counts[1], counts[2], first > 0 ? (int)(size - first) : -1};
  return RN_OK;
}

/*
 * Sets *out to true if the ranks see different files, so that waiting can help. To find out, all
 * ranks try to read the first share that was missing or wrong. If no rank can read it, the share
 * does not exist or is damaged, and waiting is useless.
 */
static rn_status differ(rn_err *err, rn_world *world, const char *path, const findings *f,
                        bool *out) {
  const int size = rn_world_size(world);
  rn_err why = {0};
  *out = false;
  if (f->good == size || f->missing == size) return RN_OK;
  /* If some rank failed with another error, waiting does not help. */
  if (f->good + f->missing + f->wrong < size) return RN_OK;
  int64_t readable = open_share(&why, path, f->first, size, NULL) == RN_OK;
  RN_TRY(err, rn_world_max(err, world, &readable, 1));
  *out = readable != 0;
  return RN_OK;
}

/* Opens the folder on all ranks; each rank verifies one share of the data. Sets *out on rank 0
 * only. */
static rn_status open_together(rn_err *err, const search *s, const char *path, rn_ckpt **out) {
  const bool root = rn_world_rank(s->world) == 0;
  backoff p = {.since_s = rn_clock_s()};
  rn_err why = {0};
  rn_status own = RN_ERR_NOT_FOUND, status = RN_OK;
  bool late = false, waits = true;
  while (status == RN_OK && waits && !late) {
    findings found = {.first = -1};
    rn_err failure = {0};
    if (own != RN_OK) {
      own = open_share(&failure, path, rn_world_rank(s->world), rn_world_size(s->world),
                       root ? out : NULL);
      why = failure;
    }
    status = share_findings(err, s->world, own, &found);
    if (status == RN_OK) status = differ(err, s->world, path, &found, &waits);
    if (status == RN_OK && waits) status = wait_a_little(err, s, &p, path, &late);
  }
  if (status == RN_OK && late) status = fail_unseen(err, s, own == RN_OK, path, &why);
  if (status == RN_OK && !waits) {
    *err = why;
    status = rn_agree(err, s->world, own);
  }
  if (status != RN_OK && root && *out != NULL) rn_ckpt_close(out);
  return status;
}

/* ---- the search ---- */

/* Runs on rank 0, where rn_ckpt_find calls it for each candidate: broadcasts the path and opens the
 * folder together with the other ranks. */
static rn_status open_for_all(void *context, rn_err *err, const char *path, rn_ckpt **out) {
  const search *s = context;
  rn_path copy = {""};
  snprintf(copy.text, sizeof copy.text, "%s", path);
  *out = NULL;
  RN_TRY(err, rn_world_broadcast(err, s->world, &copy, sizeof copy));
  return open_together(err, s, path, out);
}

/* Runs on the other ranks: opens the folders that rank 0 broadcasts, until the path is empty. */
static rn_status follow(rn_err *err, const search *s) {
  rn_path path;
  rn_ckpt *none = NULL;
  for (;;) {
    RN_TRY(err, rn_world_broadcast(err, s->world, &path, sizeof path));
    if (path.text[0] == '\0') return RN_OK;
    if (open_together(err, s, path.text, &none) == RN_ERR_MPI) return RN_ERR_MPI;
    rn_err_clear(err);
  }
}

static void warn(void *context, const char *line) {
  (void)context;
  rn_log_warn("%s", line);
}

static rn_status lead(rn_err *err, search *s, const char *path, rn_find_options how, rn_path *out) {
  const rn_ckpt_notes notes = {.report = warn, .context = s, .open = open_for_all};
  rn_ckpt *ckpt = NULL;
  rn_path none = {""};
  rn_status status = rn_ckpt_find(err, path, how.mark_bad, &notes, &ckpt);
  if (status == RN_OK) snprintf(out->text, sizeof out->text, "%s", rn_ckpt_path(ckpt));
  rn_ckpt_close(&ckpt);
  if (status == RN_ERR_NOT_FOUND && !how.must) {
    rn_err_clear(err);
    status = RN_OK;
  }
  if (status == RN_ERR_MPI) return status;
  RN_TRY(err, rn_world_broadcast(err, s->world, &none, sizeof none));
  return status;
}

/* Finds the step of the newest checkpoint of a run: -1 if there is none, INT64_MAX if `path` is a
 * step folder. */
static rn_status newest_step(rn_err *err, const char *path, int64_t *step) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  *step = INT64_MAX;
  if (rn_ckpt_is_step_folder(path)) return RN_OK;
  *step = -1;
  RN_TRY(err, rn_ckpt_list(err, path, &entries, &count));
  for (int i = 0; i < count; i++) {
    if (entries[i].state == RN_CKPT_WHOLE) *step = entries[i].step;
  }
  free(entries);
  return RN_OK;
}

/* Waits until all ranks see the same newest checkpoint. Otherwise rank 0 could miss a checkpoint
 * that only other ranks see so far. */
static rn_status agree_on_newest(rn_err *err, const search *s, const char *path) {
  backoff p = {.since_s = rn_clock_s()};
  for (;;) {
    int64_t own = -1, ends[2]; /* ends: maximum over the ranks, and negated minimum */
    bool late;
    RN_TRY(err, rn_agree(err, s->world, newest_step(err, path, &own)));
    ends[0] = own;
    ends[1] = -own;
    RN_TRY(err, rn_world_max(err, s->world, ends, 2));
    if (ends[0] == -ends[1]) return RN_OK;
    RN_TRY(err, wait_a_little(err, s, &p, path, &late));
    if (late) return fail_unseen(err, s, own == ends[0], path, NULL);
  }
}

rn_status rn_checkpoint_find(rn_err *err, rn_world *world, const char *path, rn_find_options how,
                             rn_path *out) {
  search s = {world, how.timeout_s};
  memset(out, 0, sizeof *out);
  RN_TRY(err, agree_on_newest(err, &s, path));
  const rn_status status =
      rn_world_rank(world) == 0 ? lead(err, &s, path, how, out) : follow(err, &s);
  RN_TRY(err, rn_agree(err, world, status));
  return rn_world_broadcast(err, world, out, sizeof *out);
}
