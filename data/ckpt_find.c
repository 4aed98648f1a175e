/* Which checkpoints a run has, and the newest one that is good. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/ckpt.h"
#include "data/ckpt_name.h"

static int by_step(const void *a, const void *b) {
  const rn_ckpt_entry *x = a, *y = b;
  if (x->step != y->step) return x->step < y->step ? -1 : 1;
  return (x->state > y->state) - (x->state < y->state);
}

static bool is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static rn_status add_entry(rn_err *err, const rn_ckpt_entry *entry, rn_ckpt_entry **list,
                           int *count) {
  rn_ckpt_entry *grown = realloc(*list, ((size_t)*count + 1) * sizeof *grown);
  if (grown == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory to list checkpoints");
  grown[(*count)++] = *entry;
  *list = grown;
  return RN_OK;
}

rn_status rn_ckpt_list(rn_err *err, const char *run_dir, rn_ckpt_entry **out, int *count) {
  rn_path path = rn_ckpt_folder(run_dir);
  rn_status status = RN_OK;
  rn_ckpt_entry entry;
  const struct dirent *item;
  *out = NULL;
  *count = 0;
  DIR *folder = opendir(path.text);
  if (folder == NULL && errno == ENOENT) return RN_OK;
  if (folder == NULL) return rn_file_fail(err, "open directory", path.text, errno);
  while (status == RN_OK && (item = readdir(folder)) != NULL) {
    if (!rn_ckpt_name_parse(item->d_name, &entry.step, &entry.state)) continue;
    entry.path = rn_path_join(path.text, item->d_name);
    if (is_folder(entry.path.text)) status = add_entry(err, &entry, out, count);
  }
  closedir(folder);
  if (*count > 0) qsort(*out, (size_t)*count, sizeof **out, by_step);
  if (status != RN_OK) free(*out);
  return status;
}

rn_status rn_ckpt_mark_bad(rn_err *err, const char *step_path) {
  rn_path bad;
  snprintf(bad.text, sizeof bad.text, "%s.bad", step_path);
  if (rn_file_exists(bad.text)) RN_TRY(err, rn_file_remove_tree(err, bad.text));
  RN_TRY(err, rn_file_rename(err, step_path, bad.text));
  return rn_file_sync_folder(err, rn_path_folder(step_path).text);
}

static rn_status open_and_check(rn_err *err, const char *path, rn_ckpt **out) {
  rn_ckpt *ckpt = NULL;
  RN_TRY(err, rn_ckpt_open(err, path, &ckpt));
  rn_status status = rn_ckpt_check(err, ckpt, 0, 1);
  if (status != RN_OK) {
    rn_ckpt_close(&ckpt);
    return status;
  }
  *out = ckpt;
  return RN_OK;
}

static void pass_by(const rn_ckpt_notes *notes, const char *path, const rn_err *why, bool mark) {
  rn_err trouble = {0};
  char line[RN_PATH_BYTES + 2 * RN_ERR_TEXT_BYTES + 32];
  const char *mark_text = "passed by";
  if (mark && rn_ckpt_mark_bad(&trouble, path) == RN_OK) mark_text = "renamed .bad";
  if (trouble.status != RN_OK) mark_text = trouble.text;
  if (notes == NULL) return;
  snprintf(line, sizeof line, "checkpoint %s is damaged (%s): %s", path, why->text, mark_text);
  notes->tell(notes->context, line);
}

static rn_status find_newest(rn_err *err, const char *run_dir, bool mark_bad,
                             const rn_ckpt_notes *notes, rn_ckpt **out) {
  rn_ckpt_entry *entries = NULL;
  int count = 0, damaged = 0;
  RN_TRY(err, rn_ckpt_list(err, run_dir, &entries, &count));
  rn_status status = RN_ERR_NOT_FOUND;
  for (int i = count - 1; i >= 0 && status == RN_ERR_NOT_FOUND; i--) {
    rn_err why = {0};
    if (entries[i].state != RN_CKPT_WHOLE) continue;
    status = open_and_check(&why, entries[i].path.text, out);
    if (status == RN_ERR_FORMAT || status == RN_ERR_NOT_FOUND) {
      pass_by(notes, entries[i].path.text, &why, mark_bad);
      damaged++;
      status = RN_ERR_NOT_FOUND;
    } else if (status != RN_OK) {
      rn_fail(err, status, "%s", why.text);
    }
  }
  free(entries);
  if (status == RN_ERR_NOT_FOUND && damaged > 0) {
    return rn_fail(err, status, "%s has no good checkpoint: all %d are damaged", run_dir, damaged);
  }
  if (status == RN_ERR_NOT_FOUND) return rn_fail(err, status, "%s has no checkpoint", run_dir);
  return status;
}

/* A step folder is known by its name, or by a manifest in it. */
static bool is_step_folder(const char *path) {
  int64_t step;
  rn_ckpt_state state;
  const char *slash = strrchr(path, '/');
  return rn_ckpt_name_parse(slash == NULL ? path : slash + 1, &step, &state) ||
         rn_file_exists(rn_path_join(path, RN_CKPT_MANIFEST_FILE).text);
}

rn_status rn_ckpt_find(rn_err *err, const char *path, bool mark_bad, const rn_ckpt_notes *notes,
                       rn_ckpt **out) {
  rn_path plain;
  snprintf(plain.text, sizeof plain.text, "%s", path);
  for (size_t end = strlen(plain.text); end > 1 && plain.text[end - 1] == '/'; end--) {
    plain.text[end - 1] = '\0';
  }
  if (is_step_folder(plain.text)) return open_and_check(err, plain.text, out);
  if (!is_folder(plain.text)) {
    return rn_fail(err, RN_ERR_NOT_FOUND, "%s is neither a run directory nor a checkpoint", path);
  }
  return find_newest(err, plain.text, mark_bad, notes, out);
}
