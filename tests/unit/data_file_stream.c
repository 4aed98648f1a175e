/* Checks that an input is read completely, in chunks of any size, or that its error is returned. */
#include "data/file/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { PIECES = 20, PIECE_BYTES = 10007 };
static const size_t most = (size_t)1 << 30;

/* Starts a child that writes PIECES pieces to a pipe, with pauses; *reader is the reading end. */
static pid_t start_writer(int *reader) {
  int ends[2];
  static char piece[PIECE_BYTES];
  if (!CHECK(pipe(ends) == 0)) exit(1);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < PIECES; i++) {
      usleep(2000);
      for (size_t done = 0; done < sizeof piece;) {
        const ssize_t put = write(ends[1], piece + done, sizeof piece - done);
        if (put < 0) _exit(1);
        done += (size_t)put;
      }
    }
    _exit(0);
  }
  close(ends[1]);
  *reader = ends[0];
  return child;
}

/* Checks that standard input, connected to a pipe, gives all bytes that were written. */
static void check_standard_input(int flags) {
  rn_err err = {0};
  void *bytes = NULL;
  size_t count = 0;
  int reader = -1, ended = -1;
  const pid_t child = start_writer(&reader);
  CHECK(fcntl(reader, F_SETFL, flags) == 0);
  dup2(reader, STDIN_FILENO);
  close(reader);
  if (CHECK_OK(&err, rn_stream_load(&err, NULL, most, &bytes, &count))) {
    CHECK_EQUAL(count, PIECES * PIECE_BYTES);
    CHECK_EQUAL(strlen(bytes), count);
  }
  free(bytes);
  while (waitpid(child, &ended, 0) < 0 && errno == EINTR) continue;
  CHECK_EQUAL(ended, 0);
}

static void a_pipe_that_does_not_block_is_waited_for(void) {
  check_standard_input(O_NONBLOCK);
}

static void wake(int number) {
  (void)number;
}

static void signals_interrupt_nothing(void) {
  const struct sigaction interrupt = {.sa_handler = wake}; /* without SA_RESTART */
  const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
  sigaction(SIGALRM, &interrupt, NULL);
  setitimer(ITIMER_REAL, &often, NULL);
  check_standard_input(0);
  check_standard_input(O_NONBLOCK);
  setitimer(ITIMER_REAL, &never, NULL);
}

static void a_file_may_hold_more_than_it_says(void) {
  rn_err err = {0};
  void *bytes = NULL;
  size_t count = 0;
  if (CHECK_OK(&err, rn_stream_load(&err, "/proc/self/status", most, &bytes, &count))) {
    CHECK(count > 100 && strstr(bytes, "Pid:") != NULL); /* although stat() says 0 bytes */
  }
  free(bytes);
}

static void errors_name_the_input(void) {
  rn_err err = {0};
  void *bytes = NULL;
  size_t count = 0;
  const char *file = temp_path("file");
  CHECK_OK(&err, rn_file_replace(&err, file, "12345", 5));
  CHECK_FAILS(&err, RN_ERR_FORMAT, "file|more than", rn_stream_load(&err, file, 4, &bytes, &count));
  if (CHECK_OK(&err, rn_stream_load(&err, file, 6, &bytes, &count))) CHECK_EQUAL(count, 5);
  free(bytes);
  CHECK_FAILS(&err, RN_ERR_FORMAT, "/dev/zero|more bytes than the limit of 100000",
              rn_stream_load(&err, "/dev/zero", 100000, &bytes, &count));
  CHECK_FAILS(&err, RN_ERR_FORMAT, "is a folder",
              rn_stream_load(&err, temp_folder(), most, &bytes, &count));
  CHECK_FAILS(&err, RN_ERR_NOT_FOUND, "absent",
              rn_stream_load(&err, temp_path("absent"), most, &bytes, &count));
  CHECK_FAILS(&err, RN_ERR_IO, "/proc/self/mem|Input/output error",
              rn_stream_load(&err, "/proc/self/mem", most, &bytes, &count));
  close(STDIN_FILENO);
  CHECK_FAILS(&err, RN_ERR_IO, "standard input", rn_stream_load(&err, NULL, most, &bytes, &count));
}

int main(void) {
  a_pipe_that_does_not_block_is_waited_for();
  signals_interrupt_nothing();
  a_file_may_hold_more_than_it_says();
  errors_name_the_input();
  return check_result();
}
