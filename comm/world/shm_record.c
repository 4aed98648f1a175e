#include "comm/world/shm_record.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/process.h"

#define SHM_FOLDER "/dev/shm/"
#define STORE_PREFIX "pmix_dstor_"
enum { LINE_BYTES = 1024, HOST_BYTES = 256, MAX_RECORD_BYTES = 1 << 28 };

typedef struct entry {
  char host[HOST_BYTES], path[LINE_BYTES];
  long long pid;
  unsigned long long start, inode;
} entry;

static void record_path(const char *run_dir, const char *suffix, char *path) {
  snprintf(path, PATH_MAX, "%s/shared-memory.txt%s", run_dir, suffix);
}

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

static void list_file(FILE *out, const char *host, const char *path) {
  struct stat file;
  const long long pid = getpid();
  if (!is_shm_path(path) || stat(path, &file) != 0) return;
  fprintf(out, "%s %lld %llu %llu %s\n", host, pid, rn_process_start(pid),
          (unsigned long long)file.st_ino, path);
}

/* Writes one line for each shared-memory file that this process maps, and one for the file that
 * LLVM's OpenMP library creates for the process; that file is not mapped any more. */
static rn_status list_mapped(rn_err *err, const char *host, char **text, size_t *bytes) {
  char line[LINE_BYTES + PATH_MAX], last[PATH_MAX] = "";
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
  snprintf(line, sizeof line, SHM_FOLDER "__KMP_REGISTERED_LIB_%d_%d", (int)getpid(),
           (int)getuid());
  list_file(out, host, line);
  fclose(maps);
  const bool complete = ferror(out) == 0;
  if (fclose(out) == 0 && complete) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while listing the shared memory of this rank");
}

static rn_status write_text(rn_err *err, const char *path, const char *mode, const char *text,
                            size_t bytes) {
  FILE *file = fopen(path, mode);
  bool good = file != NULL && fwrite(text, 1, bytes, file) == bytes;
  if (file != NULL && fclose(file) != 0) good = false;
  if (good) return RN_OK;
  return rn_fail(
      err, RN_ERR_IO,
      "cannot write %s: %s; check that run.dir is writable and that its file system has free space",
      path, strerror(errno));
}

rn_status rn_shm_record_write(rn_err *err, rn_world *world, const char *run_dir) {
  char path[PATH_MAX], *mine = NULL, *all = NULL;
  size_t bytes = 0, *sizes = NULL, total = 0;
  rn_status status = rn_agree(err, world, list_mapped(err, rn_world_host(world), &mine, &bytes));
  if (status == RN_OK) status = rn_world_gather_bytes(err, world, mine, bytes, &all, &sizes);
  if (status == RN_OK) {
    if (rn_world_rank(world) == 0) {
      for (int r = 0; r < rn_world_size(world); r++) total += sizes[r];
      record_path(run_dir, "", path);
      status = write_text(err, path, "a", all, total);
    }
    status = rn_agree(err, world, status);
  }
  free(mine);
  free(all);
  free(sizes);
  return status;
}

static rn_status read_record(rn_err *err, const char *path, char **text, int64_t *bytes) {
  struct stat about;
  *bytes = 0;
  if (stat(path, &about) != 0) {
    if (errno == ENOENT) return RN_OK;
    return rn_fail(err, RN_ERR_IO, "cannot access %s in run.dir: %s", path, strerror(errno));
  }
  FILE *file = fopen(path, "r");
  if (file == NULL || fstat(fileno(file), &about) != 0 || about.st_size > MAX_RECORD_BYTES) {
    if (file != NULL) fclose(file);
    return rn_fail(err, RN_ERR_IO,
                   "cannot read %s: %s; remove the file if no job is running in this directory",
                   path, file == NULL ? strerror(errno) : "too large");
  }
  rn_status status = rn_alloc(err, path, (size_t)about.st_size + 1, 1, text);
  if (status == RN_OK) *bytes = (int64_t)fread(*text, 1, (size_t)about.st_size, file);
  if (status == RN_OK && ferror(file)) {
    status = rn_fail(err, RN_ERR_IO, "cannot read %s: %s", path, strerror(errno));
  }
  fclose(file);
  return status;
}

/* Broadcasts rank 0's copy of the record, truncated to complete lines. */
static rn_status broadcast_record(rn_err *err, rn_world *world, const char *path, char **text,
                                  int64_t *bytes) {
  rn_status status = RN_OK;
  *text = NULL;
  *bytes = 0;
  if (rn_world_rank(world) == 0) status = read_record(err, path, text, bytes);
  while (*bytes > 0 && (*text)[*bytes - 1] != '\n') --*bytes;
  RN_TRY(err, rn_agree(err, world, status));
  RN_TRY(err, rn_world_max(err, world, bytes, 1));
  if (*text == NULL) status = rn_alloc(err, "shared-memory record", (size_t)*bytes + 1, 1, text);
  RN_TRY(err, rn_agree(err, world, status));
  return rn_world_broadcast(err, world, *text, (size_t)*bytes);
}

static bool is_in_use(const entry *entries, const bool *alive, int64_t count, const char *path) {
  for (int64_t i = 0; i < count; i++) {
    if (alive[i] && strcmp(entries[i].path, path) == 0) return true;
  }
  return false;
}

/* Removes the file of a line if it still exists. Returns true if the line can be dropped because
 * the file was removed, is missing, or has been replaced by a different file. */
static bool remove_left_over(const entry *e) {
  struct stat file;
  if (lstat(e->path, &file) != 0) return errno == ENOENT;
  if ((unsigned long long)file.st_ino != e->inode) return true;
  return unlink(e->path) == 0;
}

/* Removes the files that are recorded for this host and no longer used. Sets done[line] = 1 for
 * each line that can be dropped from the record. */
static void clean_host(const char *host, const entry *entries, bool *alive, int64_t lines,
                       int64_t *done) {
  for (int64_t i = 0; i < lines; i++) {
    const bool on_this_host = strcmp(entries[i].host, host) == 0;
    alive[i] = on_this_host && !rn_process_has_ended(entries[i].pid, entries[i].start);
  }
  for (int64_t i = 0; i < lines; i++) {
    if (strcmp(entries[i].host, host) != 0 || alive[i]) continue;
    if (!is_in_use(entries, alive, lines, entries[i].path)) done[i] = remove_left_over(&entries[i]);
  }
}

static const char *line_end(const char *at) {
  return strchr(at, '\n') + 1;
}

static rn_status rewrite_record(rn_err *err, const char *run_dir, const char *text,
                                const int64_t *done) {
  char path[PATH_MAX], temporary[PATH_MAX], *kept = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&kept, &bytes);
  if (out == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing the shared-memory record");
  for (const char *at = text; *at != '\0'; at = line_end(at)) {
    if (!*done++) fwrite(at, 1, (size_t)(line_end(at) - at), out);
  }
  const bool complete = ferror(out) == 0;
  if (fclose(out) != 0 || !complete) {
    free(kept);
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing the shared-memory record");
  }
  record_path(run_dir, "", path);
  record_path(run_dir, ".tmp", temporary);
  rn_status status = write_text(err, temporary, "w", kept, bytes);
  if (status == RN_OK && rename(temporary, path) != 0) {
    status =
        rn_fail(err, RN_ERR_IO, "cannot rename %s to %s: %s", temporary, path, strerror(errno));
  }
  if (status != RN_OK) unlink(temporary);
  free(kept);
  return status;
}

rn_status rn_shm_record_clean(rn_err *err, rn_world *world, const char *run_dir) {
  char path[PATH_MAX], *text = NULL;
  int64_t bytes, lines = 0, *done = NULL;
  entry *entries = NULL;
  bool *alive = NULL;
  int node_rank = 0;
  record_path(run_dir, "", path);
  rn_status status = broadcast_record(err, world, path, &text, &bytes);
  if (status != RN_OK || bytes == 0) goto end;
  for (int64_t i = 0; i < bytes; i++) {
    if (text[i] == '\0') text[i] = '?';
    lines += text[i] == '\n';
  }
  status = rn_alloc(err, "record lines", (size_t)lines, sizeof *entries, &entries);
  if (status == RN_OK) status = rn_alloc(err, "record marks", (size_t)lines, sizeof *done, &done);
  if (status == RN_OK) status = rn_alloc(err, "record marks", (size_t)lines, 1, &alive);
  if ((status = rn_agree(err, world, status)) != RN_OK) goto end;
  const char *at = text;
  text[bytes] = '\0';
  for (int64_t i = 0; i < lines; at = line_end(at), i++) {
    entry e = {0};
    done[i] = !parse(at, (size_t)(line_end(at) - at - 1), &e);
    if (!done[i]) entries[i] = e;
  }
  MPI_Comm_rank(rn_world_node_comm(world), &node_rank);
  if (node_rank == 0) clean_host(rn_world_host(world), entries, alive, lines, done);
  if ((status = rn_world_max(err, world, done, (int)lines)) != RN_OK) goto end;
  if (rn_world_rank(world) == 0) status = rewrite_record(err, run_dir, text, done);
  status = rn_agree(err, world, status);
end:
  free(text);
  free(entries);
  free(done);
  free(alive);
  return status;
}
