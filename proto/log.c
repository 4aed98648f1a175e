#include "proto/log.h"

#include <stdarg.h>
#include <unistd.h>

static struct {
  bool quiet, json;
  bool line_pending; /* a progress line stands on the terminal */
} settings;

void rn_log_setup(bool quiet, bool json) {
  settings.quiet = quiet;
  settings.json = json;
}

FILE *rn_log_stream(void) {
  if (settings.quiet) return NULL;
  return settings.json ? stderr : stdout;
}

/* Takes the progress line off the terminal, so that the next text starts on a clean one. */
static void clear_pending(void) {
  if (!settings.line_pending) return;
  FILE *stream = rn_log_stream();
  if (stream != NULL) {
    fputs("\r\033[K", stream);
    fflush(stream);
  }
  settings.line_pending = false;
}

void rn_log_info(const char *format, ...) {
  FILE *stream = rn_log_stream();
  if (stream == NULL) return;
  clear_pending();
  va_list args;
  va_start(args, format);
  vfprintf(stream, format, args);
  va_end(args);
  fputc('\n', stream);
  fflush(stream);
}

void rn_log_warn(const char *format, ...) {
  if (settings.quiet) return;
  clear_pending();
  fputs("warning: ", stderr);
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
}

void rn_log_progress(const char *format, ...) {
  FILE *stream = rn_log_stream();
  if (stream == NULL || !isatty(fileno(stream))) return;
  clear_pending();
  va_list args;
  va_start(args, format);
  settings.line_pending = vfprintf(stream, format, args) > 0;
  va_end(args);
  fflush(stream);
}

void rn_log_error(const char *program, const rn_err *err) {
  clear_pending();
  const char *text = err->text[0] != '\0' ? err->text : rn_status_word(err->status);
  fprintf(stderr, "%s: %s\n", program, text);
}
