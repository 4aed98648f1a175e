/* Turns a staging folder into a checkpoint: checks file sizes, writes the manifest, and renames the
 * folder; then updates the hint `latest`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt.h"
#include "data/checkpoint/ckpt_manifest.h"
#include "data/checkpoint/ckpt_merge.h"
#include "data/checkpoint/ckpt_name.h"
#include "proto/base/fault.h"

/* Removes the staging folders of other saves, as far as that is possible: those that stay only take
 * space. */
static void remove_abandoned(const char *run_dir) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  if (rn_ckpt_list(NULL, run_dir, &entries, &count) != RN_OK) return;
  for (int i = 0; i < count; i++) {
    if (!rn_ckpt_is_abandoned(entries, i)) continue;
    (void)rn_file_remove_tree(NULL, entries[i].path.text);
  }
  free(entries);
}

/* Removes the folder that an earlier save of the step left. If a file in it cannot be removed, for
 * example because a program still reads it over NFS, renames the folder to step-N.bad, which
 * rn_ckpt_prune removes later. */
static rn_status clear_stage(rn_err *err, const char *run_dir, int64_t step) {
  const rn_path staged = rn_ckpt_stage_path(run_dir, step);
  const rn_path bad = rn_ckpt_step_path(run_dir, step, RN_CKPT_BAD);
  rn_err why = {0};
  const rn_status status = rn_file_remove_left(&why, staged.text);
  if (status == RN_OK) return RN_OK;
  if (rn_file_remove_left(NULL, bad.text) == RN_OK &&
      rn_file_rename(NULL, staged.text, bad.text) == RN_OK) {
    return RN_OK;
  }
  return rn_fail(err, status, "%s", why.text);
}

rn_status rn_ckpt_stage_dir(rn_err *err, const char *run_dir, int64_t step) {
  rn_path staged = rn_ckpt_stage_path(run_dir, step);
  RN_TRY(err, clear_stage(err, run_dir, step));
  remove_abandoned(run_dir);
  return rn_file_make_folder(err, staged.text);
}

static rn_status check_sizes(rn_err *err, const char *staged, const Retnet__Manifest *manifest) {
  for (size_t i = 0; i < manifest->n_file; i++) {
    const Retnet__CheckpointFile *file = manifest->file[i];
    rn_file open = {0};
    RN_TRY(err, rn_file_open(err, rn_path_join(staged, file->name).text, &open));
    int64_t size = open.size_bytes;
    rn_file_destroy(&open);
    if (size != file->bytes) {
      return rn_fail(err, RN_ERR_MISMATCH, "%s/%s has %lld bytes, but its writer wrote %lld",
                     staged, file->name, (long long)size, (long long)file->bytes);
    }
  }
  return RN_OK;
}

/*
 * Replaces step-N on a file system without RENAME_EXCHANGE: renames it to step-N.old, then the
 * staging folder to step-N. If the program ends in between, step-N.old is the checkpoint of the
 * step (rn_ckpt_list). Finally the staging folder holds the replaced checkpoint, as after an
 * exchange; if this last rename fails, rn_ckpt_prune removes step-N.old.
 */
static rn_status replace(rn_err *err, const char *run_dir, int64_t step) {
  const rn_path staged = rn_ckpt_stage_path(run_dir, step);
  const rn_path final = rn_ckpt_step_path(run_dir, step, RN_CKPT_WHOLE);
  const rn_path old = rn_ckpt_step_path(run_dir, step, RN_CKPT_REPLACED);
  const rn_path folder = rn_ckpt_folder(run_dir);
  RN_TRY(err, rn_file_remove_left(err, old.text));
  RN_TRY(err, rn_file_rename(err, final.text, old.text));
  rn_status status = rn_file_sync_folder(err, folder.text);
  if (status == RN_OK) status = rn_file_rename(err, staged.text, final.text);
  if (status != RN_OK) {
    (void)rn_file_rename(NULL, old.text, final.text);
    return status;
  }
  RN_TRY(err, rn_file_sync_folder(err, folder.text));
  (void)rn_file_rename(NULL, old.text, staged.text);
  return RN_OK;
}

/* Renames the staging folder to step-N. If step-N exists, exchanges the two folders, atomically
 * where the file system supports that. */
static rn_status take_name(rn_err *err, const char *run_dir, int64_t step) {
  rn_path staged = rn_ckpt_stage_path(run_dir, step);
  rn_path final = rn_ckpt_step_path(run_dir, step, RN_CKPT_WHOLE);
  bool exists;
  RN_TRY(err, rn_file_find(err, final.text, &exists));
  if (!exists) return rn_file_rename(err, staged.text, final.text);
  if (renameat2(AT_FDCWD, staged.text, AT_FDCWD, final.text, RENAME_EXCHANGE) == 0) return RN_OK;
  /* EPERM: some FUSE file systems and system call filters return it for an unsupported call. */
  if (!rn_file_is_unsupported(errno) && errno != EPERM) {
    return rn_file_fail(err, "rename", staged.text, errno);
  }
  return replace(err, run_dir, step);
}

/* Fault injection: makes the calling function return an I/O error if a test has enabled a fault at
 * `site`. */
#define FAULT_SITE(err, site, doing, path) \
  if (rn_fault_now(site)) return rn_file_fail((err), (doing), (path), errno)

/* Checks the files of a staged folder and writes its manifest. */
static rn_status seal(rn_err *err, const char *staged, const Retnet__Manifest *manifest) {
  rn_path file = rn_path_join(staged, RN_CKPT_MANIFEST_FILE);
  RN_TRY(err, check_sizes(err, staged, manifest));
  FAULT_SITE(err, "ckpt.manifest", "write", file.text);
  RN_TRY(err, rn_ckpt_manifest_write(err, file.text, manifest));
  RN_TRY(err, rn_file_sync_folder(err, staged));
  FAULT_SITE(err, "ckpt.rename", "rename", staged);
  return RN_OK;
}

static rn_status publish(rn_err *err, const char *run_dir, const Retnet__Manifest *manifest) {
  int64_t step = manifest->step;
  RN_TRY(err, seal(err, rn_ckpt_stage_path(run_dir, step).text, manifest));
  RN_TRY(err, take_name(err, run_dir, step));
  return rn_file_sync_folder(err, rn_ckpt_folder(run_dir).text);
}

rn_status rn_ckpt_commit(rn_err *err, const char *run_dir, const Retnet__Manifest *head,
                         const rn_ckpt_report *reports, int count) {
  rn_ckpt_merge merge;
  rn_path staged = rn_ckpt_stage_path(run_dir, head->step);
  RN_TRY(err, rn_ckpt_merge_create(err, staged.text, head, reports, count, &merge));
  rn_status status = publish(err, run_dir, &merge.manifest);
  rn_ckpt_merge_destroy(&merge);
  return status;
}

rn_status rn_ckpt_commit_folder(rn_err *err, const char *staged, const char *folder,
                                const Retnet__Manifest *head, const rn_ckpt_report *reports,
                                int count) {
  rn_ckpt_merge merge;
  RN_TRY(err, rn_ckpt_merge_create(err, staged, head, reports, count, &merge));
  rn_status status = seal(err, staged, &merge.manifest);
  if (status == RN_OK) status = rn_file_rename(err, staged, folder);
  if (status == RN_OK) status = rn_file_sync_folder(err, rn_path_folder(folder).text);
  rn_ckpt_merge_destroy(&merge);
  return status;
}

rn_status rn_ckpt_point_latest(rn_err *err, const char *run_dir, int64_t step) {
  char name[RN_CKPT_NAME_BYTES];
  rn_path latest = rn_path_join(rn_ckpt_folder(run_dir).text, "latest");
  rn_path staged = rn_ckpt_stage_path(run_dir, step);
  FAULT_SITE(err, "ckpt.latest", "write", latest.text);
  rn_ckpt_name(name, step, RN_CKPT_WHOLE);
  strcat(name, "\n");
  RN_TRY(err, rn_file_replace(err, latest.text, name, strlen(name)));
  return rn_file_remove_left(err, staged.text);
}
