#include "data/file/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/file/file.h"

/* State of reading one input. */
typedef struct stream {
  const char *name;
  int fd;
  char *bytes; /* [capacity] */
  size_t count, capacity, max_bytes;
} stream;

static rn_status grow(rn_err *err, stream *s, size_t capacity) {
  char *grown = realloc(s->bytes, capacity);
  if (grown == NULL) {
    return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory: cannot allocate %zu bytes to read it",
                   s->name, capacity);
  }
  s->bytes = grown;
  s->capacity = capacity;
  return RN_OK;
}

static rn_status refuse_folder(rn_err *err, const stream *s) {
  struct stat info;
  if (fstat(s->fd, &info) != 0) return rn_file_fail(err, "read", s->name, errno);
  if (!S_ISDIR(info.st_mode)) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT, "%s is a folder; give a file", s->name);
}

/* Allocates the buffer. For a regular file, it has one byte more than the file, so that the read
 * that finds the end of the file does not need a larger buffer. */
static rn_status reserve(rn_err *err, stream *s) {
  struct stat info;
  size_t capacity = 1 << 16;
  RN_TRY(err, refuse_folder(err, s));
  if (fstat(s->fd, &info) != 0) return rn_file_fail(err, "read", s->name, errno);
  if (S_ISREG(info.st_mode) && (uint64_t)info.st_size > s->max_bytes) {
    return rn_fail(err, RN_ERR_FORMAT, "%s has %lld bytes, more than the limit of %zu", s->name,
                   (long long)info.st_size, s->max_bytes);
  }
  if (S_ISREG(info.st_mode)) capacity = (size_t)info.st_size + 1;
  return grow(err, s, capacity);
}

/* Reads more bytes; sets *ended at the end of the input. */
static rn_status read_some(rn_err *err, stream *s, bool *ended) {
  const ssize_t got = read(s->fd, s->bytes + s->count, s->capacity - s->count);
  if (got >= 0) {
    s->count += (size_t)got;
    *ended = got == 0;
    return RN_OK;
  }
  if (errno == EINTR) return RN_OK;
  if (errno != EAGAIN && errno != EWOULDBLOCK) return rn_file_fail(err, "read", s->name, errno);
  struct pollfd wait = {.fd = s->fd, .events = POLLIN};
  if (poll(&wait, 1, -1) < 0 && errno != EINTR) return rn_file_fail(err, "read", s->name, errno);
  return RN_OK;
}

/* Returns twice the capacity, but not more than is needed to find that the input exceeds the
 * limit. */
static size_t next_capacity(const stream *s) {
  return s->capacity <= s->max_bytes / 2 ? 2 * s->capacity : s->max_bytes + 1;
}

static rn_status read_all(rn_err *err, stream *s) {
  RN_TRY(err, reserve(err, s));
  for (bool ended = false; !ended;) {
    if (s->count == s->capacity) RN_TRY(err, grow(err, s, next_capacity(s)));
    RN_TRY(err, read_some(err, s, &ended));
    if (s->count > s->max_bytes) {
      return rn_fail(err, RN_ERR_FORMAT, "%s has more bytes than the limit of %zu", s->name,
                     s->max_bytes);
    }
  }
  if (s->count == s->capacity) RN_TRY(err, grow(err, s, s->capacity + 1));
  s->bytes[s->count] = '\0';
  return RN_OK;
}

/* Opens the path, or standard input if it is NULL. */
static rn_status open_stream(rn_err *err, const char *path, stream *s) {
  s->name = path != NULL ? path : "standard input";
  s->fd = STDIN_FILENO;
  if (path != NULL && path[0] == '\0') {
    return rn_fail(err, RN_ERR_USAGE, "a file name is empty (is a shell variable unset?)");
  }
  if (path == NULL) return RN_OK;
  do {
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
  } while (s->fd < 0 && errno == EINTR);
  return s->fd < 0 ? rn_file_fail(err, "open", path, errno) : RN_OK;
}

rn_status rn_stream_load(rn_err *err, const char *path, size_t max_bytes, void **out,
                         size_t *bytes) {
  stream s = {.max_bytes = max_bytes};
  RN_TRY(err, open_stream(err, path, &s));
  const rn_status status = read_all(err, &s);
  if (path != NULL) close(s.fd);
  if (status != RN_OK) {
    free(s.bytes);
    return status;
  }
  *out = s.bytes;
  *bytes = s.count;
  return RN_OK;
}

static rn_status take_all(rn_err *err, stream *s, rn_stream_take *take, void *self) {
  for (bool ended = false; !ended;) {
    s->count = 0;
    RN_TRY(err, read_some(err, s, &ended));
    if (s->count > 0) RN_TRY(err, take(self, err, s->bytes, s->count));
  }
  return RN_OK;
}

rn_status rn_stream_read(rn_err *err, const char *path, rn_stream_take *take, void *self) {
  enum { PIECE_BYTES = 1 << 20 };
  stream s = {.max_bytes = SIZE_MAX};
  RN_TRY(err, open_stream(err, path, &s));
  rn_status status = refuse_folder(err, &s);
  if (status == RN_OK) status = grow(err, &s, PIECE_BYTES);
  if (status == RN_OK) status = take_all(err, &s, take, self);
  if (path != NULL) close(s.fd);
  free(s.bytes);
  return status;
}
