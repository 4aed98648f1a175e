#include "proto/cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "proto/cli/launched.h"

/* Opens /dev/null as `fd` if `fd` is closed. open() returns the lowest free descriptor, so the
 * caller must process descriptors in ascending order. The access modes are intentionally wrong, so
 * that using the stream fails as if it were closed. */
static void take_if_closed(int fd) {
  if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) return;
  const int taken = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  (void)taken;
}

static void wait_for_reader(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) != 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

void rn_program_start(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) take_if_closed(fd);
  for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) wait_for_reader(fd);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

/* True if closing `fd` reports an error. Network file systems may report a full disk only on close;
 * closing a duplicate descriptor is enough. */
static bool close_fails(int fd) {
  const int copy = dup(fd);
  return copy >= 0 && close(copy) != 0 && errno != EINTR;
}

/* Returns the errno of one more write; 0 if it succeeds. A stream does not keep the errno of the
 * write that failed. */
static int error_of_write(void) {
  return write(STDOUT_FILENO, "\n", 1) < 0 ? errno : 0;
}

rn_status rn_program_check_output(rn_err *err, rn_status status) {
  const bool failed_before = ferror(stdout) != 0;
  errno = 0;
  const bool lost = fflush(stdout) != 0 || failed_before || close_fails(STDOUT_FILENO);
  if (!lost || rn_log_may_drop() || status != RN_OK) return status;
  const int error = errno != 0 ? errno : error_of_write();
  return rn_fail(err, RN_ERR_IO, "cannot write to standard output%s%s; output is lost",
                 error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
}

/* Prints an error before MPI is initialized. Ranks other than 0 add their number. */
static void print_error(const char *program, const rn_err *err) {
  const int rank = rn_launched_detect().rank;
  rn_err named = *err;
  if (rank > 0) snprintf(named.text, sizeof named.text, "rank %d: %.2000s", rank, err->text);
  rn_log_error(program, &named);
}

int rn_program_finish(const char *program, rn_status status, rn_err *err) {
  status = rn_program_check_output(err, status);
  if (status != RN_OK && rn_launched_prints_late()) print_error(program, err);
  return rn_status_exit_code(status);
}
