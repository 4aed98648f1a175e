#include "data/file/staged_folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/file/listing.h"

#define STAGED ".retnet-export"

rn_status rn_staged_folder_create(rn_err *err, const char *folder, rn_staged_folder *out) {
  rn_staged_folder s = {.staged = rn_path_join(folder, STAGED)};
  bool exists;
  snprintf(s.folder.text, sizeof s.folder.text, "%s", folder);
  RN_TRY(err, rn_file_find(err, folder, &exists));
  s.is_new = !exists;
  RN_TRY(err, rn_file_remove_left(err, s.staged.text));
  RN_TRY(err, rn_file_make_folder(err, folder));
  s.is_open = true;
  const rn_status status = rn_file_make_folder(err, s.staged.text);
  if (status != RN_OK) rn_staged_folder_abandon(&s);
  *out = s;
  return status;
}

/* A staged file, its final path, and the path at which the replaced file is kept. */
typedef struct moved_file {
  rn_path staged, target, old;
} moved_file;

static moved_file file_of(const rn_staged_folder *s, const char *staged) {
  moved_file file = {.target = rn_path_join(s->folder.text, strrchr(staged, '/') + 1)};
  snprintf(file.staged.text, sizeof file.staged.text, "%s", staged);
  snprintf(file.old.text, sizeof file.old.text, "%.*s.old", PATH_MAX, staged);
  return file;
}

/* Keeps, under the name `old`, the file that will be replaced: makes a hard link or, if the file
 * system has no hard links, renames the file. */
static rn_status keep_old(rn_err *err, const moved_file *file) {
  struct stat info;
  if (lstat(file->target.text, &info) != 0) {
    return errno == ENOENT ? RN_OK : rn_file_fail(err, "look up", file->target.text, errno);
  }
  if (S_ISDIR(info.st_mode)) return rn_file_fail(err, "replace", file->target.text, EISDIR);
  if (link(file->target.text, file->old.text) == 0) return RN_OK;
  return rn_file_rename(err, file->target.text, file->old.text);
}

static rn_status move_in(rn_err *err, const moved_file *file) {
  RN_TRY(err, keep_old(err, file));
  return rn_file_rename(err, file->staged.text, file->target.text);
}

/* Restores the replaced file, or removes the new file if there was none. If the staged file was not
 * moved and no old file was kept, does nothing. */
static void move_back(const moved_file *file) {
  if (rename(file->old.text, file->target.text) == 0 || errno != ENOENT) return;
  if (rn_file_is_missing(file->staged.text)) (void)unlink(file->target.text);
}

/* Moves all files, durably; on failure, moves them back. */
static rn_status move_all(rn_err *err, const rn_staged_folder *s, const rn_listing *files) {
  rn_status status = RN_OK;
  size_t tried = 0;
  while (status == RN_OK && tried < files->count) {
    const moved_file file = file_of(s, files->path[tried++]);
    status = move_in(err, &file);
  }
  if (status == RN_OK) status = rn_file_sync_folder(err, s->folder.text);
  while (status != RN_OK && tried > 0) {
    const moved_file file = file_of(s, files->path[--tried]);
    move_back(&file);
  }
  return status;
}

rn_status rn_staged_folder_publish(rn_err *err, rn_staged_folder *s) {
  rn_listing files = {0};
  rn_status status = rn_listing_make(err, s->staged.text, NULL, 0, &files);
  if (status == RN_OK) status = move_all(err, s, &files);
  if (status == RN_OK) {
    s->is_new = false; /* rn_staged_folder_abandon must not remove the folder */
    rn_staged_folder_abandon(s);
  }
  rn_listing_free(&files);
  return status;
}

void rn_staged_folder_abandon(rn_staged_folder *s) {
  if (!s->is_open) return;
  (void)rn_file_remove_tree(&(rn_err){0}, s->staged.text);
  if (s->is_new) (void)rmdir(s->folder.text);
  s->is_open = false;
}
