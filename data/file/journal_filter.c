#include "data/file/journal_filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/file/file.h"

enum { BUFFER_BYTES = 1 << 20 };

/* State of one pass over the lines. */
typedef struct filter {
  rn_line_keep keep;
  const void *self;
  rn_line line;        /* the current line */
  int64_t begin;       /* offset of the current line */
  int64_t prefix;      /* end of the lines that precede the first removed line */
  bool removes, mixed; /* removes: a line was removed; mixed: a line was kept after that */
  bool unended;        /* the last line of the file is kept and has no newline */
} filter;

static void start_line(filter *f, int64_t at) {
  f->line = (rn_line){.blank = true};
  f->begin = at;
}

static void add_bytes(rn_line *line, const char *bytes, size_t count) {
  size_t copied = RN_LINE_HEAD_BYTES - line->head_bytes;
  if (copied > count) copied = count;
  memcpy(line->head + line->head_bytes, bytes, copied);
  line->head_bytes += copied;
  for (size_t i = 0; line->blank && i < count; i++) line->blank = bytes[i] == '\0';
  while (count > 0 && bytes[count - 1] == '\r') count--;
  if (count > 0) line->closed = bytes[count - 1] == '}';
}

/* Ends the current line at offset `end` (exclusive); returns true if the line is kept. */
static bool end_line(filter *f, int64_t end) {
  const bool kept = f->keep(f->self, &f->line);
  if (!kept) {
    f->removes = true;
  } else if (f->removes) {
    f->mixed = true;
  } else {
    f->prefix = end;
  }
  f->unended = kept && !f->line.ended;
  return kept;
}

/* State of copying the kept lines; consecutive lines are copied together. */
typedef struct copier {
  rn_file *to;    /* NULL: the pass copies nothing */
  int64_t from;   /* offset in the input of the first byte not copied yet */
  int64_t offset; /* offset of the next byte in `to` */
  char *buffer;
} copier;

/* Appends the bytes of `file` from c->from to `end`. */
static rn_status copy(rn_err *err, const rn_file *file, copier *c, int64_t end) {
  while (c->from < end) {
    const int64_t left = end - c->from;
    const size_t now = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
    RN_TRY(err, rn_file_read(err, file, c->from, c->buffer, now));
    RN_TRY(err, rn_file_write(err, c->to, c->offset, c->buffer, now));
    c->from += (int64_t)now;
    c->offset += (int64_t)now;
  }
  return RN_OK;
}

static rn_status note_line(rn_err *err, filter *f, const rn_file *file, copier *c, int64_t end) {
  const bool kept = end_line(f, end);
  if (c->to == NULL) return RN_OK;
  if (!kept) {
    RN_TRY(err, copy(err, file, c, f->begin));
    c->from = end;
  }
  return RN_OK;
}

/* Visits all lines of the file; ignores bytes that were appended after it was opened. */
static rn_status walk(rn_err *err, filter *f, const rn_file *file, copier *c, char *buffer) {
  start_line(f, 0);
  for (int64_t done = 0; done < file->size_bytes;) {
    const int64_t left = file->size_bytes - done;
    const size_t count = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
    RN_TRY(err, rn_file_read(err, file, done, buffer, count));
    for (size_t i = 0; i < count;) {
      const char *newline = memchr(buffer + i, '\n', count - i);
      const size_t end = newline == NULL ? count : (size_t)(newline - buffer);
      add_bytes(&f->line, buffer + i, end - i);
      i = end + (newline != NULL);
      if (newline == NULL) break;
      f->line.ended = true;
      RN_TRY(err, note_line(err, f, file, c, done + (int64_t)i));
      start_line(f, done + (int64_t)i);
    }
    done += (int64_t)count;
  }
  if (f->begin < file->size_bytes) RN_TRY(err, note_line(err, f, file, c, file->size_bytes));
  if (c->to == NULL) return RN_OK;
  return copy(err, file, c, file->size_bytes);
}

/* Gives the new file the owner and the mode of the old one. */
static rn_status keep_owner(rn_err *err, const rn_file *old, const rn_file *new_one) {
  struct stat was, is;
  if (fstat(old->fd, &was) != 0) return rn_file_fail(err, "stat", old->path, errno);
  /* Only root can change the owner; otherwise the file belongs to the calling user. */
  if (fchown(new_one->fd, was.st_uid, was.st_gid) != 0) errno = 0;
  if (fstat(new_one->fd, &is) != 0) return rn_file_fail(err, "stat", new_one->path, errno);
  if (((was.st_mode ^ is.st_mode) & 07777) == 0) return RN_OK;
  if (fchmod(new_one->fd, was.st_mode & 07777) == 0) return RN_OK;
  return rn_file_fail(err, "set the mode of", new_one->path, errno);
}

/* Replaces the file by a new one. Used if a kept line follows a removed one. */
static rn_status rewrite(rn_err *err, filter *f, const rn_file *file, char *buffer,
                         int64_t *bytes) {
  filter again = {.keep = f->keep, .self = f->self};
  rn_file to = {0};
  rn_path temporary;
  char *second = malloc(BUFFER_BYTES);
  if (second == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while rewriting %s", file->path);
  snprintf(temporary.text, sizeof temporary.text, "%s.new", file->path);
  rn_status status = rn_file_create(err, temporary.text, &to);
  copier c = {.to = &to, .buffer = second};
  if (status == RN_OK) status = keep_owner(err, file, &to);
  if (status == RN_OK) status = walk(err, &again, file, &c, buffer);
  if (status == RN_OK && again.unended) {
    status = rn_file_write(err, &to, c.offset, "\n", 1);
    c.offset++;
  }
  free(second);
  *bytes = c.offset;
  if (status == RN_OK) return rn_file_publish(err, &to, file->path);
  if (to.path != NULL) unlink(temporary.text);
  rn_file_destroy(&to);
  return status;
}

/* Truncates the file. Used if lines are removed only at the end, or not at all. */
static rn_status shorten(rn_err *err, const filter *f, const char *path, int64_t *bytes) {
  rn_file file = {0};
  *bytes = f->prefix;
  if (!f->removes && !f->unended) return RN_OK;
  RN_TRY(err, rn_file_open_to_write(err, path, &file));
  rn_status status = RN_OK;
  if (f->unended) status = rn_file_write(err, &file, f->prefix, "\n", 1);
  if (f->unended) (*bytes)++;
  if (status == RN_OK && f->removes && ftruncate(file.fd, (off_t)f->prefix) != 0) {
    status = rn_file_fail(err, "cut", path, errno);
  }
  if (status == RN_OK) return rn_file_close(err, &file);
  rn_file_destroy(&file);
  return status;
}

rn_status rn_journal_filter(rn_err *err, const char *path, rn_line_keep keep, const void *self,
                            int64_t *bytes) {
  filter f = {.keep = keep, .self = self};
  copier none = {.to = NULL};
  rn_file file = {0};
  bool exists;
  *bytes = 0;
  RN_TRY(err, rn_file_find(err, path, &exists));
  if (!exists) return RN_OK;
  char *real = realpath(path, NULL); /* so that the target of a link is replaced, not the link */
  char *buffer = malloc(BUFFER_BYTES);
  rn_status status = real == NULL ? rn_file_fail(err, "open", path, errno)
                     : buffer == NULL
                         ? rn_fail(err, RN_ERR_MEMORY, "out of memory while reading %s", path)
                         : rn_file_open(err, real, &file);
  if (status == RN_OK) status = walk(err, &f, &file, &none, buffer);
  if (status == RN_OK) {
    status = f.mixed ? rewrite(err, &f, &file, buffer, bytes) : shorten(err, &f, real, bytes);
  }
  rn_file_destroy(&file);
  free(buffer);
  free(real);
  return status;
}
