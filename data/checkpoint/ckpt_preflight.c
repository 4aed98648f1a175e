/* Checks, before a run starts, that it can save its checkpoints. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "data/checkpoint/ckpt.h"
#include "data/checkpoint/ckpt_name.h"

enum { TRIAL_BYTES = 65536 };

/* Bytes on disk of the files of a checkpoint folder; of those that can be examined. */
static double folder_bytes(const char *path) {
  enum { BLOCK_BYTES = 512 }; /* unit of st_blocks */
  struct stat info;
  double bytes = 0;
  DIR *folder = opendir(path);
  if (folder == NULL) return 0;
  for (const struct dirent *e; (e = readdir(folder)) != NULL;) {
    if (fstatat(dirfd(folder), e->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(info.st_mode)) bytes += (double)info.st_blocks * BLOCK_BYTES;
  }
  closedir(folder);
  return bytes;
}

/* Bytes that the next save frees, before it writes and after its checkpoint is complete. */
typedef struct freed_space {
  double before, after;
} freed_space;

static rn_status find_freed(rn_err *err, const char *run_dir, rn_ckpt_keep keep, freed_space *out) {
  rn_ckpt_entry *entries = NULL;
  int count = 0, kept = 1; /* the next checkpoint */
  *out = (freed_space){0};
  RN_TRY(err, rn_ckpt_list(err, run_dir, &entries, &count));
  for (int i = count - 1; i >= 0; i--) {
    const rn_ckpt_entry *entry = &entries[i];
    const bool whole = entry->state == RN_CKPT_WHOLE;
    const bool stays = whole && (keep.last == 0 || kept < keep.last ||
                                 (keep.every > 0 && entry->step % keep.every == 0));
    kept += whole;
    if (stays) continue;
    *(rn_ckpt_is_abandoned(entries, i) ? &out->before : &out->after) +=
        folder_bytes(entry->path.text);
  }
  free(entries);
  return RN_OK;
}

static rn_status check_space(rn_err *err, const char *folder, int64_t bytes, freed_space freed) {
  const double giga = 1e9;
  struct statvfs info;
  /* Some network file systems do not report their size. */
  if (statvfs(folder, &info) != 0) {
    return rn_file_is_unsupported(errno)
               ? RN_OK
               : rn_file_fail(err, "determine the free space of", folder, errno);
  }
  if (info.f_blocks == 0) return RN_OK;
  const double available = (double)info.f_bavail * (double)info.f_frsize + freed.before;
  const double need = 2.0 * (double)bytes;
  const double after = freed.after < (double)bytes ? freed.after : (double)bytes;
  if (available + after >= need) return RN_OK;
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

rn_status rn_ckpt_preflight(rn_err *err, const char *run_dir, int64_t bytes, rn_ckpt_keep keep) {
  rn_path folder = rn_ckpt_folder(run_dir);
  freed_space freed;
  RN_TRY(err, rn_file_make_folder(err, folder.text));
  RN_TRY(err, find_freed(err, run_dir, keep, &freed));
  RN_TRY(err, check_space(err, folder.text, bytes, freed));
  rn_path trial = rn_path_join(folder.text, ".trial");
  rn_status status = write_and_read_back(err, trial.text);
  if (unlink(trial.text) != 0 && errno != ENOENT && status == RN_OK) {
    status = rn_file_fail(err, "remove", trial.text, errno);
  }
  return status;
}
