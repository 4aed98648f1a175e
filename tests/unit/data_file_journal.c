/* Checks that a journal contains only complete lines, even after a write that stored only part
 * of a line. Lines that could not be written are written before the next line, or when the
 * journal is closed. */
#include "data/file/journal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

#define FIRST "the first line\n"
#define SECOND "the second line, which is longer\n"
#define THIRD "the third\n"

static const char *path(void) {
  return temp_path("journal");
}

/* Limits the size of this process's files to `bytes`, to simulate a disk that becomes full. */
static void limit_files(rlim_t bytes) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  limit.rlim_cur = bytes;
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static bool holds(const char *want) {
  void *got = NULL;
  size_t bytes = 0;
  if (!CHECK_OK(err, rn_file_load(err, path(), 1 << 20, &got, &bytes))) return false;
  const bool same = bytes == strlen(want) && memcmp(got, want, bytes) == 0;
  if (!same) fprintf(stderr, "the file has %zu bytes: %.*s\n", bytes, (int)bytes, (char *)got);
  free(got);
  return same;
}

static rn_status add(rn_journal *journal, const char *line) {
  return rn_journal_add(err, journal, line, strlen(line));
}

/* Two writes fail: the first after half a line, the second after a line and a half. */
static void failed_writes_leave_no_part_of_a_line(rn_journal *journal) {
  CHECK_OK(err, add(journal, FIRST));
  CHECK(holds(FIRST));
  limit_files(strlen(FIRST SECOND) / 2 + strlen(FIRST) / 2);
  CHECK_FAILS(err, RN_ERR_IO, "journal", add(journal, SECOND));
  CHECK(holds(FIRST));
  limit_files(strlen(FIRST SECOND) + 3);
  CHECK_FAILS(err, RN_ERR_IO, "journal", add(journal, THIRD));
  CHECK(holds(FIRST));
}

static void waiting_lines_come_first(void) {
  rn_journal journal;
  CHECK_OK(err, rn_journal_open(err, path(), 0, &journal));
  failed_writes_leave_no_part_of_a_line(&journal);
  limit_files(RLIM_INFINITY);
  CHECK_OK(err, add(&journal, "{}\n"));
  CHECK(holds(FIRST SECOND THIRD "{}\n"));
  CHECK_OK(err, rn_journal_close(err, &journal));
}

static void close_writes_what_waits(void) {
  rn_journal journal;
  CHECK_OK(err, rn_journal_open(err, path(), 0, &journal));
  failed_writes_leave_no_part_of_a_line(&journal);
  limit_files(RLIM_INFINITY);
  CHECK_OK(err, rn_journal_close(err, &journal));
  CHECK(holds(FIRST SECOND THIRD));
}

/* If the disk is still full when the journal is closed, the file ends with the last complete
 * line. */
static void a_close_that_fails_leaves_complete_lines(void) {
  rn_journal journal;
  CHECK_OK(err, rn_journal_open(err, path(), 0, &journal));
  failed_writes_leave_no_part_of_a_line(&journal);
  CHECK_FAILS(err, RN_ERR_IO, "journal", rn_journal_close(err, &journal));
  limit_files(RLIM_INFINITY);
  CHECK(holds(FIRST));
}

static void open_removes_what_follows(void) {
  rn_journal journal;
  CHECK_OK(err, rn_file_replace(err, path(), FIRST SECOND, strlen(FIRST SECOND)));
  CHECK_OK(err, rn_journal_open(err, path(), (int64_t)strlen(FIRST), &journal));
  CHECK(holds(FIRST));
  CHECK_OK(err, add(&journal, THIRD));
  CHECK_OK(err, rn_journal_close(err, &journal));
  CHECK(holds(FIRST THIRD));
  CHECK_OK(err, rn_journal_close(err, &journal)); /* the second call does nothing */
}

/* A caller that is going to change the file itself first writes the waiting lines with
 * rn_journal_flush. */
static void flush_writes_what_waits(void) {
  rn_journal journal;
  CHECK_OK(err, rn_journal_open(err, path(), 0, &journal));
  failed_writes_leave_no_part_of_a_line(&journal);
  CHECK_FAILS(err, RN_ERR_IO, "journal", rn_journal_flush(err, &journal));
  limit_files(RLIM_INFINITY);
  CHECK_OK(err, rn_journal_flush(err, &journal));
  CHECK(holds(FIRST SECOND THIRD));
  CHECK_OK(err, rn_journal_close(err, &journal));
}

/* If the file is removed while the journal is open, it is created again. If it is replaced, lines
 * are appended to the new file. */
static void a_removed_file_is_created_again(void) {
  rn_journal journal;
  CHECK_OK(err, rn_journal_open(err, path(), 0, &journal));
  CHECK_OK(err, add(&journal, FIRST));
  CHECK(remove(path()) == 0);
  CHECK_OK(err, add(&journal, SECOND));
  CHECK(holds(SECOND));
  CHECK_OK(err, rn_file_replace(err, path(), FIRST, strlen(FIRST)));
  CHECK_OK(err, add(&journal, THIRD));
  CHECK(holds(FIRST THIRD));
  CHECK_OK(err, rn_journal_close(err, &journal));
  CHECK(holds(FIRST THIRD));
}

/* Lines that are added while the journal's folder is missing are written once the folder exists
 * again. */
static void lines_wait_for_the_folder(void) {
  rn_journal journal;
  const char *folder = temp_path("folder"), *away = temp_path("away");
  const rn_path file = rn_path_join(folder, "journal");
  CHECK_OK(err, rn_file_make_folder(err, folder));
  CHECK_OK(err, rn_journal_open(err, file.text, 0, &journal));
  CHECK_OK(err, add(&journal, FIRST));
  CHECK(rename(folder, away) == 0);
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "folder/journal", add(&journal, SECOND));
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "folder/journal", add(&journal, THIRD));
  CHECK(rename(away, folder) == 0);
  CHECK_OK(err, rn_journal_close(err, &journal));
  void *got = NULL;
  size_t bytes = 0;
  CHECK_OK(err, rn_file_load(err, file.text, 1 << 20, &got, &bytes));
  const char *want = FIRST SECOND THIRD;
  CHECK(bytes == strlen(want) && memcmp(got, want, bytes) == 0);
  free(got);
}

int main(void) {
  signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails with EFBIG */
  waiting_lines_come_first();
  close_writes_what_waits();
  a_close_that_fails_leaves_complete_lines();
  open_removes_what_follows();
  flush_writes_what_waits();
  a_removed_file_is_created_again();
  lines_wait_for_the_folder();
  return check_result();
}
