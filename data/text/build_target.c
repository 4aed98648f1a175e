#include "data/text/build_target.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "data/file/temporary_name.h"
#include "proto/base/log.h"

static const char work_name[] = ".building-";

/* True if a folder with this entry is not empty. Entries that every new file system has do not
 * count. */
static bool counts(const char *name) {
  return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, "lost+found") != 0;
}

static rn_status check_empty(rn_err *err, const char *path) {
  DIR *folder = opendir(path);
  if (folder == NULL && errno == ENOTDIR) {
    return rn_fail(err, RN_ERR_USAGE, "--out %s is not a folder", path);
  }
  if (folder == NULL && errno == ENOENT) {
    return rn_fail(err, RN_ERR_USAGE, "--out %s is a broken link", path);
  }
  if (folder == NULL) return rn_file_fail(err, "read folder", path, errno);
  const struct dirent *entry;
  while ((errno = 0, entry = readdir(folder)) != NULL && !counts(entry->d_name)) continue;
  rn_status status = RN_OK;
  if (entry == NULL && errno != 0) status = rn_file_fail(err, "read folder", path, errno);
  if (entry != NULL) {
    const bool begun = strncmp(entry->d_name, work_name, sizeof work_name - 1) == 0;
    const char *name = entry->d_name;
    status = begun
                 ? rn_fail(err, RN_ERR_USAGE,
                           "--out %s is not empty: it contains %s, the work folder of another "
                           "build. If that build is no longer running, remove %s",
                           path, name, name)
                 : rn_fail(err, RN_ERR_USAGE, "--out %s is not empty: it contains %s", path, name);
  }
  closedir(folder);
  return status;
}

static rn_status exclude(rn_err *err, rn_build_target *target, const char *path) {
  struct stat info;
  if (stat(path, &info) != 0) return rn_file_fail(err, "look up", path, errno);
  target->excluded[target->excluded_count++] = rn_folder_id_of(&info);
  return RN_OK;
}

/* Removes trailing "/" and "/.". */
static void cut_end(char *path) {
  for (size_t n = strlen(path); n > 1; n = strlen(path)) {
    if (path[n - 1] == '/') {
      path[n - 1] = '\0';
    } else if (n > 2 && strcmp(path + n - 2, "/.") == 0) {
      path[n - 2] = '\0';
    } else {
      return;
    }
  }
}

rn_status rn_build_target_open(rn_err *err, const char *out, rn_build_target *target) {
  enum { NAME_BYTES = RN_PATH_BYTES - 128 };
  rn_path begin;
  *target = (rn_build_target){0};
  snprintf(target->out.text, sizeof target->out.text, "%.*s", NAME_BYTES, out);
  cut_end(target->out.text);
  RN_TRY(err, rn_file_find(err, target->out.text, &target->exists));
  snprintf(begin.text, sizeof begin.text, "%.*s%s%s", NAME_BYTES, target->out.text,
           target->exists ? "/" : "", work_name);
  rn_temporary_remove_left(begin.text, "");
  if (target->exists) RN_TRY(err, check_empty(err, target->out.text));
  /* The name contains the process id: other builds remove only the work folders of processes that
   * have ended. */
  target->work = rn_temporary_name(begin.text, "");
  RN_TRY(err, rn_file_make_folder(err, target->work.text));
  RN_TRY(err, exclude(err, target, target->work.text));
  return target->exists ? exclude(err, target, target->out.text) : RN_OK;
}

/* val is moved first. Training needs only train, so train must not appear in the folder before val.
 */
static const char *const splits[] = {"val", "train"};
enum { SPLITS = sizeof splits / sizeof splits[0] };

static rn_status move_splits(rn_err *err, const rn_build_target *target, bool moved[SPLITS]) {
  for (int i = 0; i < SPLITS; i++) {
    const rn_path from = rn_path_join(target->work.text, splits[i]);
    bool exists;
    RN_TRY(err, rn_file_find(err, from.text, &exists));
    if (!exists) continue;
    const rn_path to = rn_path_join(target->out.text, splits[i]);
    RN_TRY(err, rn_file_rename(err, from.text, to.text));
    moved[i] = true;
  }
  return RN_OK;
}

/* Removes the work folder after its splits were moved. A failure is only a warning, because the
 * splits are complete. */
static void remove_work(rn_build_target *target) {
  rn_err left = {0};
  if (rn_file_remove_left(&left, target->work.text) != RN_OK) rn_log_warn("%s", left.text);
  target->work = (rn_path){""};
}

/* Moves the splits into the existing folder. If a move fails, removes those already moved. */
static rn_status publish_into(rn_err *err, rn_build_target *target) {
  const char *out = target->out.text;
  bool moved[SPLITS] = {false};
  rn_status status = move_splits(err, target, moved);
  if (status == RN_OK) {
    remove_work(target);
    status = rn_file_sync_folder(err, out);
  }
  for (int i = 0; status != RN_OK && i < SPLITS; i++) {
    if (moved[i]) (void)rn_file_remove_tree(NULL, rn_path_join(out, splits[i]).text);
  }
  return status;
}

/* Renames the work folder to `out`; undoes the rename if it cannot be made durable. */
static rn_status publish_as(rn_err *err, rn_build_target *target) {
  const char *out = target->out.text, *work = target->work.text;
  RN_TRY(err, rn_file_rename(err, work, out));
  const rn_status status = rn_file_sync_folder(err, rn_path_folder(out).text);
  if (status == RN_OK) {
    target->work = (rn_path){""};
  } else {
    (void)rn_file_rename(NULL, out, work);
  }
  return status;
}

rn_status rn_build_target_publish(rn_err *err, rn_build_target *target) {
  return target->exists ? publish_into(err, target) : publish_as(err, target);
}

void rn_build_target_abandon(rn_build_target *target) {
  if (target->work.text[0] == '\0') return;
  (void)rn_file_remove_tree(NULL, target->work.text);
  target->work = (rn_path){""};
}
