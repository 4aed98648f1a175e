#include "tests/support/temp.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PATHS = 256 };

static char folder[512];
static char *paths[MAX_PATHS];
static int path_count;

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
  (void)info;
  (void)kind;
  (void)place;
  return remove(path);
}

static void clean_up(void) {
  nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  for (int i = 0; i < path_count; i++) free(paths[i]);
}

const char *temp_folder(void) {
  if (folder[0] != '\0') return folder;
  const char *base = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/retnet-test-XXXXXX", base != NULL ? base : "/tmp");
  if (mkdtemp(folder) == NULL) {
    perror(folder);
    exit(1);
  }
  atexit(clean_up);
  return folder;
}

const char *temp_path(const char *name) {
  char *path = NULL;
  if (path_count == MAX_PATHS || asprintf(&path, "%s/%s", temp_folder(), name) < 0) {
    fprintf(stderr, "no room for the path of %s\n", name);
    exit(1);
  }
  paths[path_count++] = path;
  return path;
}
