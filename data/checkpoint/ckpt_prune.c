/* Removes old checkpoints, but never before newer ones are complete. */
#include <stdlib.h>

#include "data/checkpoint/ckpt.h"
#include "data/checkpoint/ckpt_name.h"

/* Checks that a checkpoint is complete. */
typedef rn_status (*check_whole)(rn_err *err, const char *path);

/* Checks only the manifest and the file sizes, which is fast. */
static rn_status check_sizes(rn_err *err, const char *path) {
  rn_ckpt *ckpt = NULL;
  rn_status status = rn_ckpt_open(err, path, &ckpt);
  if (status == RN_OK) status = rn_ckpt_check_sizes(err, ckpt);
  rn_ckpt_close(&ckpt);
  return status;
}

static rn_status check_bytes(rn_err *err, const char *path) {
  rn_ckpt *ckpt = NULL;
  rn_status status = rn_ckpt_open(err, path, &ckpt);
  if (status == RN_OK) status = rn_ckpt_check(err, ckpt, 0, 1);
  rn_ckpt_close(&ckpt);
  return status;
}

/* Renames a checkpoint before removing it, so that an interrupted removal does not leave a folder
 * that looks like a damaged checkpoint. */
static rn_status remove_whole(rn_err *err, const char *run_dir, const rn_ckpt_entry *entry) {
  rn_path staged = rn_ckpt_stage_path(run_dir, entry->step);
  RN_TRY(err, rn_file_remove_left(err, staged.text));
  RN_TRY(err, rn_file_rename(err, entry->path.text, staged.text));
  return rn_file_remove_tree(err, staged.text);
}

/* The rule that selects the checkpoints to keep. `newest` receives the step of the newest
 * checkpoint that `check` accepts (-1: none), and `damaged` the error of the newest one that it
 * rejects. */
typedef struct keep_rule {
  int last;
  int64_t every;
  check_whole check;
  int64_t newest;
  rn_err damaged;
} keep_rule;

static void add_status(rn_status *first, rn_status status) {
  if (*first == RN_OK) *first = status;
}

/* Removes as much as possible; returns the first error. */
static rn_status prune(rn_err *err, const char *run_dir, keep_rule *rule) {
  const int keep_last = rule->last;
  const int64_t keep_every = rule->every;
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  RN_TRY(err, rn_ckpt_list(err, run_dir, &entries, &count));
  rn_status status = RN_OK;
  int kept = 0;
  for (int i = count - 1; i >= 0; i--) {
    const rn_ckpt_entry *entry = &entries[i];
    if (entry->state != RN_CKPT_WHOLE) continue;
    bool settled = keep_last > 0 && kept >= keep_last;
    bool milestone = keep_every > 0 && entry->step % keep_every == 0;
    if (settled && !milestone) {
      add_status(&status, remove_whole(err, run_dir, entry));
    } else if (!settled && (keep_last > 0 || rule->newest < 0) &&
               rule->check(&rule->damaged, entry->path.text) == RN_OK) {
      kept++;
      if (rule->newest < 0) rule->newest = entry->step;
    }
  }
  for (int i = 0; i < count; i++) {
    if (entries[i].state == RN_CKPT_WHOLE || entries[i].step > rule->newest) continue;
    add_status(&status, rn_file_remove_left(err, entries[i].path.text));
  }
  free(entries);
  return status;
}

rn_status rn_ckpt_prune(rn_err *err, const char *run_dir, int keep_last, int64_t keep_every) {
  keep_rule rule = {.last = keep_last, .every = keep_every, .check = check_sizes, .newest = -1};
  return prune(err, run_dir, &rule);
}

rn_status rn_ckpt_prune_verified(rn_err *err, const char *run_dir, int keep_last,
                                 int64_t keep_every, int64_t *newest) {
  keep_rule rule = {.last = keep_last, .every = keep_every, .check = check_bytes, .newest = -1};
  rn_err failure = {0};
  const rn_status status = prune(&failure, run_dir, &rule);
  *newest = rule.newest;
  if (rule.damaged.status != RN_OK) {
    return rn_fail(err, rule.damaged.status, "%s", rule.damaged.text);
  }
  return status == RN_OK ? RN_OK : rn_fail(err, status, "%s", failure.text);
}
