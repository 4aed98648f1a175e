#include "comm/world/shm_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/arena.h"
#include "proto/base/process.h"

#define SHM_FOLDER "/dev/shm/"
#define STORE_PREFIX "pmix_dstor_"
enum { LINE_BYTES = 1024, HOST_BYTES = 256 };

typedef struct entry {
  char host[HOST_BYTES], path[LINE_BYTES];
  long long pid;
  unsigned long long start, inode;
  bool ended, used; /* used: a living process may need the file */
} entry;

static bool is_plain_name(const char *name) {
  return *name != '\0' && *name != '.' && strchr(name, '/') == NULL;
}

/*
 * True for the only two kinds of files that are recorded and removed: files directly in /dev/shm,
 * and files that mpirun of Open MPI 4 shares with its ranks (8 MB per mpirun),
 * TMPDIR/ompi.HOST.UID/pid.N/pmix_dstor_X/FILE.
 */
static bool is_shm_path(const char *path) {
  const size_t folder = sizeof SHM_FOLDER - 1;
  for (const char *at = path; *at != '\0'; at++) {
    if (!isprint((unsigned char)*at)) return false;
  }
  if (strncmp(path, SHM_FOLDER, folder) == 0) return is_plain_name(path + folder);
  const char *session = strstr(path, "/ompi.");
  const char *store = session == NULL ? NULL : strstr(session, "/" STORE_PREFIX);
  const char *name = store == NULL ? NULL : strchr(store + 1, '/');
  return path[0] == '/' && strstr(path, "/../") == NULL && name != NULL && is_plain_name(name + 1);
}

static bool parse(const char *line, size_t length, entry *e) {
  char text[LINE_BYTES];
  int at = 0;
  if (length >= sizeof text) return false;
  memcpy(text, line, length);
  text[length] = '\0';
  if (sscanf(text, "%255s %lld %llu %llu %n", e->host, &e->pid, &e->start, &e->inode, &at) != 4) {
    return false;
  }
  snprintf(e->path, sizeof e->path, "%s", text + at);
  return at > 0 && e->pid > 0 && is_shm_path(e->path);
}

bool rn_shm_line_is_valid(const char *text, size_t length) {
  entry e;
  return parse(text, length, &e);
}

/* ---- listing ---- */

static void list_file(FILE *out, const char *host, const char *path) {
  struct stat file;
  const long long pid = getpid();
  if (!is_shm_path(path) || stat(path, &file) != 0) return;
  fprintf(out, "%s %lld %llu %llu %s\n", host, pid, rn_process_start(pid),
          (unsigned long long)file.st_ino, path);
}

rn_status rn_shm_files_list(rn_err *err, const char *host, char **text, size_t *bytes) {
  char line[LINE_BYTES + PATH_MAX], last[PATH_MAX] = "";
  *text = NULL;
  *bytes = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  FILE *out = open_memstream(text, bytes);
  if (maps == NULL || out == NULL) {
    if (maps != NULL) fclose(maps);
    if (out != NULL) fclose(out);
    return rn_fail(err, RN_ERR_IO, "cannot read /proc/self/maps: %s", strerror(errno));
  }
  while (fgets(line, sizeof line, maps) != NULL) {
    const char *path = strchr(line, '/');
    line[strcspn(line, "\n")] = '\0';
    if (path == NULL || strcmp(path, last) == 0) continue;
    snprintf(last, sizeof last, "%s", path);
    list_file(out, host, path);
  }
  /* LLVM's OpenMP library does not keep its file mapped. */
  snprintf(line, sizeof line, SHM_FOLDER "__KMP_REGISTERED_LIB_%d_%d", (int)getpid(),
           (int)getuid());
  list_file(out, host, line);
  fclose(maps);
  const bool complete = ferror(out) == 0;
  if (fclose(out) == 0 && complete) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while listing the shared memory of this rank");
}

/* ---- cleaning ---- */

/* Marks the files that the process of /proc/<name> maps. */
static void mark_mapped_by(const char *name, entry *entries, size_t count) {
  char path[PATH_MAX], line[LINE_BYTES + PATH_MAX];
  snprintf(path, sizeof path, "/proc/%s/maps", name);
  FILE *maps = fopen(path, "r");
  if (maps == NULL) return; /* the process has ended or belongs to another user */
  while (fgets(line, sizeof line, maps) != NULL) {
    const char *file = strchr(line, '/');
    line[strcspn(line, "\n")] = '\0';
    if (file == NULL || !is_shm_path(file)) continue;
    for (size_t i = 0; i < count; i++) {
      if (strcmp(entries[i].path, file) == 0) entries[i].used = true;
    }
  }
  fclose(maps);
}

/* Marks the files that any process maps: a file has one line, but several processes may map it. */
static void mark_mapped(entry *entries, size_t count) {
  DIR *proc = opendir("/proc");
  for (size_t i = 0; proc == NULL && i < count; i++) entries[i].used = true;
  if (proc == NULL) return;
  for (const struct dirent *d; (d = readdir(proc)) != NULL;) {
    if (isdigit((unsigned char)d->d_name[0])) mark_mapped_by(d->d_name, entries, count);
  }
  closedir(proc);
}

/* Marks the files whose path is on a line of a living process. Returns true if a process has
 * ended. */
static bool mark_living(entry *entries, size_t count) {
  bool any = false;
  for (size_t i = 0; i < count; i++) {
    entries[i].ended = rn_process_has_ended(entries[i].pid, entries[i].start);
    if (entries[i].ended) any = true;
  }
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < count && !entries[i].ended; j++) {
      if (strcmp(entries[i].path, entries[j].path) == 0) entries[j].used = true;
    }
  }
  return any;
}

/* Removes the file of a line if it still exists. Returns true if the line can be dropped because
 * the file was removed, is missing, or has been replaced by a different file. */
static bool remove_left_over(const entry *e) {
  struct stat file;
  if (lstat(e->path, &file) != 0) return errno == ENOENT;
  if ((unsigned long long)file.st_ino != e->inode) return true;
  return unlink(e->path) == 0;
}

rn_status rn_shm_files_clean(rn_err *err, const char *text, char **kept, size_t *bytes) {
  entry *entries = NULL;
  size_t count = 0, i = 0;
  *kept = NULL;
  *bytes = 0;
  for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) count++;
  RN_TRY(err, rn_alloc(err, "lines of shared-memory.txt", count + 1, sizeof *entries, &entries));
  for (const char *at = text; i < count; at = strchr(at, '\n') + 1) {
    (void)parse(at, strcspn(at, "\n"), &entries[i++]);
  }
  if (mark_living(entries, count)) mark_mapped(entries, count);
  FILE *out = open_memstream(kept, bytes);
  for (i = 0; out != NULL && i < count; i++) {
    const entry *e = &entries[i];
    if (e->ended && !e->used && remove_left_over(e)) continue;
    fprintf(out, "%s %lld %llu %llu %s\n", e->host, e->pid, e->start, e->inode, e->path);
  }
  free(entries);
  const bool complete = out != NULL && ferror(out) == 0;
  if (out != NULL && fclose(out) == 0 && complete) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while cleaning the shared memory of this host");
}
