#include "proto/base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct {
  bool quiet, json;
  /* true if mpirun started this process; then no other rank shares its stdout and stderr */
  bool launched;
  bool line_pending; /* true while a progress line is on the terminal */
  volatile sig_atomic_t may_drop;
  sigset_t let_in;       /* signals that are unblocked while a text is written */
  pthread_t writer;      /* valid while `may_block` is true */
  atomic_bool may_block; /* true while a thread writes a text and has not run a signal handler */
} settings;

void rn_log_setup(bool quiet, bool json) {
  settings.quiet = quiet;
  settings.json = json;
  settings.launched = getenv("OMPI_COMM_WORLD_SIZE") != NULL;
}

/* Returns the stream to which lines are written; NULL if quiet. */
static FILE *stream_of_lines(void) {
  if (settings.quiet) return NULL;
  return settings.json ? stderr : stdout;
}

/* Erases the progress line from the terminal, so that the next text starts on an empty line. */
static void clear_pending(void) {
  if (!settings.line_pending) return;
  FILE *stream = stream_of_lines();
  if (stream != NULL) {
    fputs("\r\033[K", stream);
    fflush(stream);
  }
  settings.line_pending = false;
}

/* Erases the progress line, then writes a text and flushes the stream. */
static bool say(FILE *stream, const char *before, const char *format, va_list args,
                const char *after) {
  sigset_t held;
  if (stream == NULL) return false;
  settings.writer = pthread_self();
  atomic_store(&settings.may_block, true);
  pthread_sigmask(SIG_UNBLOCK, &settings.let_in, &held);
  clear_pending();
  fputs(before, stream);
  const bool said = vfprintf(stream, format, args) > 0;
  fputs(after, stream);
  fflush(stream);
  atomic_store(&settings.may_block, false);
  pthread_sigmask(SIG_SETMASK, &held, NULL);
  return said;
}

static bool say_text(FILE *stream, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const bool said = say(stream, "", format, args, "");
  va_end(args);
  return said;
}

void rn_log_info(const char *format, ...) {
  va_list args;
  va_start(args, format);
  say(stream_of_lines(), "", format, args, "\n");
  va_end(args);
}

void rn_log_warn(const char *format, ...) {
  va_list args;
  va_start(args, format);
  say(settings.quiet ? NULL : stderr, "warning: ", format, args, "\n");
  va_end(args);
}

/* Opens the terminal to which the stream is connected; returns -1 if there is none. A launcher
 * gives each rank a pseudo-terminal even if the launcher's output is redirected. Under a launcher,
 * this function therefore opens the terminal of the launcher's stream. */
static int open_terminal(FILE *stream) {
  char link[64], target[PATH_MAX];
  if (!isatty(fileno(stream))) return -1;
  if (!settings.launched) return dup(fileno(stream));
  snprintf(link, sizeof link, "/proc/%ld/fd/%d", (long)getppid(), fileno(stream));
  const ssize_t length = readlink(link, target, sizeof target - 1);
  if (length <= 0) return -1;
  target[length] = '\0';
  const bool terminal = strncmp(target, "/dev/pts/", 9) == 0 || strncmp(target, "/dev/tty", 8) == 0;
  return terminal ? open(target, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) : -1;
}

int rn_log_progress_columns(void) {
  enum { USUAL_COLUMNS = 80 };
  FILE *stream = stream_of_lines();
  const char *kind = getenv("TERM");
  struct winsize size = {0};
  if (stream == NULL || (kind != NULL && strcmp(kind, "dumb") == 0)) return 0;
  const int terminal = open_terminal(stream);
  if (terminal < 0) return 0;
  const bool known = ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  close(terminal);
  return known ? size.ws_col : USUAL_COLUMNS;
}

/* Leaves the last column empty: some terminals wrap a line that fills it, and such a line would not
 * be erased. */
void rn_log_progress(const char *format, ...) {
  char text[RN_LOG_PROGRESS_BYTES];
  const int columns = rn_log_progress_columns();
  va_list args;
  if (columns == 0) return;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if ((size_t)columns <= sizeof text) text[columns - 1] = '\0';
  settings.line_pending = say_text(stream_of_lines(), "%s", text);
}

void rn_log_let_in(const sigset_t *signals) {
  settings.let_in = *signals;
}

void rn_log_do_not_wait(void) {
  for (int fd = STDOUT_FILENO; settings.launched && fd <= STDERR_FILENO; fd++) {
    const int flags = fcntl(fd, F_GETFL);
    if (flags >= 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    settings.may_drop = 1;
  }
  if (atomic_load(&settings.may_block) && pthread_equal(pthread_self(), settings.writer)) {
    atomic_store(&settings.may_block, false);
  }
}

void rn_log_wake_writer(int signal) {
  if (atomic_load(&settings.may_block) && !pthread_equal(pthread_self(), settings.writer)) {
    pthread_kill(settings.writer, signal);
  }
}

bool rn_log_may_drop(void) {
  return settings.may_drop != 0;
}

void rn_log_error(const char *program, const rn_err *err) {
  clear_pending();
  const char *text = err->text[0] != '\0' ? err->text : rn_status_text(err->status);
  fprintf(stderr, "%s: %s\n", program, text);
}
