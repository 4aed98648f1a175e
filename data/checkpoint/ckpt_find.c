/* Lists the checkpoints of a run and finds the newest valid one. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/checkpoint/ckpt.h"
#include "data/checkpoint/ckpt_name.h"
#include "proto/base/arena.h"
#include "proto/base/fault.h"

/* Maximum number of times that one search lists the checkpoints of a run. It lists them again if
 * the owner of the run has removed one since the previous time. */
enum { MAX_LISTS = 16 };

static int by_step(const void *a, const void *b) {
  const rn_ckpt_entry *x = a, *y = b;
  if (x->step != y->step) return x->step < y->step ? -1 : 1;
  return (x->state > y->state) - (x->state < y->state);
}

static rn_status add_entry(rn_err *err, const rn_ckpt_entry *entry, rn_ckpt_entry **list,
                           int *count, size_t *capacity) {
  RN_TRY(err,
         rn_grow(err, "list of checkpoints", (size_t)*count + 1, sizeof *entry, list, capacity));
  (*list)[(*count)++] = *entry;
  return RN_OK;
}

/* Removes entries that were listed twice, as network file systems may do while a folder changes; a
 * checkpoint must count only once. Returns the number of entries left. The entries are sorted. */
static int drop_repeated(rn_ckpt_entry *entries, int count) {
  int kept = 0;
  for (int i = 0; i < count; i++) {
    if (kept > 0 && by_step(&entries[kept - 1], &entries[i]) == 0) continue;
    entries[kept++] = entries[i];
  }
  return kept;
}

/* Lists a step-N.old without a step-N as WHOLE. The entries are sorted, and WHOLE comes first. */
static void adopt_replaced(rn_ckpt_entry *entries, int count) {
  bool whole = false;
  for (int i = 0; i < count; i++) {
    rn_ckpt_entry *entry = &entries[i];
    if (i == 0 || entries[i - 1].step != entry->step) whole = entry->state == RN_CKPT_WHOLE;
    if (entry->state == RN_CKPT_REPLACED && !whole) entry->state = RN_CKPT_WHOLE;
  }
}

bool rn_ckpt_is_abandoned(const rn_ckpt_entry *entries, int i) {
  if (entries[i].state != RN_CKPT_STAGED) return false;
  for (int j = i; j >= 0 && entries[j].step == entries[i].step; j--) {
    if (entries[j].state == RN_CKPT_WHOLE) return false;
  }
  return true;
}

rn_status rn_ckpt_list(rn_err *err, const char *run_dir, rn_ckpt_entry **out, int *count) {
  rn_path path = rn_ckpt_folder(run_dir);
  rn_status status = RN_OK;
  rn_ckpt_entry entry;
  const struct dirent *item;
  size_t capacity = 0;
  *out = NULL;
  *count = 0;
  if (rn_fault_now("ckpt.list")) return RN_OK;
  DIR *folder = opendir(path.text);
  if (folder == NULL && errno == ENOENT) return RN_OK;
  if (folder == NULL) {
    const int error = errno;
    bool is_folder = true;
    if (error == ENOTDIR) RN_TRY(err, rn_file_find_folder(err, run_dir, &is_folder));
    return is_folder ? rn_file_fail(err, "open directory", path.text, error)
                     : rn_ckpt_none(err, run_dir);
  }
  while (status == RN_OK && (errno = 0, item = readdir(folder)) != NULL) {
    if (!rn_ckpt_name_parse(item->d_name, &entry.step, &entry.state)) continue;
    bool is_folder;
    entry.path = rn_path_join(path.text, item->d_name);
    status = rn_file_find_folder(err, entry.path.text, &is_folder);
    if (status == RN_OK && is_folder) status = add_entry(err, &entry, out, count, &capacity);
  }
  if (status == RN_OK && errno != 0) status = rn_file_fail(err, "read directory", path.text, errno);
  closedir(folder);
  if (*count > 0) qsort(*out, (size_t)*count, sizeof **out, by_step);
  *count = drop_repeated(*out, *count);
  adopt_replaced(*out, *count);
  if (status != RN_OK) free(*out);
  return status;
}

rn_status rn_ckpt_restore_names(rn_err *err, const char *run_dir) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  RN_TRY(err, rn_ckpt_list(err, run_dir, &entries, &count));
  rn_status status = RN_OK;
  for (int i = 0; i < count && status == RN_OK; i++) {
    const rn_path final = rn_ckpt_step_path(run_dir, entries[i].step, RN_CKPT_WHOLE);
    if (entries[i].state != RN_CKPT_WHOLE || strcmp(entries[i].path.text, final.text) == 0)
      continue;
    status = rn_file_rename(err, entries[i].path.text, final.text);
    if (status == RN_OK) status = rn_file_sync_folder(err, rn_ckpt_folder(run_dir).text);
  }
  free(entries);
  return status;
}

rn_status rn_ckpt_mark_bad(rn_err *err, const char *step_path) {
  static const char old[] = ".old";
  size_t length = strlen(step_path);
  rn_path bad;
  if (length > strlen(old) && strcmp(step_path + length - strlen(old), old) == 0) {
    length -= strlen(old);
  }
  snprintf(bad.text, sizeof bad.text, "%.*s.bad", (int)length, step_path);
  RN_TRY(err, rn_file_remove_left(err, bad.text));
  RN_TRY(err, rn_file_rename(err, step_path, bad.text));
  return rn_file_sync_folder(err, rn_path_folder(step_path).text);
}

static rn_status open_and_check(rn_err *err, const char *path, const rn_ckpt_notes *notes,
                                rn_ckpt **out) {
  rn_ckpt *ckpt = NULL;
  if (notes != NULL && notes->open != NULL) return notes->open(notes->context, err, path, out);
  RN_TRY(err, rn_ckpt_open(err, path, &ckpt));
  rn_status status = rn_ckpt_check(err, ckpt, 0, 1);
  if (status != RN_OK) {
    rn_ckpt_close(&ckpt);
    return status;
  }
  *out = ckpt;
  return RN_OK;
}

/* State of a search through the checkpoints of a run, from the newest to the oldest. */
typedef struct search {
  const rn_ckpt_notes *notes;
  rn_ckpt_entry *entries; /* [count] */
  int count;
  int found;   /* index of the newest valid checkpoint; -1: none found yet */
  int damaged; /* number of damaged checkpoints that were skipped */
  bool *wrong; /* [count] true if the entry's content is wrong */
  bool stale;  /* true if the owner of the run has removed a listed checkpoint */
} search;

static void report_skipped(const search *s, const rn_ckpt_entry *entry, const rn_err *why) {
  char line[RN_CKPT_SKIPPED_BYTES];
  if (s->notes == NULL) return;
  rn_ckpt_skipped_text(entry->path.text, why, line);
  s->notes->report(s->notes->context, line);
}

/*
 * Renames checkpoints whose content is wrong. A checkpoint with a missing file keeps its name,
 * because on a shared file system a new file may become visible to this host late. A failure to
 * rename is reported but not returned.
 */
static void mark_wrong(const search *s) {
  for (int i = 0; i < s->count; i++) {
    rn_err why = {0};
    if (!s->wrong[i]) continue;
    if (rn_ckpt_mark_bad(&why, s->entries[i].path.text) == RN_OK || s->notes == NULL) continue;
    s->notes->report(s->notes->context, why.text);
  }
}

/*
 * True if a checkpoint that could not be opened has been removed since it was listed. For the owner
 * of the run, an I/O error does not count: no other process removes its checkpoints, and on a file
 * server that is failing over, a checkpoint can seem to be missing on one host and unreadable on
 * another. For a reader it counts, since files that are removed on another host end with ESTALE.
 */
static bool was_removed(rn_status status, bool owner, const char *path) {
  if (status == RN_ERR_MPI || (owner && status == RN_ERR_IO)) return false;
  return rn_file_is_missing(path);
}

/* Opens the newest valid checkpoint, if there is one; stops if the list becomes stale. `owner` is
 * true if the caller owns the run. */
static rn_status open_newest(rn_err *err, search *s, bool owner, rn_ckpt **out) {
  for (int i = s->count - 1; i >= 0 && s->found < 0 && !s->stale; i--) {
    const rn_ckpt_entry *entry = &s->entries[i];
    rn_err why = {0};
    if (entry->state != RN_CKPT_WHOLE) continue;
    rn_status status = open_and_check(&why, entry->path.text, s->notes, out);
    if (status == RN_OK) {
      s->found = i;
    } else if (was_removed(status, owner, entry->path.text)) {
      s->stale = true;
    } else if (status == RN_ERR_FORMAT || status == RN_ERR_NOT_FOUND) {
      s->damaged++;
      s->wrong[i] = status == RN_ERR_FORMAT;
      report_skipped(s, entry, &why);
    } else {
      *err = why; /* with names_rank, since the ranks may have agreed on it already */
      return status;
    }
  }
  return RN_OK;
}

/* True for a folder with the files in which Hugging Face stores a model, as retnet-ckpt export
 * does. */
static bool is_exported_model(const char *folder) {
  return rn_file_exists(rn_path_join(folder, "model.safetensors").text) ||
         rn_file_exists(rn_path_join(folder, "model.safetensors.index.json").text);
}

/* True if a folder directly contains checkpoints. */
static bool holds_steps(const char *path) {
  DIR *folder = opendir(path);
  int64_t step;
  rn_ckpt_state state;
  bool found = false;
  for (const struct dirent *e; folder != NULL && !found && (e = readdir(folder)) != NULL;) {
    found = rn_ckpt_name_parse(e->d_name, &step, &state);
  }
  if (folder != NULL) closedir(folder);
  return found;
}

rn_status rn_ckpt_none(rn_err *err, const char *path) {
  const rn_status none = RN_ERR_NOT_FOUND;
  struct stat info;
  if (stat(path, &info) != 0) {
    return errno == ENOENT
               ? rn_fail(err, none,
                         "%s: no such file or directory; give a run directory or a checkpoint",
                         path)
               : rn_file_fail(err, "open", path, errno);
  }
  if (!S_ISDIR(info.st_mode)) {
    return rn_fail(err, none, "%s is a file; give a run directory or the folder of a checkpoint",
                   path);
  }
  if (rn_ckpt_is_step_folder(path)) {
    return rn_fail(err, none, "%s is a checkpoint; give the run directory", path);
  }
  if (holds_steps(path)) {
    return rn_fail(
        err, none,
        "%s contains checkpoints, but it is not the run directory; give its parent folder "
        "or one of its step folders",
        path);
  }
  if (is_exported_model(path)) {
    return rn_fail(err, none,
                   "%s holds the model of another program; make a checkpoint of it with "
                   "`retnet-ckpt import --out CKPT %s`",
                   path, path);
  }
  return rn_fail(err, none, "%s has no checkpoint: it contains no checkpoints/step-... folder",
                 path);
}

/* Lists the checkpoints once and searches the list. Renames damaged checkpoints only if a valid one
 * is found; otherwise the next start would find no checkpoint at all. */
static rn_status find_in_list(rn_err *err, const char *run_dir, bool mark_bad,
                              const rn_ckpt_notes *notes, bool *stale, rn_ckpt **out) {
  search s = {.notes = notes, .found = -1};
  RN_TRY(err, rn_ckpt_list(err, run_dir, &s.entries, &s.count));
  s.wrong = calloc((size_t)s.count + 1, sizeof *s.wrong);
  rn_status status = s.wrong == NULL
                         ? rn_fail(err, RN_ERR_MEMORY, "out of memory while listing %s", run_dir)
                         : open_newest(err, &s, mark_bad, out);
  if (status == RN_OK && s.found >= 0 && mark_bad) mark_wrong(&s);
  free(s.wrong);
  free(s.entries);
  *stale = s.stale;
  if (status != RN_OK || s.found >= 0 || s.stale) return status;
  if (s.damaged == 0) return rn_ckpt_none(err, run_dir);
  return rn_fail(err, RN_ERR_FORMAT,
                 "%s has no valid checkpoint: all %d are damaged or incomplete. Move them away to "
                 "start a new run, or set checkpoint.resume to the path of another checkpoint",
                 run_dir, s.damaged);
}

static rn_status find_newest(rn_err *err, const char *run_dir, bool mark_bad,
                             const rn_ckpt_notes *notes, rn_ckpt **out) {
  for (int i = 0; i < MAX_LISTS; i++) {
    bool stale = false;
    const rn_status status = find_in_list(err, run_dir, mark_bad, notes, &stale, out);
    if (status != RN_OK || !stale) return status;
  }
  return rn_fail(
      err, RN_ERR_NOT_FOUND,
      "the checkpoints of %s are removed faster than they can be read; give the path of one "
      "that the run keeps (checkpoint.keep_last, checkpoint.keep_every)",
      run_dir);
}

/* Returns the path without trailing slashes. */
static rn_path without_end(const char *path) {
  rn_path plain;
  snprintf(plain.text, sizeof plain.text, "%s", path);
  for (size_t end = strlen(plain.text); end > 1 && plain.text[end - 1] == '/'; end--) {
    plain.text[end - 1] = '\0';
  }
  return plain;
}

/* Sets *is_step to true if `path`, which has no trailing slashes, has the name or the manifest of a
 * checkpoint. */
static rn_status find_step_folder(rn_err *err, const char *path, bool *is_step) {
  int64_t step;
  rn_ckpt_state state;
  const char *slash = strrchr(path, '/');
  *is_step = rn_ckpt_name_parse(slash == NULL ? path : slash + 1, &step, &state);
  if (*is_step) return RN_OK;
  return rn_file_find(err, rn_path_join(path, RN_CKPT_MANIFEST_FILE).text, is_step);
}

bool rn_ckpt_is_step_folder(const char *path) {
  bool is_step;
  return find_step_folder(&(rn_err){0}, without_end(path).text, &is_step) == RN_OK && is_step;
}

rn_status rn_ckpt_find(rn_err *err, const char *path, bool mark_bad, const rn_ckpt_notes *notes,
                       rn_ckpt **out) {
  rn_path plain = without_end(path);
  bool is_step, is_folder;
  RN_TRY(err, find_step_folder(err, plain.text, &is_step));
  if (is_step) return open_and_check(err, plain.text, notes, out);
  RN_TRY(err, rn_file_find_folder(err, plain.text, &is_folder));
  if (!is_folder) return rn_ckpt_none(err, path);
  return find_newest(err, plain.text, mark_bad, notes, out);
}
