#include "comm/world/shm_record.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm/world/mpi_check.h"
#include "comm/world/shm_files.h"
#include "comm/world/shm_table.h"
#include "proto/base/arena.h"
#include "proto/base/log.h"

enum { MAX_RECORD_BYTES = 1 << 28 };

/* ---- the file ---- */

static void record_path(const char *run_dir, const char *suffix, char *path) {
  snprintf(path, PATH_MAX, "%s/shared-memory.txt%s", run_dir, suffix);
}

static void warn_replaced(const char *path, const char *fault) {
  rn_log_warn(
      "%s %s and is replaced; files that killed jobs left in /dev/shm may remain there until the "
      "host restarts",
      path, fault);
}

/* Sets *text to the record, followed by `extra` [extra_bytes]. The record is empty if it does not
 * exist or is too large. An incomplete last line is left out. */
static rn_status read_record(rn_err *err, const char *path, const char *extra, size_t extra_bytes,
                             char **text) {
  struct stat about = {0};
  size_t bytes = 0;
  FILE *file = fopen(path, "r");
  if ((file == NULL && errno != ENOENT) || (file != NULL && fstat(fileno(file), &about) != 0)) {
    const rn_status status = rn_fail(err, RN_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    if (file != NULL) fclose(file);
    return status;
  }
  if (about.st_size > MAX_RECORD_BYTES) {
    warn_replaced(path, "is too large");
    about.st_size = 0;
  }
  rn_status status = rn_alloc(err, path, (size_t)about.st_size + extra_bytes + 1, 1, text);
  if (status == RN_OK && file != NULL) {
    bytes = fread(*text, 1, (size_t)about.st_size, file);
    if (ferror(file)) {
      status = rn_fail(err, RN_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    }
  }
  if (file != NULL) fclose(file);
  if (status != RN_OK) return status;
  for (size_t i = 0; i < bytes; i++) {
    if ((*text)[i] == '\0') (*text)[i] = '?';
  }
  while (bytes > 0 && (*text)[bytes - 1] != '\n') bytes--;
  if (extra_bytes > 0) memcpy(*text + bytes, extra, extra_bytes);
  (*text)[bytes + extra_bytes] = '\0';
  return RN_OK;
}

static bool write_text(const char *path, const char *text, size_t bytes) {
  FILE *file = fopen(path, "w");
  const bool good = file != NULL && fwrite(text, 1, bytes, file) == bytes;
  return file != NULL && fclose(file) == 0 && good;
}

/* Renames a file that exists. If NFS loses the reply and repeats the call, it reports the file as
 * missing, because the first call has renamed it. */
static bool rename_file(const char *from, const char *to) {
  if (rename(from, to) == 0) return true;
  const int why = errno;
  const bool renamed = why == ENOENT && access(from, F_OK) != 0 && access(to, F_OK) == 0;
  errno = why;
  return renamed;
}

static rn_status replace_record(rn_err *err, const char *run_dir, const char *text, size_t bytes) {
  char path[PATH_MAX], temporary[PATH_MAX];
  record_path(run_dir, "", path);
  record_path(run_dir, ".tmp", temporary);
  if (write_text(temporary, text, bytes) && rename_file(temporary, path)) return RN_OK;
  const rn_status status = rn_fail(
      err, RN_ERR_IO,
      "cannot write %s: %s; check that run.dir is writable and that its file system has free space",
      path, strerror(errno));
  unlink(temporary);
  return status;
}

/* ---- recording ---- */

/* Ends a text that was printed to `out`, which may be NULL. */
static rn_status close_text(rn_err *err, FILE *out) {
  const bool complete = out != NULL && ferror(out) == 0;
  if (out != NULL && fclose(out) == 0 && complete) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while preparing shared-memory.txt");
}

/* Sets *out to the lines of `text`, with one line for each file. */
static rn_status merge(rn_err *err, const char *text, char **out, size_t *bytes) {
  rn_shm_table table;
  RN_TRY(err, rn_shm_table_create(err, text, &table));
  FILE *file = open_memstream(out, bytes);
  if (file != NULL) rn_shm_table_print_rest(&table, table.count, file);
  rn_shm_table_destroy(&table);
  return close_text(err, file);
}

static rn_status add_to_record(rn_err *err, const char *run_dir, const char *lines, size_t bytes) {
  char path[PATH_MAX], *text = NULL, *merged = NULL;
  record_path(run_dir, "", path);
  rn_status status = read_record(err, path, lines, bytes, &text);
  if (status == RN_OK) status = merge(err, text, &merged, &bytes);
  if (status == RN_OK) status = replace_record(err, run_dir, merged, bytes);
  free(text);
  free(merged);
  return status;
}

/* Sets *out to the lines of all files that the ranks of this node map; NULL on ranks other than the
 * node's first. */
static rn_status list_node(rn_err *err, rn_world *world, char **out, size_t *bytes) {
  char *mine = NULL, *node = NULL;
  size_t mine_bytes = 0;
  *bytes = 0;
  rn_status status =
      rn_agree(err, world, rn_shm_files_list(err, rn_world_host(world), &mine, &mine_bytes));
  if (status == RN_OK) status = rn_world_gather_node_bytes(err, world, mine, mine_bytes, &node);
  if (status == RN_OK) {
    status = rn_agree(err, world, node != NULL ? merge(err, node, out, bytes) : RN_OK);
  }
  free(mine);
  free(node);
  return status;
}

rn_status rn_shm_record_write(rn_err *err, rn_world *world, const char *run_dir) {
  char *node = NULL, *all = NULL;
  size_t bytes, *sizes = NULL, total = 0;
  rn_status status = list_node(err, world, &node, &bytes);
  if (status == RN_OK) status = rn_world_gather_bytes(err, world, node, bytes, &all, &sizes);
  if (status == RN_OK) {
    if (rn_world_rank(world) == 0) {
      for (int r = 0; r < rn_world_size(world); r++) total += sizes[r];
      status = add_to_record(err, run_dir, all, total);
    }
    status = rn_agree(err, world, status);
  }
  free(node);
  free(all);
  free(sizes);
  return status;
}

/* ---- cleaning ---- */

/* The record on rank 0: its table, and for each node the lines of its host, which are sent to the
 * node's first rank. */
typedef struct portions {
  rn_shm_table table;
  char *text;
  size_t bytes;
  int *counts, *offsets; /* [ranks] of the bytes for each rank; 0 for ranks that are not first */
} portions;

/* `hosts` has the host names of the nodes; hosts_bytes [ranks] is 0 for ranks that are not first.
 */
static rn_status divide(rn_err *err, const char *path, const char *record, const char *hosts,
                        const size_t *hosts_bytes, int ranks, portions *p) {
  RN_TRY(err, rn_shm_table_create(err, record, &p->table));
  if (p->table.count == 0 && record[0] != '\0') warn_replaced(path, "has no valid line");
  RN_TRY(err, rn_alloc(err, "portions", (size_t)ranks, sizeof *p->counts, &p->counts));
  RN_TRY(err, rn_alloc(err, "portions", (size_t)ranks, sizeof *p->offsets, &p->offsets));
  FILE *out = open_memstream(&p->text, &p->bytes);
  for (int r = 0; out != NULL && r < ranks; r++) {
    const long offset = ftell(out);
    p->offsets[r] = (int)offset;
    /* MPI counts in int. Lines that do not fit remain in the record, as those of other hosts do. */
    if (hosts_bytes[r] > 0 && offset <= INT_MAX - MAX_RECORD_BYTES) {
      rn_shm_table_select_host(&p->table, hosts, hosts_bytes[r], out);
    }
    p->counts[r] = (int)(ftell(out) - offset);
    hosts += hosts_bytes[r];
  }
  return close_text(err, out);
}

static void free_portions(portions *p) {
  rn_shm_table_destroy(&p->table);
  free(p->text);
  free(p->counts);
  free(p->offsets);
}

/* Sends each node's first rank its portion as the string *mine; other ranks get an empty one. */
static rn_status send_portions(rn_err *err, rn_world *world, const portions *p, char **mine) {
  const MPI_Comm comm = rn_world_comm(world);
  int count = 0;
  RN_MPI_WAIT(err, MPI_Scatter(p->counts, 1, MPI_INT, &count, 1, MPI_INT, 0, comm));
  RN_TRY(err, rn_agree(err, world,
                       rn_alloc(err, "lines of shared-memory.txt", (size_t)count + 1, 1, mine)));
  RN_MPI_WAIT(
      err, MPI_Scatterv(p->text, p->counts, p->offsets, MPI_BYTE, *mine, count, MPI_BYTE, 0, comm));
  return RN_OK;
}

/* Replaces the record by the newest lines of other hosts and the lines that the nodes keep. */
static rn_status write_kept(rn_err *err, const char *run_dir, const portions *p, const char *kept) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  if (out != NULL) {
    rn_shm_table_print_rest(&p->table, RN_SHM_RECORD_MAX_FOREIGN, out);
    fputs(kept, out);
  }
  rn_status status = close_text(err, out);
  if (status == RN_OK) status = replace_record(err, run_dir, text, bytes);
  free(text);
  return status;
}

/* Cleans the hosts of this job. `record` is the text of the record on rank 0. */
static rn_status clean_hosts(rn_err *err, rn_world *world, const char *run_dir, const char *record,
                             portions *p) {
  const bool root = rn_world_rank(world) == 0;
  const char *host = rn_world_host(world);
  char path[PATH_MAX], *hosts = NULL, *mine = NULL, *kept = NULL, *all_kept = NULL;
  size_t *sizes = NULL, *kept_sizes = NULL, bytes = 0;
  int node_rank = 0;
  record_path(run_dir, "", path);
  MPI_Comm_rank(rn_world_node_comm(world), &node_rank);
  rn_status status =
      rn_world_gather_bytes(err, world, host, node_rank == 0 ? strlen(host) : 0, &hosts, &sizes);
  if (status != RN_OK) goto end;
  if (root) status = divide(err, path, record, hosts, sizes, rn_world_size(world), p);
  if ((status = rn_agree(err, world, status)) != RN_OK) goto end;
  if ((status = send_portions(err, world, p, &mine)) != RN_OK) goto end;
  if (node_rank == 0) status = rn_shm_files_clean(err, mine, &kept, &bytes);
  if ((status = rn_agree(err, world, status)) != RN_OK) goto end;
  status = rn_world_gather_bytes(err, world, kept, bytes, &all_kept, &kept_sizes);
  if (status != RN_OK) goto end;
  status = rn_agree(err, world, root ? write_kept(err, run_dir, p, all_kept) : RN_OK);
end:
  free(hosts);
  free(sizes);
  free(mine);
  free(kept);
  free(all_kept);
  free(kept_sizes);
  return status;
}

rn_status rn_shm_record_clean(rn_err *err, rn_world *world, const char *run_dir) {
  char path[PATH_MAX], *record = NULL;
  int64_t found = 0;
  portions p = {0};
  rn_status status = RN_OK;
  record_path(run_dir, "", path);
  if (rn_world_rank(world) == 0) {
    found = access(path, F_OK) == 0 || errno != ENOENT;
    if (found != 0) status = read_record(err, path, NULL, 0, &record);
  }
  if ((status = rn_agree(err, world, status)) != RN_OK) goto end;
  if ((status = rn_world_max(err, world, &found, 1)) != RN_OK || found == 0) goto end;
  status = clean_hosts(err, world, run_dir, record, &p);
end:
  free(record);
  free_portions(&p);
  return status;
}
