/*
 * Walks the tree first without following links, then follows the links to folders in the byte order
 * of their paths. The listing therefore does not depend on the order in which the system returns
 * names.
 */
#include "data/file/listing.h"

#include <dirent.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"

/* State of listing one folder tree. */
typedef struct walk {
  rn_listing *files;
  rn_listing links; /* links to folders that are not followed yet */
  void *seen;       /* tree of rn_folder_id */
  const rn_folder_id *excluded;
  int excluded_count;
} walk;

static rn_status push(rn_err *err, rn_listing *list, const char *path) {
  RN_TRY(err, rn_grow(err, "list of files", list->count + 1, sizeof *list->path, &list->path,
                      &list->capacity));
  list->path[list->count] = strdup(path);
  if (list->path[list->count] == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while listing %s", path);
  list->count++;
  return RN_OK;
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(rn_listing *list) {
  if (list->count > 0) qsort(list->path, list->count, sizeof *list->path, by_bytes);
}

/* ---- visited folders ---- */

static int by_id(const void *a, const void *b) {
  const rn_folder_id *x = a, *y = b;
  if (x->device != y->device) return x->device < y->device ? -1 : 1;
  return (x->inode > y->inode) - (x->inode < y->inode);
}

static bool is_excluded(const walk *w, const rn_folder_id *id) {
  for (int i = 0; i < w->excluded_count; i++) {
    if (by_id(&w->excluded[i], id) == 0) return true;
  }
  return false;
}

static rn_status keep(rn_err *err, walk *w, const rn_folder_id *id) {
  rn_folder_id *kept = malloc(sizeof *kept);
  if (kept != NULL) *kept = *id;
  if (kept != NULL && tsearch(kept, &w->seen, by_id) != NULL) return RN_OK;
  free(kept);
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while listing folders");
}

/* Sets *first to true if the folder must be read: it is not excluded and was not visited before. */
static rn_status visit(rn_err *err, walk *w, const struct stat *info, bool *first) {
  const rn_folder_id id = rn_folder_id_of(info);
  *first = false;
  if (is_excluded(w, &id)) return RN_OK;
  if (tfind(&id, &w->seen, by_id) != NULL) {
    w->files->left_out++;
    return RN_OK;
  }
  *first = true;
  return keep(err, w, &id);
}

/* Marks all ancestors of `folder` as visited, because a link to one of them would be a loop.
 * Ancestors above a folder that this user may not search are not known. */
static rn_status visit_parents(rn_err *err, walk *w, const char *folder) {
  rn_folder_id below = {0};
  struct stat info;
  rn_path path = rn_path_join(folder, "..");
  while (stat(path.text, &info) == 0) {
    const rn_folder_id id = rn_folder_id_of(&info);
    if (by_id(&id, &below) == 0) break; /* the root is its own parent */
    if (tfind(&id, &w->seen, by_id) == NULL) RN_TRY(err, keep(err, w, &id));
    below = id;
    path = rn_path_join(path.text, "..");
    errno = 0;
  }
  if (errno == 0 || errno == EACCES || errno == ENAMETOOLONG) return RN_OK;
  return rn_file_fail(err, "look up", path.text, errno);
}

/* ---- the walk ---- */

/* Adds an entry of a folder to the files, to the links, or to `folders` if it is a folder that was
 * not visited before. */
static rn_status sort_entry(rn_err *err, walk *w, const char *path, rn_listing *folders) {
  struct stat itself, target;
  bool first = false;
  if (lstat(path, &itself) != 0) return rn_file_fail(err, "read", path, errno);
  if (S_ISREG(itself.st_mode)) return push(err, w->files, path);
  if (S_ISDIR(itself.st_mode)) {
    RN_TRY(err, visit(err, w, &itself, &first));
    return first ? push(err, folders, path) : RN_OK;
  }
  if (S_ISLNK(itself.st_mode)) {
    const bool found = stat(path, &target) == 0;
    const bool nowhere = !found && (rn_file_leads_nowhere(errno) || errno == EACCES);
    if (!found && !nowhere) return rn_file_fail(err, "look up", path, errno);
    if (found && S_ISREG(target.st_mode)) return push(err, w->files, path);
    if (found && S_ISDIR(target.st_mode)) return push(err, &w->links, path);
  }
  w->files->left_out++;
  return RN_OK;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static rn_status read_folder(rn_err *err, walk *w, const char *path, rn_listing *folders) {
  struct dirent **entry = NULL;
  const int count = scandir(path, &entry, NULL, by_name);
  rn_status status = count < 0 ? rn_file_fail(err, "read folder", path, errno) : RN_OK;
  for (int i = 0; i < count; i++) {
    const char *name = entry[i]->d_name;
    const bool itself = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    /* A network file system may return a name twice while the folder changes. */
    const bool again = i > 0 && strcmp(name, entry[i - 1]->d_name) == 0;
    const rn_path inner = rn_path_join(path, name);
    if (status == RN_OK && strlen(path) + strlen(name) + 2 > sizeof inner.text) {
      status = rn_fail(err, RN_ERR_USAGE, "the paths of the files in %s are too long", path);
    } else if (status == RN_OK && !itself && !again) {
      status = sort_entry(err, w, inner.text, folders);
    }
  }
  for (int i = 0; i < count; i++) free(entry[i]);
  free(entry);
  return status;
}

/* Visits a folder and everything below it, unless it was visited before; collects links to
 * folders. */
static rn_status walk_tree(rn_err *err, walk *w, const char *root) {
  struct stat info;
  rn_listing folders = {0};
  bool first = false;
  if (stat(root, &info) != 0) return rn_file_fail(err, "read folder", root, errno);
  rn_status status = visit(err, w, &info, &first);
  if (status == RN_OK && first) status = push(err, &folders, root);
  for (size_t i = 0; status == RN_OK && i < folders.count; i++) {
    status = read_folder(err, w, folders.path[i], &folders);
  }
  rn_listing_free(&folders);
  return status;
}

static rn_status follow_links(rn_err *err, walk *w) {
  rn_status status = RN_OK;
  while (status == RN_OK && w->links.count > 0) {
    rn_listing links = w->links;
    w->links = (rn_listing){0};
    sort(&links);
    for (size_t i = 0; status == RN_OK && i < links.count; i++) {
      status = walk_tree(err, w, links.path[i]);
    }
    rn_listing_free(&links);
  }
  return status;
}

rn_status rn_listing_make(rn_err *err, const char *folder, const rn_folder_id *excluded,
                          int excluded_count, rn_listing *out) {
  walk w = {.files = out, .excluded = excluded, .excluded_count = excluded_count};
  *out = (rn_listing){0};
  rn_status status = visit_parents(err, &w, folder);
  if (status == RN_OK) status = walk_tree(err, &w, folder);
  if (status == RN_OK) status = follow_links(err, &w);
  rn_listing_free(&w.links);
  tdestroy(w.seen, free);
  if (status == RN_OK) {
    sort(out);
  } else {
    rn_listing_free(out);
  }
  return status;
}

void rn_listing_free(rn_listing *listing) {
  for (size_t i = 0; i < listing->count; i++) free(listing->path[i]);
  free(listing->path);
  *listing = (rn_listing){0};
}
