/*
 * Checks that a resume removes from metrics.jsonl the lines of later steps and an incomplete last
 * line, and nothing else. Lines of other programs stay in place, whatever their content and length.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/temp.h"
#include "trainer/train/metrics.h"

static rn_err *err = &(rn_err){0};

#define STEP(n) "{\"step\": " #n ", \"tokens\": 64}\n"
#define TEXT(text) (text), sizeof(text) - 1

/* The file before and after a resume at step 2. */
typedef struct example {
  const char *before;
  size_t before_bytes;
  const char *after;
  size_t after_bytes;
} example;

static const example examples[] = {
    {TEXT(""), TEXT("")},
    {TEXT(STEP(1) STEP(2)), TEXT(STEP(1) STEP(2))},
    {TEXT(STEP(1) STEP(2) STEP(3) STEP(4)), TEXT(STEP(1) STEP(2))},
    {TEXT(STEP(3)), TEXT("")},
    {TEXT(STEP(1) "{\"note\": \"moved\"}\n" STEP(2) STEP(3)),
     TEXT(STEP(1) "{\"note\": \"moved\"}\n" STEP(2))},
    {TEXT(STEP(1) STEP(2) STEP(3) "a remark\n" STEP(4) "\n" STEP(5)),
     TEXT(STEP(1) STEP(2) "a remark\n\n")},
    {TEXT(STEP(1) "\0\0\0\n" STEP(2) "x\0y\n" STEP(3)), TEXT(STEP(1) "\0\0\0\n" STEP(2) "x\0y\n")},
    {TEXT("{\"step\": 1}\r\n{\"step\": 2}\r\n{\"step\": 3}\r\n"),
     TEXT("{\"step\": 1}\r\n{\"step\": 2}\r\n")},
    {TEXT(STEP(1) STEP(1) STEP(2) STEP(2)), TEXT(STEP(1) STEP(1) STEP(2) STEP(2))},
    {TEXT(STEP(4) STEP(1) STEP(5) STEP(2)), TEXT(STEP(1) STEP(2))},
    {TEXT("{\"step\":1}\n{ \"step\" : 3 }\n"), TEXT("{\"step\":1}\n{ \"step\" : 3 }\n")},
    {TEXT("{\"step\":1}\n{ \"step\" : 3}\n"), TEXT("{\"step\":1}\n")},
    {TEXT("{\"step\": 9.5}\n{\"step\": \"9\"}\n{\"steps\": 9}\n" STEP(2)),
     TEXT("{\"step\": 9.5}\n{\"step\": \"9\"}\n{\"steps\": 9}\n" STEP(2))},
    /* The last line has no newline: */
    {TEXT(STEP(1) "{\"step\": 2, \"tok"), TEXT(STEP(1))},
    {TEXT(STEP(1) "{\"st"), TEXT(STEP(1))},
    {TEXT(STEP(1) "{\"step\": 1"), TEXT(STEP(1))},
    {TEXT(STEP(1) "\0\0\0\0\0"), TEXT(STEP(1))},
    {TEXT(STEP(1) "{\"step\": 2, \"tokens\": 64}"), TEXT(STEP(1) STEP(2))},
    {TEXT(STEP(1) "{\"step\": 3, \"tokens\": 64}"), TEXT(STEP(1))},
    {TEXT(STEP(1) STEP(3) "a remark"), TEXT(STEP(1) "a remark\n")},
    {TEXT(STEP(1) "a remark"), TEXT(STEP(1) "a remark\n")},
};

static rn_path path(void) {
  return rn_path_join(temp_path("run"), "metrics.jsonl");
}

static bool holds(const char *want, size_t bytes) {
  void *got = NULL;
  size_t got_bytes = 0;
  if (!CHECK_OK(err, rn_file_load(err, path().text, (size_t)1 << 30, &got, &got_bytes)))
    return false;
  const bool same = got_bytes == bytes && memcmp(got, want, bytes) == 0;
  if (!same) fprintf(stderr, "got %zu bytes: %.200s\n", got_bytes, (const char *)got);
  free(got);
  return same;
}

static void resume_at_2(void) {
  rn_metrics metrics = {0};
  CHECK_OK(err, rn_metrics_open(err, temp_path("run"), 2, &metrics));
  CHECK_OK(err, rn_metrics_close(err, &metrics));
}

static void lines_of_later_steps_go(void) {
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
    const example *e = &examples[i];
    CHECK_OK(err, rn_file_replace(err, path().text, e->before, e->before_bytes));
    resume_at_2();
    if (!CHECK(holds(e->after, e->after_bytes))) fprintf(stderr, "in example %zu\n", i);
    resume_at_2();
    CHECK(holds(e->after, e->after_bytes));
  }
}

/* Checks lines about as long as the read buffer and longer, each between two lines of steps. */
static void long_lines_stay(void) {
  static const size_t lengths[] = {(1 << 20) - 60, (1 << 20) - 30, 1 << 20, (5 << 20) + 7};
  const size_t room = (size_t)9 << 20;
  char *before = malloc(room), *after = malloc(room);
  size_t had = 0, has = 0;
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    had += (size_t)sprintf(before + had, STEP(1) STEP(3));
    has += (size_t)sprintf(after + has, STEP(1));
    memset(before + had, 'x', lengths[i]);
    memset(after + has, 'x', lengths[i]);
    had += lengths[i];
    has += lengths[i];
    before[had++] = after[has++] = '\n';
  }
  CHECK_OK(err, rn_file_replace(err, path().text, before, had));
  resume_at_2();
  CHECK(holds(after, has));
  free(before);
  free(after);
}

/* If metrics.jsonl is a symbolic link, it remains one: the file that it points to is replaced, not
 * the link. */
static void a_link_stays_one(void) {
  struct stat info;
  const rn_path target = rn_path_join(temp_path("run"), "elsewhere");
  CHECK_OK(err, rn_file_replace(err, target.text, TEXT(STEP(3) "a remark\n" STEP(1))));
  CHECK_OK(err, rn_file_remove_tree(err, path().text));
  CHECK(symlink("elsewhere", path().text) == 0);
  resume_at_2();
  CHECK(lstat(path().text, &info) == 0 && S_ISLNK(info.st_mode));
  CHECK(holds(TEXT("a remark\n" STEP(1))));
}

/* A file that is written anew keeps its mode and owner; only root can test the owner. */
static void mode_and_owner_stay(void) {
  struct stat before, after;
  CHECK_OK(err, rn_file_replace(err, path().text, TEXT(STEP(3) "a remark\n" STEP(1))));
  if (geteuid() == 0) CHECK(chown(path().text, 12, 34) == 0);
  CHECK(chmod(path().text, 0620) == 0);
  CHECK(stat(path().text, &before) == 0);
  resume_at_2();
  CHECK(stat(path().text, &after) == 0);
  CHECK(before.st_ino != after.st_ino);
  CHECK_EQUAL(after.st_mode, before.st_mode);
  CHECK_EQUAL(after.st_uid, before.st_uid);
  CHECK_EQUAL(after.st_gid, before.st_gid);
}

/* A line that waits because the disk was full is written at a rollback, unless its step is undone.
 */
static void a_rollback_keeps_waiting_lines(void) {
  static const char line[] = STEP(2), undone[] = STEP(3);
  struct rlimit limit;
  rn_metrics metrics = {0};
  CHECK_OK(err, rn_file_replace(err, path().text, TEXT(STEP(1))));
  CHECK_OK(err, rn_metrics_open(err, temp_path("run"), 2, &metrics));
  CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const rlim_t all = limit.rlim_cur;
  limit.rlim_cur = sizeof line;
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  CHECK_FAILS(err, RN_ERR_IO, "metrics", rn_journal_add(err, &metrics.file, line, sizeof line - 1));
  CHECK_FAILS(err, RN_ERR_IO, "metrics",
              rn_journal_add(err, &metrics.file, undone, sizeof undone - 1));
  limit.rlim_cur = all;
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  CHECK_OK(err, rn_metrics_rewind(err, &metrics, temp_path("run"), 2, 3, 1));
  CHECK(holds(TEXT(STEP(1) STEP(2))));
  CHECK_OK(err, rn_metrics_close(err, &metrics));
}

static void what_is_no_file_is_refused(void) {
  rn_metrics metrics = {0};
  CHECK_OK(err, rn_file_remove_tree(err, path().text));
  CHECK_OK(err, rn_file_make_folder(err, path().text));
  CHECK_FAILS(err, RN_ERR_FORMAT, "metrics.jsonl|not a regular file",
              rn_metrics_open(err, temp_path("run"), 2, &metrics));
}

int main(void) {
  signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails with EFBIG */
  CHECK_OK(err, rn_file_make_folder(err, temp_path("run")));
  resume_at_2();
  CHECK(holds(TEXT("")));
  lines_of_later_steps_go();
  long_lines_stay();
  a_link_stays_one();
  mode_and_owner_stay();
  a_rollback_keeps_waiting_lines();
  what_is_no_file_is_refused();
  return check_result();
}
