#include "data/file/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/arena.h"

rn_status rn_journal_open(rn_err *err, const char *path, int64_t bytes, rn_journal *out) {
  *out = (rn_journal){.bytes = bytes};
  snprintf(out->path.text, sizeof out->path.text, "%s", path);
  out->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (out->fd < 0) return rn_file_fail(err, "write", path, errno);
  if (ftruncate(out->fd, (off_t)bytes) == 0) return RN_OK;
  rn_status status = rn_file_fail(err, "cut", path, errno);
  close(out->fd);
  *out = (rn_journal){0};
  return status;
}

/* Opens or creates the file at the journal's path. */
static rn_status attach(rn_err *err, rn_journal *j) {
  struct stat info;
  if (j->fd >= 0) close(j->fd);
  j->fd = open(j->path.text, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (j->fd < 0) return rn_file_fail(err, "write", j->path.text, errno);
  if (fstat(j->fd, &info) != 0) return rn_file_fail(err, "read", j->path.text, errno);
  j->bytes = info.st_size;
  return RN_OK;
}

/* True if the journal's path still leads to the open file. */
static bool is_attached(const rn_journal *j) {
  struct stat named, held;
  return j->fd >= 0 && stat(j->path.text, &named) == 0 && fstat(j->fd, &held) == 0 &&
         named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

/* Writes all waiting lines or none: if a write fails, truncates the file to its previous size. */
static rn_status write_waiting(rn_err *err, rn_journal *j) {
  size_t done = 0;
  if (!is_attached(j)) RN_TRY(err, attach(err, j));
  while (done < j->waiting_bytes) {
    const ssize_t count = pwrite(j->fd, j->waiting + done, j->waiting_bytes - done,
                                 (off_t)(j->bytes + (int64_t)done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      const int why = count == 0 ? ENOSPC : errno;
      if (ftruncate(j->fd, (off_t)j->bytes) != 0)
        return rn_file_fail(err, "cut", j->path.text, errno);
      return rn_file_fail(err, "write", j->path.text, why);
    }
    done += (size_t)count;
  }
  j->bytes += (int64_t)done;
  j->waiting_bytes = 0;
  return RN_OK;
}

rn_status rn_journal_add(rn_err *err, rn_journal *j, const char *line, size_t bytes) {
  RN_TRY(err, rn_grow(err, j->path.text, j->waiting_bytes + bytes, 1, &j->waiting,
                      &j->waiting_capacity));
  memcpy(j->waiting + j->waiting_bytes, line, bytes);
  j->waiting_bytes += bytes;
  return write_waiting(err, j);
}

rn_status rn_journal_flush(rn_err *err, rn_journal *j) {
  return j->waiting_bytes > 0 ? write_waiting(err, j) : RN_OK;
}

rn_status rn_journal_reopen(rn_err *err, rn_journal *j) {
  rn_journal_discard(j);
  return attach(err, j);
}

void rn_journal_discard(rn_journal *j) {
  j->waiting_bytes = 0;
}

rn_status rn_journal_close(rn_err *err, rn_journal *j) {
  if (j->path.text[0] == '\0') return RN_OK;
  rn_status status = rn_journal_flush(err, j);
  if (j->fd >= 0 && close(j->fd) != 0 && status == RN_OK) {
    status = rn_file_fail(err, "write", j->path.text, errno);
  }
  free(j->waiting);
  *j = (rn_journal){0};
  return status;
}
