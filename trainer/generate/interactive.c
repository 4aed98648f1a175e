#include "trainer/generate/interactive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/arena.h"
#include "trainer/generate/stop_signals.h"

/* ---- lines ---- */

enum { READ_BYTES = 1 << 16 };

/* Buffered input: bytes [0, begin) belong to lines that were taken by take_line; bytes [begin,
 * searched) contain no line feed. */
typedef struct input {
  char *bytes;
  size_t capacity, begin, searched, count;
  bool terminal, ended;
} input;

/* A line of the input, without its line ending. */
typedef struct line {
  const char *bytes;
  size_t count;
} line;

/* Makes room for READ_BYTES more bytes. */
static rn_status reserve(rn_err *err, input *in) {
  memmove(in->bytes, in->bytes + in->begin, in->count - in->begin);
  in->count -= in->begin;
  in->searched -= in->begin;
  in->begin = 0;
  if (in->capacity - in->count >= READ_BYTES) return RN_OK;
  if (in->count > RN_MAX_PROMPT_BYTES) {
    return rn_fail(err, RN_ERR_FORMAT, "standard input: a line has more than %d bytes",
                   RN_MAX_PROMPT_BYTES);
  }
  return rn_grow(err, "line of the input", in->count + READ_BYTES, 1, &in->bytes, &in->capacity);
}

/* Reads more bytes. A terminal that has hung up gives EIO, which counts as the end of the input. */
static rn_status read_more(rn_err *err, input *in) {
  RN_TRY(err, reserve(err, in));
  const ssize_t count = read(STDIN_FILENO, in->bytes + in->count, READ_BYTES);
  if (count > 0) in->count += (size_t)count;
  in->ended = count == 0 || (count < 0 && errno == EIO && in->terminal);
  if (count >= 0 || in->ended) return RN_OK;
  return rn_fail(err, RN_ERR_IO, "cannot read the standard input: %s", strerror(errno));
}

/* Takes a whole line, or what is left at the end of the input; false if there is none yet. */
static bool take_line(input *in, line *l) {
  const char *begin = in->bytes + in->begin;
  const char *end = memchr(in->bytes + in->searched, '\n', in->count - in->searched);
  in->searched = in->count;
  if (end == NULL && !(in->ended && in->count > in->begin)) return false;
  *l = (line){begin, end != NULL ? (size_t)(end - begin) : in->count - in->begin};
  in->begin += l->count + (end != NULL);
  in->searched = in->begin;
  if (l->count > 0 && l->bytes[l->count - 1] == '\r') l->count--;
  return true;
}

/* Reads the next line; *more is false at the end of the input and after a signal. The line is valid
 * until the next call. */
static rn_status read_line(rn_err *err, input *in, line *l, bool *more) {
  *more = true;
  if (in->terminal) fprintf(stderr, "> ");
  while (!take_line(in, l)) {
    *more = !in->ended && rn_stop_signals_wait(STDIN_FILENO);
    if (!*more) break;
    RN_TRY(err, read_more(err, in));
  }
  if (!*more && in->terminal) fprintf(stderr, "\n");
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
  rn_completions completions = {0};
  rn_status status = rn_completions_add(err, &completions, "", 0);
  if (status == RN_OK) status = give_line(err, generator, l);
  if (status == RN_OK) status = rn_text_generator_run(err, generator, &completions);
  rn_stop_signals_forget_interrupt();
  rn_completions_destroy(&completions);
  printf("\n");
  generator->output_lost = fflush(stdout) != 0 || generator->output_lost;
  return status;
}

static rn_status complete_lines(rn_err *err, rn_text_generator *generator, input *in) {
  bool more = true;
  while (more && !generator->output_lost && !rn_stop_signals_end()) {
    line l = {.count = 0};
    RN_TRY(err, read_line(err, in, &l, &more));
    if (more) RN_TRY(err, complete_line(err, generator, &l));
  }
  return RN_OK;
}

rn_status rn_interactive_run(rn_err *err, rn_text_generator *generator) {
  input in = {.capacity = 2 * READ_BYTES, .terminal = isatty(STDIN_FILENO) != 0};
  RN_TRY(err, rn_alloc(err, "input", in.capacity, 1, &in.bytes));
  const rn_status status = complete_lines(err, generator, &in);
  free(in.bytes);
  return status;
}
