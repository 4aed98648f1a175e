/* Checks that the output of a program arrives completely, or that its exit status shows that it
 * did not. */
#include "proto/cli/program.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "tests/support/check.h"
#include "tests/support/child.h"

enum { LINES = 40000 }; /* more than a pipe can hold */
static const char line[] = "a line of output\n";

/* ---- the program ---- */

static int print_lines(void) {
  rn_err err = {0};
  rn_program_start();
  for (int i = 0; i < LINES; i++) fputs(line, stdout);
  return rn_program_finish("retnet-test", RN_OK, &err);
}

/* A launcher that was asked to stop does not read any more output. The program must then drop lines
 * instead of waiting. */
static int print_to_a_launcher(void) {
  rn_err err = {0};
  rn_program_start();
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  rn_log_setup(false, false);
  rn_log_do_not_wait();
  for (int i = 0; i < LINES; i++) rn_log_info("a line of output");
  return rn_program_finish("retnet-test", RN_OK, &err);
}

static int fail_and_print(void) {
  rn_err err = {0};
  rn_program_start();
  const rn_status status = rn_fail(&err, RN_ERR_USAGE, "wrong");
  for (int i = 0; i < LINES; i++) fputs(line, stdout);
  return rn_program_finish("retnet-test", status, &err);
}

/* ---- its reader ---- */

/* Runs the program with its output in a non-blocking pipe; *reader is the reading end. */
static pid_t start(int (*program)(void), int *reader) {
  int ends[2];
  if (!CHECK(pipe(ends) == 0)) exit(1);
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    _exit(program());
  }
  close(ends[1]);
  *reader = ends[0];
  return child;
}

/* Waits until the pipe is full or the program has ended. */
static void wait_until_full(pid_t child, int reader) {
  for (int before = -1, held = 0; held != before || held == 0;) {
    before = held;
    usleep(20000);
    ioctl(reader, FIONREAD, &held);
    siginfo_t ended = {0};
    waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT);
    if (ended.si_pid == child) return;
  }
}

static size_t read_all(int reader) {
  char piece[4096];
  size_t bytes = 0;
  for (ssize_t got; (got = read(reader, piece, sizeof piece)) > 0;) bytes += (size_t)got;
  return bytes;
}

static int exit_code(pid_t child) {
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void a_slow_reader_gets_everything(void) {
  int reader = -1;
  const pid_t child = start(print_lines, &reader);
  wait_until_full(child, reader);
  CHECK_EQUAL(read_all(reader), LINES * strlen(line));
  CHECK_EQUAL(exit_code(child), 0);
  close(reader);
}

static void a_reader_that_is_gone_is_exit_1(void) {
  int reader = -1;
  pid_t child = start(print_lines, &reader);
  close(reader);
  CHECK_EQUAL(exit_code(child), 1);
  child = start(fail_and_print, &reader);
  close(reader);
  CHECK_EQUAL(exit_code(child), 2);
}

static void what_a_launcher_leaves_is_dropped(void) {
  int reader = -1;
  const pid_t child = start(print_to_a_launcher, &reader);
  CHECK_EQUAL(exit_code(child), 0);
  CHECK(read_all(reader) < LINES * strlen(line));
  close(reader);
}

/* Most of the output fails before the program ends, when nothing is left to be written. */
static void print_to_a_full_disk(int left) {
  const int full = open("/dev/full", O_WRONLY);
  dup2(full, STDOUT_FILENO);
  setvbuf(stdout, NULL, left == 0 ? _IONBF : _IOFBF, BUFSIZ);
  _exit(print_lines());
}

static void a_full_disk_is_named(void) {
  char text[200];
  for (int left = 0; left <= 1; left++) {
    CHECK_EQUAL(test_child_status(print_to_a_full_disk, left, text, sizeof text), 1);
    CHECK(strstr(text, "No space left on device") != NULL);
  }
}

int main(void) {
  a_full_disk_is_named();
  a_slow_reader_gets_everything();
  a_reader_that_is_gone_is_exit_1();
  what_a_launcher_leaves_is_dropped();
  return check_result();
}
