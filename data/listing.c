#include "data/listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static rn_status push(rn_err *err, rn_listing *list, const char *path) {
  if (list->count == list->room) {
    const size_t room = list->room > 0 ? 2 * list->room : 256;
    char **grown = realloc(list->path, room * sizeof *grown);
    if (grown == NULL) return rn_fail(err, RN_ERR_MEMORY, "no memory for a list of files");
    list->path = grown;
    list->room = room;
  }
  list->path[list->count] = strdup(path);
  if (list->path[list->count] == NULL) return rn_fail(err, RN_ERR_MEMORY, "no memory for %s", path);
  list->count++;
  return RN_OK;
}

/* An entry of a folder: a file goes to `files`, a folder to `folders`, which are still to be read.
 */
static rn_status sort_entry(rn_err *err, const char *path, rn_listing *files, rn_listing *folders) {
  struct stat itself, target;
  if (lstat(path, &itself) != 0) return rn_file_fail(err, "read", path, errno);
  if (S_ISDIR(itself.st_mode)) return push(err, folders, path);
  if (S_ISREG(itself.st_mode)) return push(err, files, path);
  const bool link = S_ISLNK(itself.st_mode) && stat(path, &target) == 0;
  return link && S_ISREG(target.st_mode) ? push(err, files, path) : RN_OK;
}

static rn_status read_folder(rn_err *err, const char *path, rn_listing *files,
                             rn_listing *folders) {
  DIR *folder = opendir(path);
  if (folder == NULL) return rn_file_fail(err, "read folder", path, errno);
  rn_status status = RN_OK;
  for (const struct dirent *e; status == RN_OK && (e = readdir(folder)) != NULL;) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    const rn_path inner = rn_path_join(path, e->d_name);
    if (strlen(path) + strlen(e->d_name) + 2 > sizeof inner.text) {
      status = rn_fail(err, RN_ERR_USAGE, "%s: paths below it are too long", path);
    } else {
      status = sort_entry(err, inner.text, files, folders);
    }
  }
  closedir(folder);
  return status;
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

rn_status rn_listing_make(rn_err *err, const char *folder, rn_listing *out) {
  rn_listing folders = {0};
  *out = (rn_listing){0};
  rn_status status = push(err, &folders, folder);
  for (size_t i = 0; status == RN_OK && i < folders.count; i++) {
    status = read_folder(err, folders.path[i], out, &folders);
  }
  rn_listing_free(&folders);
  if (status != RN_OK) {
    rn_listing_free(out);
    return status;
  }
  if (out->count > 0) qsort(out->path, out->count, sizeof *out->path, by_bytes);
  return RN_OK;
}

void rn_listing_free(rn_listing *listing) {
  for (size_t i = 0; i < listing->count; i++) free(listing->path[i]);
  free(listing->path);
  *listing = (rn_listing){0};
}
