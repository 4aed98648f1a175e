/* Checks that a new run removes exactly those recorded shared-memory files of its host whose
 * recorded processes have all ended, and keeps a file that has replaced a recorded one. Files
 * outside /dev/shm are removed only if the launcher shares them with its ranks. The record has one
 * line for each file, does not grow without bound, and is replaced if it is not a record. */
#include "comm/world/shm_record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/failing_calls.h"
#include "tests/support/world.h"

static rn_err err;
static char folder[PATH_MAX], record[PATH_MAX + 32];

enum { DEAD, SHARED, LIVING, UNRECORDED, REPLACED, FILES };
static char path[FILES][64];

/* Folder and files of a launcher in the folder for temporary files: one that it shares with its
 * ranks, and one that it does not. */
enum { STORE, OTHER, LAUNCHER_FILES };
static char launcher_folder[LAUNCHER_FILES][PATH_MAX], launcher_file[LAUNCHER_FILES][PATH_MAX];

static void name_launcher_files(void) {
  static const char *const name[LAUNCHER_FILES] = {"pmix_dstor_ds21_1", "other"};
  for (int i = 0; i < LAUNCHER_FILES; i++) {
    snprintf(launcher_folder[i], PATH_MAX, "%.100s/ompi.h.0/pid.1/%s", folder, name[i]);
    snprintf(launcher_file[i], PATH_MAX, "%.200s/file", launcher_folder[i]);
  }
}

static unsigned long long make_file(const char *name) {
  struct stat about = {0};
  const int fd = open(name, O_CREAT | O_RDWR, 0600);
  CHECK(fd >= 0 && ftruncate(fd, 4096) == 0 && fstat(fd, &about) == 0);
  close(fd);
  return (unsigned long long)about.st_ino;
}

static bool exists(const char *name) {
  return access(name, F_OK) == 0;
}

/* Returns the number of lines of the record that contain the words. */
static int lines_with(const char *words) {
  char line[PATH_MAX];
  int count = 0;
  FILE *file = fopen(record, "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL) count += strstr(line, words) != NULL;
  fclose(file);
  return count;
}

static bool record_has(const char *words) {
  return lines_with(words) > 0;
}

static long long dead_process(void) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, NULL, 0);
  return child;
}

/* Creates the files and record lines that a killed run leaves behind, and invalid record lines. */
static void leave_files(const char *host, unsigned long long shared) {
  const long long pid = dead_process();
  const unsigned long long dead = make_file(path[DEAD]), replaced = make_file(path[REPLACED]);
  const unsigned long long living = make_file(path[LIVING]);
  make_file(path[UNRECORDED]);
  unsigned long long inode[LAUNCHER_FILES];
  for (int i = 0; i < LAUNCHER_FILES; i++) {
    CHECK_OK(&err, rn_file_make_folder(&err, launcher_folder[i]));
    inode[i] = make_file(launcher_file[i]);
  }
  FILE *file = fopen(record, "a");
  if (!CHECK(file != NULL)) return;
  fprintf(file, "%s %lld 5 %llu %s\n", host, pid, dead, path[DEAD]);
  fprintf(file, "%s %lld 6 %llu %s\n", host, pid, dead, path[DEAD]);
  fprintf(file, "%s %lld 5 %llu %s\n", host, pid, shared, path[SHARED]);
  fprintf(file, "%s %d 0 %llu %s\n", host, (int)getpid(), living, path[LIVING]);
  fprintf(file, "%s %lld 5 %llu %s\n", host, pid, replaced + 1, path[REPLACED]);
  fprintf(file, "elsewhere %lld 5 %llu %s\n", pid, dead, path[UNRECORDED]);
  fprintf(file, "%s %lld 5 1 /dev/shm/../../%s\n", host, pid, record);
  for (int i = 0; i < LAUNCHER_FILES; i++) {
    fprintf(file, "%s %lld 5 %llu %s\n", host, pid, inode[i], launcher_file[i]);
  }
  fprintf(file, "no such line\n%s 1 torn", host);
  fclose(file);
}

static void only_files_of_dead_processes_are_removed(rn_world *world) {
  const bool first = rn_world_rank(world) == 0;
  unsigned long long shared = 0;
  CHECK_OK(&err, rn_shm_record_clean(&err, world, folder));
  if (first) shared = make_file(path[SHARED]);
  CHECK_OK(&err, rn_world_barrier(&err, world));
  const int fd = open(path[SHARED], O_RDWR);
  void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(fd >= 0 && map != MAP_FAILED);
  close(fd);
  CHECK_OK(&err, rn_shm_record_write(&err, world, folder));
  const int lines = lines_with("");
  CHECK_OK(&err, rn_shm_record_write(&err, world, folder));
  CHECK_EQUAL(lines_with(path[SHARED]), 1);
  CHECK_EQUAL(lines_with(""), lines);
  CHECK_OK(&err, rn_world_barrier(&err, world));
  if (first) leave_files(rn_world_host(world), shared);
  CHECK_OK(&err, rn_world_barrier(&err, world));
  CHECK_OK(&err, rn_shm_record_clean(&err, world, folder));
  CHECK(!exists(path[DEAD]));
  CHECK(exists(path[SHARED]) && exists(path[UNRECORDED]) && exists(path[REPLACED]));
  CHECK(exists(path[LIVING]) && record_has(path[LIVING]));
  CHECK(record_has(path[SHARED]) && record_has("elsewhere"));
  CHECK(!record_has(path[DEAD]) && !record_has(path[REPLACED]));
  CHECK(!record_has("no such line") && !record_has("torn"));
  CHECK(!exists(launcher_file[STORE]) && exists(launcher_file[OTHER]));
  munmap(map, 4096);
}

/* LLVM's OpenMP library creates this file, but does not keep it mapped. */
static void the_file_of_the_openmp_library_is_recorded(rn_world *world) {
  char name[80];
  snprintf(name, sizeof name, "/dev/shm/__KMP_REGISTERED_LIB_%d_%d", (int)getpid(), (int)getuid());
  const bool is_new = !exists(name);
  if (is_new) make_file(name);
  CHECK_OK(&err, rn_shm_record_write(&err, world, folder));
  CHECK(record_has(name));
  if (is_new) unlink(name);
}

/* Lines of hosts that do not come back. The record of an earlier version repeats them. */
static void old_lines_of_other_hosts_are_dropped(rn_world *world) {
  enum { EXTRA = 10 };
  const int files = RN_SHM_RECORD_MAX_FOREIGN + EXTRA;
  CHECK_OK(&err, rn_world_barrier(&err, world));
  FILE *file = rn_world_rank(world) == 0 ? fopen(record, "w") : NULL;
  for (int i = 0; file != NULL && i < files; i++) {
    for (int pid = 7; pid < 9; pid++) fprintf(file, "far%d %d 5 1 /dev/shm/x\n", i, pid);
  }
  if (file != NULL) CHECK(fclose(file) == 0);
  CHECK_OK(&err, rn_shm_record_clean(&err, world, folder));
  CHECK_EQUAL(lines_with(""), RN_SHM_RECORD_MAX_FOREIGN);
  CHECK(!record_has("far9 ") && record_has("far10 8 "));
  CHECK_OK(&err, rn_world_barrier(&err, world));
}

static void a_file_that_is_no_record_is_replaced(rn_world *world, const char *text, off_t bytes) {
  if (rn_world_rank(world) == 0) {
    FILE *file = fopen(record, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    CHECK(bytes == 0 || truncate(record, bytes) == 0);
  }
  CHECK_OK(&err, rn_shm_record_clean(&err, world, folder));
  CHECK_EQUAL(lines_with(""), 0);
  CHECK_OK(&err, rn_shm_record_write(&err, world, folder));
  CHECK_OK(&err, rn_world_barrier(&err, world));
}

static void a_record_that_cannot_be_read_is_an_error(rn_world *world) {
  if (rn_world_rank(world) == 0) CHECK(unlink(record) == 0 && mkdir(record, 0700) == 0);
  CHECK_FAILS(&err, RN_ERR_IO, "shared-memory.txt", rn_shm_record_clean(&err, world, folder));
}

/* As on NFS, whose repeated call no longer finds the temporary file. */
static void a_rename_whose_reply_is_lost_is_no_error(rn_world *world) {
  failing_calls_set("rename", ENOENT, "shared-memory", true);
  CHECK_OK(&err, rn_shm_record_write(&err, world, folder));
  failing_calls_set("rename", ENOENT, "shared-memory", false);
  CHECK_FAILS(&err, RN_ERR_IO, "shared-memory.txt", rn_shm_record_write(&err, world, folder));
  failing_calls_set(NULL, 0, NULL, false);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const bool first = rn_world_rank(world) == 0;
  snprintf(folder, sizeof folder, "/tmp/rn_shm_record_XXXXXX");
  if (first) CHECK(mkdtemp(folder) != NULL);
  CHECK_OK(&err, rn_world_broadcast(&err, world, folder, sizeof folder));
  snprintf(record, sizeof record, "%s/shared-memory.txt", folder);
  for (int i = 0; i < FILES; i++) {
    snprintf(path[i], sizeof path[i], "/dev/shm/%.40s.%d", strrchr(folder, '/') + 1, i);
  }
  name_launcher_files();
  only_files_of_dead_processes_are_removed(world);
  the_file_of_the_openmp_library_is_recorded(world);
  old_lines_of_other_hosts_are_dropped(world);
  a_file_that_is_no_record_is_replaced(world, "\xff\x01\n\n", 0);
  a_file_that_is_no_record_is_replaced(world, "far 7 5 1 /dev/shm/x\n", (1 << 28) + 1);
  a_rename_whose_reply_is_lost_is_no_error(world);
  a_record_that_cannot_be_read_is_an_error(world);
  CHECK_OK(&err, rn_world_barrier(&err, world));
  if (first) {
    for (int i = 0; i < FILES; i++) unlink(path[i]);
    CHECK_OK(&err, rn_file_remove_tree(&err, folder));
  }
  CHECK_OK(&err, rn_world_barrier(&err, world));
  CHECK_FAILS(&err, RN_ERR_IO, "shared-memory.txt",
              rn_shm_record_write(&err, world, "/no/such/folder"));
  return test_finish_world(&err, &world);
}
