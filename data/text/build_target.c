#include "data/text/build_target.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char work_name[] = ".building-";

/* False for entries that a new file system has from the start. */
static bool counts(const char *name) {
  return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, "lost+found") != 0;
}

static rn_status check_empty(rn_err *err, const char *path) {
  DIR *folder = opendir(path);
  if (folder == NULL && errno == ENOTDIR) {
    return rn_fail(err, RN_ERR_USAGE, "--out %s: exists and is not a folder", path);
  }
  if (folder == NULL && errno == ENOENT) {
    return rn_fail(err, RN_ERR_USAGE, "--out %s: is a broken link", path);
  }
  if (folder == NULL) return rn_file_fail(err, "read folder", path, errno);
  const struct dirent *entry;
  while ((errno = 0, entry = readdir(folder)) != NULL && !counts(entry->d_name)) continue;
  rn_status status = RN_OK;
  if (entry == NULL && errno != 0) status = rn_file_fail(err, "read folder", path, errno);
  if (entry != NULL) {
    const bool begun = strncmp(entry->d_name, work_name, sizeof work_name - 1) == 0;
    status = rn_fail(
        err, RN_ERR_USAGE, "--out %s: exists and is not empty: it holds %s%s", path, entry->d_name,
        begun ? " of another build; remove it if that build is no longer running" : "");
  }
  closedir(folder);
  return status;
}

static void add_never(rn_build_target *target, const char *path) {
  struct stat info;
  if (stat(path, &info) == 0) target->never[target->nevers++] = rn_folder_id_of(&info);
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
  enum { ROOM = RN_PATH_BYTES - 64 };
  *target = (rn_build_target){0};
  snprintf(target->out.text, sizeof target->out.text, "%.*s", ROOM, out);
  cut_end(target->out.text);
  target->exists = rn_file_exists(target->out.text);
  if (target->exists) RN_TRY(err, check_empty(err, target->out.text));
  /* The name includes the process id, because this build must not remove the files of another. */
  snprintf(target->work.text, sizeof target->work.text, "%.*s%s%s%ld", ROOM, target->out.text,
           target->exists ? "/" : "", work_name, (long)getpid());
  RN_TRY(err, rn_file_make_folder(err, target->work.text));
  add_never(target, target->work.text);
  if (target->exists) add_never(target, target->out.text);
  return RN_OK;
}

/* Renames val, if any, before train, because training needs only train. *moved is the last split
 * that was renamed. */
static rn_status move_splits(rn_err *err, const rn_build_target *target, rn_path *moved) {
  static const char *const names[] = {"val", "train"};
  for (int i = 0; i < 2; i++) {
    const rn_path from = rn_path_join(target->work.text, names[i]);
    if (!rn_file_exists(from.text)) continue;
    const rn_path to = rn_path_join(target->out.text, names[i]);
    RN_TRY(err, rn_file_rename(err, from.text, to.text));
    *moved = to;
  }
  return RN_OK;
}

rn_status rn_build_target_publish(rn_err *err, rn_build_target *target) {
  const rn_path *out = &target->out, *work = &target->work;
  if (!target->exists) {
    RN_TRY(err, rn_file_rename(err, work->text, out->text));
    target->work = (rn_path){""};
    return rn_file_sync_folder(err, rn_path_folder(out->text).text);
  }
  rn_path moved = {""};
  rn_status status = move_splits(err, target, &moved);
  if (status != RN_OK) {
    rn_err ignored = {0};
    if (moved.text[0] != '\0') (void)rn_file_remove_tree(&ignored, moved.text);
    return status;
  }
  if (rmdir(work->text) != 0) return rn_file_fail(err, "remove", work->text, errno);
  target->work = (rn_path){""};
  return rn_file_sync_folder(err, out->text);
}

void rn_build_target_abandon(rn_build_target *target) {
  rn_err ignored = {0};
  if (target->work.text[0] == '\0') return;
  (void)rn_file_remove_tree(&ignored, target->work.text);
  target->work = (rn_path){""};
}
