/* Checks that files can be replaced, synced, renamed and removed on network file systems that lack
 * a call, lose a reply, or keep a file that is still open; and that real errors are still errors.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/file/file.h"
#include "data/file/listing.h"
#include "tests/support/check.h"
#include "tests/support/failing_calls.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

typedef int entry_filter(const struct dirent *entry);
typedef int entry_order(const struct dirent **a, const struct dirent **b);
int __real_scandir(const char *path, struct dirent ***out, entry_filter *filter,
                   entry_order *order);
int __wrap_scandir(const char *path, struct dirent ***out, entry_filter *filter,
                   entry_order *order);

/* Lists each entry twice, as a network file system may do while a folder changes. */
int __wrap_scandir(const char *path, struct dirent ***out, entry_filter *filter,
                   entry_order *order) {
  struct dirent **once = NULL, **twice = NULL;
  const int count = __real_scandir(path, &once, filter, order);
  if (count > 0) twice = malloc(2 * (size_t)count * sizeof *twice);
  for (int i = 0; i < count; i++) {
    twice[2 * i] = once[i];
    twice[2 * i + 1] = malloc(sizeof **once);
    memcpy(twice[2 * i + 1], once[i], once[i]->d_reclen);
  }
  free(once);
  *out = twice;
  return 2 * count;
}

static const int unsupported[] = {EINVAL, ENOSYS, EOPNOTSUPP};
enum { UNSUPPORTED = sizeof unsupported / sizeof *unsupported };

static void put(const char *path) {
  CHECK_OK(err, rn_file_replace(err, path, "text", 4));
}

static void a_missing_fsync_is_no_error(void) {
  for (int i = 0; i < UNSUPPORTED; i++) {
    failing_calls_set("fsync", unsupported[i], NULL, false);
    put(temp_path("synced"));
    CHECK_OK(err, rn_file_make_folder(err, temp_path("synced folder/inner")));
    CHECK(failing_calls_count() >= 3);
    failing_calls_set(NULL, 0, NULL, false);
    CHECK_OK(err, rn_file_remove_tree(err, temp_path("synced folder")));
  }
}

static void a_failed_fsync_is_an_error(void) {
  static const int errors[] = {EIO, ENOSPC, EDQUOT, EROFS, ESTALE};
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    failing_calls_set("fsync", errors[i], NULL, false);
    CHECK_FAILS(err, RN_ERR_IO, "fsync", rn_file_replace(err, temp_path("synced"), "no", 2));
    CHECK_FAILS(err, RN_ERR_IO, "fsync", rn_file_sync_folder(err, temp_folder()));
    failing_calls_set(NULL, 0, NULL, false);
  }
}

static void a_rename_whose_reply_is_lost_has_succeeded(void) {
  const char *from = temp_path("from"), *to = temp_path("to");
  put(from);
  put(to);
  failing_calls_set("rename", ENOENT, NULL, true);
  CHECK_OK(err, rn_file_rename(err, from, to));
  put(to);
  CHECK_EQUAL(failing_calls_count(), 2);
  failing_calls_set(NULL, 0, NULL, false);
  CHECK(!rn_file_exists(from));
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "rename", rn_file_rename(err, from, to));
  put(from);
  failing_calls_set("rename", ENOENT, NULL, false);
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "rename", rn_file_rename(err, from, to));
  failing_calls_set(NULL, 0, NULL, false);
}

/* NFS and automount may answer so, without a lookup, if the parent is not writable. */
static void a_folder_that_exists_need_not_be_made(void) {
  static const int errors[] = {EACCES, EROFS, EPERM, ENOSYS};
  const char *folder = temp_path("made");
  CHECK_OK(err, rn_file_make_folder(err, folder));
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    failing_calls_set("mkdir", errors[i], NULL, false);
    CHECK_OK(err, rn_file_make_folder(err, folder));
    CHECK_FAILS(err, RN_ERR_IO, "make directory", rn_file_make_folder(err, temp_path("made/new")));
    failing_calls_set(NULL, 0, NULL, false);
  }
}

static void one_file_that_stays_does_not_keep_the_others(void) {
  const char *folder = temp_path("tree");
  CHECK_OK(err, rn_file_make_folder(err, temp_path("tree/inner")));
  put(temp_path("tree/inner/.nfs0001"));
  for (int i = 0; i < 20; i++) {
    char name[40];
    snprintf(name, sizeof name, "tree/inner/%d", i);
    put(temp_path(name));
  }
  put(temp_path("tree/other"));
  failing_calls_set("remove", EBUSY, ".nfs", false);
  CHECK_FAILS(err, RN_ERR_IO, "busy|open", rn_file_remove_tree(err, folder));
  failing_calls_set(NULL, 0, NULL, false);
  CHECK(rn_file_exists(temp_path("tree/inner/.nfs0001")));
  CHECK_EQUAL(unlink(temp_path("tree/inner/.nfs0001")), 0);
  CHECK_EQUAL(rmdir(temp_path("tree/inner")), 0);
  CHECK_EQUAL(rmdir(folder), 0);
}

static void a_removal_whose_reply_is_lost_has_succeeded(void) {
  const char *folder = temp_path("tree");
  CHECK_OK(err, rn_file_make_folder(err, folder));
  put(temp_path("tree/file"));
  failing_calls_set("remove", ENOENT, NULL, true);
  CHECK_OK(err, rn_file_remove_tree(err, folder));
  failing_calls_set(NULL, 0, NULL, false);
  CHECK(!rn_file_exists(folder));
}

static void a_file_that_is_listed_twice_is_read_once(void) {
  rn_listing files;
  CHECK_OK(err, rn_file_make_folder(err, temp_path("listed/inner")));
  put(temp_path("listed/a"));
  put(temp_path("listed/b"));
  put(temp_path("listed/inner/c"));
  CHECK_OK(err, rn_listing_make(err, temp_path("listed"), NULL, 0, &files));
  CHECK_EQUAL(files.count, 3);
  CHECK_EQUAL(files.left_out, 0);
  rn_listing_free(&files);
}

/* ---- leases ---- */

/* Set by the signal with which the system recalls a lease. */
static volatile sig_atomic_t recalled;

static void note_recall(int signal) {
  (void)signal;
  recalled = 1;
}

/* Takes a lease of a file, as a file server does for a host, and returns it when it is recalled. */
static int lend(const char *path, int ready) {
  sigset_t io, before;
  const int fd = open(path, O_RDWR);
  signal(SIGIO, note_recall);
  sigemptyset(&io);
  sigaddset(&io, SIGIO);
  sigprocmask(SIG_BLOCK, &io, &before);
  const char byte = fcntl(fd, F_SETLEASE, F_WRLCK) == 0 ? 'y' : 'n';
  if (write(ready, &byte, 1) != 1 || byte == 'n') return 1;
  while (recalled == 0) sigsuspend(&before);
  usleep(100000); /* an open that does not wait fails meanwhile */
  return fcntl(fd, F_SETLEASE, F_UNLCK) == 0 ? 0 : 1;
}

static void an_open_waits_for_a_lease(void) {
  const char *path = temp_path("leased");
  int ends[2], status;
  char byte = 'n';
  rn_file file = {0};
  put(path);
  CHECK_EQUAL(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) _exit(lend(path, ends[1]));
  CHECK_EQUAL(read(ends[0], &byte, 1), 1);
  close(ends[0]);
  close(ends[1]);
  if (byte == 'y') { /* else the file system has no leases */
    CHECK_OK(err, rn_file_open(err, path, &file));
    CHECK_EQUAL(file.size_bytes, 4);
    rn_file_destroy(&file);
  }
  CHECK_EQUAL(waitpid(child, &status, 0), child);
  if (byte == 'y') CHECK_EQUAL(status, 0);
}

int main(void) {
  a_file_that_is_listed_twice_is_read_once();
  a_missing_fsync_is_no_error();
  a_failed_fsync_is_an_error();
  a_rename_whose_reply_is_lost_has_succeeded();
  a_folder_that_exists_need_not_be_made();
  one_file_that_stays_does_not_keep_the_others();
  a_removal_whose_reply_is_lost_has_succeeded();
  an_open_waits_for_a_lease();
  return check_result();
}
