#include "trainer/generate/interactive.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- SIGINT ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
  (void)number;
  interrupted = 1;
}

static bool is_interrupted(void) {
  return interrupted != 0;
}

/* Catches SIGINT and stores the previous signal action in *before. Calls that wait for input return
 * with EINTR. */
static void catch_interrupts(struct sigaction *before) {
  struct sigaction action = {.sa_handler = on_interrupt};
  sigemptyset(&action.sa_mask);
  interrupted = 0;
  (void)sigaction(SIGINT, &action, before);
}

static void release_interrupts(const struct sigaction *before) {
  (void)sigaction(SIGINT, before, NULL);
}

/* ---- lines ---- */

/* A line of the input, without its line ending. */
typedef struct line {
  char *bytes;
  size_t capacity, count;
} line;

static ssize_t get_line(bool terminal, line *l) {
  if (terminal) fprintf(stderr, "> ");
  errno = 0;
  return getline(&l->bytes, &l->capacity, stdin);
}

/* Reads the next line; *more is false at the end of the input. */
static rn_status read_line(rn_err *err, bool terminal, line *l, bool *more) {
  ssize_t count = get_line(terminal, l);
  while (count < 0 && errno == EINTR) {
    clearerr(stdin);
    if (terminal) fprintf(stderr, "\n(Ctrl-D ends) ");
    count = get_line(terminal, l);
  }
  *more = count >= 0;
  if (count < 0 && !feof(stdin)) {
    return rn_fail(err, RN_ERR_IO, "cannot read the standard input: %s", strerror(errno));
  }
  l->count = count > 0 ? (size_t)count : 0;
  if (l->count > 0 && l->bytes[l->count - 1] == '\n') l->count--;
  if (l->count > 0 && l->bytes[l->count - 1] == '\r') l->count--;
  return RN_OK;
}

/* Adds the line to the text, on a new line unless the text has only its document token. */
static rn_status give_line(rn_err *err, rn_text_generator *generator, const line *l) {
  rn_text added = {0};
  rn_status status = RN_OK;
  if (rn_generator_sequence(generator->generator, 0)->count > 1) {
    status = rn_text_add(err, &added, "\n", 1);
  }
  if (status == RN_OK) status = rn_text_add(err, &added, l->bytes, l->count);
  if (status == RN_OK) status = rn_text_generator_give(err, generator, 0, &added);
  rn_text_free(&added);
  return status;
}

static rn_status complete_line(rn_err *err, rn_text_generator *generator, const line *l) {
  struct sigaction before;
  rn_completions completions = {0};
  catch_interrupts(&before);
  rn_status status = rn_completions_add(err, &completions, "", 0);
  if (status == RN_OK) status = give_line(err, generator, l);
  if (status == RN_OK) status = rn_text_generator_run(err, generator, &completions);
  release_interrupts(&before);
  rn_completions_destroy(&completions);
  printf("\n");
  generator->output_lost = fflush(stdout) != 0 || generator->output_lost;
  return status;
}

rn_status rn_interactive_run(rn_err *err, rn_text_generator *generator) {
  const bool terminal = isatty(STDIN_FILENO) != 0;
  struct sigaction before;
  line l = {.bytes = NULL};
  bool more = true;
  rn_status status = RN_OK;
  generator->interrupted = is_interrupted;
  if (terminal) catch_interrupts(&before);
  while (status == RN_OK && more && !generator->output_lost) {
    status = read_line(err, terminal, &l, &more);
    if (status == RN_OK && more) status = complete_line(err, generator, &l);
  }
  if (terminal) release_interrupts(&before);
  free(l.bytes);
  return status;
}
