/* Verifies and prunes checkpoints; also has the functions that all commands share. */
#include "trainer/tools/ckpt_tool.h"

#include <stdlib.h>
#include <string.h>

#include "data/run/run_lock.h"

static void print_to_stderr(void *context, const char *line) {
  (void)context;
  fprintf(stderr, "warning: %s\n", line);
}

static const rn_ckpt_notes stderr_notes = {.report = print_to_stderr};

rn_status rn_ckpt_tool_open(rn_err *err, const char *path, rn_ckpt **out) {
  return rn_ckpt_find(err, path, false, &stderr_notes, out);
}

rn_status rn_ckpt_tool_spec(rn_err *err, const rn_ckpt *ckpt, rn_spec *out) {
  rn_err why = {0};
  const Retnet__Manifest *manifest = rn_ckpt_manifest(ckpt);
  if (rn_spec_from_config(&why, rn_ckpt_config(manifest), manifest->vocabulary->size, out) ==
      RN_OK) {
    return RN_OK;
  }
  return rn_fail(err, RN_ERR_FORMAT, "%s contains a model that this version does not know: %s",
                 rn_ckpt_path(ckpt), why.text);
}

const char *rn_ckpt_tool_kind(Retnet__TensorKind kind) {
  static const char *const words[] = {"weight", "exp_avg", "exp_avg_sq", "state"};
  return words[kind];
}

static rn_status verify_step(rn_err *err, const char *path, FILE *out) {
  rn_ckpt *ckpt = NULL;
  RN_TRY(err, rn_ckpt_open(err, path, &ckpt));
  rn_status status = rn_ckpt_verify(err, ckpt);
  if (status == RN_OK) fprintf(out, "%s: ok\n", path);
  rn_ckpt_close(&ckpt);
  return status;
}

/* Verifies all steps, and continues after a damaged one; returns the first error. A step that the
 * owner of the run has removed meanwhile is skipped and sets *gone; if no step is left, the caller
 * lists the run again. */
static rn_status verify_list(rn_err *err, const char *run_dir, FILE *out, int *verified,
                             bool *gone) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  *verified = 0;
  *gone = false;
  RN_TRY(err, rn_ckpt_list(err, run_dir, &entries, &count));
  rn_status status = RN_OK;
  for (int i = 0; i < count; i++) {
    rn_err why = {0};
    if (entries[i].state != RN_CKPT_WHOLE) continue;
    rn_status found = verify_step(&why, entries[i].path.text, out);
    if (found != RN_OK && rn_file_is_missing(entries[i].path.text)) {
      *gone = true;
      continue;
    }
    (*verified)++;
    if (found == RN_OK) continue;
    fprintf(out, "%s: %s\n", entries[i].path.text, rn_ckpt_fault(found));
    rn_fail(err, found, "%s", why.text);
    if (status == RN_OK) status = found;
  }
  free(entries);
  return status;
}

static rn_status verify_run(rn_err *err, const char *run_dir, FILE *out) {
  enum { MAX_LISTS = 16 };
  bool gone = true;
  for (int i = 0, verified = 0; i < MAX_LISTS && gone; i++) {
    const rn_status status = verify_list(err, run_dir, out, &verified, &gone);
    if (status != RN_OK || verified > 0) return status;
  }
  return rn_ckpt_none(err, run_dir);
}

rn_status rn_ckpt_tool_verify(rn_err *err, const char *path, FILE *out) {
  if (rn_ckpt_is_step_folder(path)) return verify_step(err, path, out);
  return verify_run(err, path, out);
}

static rn_status prune(rn_err *err, const char *run_dir, int64_t keep_last, int64_t keep_every) {
  rn_ckpt *ckpt = NULL;
  RN_TRY(err, rn_ckpt_restore_names(err, run_dir));
  RN_TRY(err, rn_ckpt_find(err, run_dir, true, &stderr_notes, &ckpt));
  const Retnet__Checkpoint *rules = rn_ckpt_manifest(ckpt)->config->checkpoint;
  if (keep_last < 0) keep_last = rules->keep_last;
  if (keep_last == 0 && keep_every > 0) {
    print_to_stderr(NULL,
                    "--keep-every has no effect: the number of newest checkpoints to keep is 0, "
                    "which means all (--keep-last or checkpoint.keep_last)");
  }
  if (keep_every < 0) keep_every = rules->keep_every;
  rn_ckpt_close(&ckpt);
  return rn_ckpt_prune(err, run_dir, (int)keep_last, keep_every);
}

/* Fails if there are no checkpoints. Called before the lock is taken, so that no lock file is
 * created in a folder that is not a run directory. */
static rn_status need_checkpoints(rn_err *err, const char *run_dir) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  RN_TRY(err, rn_ckpt_list(err, run_dir, &entries, &count));
  free(entries);
  return count > 0 ? RN_OK : rn_ckpt_none(err, run_dir);
}

rn_status rn_ckpt_tool_prune(rn_err *err, const char *run_dir, int64_t keep_last,
                             int64_t keep_every) {
  rn_run_lock *lock = NULL;
  if (rn_ckpt_is_step_folder(run_dir)) {
    return rn_fail(err, RN_ERR_USAGE, "%s is a checkpoint; prune needs the run directory", run_dir);
  }
  RN_TRY(err, need_checkpoints(err, run_dir));
  RN_TRY(err, rn_run_lock_take(err, run_dir, rn_run_lock_default, &lock));
  const rn_status status = prune(err, run_dir, keep_last, keep_every);
  rn_run_lock_release(&lock);
  return status;
}
