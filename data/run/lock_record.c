#include "data/run/lock_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/file/file.h"

#define BEAT_WORD "\nbeat "

/* ESTALE: NFS has replaced the file since it was opened. The next try finds the new one. */
enum { BEAT_DIGITS = 20, STALE_TRIES = 3 };

static void parse(rn_lock_record *r) {
  const char *beat = strstr(r->text, BEAT_WORD);
  const size_t bytes = beat != NULL ? (size_t)(beat - r->text) : strlen(r->text);
  snprintf(r->id, sizeof r->id, "%016llx", (unsigned long long)XXH3_64bits(r->text, bytes));
  if (sscanf(r->text,
             "host %127s\nkernel %127s\nprocess %lld\nstart %llu\njob %63s\nsince %63[^\n]",
             r->process.host, r->process.kernel, &r->process.pid, &r->process.start, r->job,
             r->since) != 6) {
    r->process = (rn_process){.host = "an unknown host", .kernel = "?"};
    snprintf(r->job, sizeof r->job, "-");
    snprintf(r->since, sizeof r->since, "an unknown time");
  }
}

/* Reads up to `capacity` bytes from the start of the file; returns -1 if it cannot be read. */
static ssize_t read_all(int fd, char *text, size_t capacity) {
  size_t done = 0;
  while (done < capacity) {
    const ssize_t count = pread(fd, text + done, capacity - done, (off_t)done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    if (count == 0) break;
    done += (size_t)count;
  }
  return (ssize_t)done;
}

/* Opens and reads the file once. Sets *used to -1 if it does not exist. Returns 0 or an errno, and
 * then leaves the record empty. */
static int read_once(const char *path, rn_lock_record *out, ssize_t *used, const char **what) {
  *out = (rn_lock_record){0};
  *used = -1;
  *what = "open";
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : errno;
  *what = "read";
  *used = read_all(fd, out->text, sizeof out->text - 1);
  const int why = *used < 0 ? errno : 0;
  if (why != 0) *out = (rn_lock_record){0};
  close(fd);
  return why;
}

rn_status rn_lock_record_read(rn_err *err, const char *path, rn_lock_record *out) {
  ssize_t used;
  const char *what;
  int why = read_once(path, out, &used, &what);
  for (int try = 1; try < STALE_TRIES && why == ESTALE; try++) {
    why = read_once(path, out, &used, &what);
  }
  if (why != 0) return rn_file_fail(err, what, path, why);
  if (used < 0) return RN_OK;
  if (used == 0) snprintf(out->text, sizeof out->text, "empty"); /* another process is writing it */
  parse(out);
  return RN_OK;
}

rn_lock_record rn_lock_record_of_self(void) {
  rn_lock_record r = {.process = rn_process_self()};
  const char *job = getenv("SLURM_JOB_ID");
  struct timespec now;
  struct tm local;
  clock_gettime(CLOCK_REALTIME, &now);
  localtime_r(&now.tv_sec, &local);
  strftime(r.since, sizeof r.since, "%Y-%m-%d %H:%M:%S", &local);
  snprintf(r.text, sizeof r.text,
           "host %s\nkernel %s\nprocess %lld\nstart %llu\njob %.60s\nsince %s.%09ld" BEAT_WORD
           "%0*d\n",
           r.process.host, r.process.kernel, r.process.pid, r.process.start,
           job != NULL && job[0] != '\0' ? job : "-", r.since, now.tv_nsec, BEAT_DIGITS, 0);
  parse(&r);
  return r;
}

void rn_lock_record_name(const rn_lock_record *r, char *text, size_t bytes) {
  const bool job = strcmp(r->job, "-") != 0;
  snprintf(text, bytes, "process %lld on %s%s%s%s, since %.19s", r->process.pid, r->process.host,
           job ? " (SLURM job " : "", job ? r->job : "", job ? ")" : "", r->since);
}

/* Writes the whole text at `offset`, repeating short writes. */
static bool write_all(int fd, const char *text, size_t bytes, off_t offset) {
  for (size_t done = 0; done < bytes;) {
    errno = ENOSPC; /* used if a write writes nothing and sets no errno */
    const ssize_t count = pwrite(fd, text + done, bytes - done, offset + (off_t)done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += (size_t)count;
  }
  return true;
}

rn_status rn_lock_record_create(rn_err *err, const char *path, const char *text) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return rn_file_fail(err, "create", path, errno);
  const size_t bytes = strlen(text);
  int why = write_all(fd, text, bytes, 0) ? rn_file_sync_fd(fd) : errno;
  if (close(fd) != 0 && why == 0) why = errno;
  if (why == 0) return RN_OK;
  unlink(path);
  return rn_file_fail(err, "write", path, why);
}

bool rn_lock_record_read_open(int fd, rn_lock_record *out) {
  *out = (rn_lock_record){0};
  const ssize_t used = read_all(fd, out->text, sizeof out->text - 1);
  if (used > 0) parse(out);
  return used > 0;
}

bool rn_lock_record_write_beat(int fd, const rn_lock_record *record, int64_t beats) {
  char beat[BEAT_DIGITS + 4];
  const int bytes = snprintf(beat, sizeof beat, "%0*lld", BEAT_DIGITS, (long long)beats);
  const char *digits = strstr(record->text, BEAT_WORD) + sizeof BEAT_WORD - 1;
  const bool good = write_all(fd, beat, (size_t)bytes, digits - record->text);
  return good && rn_file_sync_fd(fd) == 0;
}
