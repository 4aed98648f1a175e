/* Checks the warnings about ranks that no longer report: one line per host, again after a rank has
 * recovered, a long list with a count, and no wait for a full pipe. The table of the watchdog does
 * not wait for it either. The reports are those of this test, so it runs on one rank. */
#include "comm/world/watchdog_silence.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "comm/world/watchdog_table.h"
#include "tests/support/check.h"

enum { RANKS = 100, TEXT_BYTES = 1024 };
static const double limit_s = 2;
static double silent_s[RANKS];
static bool warned[RANKS];
static int pipe_ends[2];

/* Replaces the function of comm/world/rank_reports.c. Ranks 0 and 1 are on host "a", the others on
 * host "b". */
rn_rank_report rn_rank_reports_get(const rn_rank_reports *reports, int rank) {
  (void)reports;
  return (rn_rank_report){.host = rank < 2 ? "a" : "b", .silent_s = silent_s[rank]};
}

static void warn_now(void) {
  rn_watchdog_silence_warn(NULL, RANKS, limit_s, warned);
}

static void print_table(void) {
  static rn_rank_state states[RANKS];
  for (int i = 0; i < RANKS; i++) {
    states[i] =
        (rn_rank_state){.rank = i, .operation = "something", .host = "a host", .silent_s = 1};
  }
  rn_watchdog_table_print("the title\n", states, RANKS);
}

/* Calls `print` with stderr connected to the pipe. */
static void call(void (*print)(void)) {
  const int normal = dup(STDERR_FILENO);
  dup2(pipe_ends[1], STDERR_FILENO);
  print();
  dup2(normal, STDERR_FILENO);
  close(normal);
}

static void warn(void) {
  call(warn_now);
}

/* Returns what rn_watchdog_silence_warn writes. */
static const char *warning(void) {
  static char text[TEXT_BYTES];
  warn();
  const ssize_t bytes = read(pipe_ends[0], text, sizeof text - 1);
  text[bytes > 0 ? bytes : 0] = '\0';
  return text;
}

static void set_silent(int first, int last, double seconds) {
  for (int rank = first; rank <= last; rank++) silent_s[rank] = seconds;
}

static void a_host_is_named_once(void) {
  set_silent(4, 4, 2.5);
  set_silent(5, 5, 1.5);
  CHECK(strstr(warning(), "no report for 2.5 s from host b, rank 4 5: ") != NULL);
  CHECK_EQUAL(strlen(warning()), 0);
}

static void a_rank_that_recovered_is_named_again(void) {
  set_silent(4, 5, 0.1);
  CHECK_EQUAL(strlen(warning()), 0);
  set_silent(4, 4, 2.5);
  CHECK(strstr(warning(), "rank 4: ") != NULL);
  set_silent(4, 4, 0.1);
  CHECK_EQUAL(strlen(warning()), 0);
}

static void a_long_list_ends_with_a_count(void) {
  set_silent(1, RANKS - 1, 3);
  const char *text = warning();
  int last = 0, more = 0;
  CHECK(strstr(text, "from host a, rank 1: ") != NULL);
  const char *end = strstr(text, " and ");
  if (!CHECK(end != NULL)) return;
  CHECK_EQUAL(sscanf(end, " and %d more: ", &more), 1);
  CHECK_EQUAL(sscanf(end - 3, " %d", &last), 1);
  CHECK_EQUAL(last + more, RANKS - 1);
  set_silent(1, RANKS - 1, 0.1);
  CHECK_EQUAL(strlen(warning()), 0);
}

static void fill_pipe(void) {
  static char text[TEXT_BYTES];
  fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK);
  while (write(pipe_ends[1], text, sizeof text) > 0) continue;
  fcntl(pipe_ends[1], F_SETFL, 0);
}

static void drain_pipe(void) {
  static char text[TEXT_BYTES];
  while (read(pipe_ends[0], text, sizeof text) > 0) continue;
}

/* If the function waited, the test would not end. */
static void a_full_pipe_delays_the_warning(void) {
  fill_pipe();
  set_silent(1, 1, 3);
  warn();
  CHECK(!warned[1]);
  drain_pipe();
  CHECK(strstr(warning(), "from host a, rank 1: ") != NULL);
}

/* The table needs more space than the pipe has after one read. */
static void a_full_pipe_does_not_hold_up_the_end(void) {
  char text[PIPE_BUF];
  fill_pipe();
  call(print_table);
  CHECK_EQUAL(read(pipe_ends[0], text, sizeof text), sizeof text);
  call(print_table);
  drain_pipe();
  call(print_table);
  const ssize_t bytes = read(pipe_ends[0], text, sizeof text - 1);
  text[bytes > 0 ? bytes : 0] = '\0';
  CHECK(strstr(text, "the title\n  rank 0 on a host has been in \"something\"") == text);
}

int main(void) {
  if (!CHECK_EQUAL(pipe(pipe_ends), 0)) return check_result();
  fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK);
  a_host_is_named_once();
  a_rank_that_recovered_is_named_again();
  a_long_list_ends_with_a_count();
  a_full_pipe_delays_the_warning();
  a_full_pipe_does_not_hold_up_the_end();
  return check_result();
}
