/* Checks, before a run starts, that it can save its checkpoints. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "data/checkpoint/ckpt.h"
#include "data/checkpoint/ckpt_name.h"

enum { TRIAL_BYTES = 65536 };

static rn_status check_space(rn_err *err, const char *folder, int64_t bytes) {
  const double giga = 1e9;
  struct statvfs info;
  if (statvfs(folder, &info) != 0)
    return rn_file_fail(err, "determine the free space of", folder, errno);
  if (info.f_blocks == 0) return RN_OK; /* some network file systems do not report their size */
  double available = (double)info.f_bavail * (double)info.f_frsize, need = 2.0 * (double)bytes;
  if (available >= need) return RN_OK;
  return rn_fail(err, RN_ERR_IO,
                 "%s has %.3f GB free, but two checkpoints need %.3f GB: free some space there, or "
                 "set run.dir to a folder on a larger disk",
                 folder, available / giga, need / giga);
}

static rn_status write_and_read_back(rn_err *err, const char *path) {
  static unsigned char put[TRIAL_BYTES], got[TRIAL_BYTES];
  rn_file file = {0};
  for (int i = 0; i < TRIAL_BYTES; i++) put[i] = (unsigned char)(i * 7 + i / 251);
  RN_TRY(err, rn_file_create(err, path, &file));
  rn_status status = rn_file_write(err, &file, 0, put, sizeof put);
  if (status == RN_OK) status = rn_file_sync(err, &file);
  if (status == RN_OK) status = rn_file_read(err, &file, 0, got, sizeof got);
  if (status == RN_OK) status = rn_file_close(err, &file);
  rn_file_destroy(&file);
  if (status == RN_OK && memcmp(put, got, sizeof put) != 0) {
    status = rn_fail(err, RN_ERR_IO,
                     "%s: the bytes read back differ from those written: check the disk", path);
  }
  return status;
}

rn_status rn_ckpt_preflight(rn_err *err, const char *run_dir, int64_t bytes) {
  rn_path folder = rn_ckpt_folder(run_dir);
  RN_TRY(err, rn_file_make_folder(err, folder.text));
  RN_TRY(err, check_space(err, folder.text, bytes));
  rn_path trial = rn_path_join(folder.text, ".trial");
  rn_status status = write_and_read_back(err, trial.text);
  if (unlink(trial.text) != 0 && status == RN_OK) {
    status = rn_file_fail(err, "remove", trial.text, errno);
  }
  return status;
}
