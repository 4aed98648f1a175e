#include "data/exchange/event_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "data/file/crc32c.h"
#include "data/file/little_endian.h"
#include "proto/base/arena.h"
#include "proto/schema/event.pb-c.h"

enum { HEAD_BYTES = 12, TAIL_BYTES = 4, HOST_BYTES = 64, MAX_SCALARS = 64 };

static const char name_begin[] = "events.out.tfevents.";

/* ---- file name ---- */

/* Sets *newest to the latest time in the names of the event files in `folder`, or to 0 if there are
 * none. */
static rn_status find_newest(rn_err *err, const char *folder, long long *newest) {
  DIR *dir = opendir(folder);
  *newest = 0;
  if (dir == NULL) return rn_file_fail(err, "list", folder, errno);
  for (const struct dirent *entry; (errno = 0, entry = readdir(dir)) != NULL;) {
    if (strncmp(entry->d_name, name_begin, sizeof name_begin - 1) != 0) continue;
    const long long when = strtoll(entry->d_name + sizeof name_begin - 1, NULL, 10);
    if (when > *newest && when < 9999999999) *newest = when;
  }
  const int error = errno;
  closedir(dir);
  return error == 0 ? RN_OK : rn_file_fail(err, "list", folder, error);
}

/* Sets `host` to the name of this host; replaces characters that are not safe in a path by "_". */
static void plain_host(char host[HOST_BYTES]) {
  if (gethostname(host, HOST_BYTES) != 0) host[0] = '\0';
  host[HOST_BYTES - 1] = '\0';
  for (char *c = host; *c != '\0'; c++) {
    const bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                       (*c >= '0' && *c <= '9') || *c == '-' || *c == '.';
    if (!plain) *c = '_';
  }
  if (host[0] == '\0') snprintf(host, HOST_BYTES, "localhost");
}

static rn_status choose_path(rn_err *err, const char *folder, rn_path *out) {
  char host[HOST_BYTES], name[HOST_BYTES + 80];
  long long newest, now = (long long)time(NULL);
  RN_TRY(err, find_newest(err, folder, &newest));
  if (now <= newest) now = newest + 1;
  plain_host(host);
  snprintf(name, sizeof name, "%s%010lld.%s.%ld.0", name_begin, now, host, (long)getpid());
  *out = rn_path_join(folder, name);
  return RN_OK;
}

/* ---- records ---- */

static double wall_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint32_t masked_sum(const unsigned char *data, size_t bytes) {
  const uint32_t crc = rn_crc32c(data, bytes);
  return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

static rn_status add_event(rn_err *err, rn_journal *file, const Retnet__Event *event) {
  const size_t length = retnet__event__get_packed_size(event);
  const size_t bytes = HEAD_BYTES + length + TAIL_BYTES;
  unsigned char *record = NULL;
  RN_TRY(err, rn_alloc(err, "a record of an event file", bytes, 1, &record));
  rn_put_u64(record, length);
  rn_put_u32(record + 8, masked_sum(record, 8));
  retnet__event__pack(event, record + HEAD_BYTES);
  rn_put_u32(record + HEAD_BYTES + length, masked_sum(record + HEAD_BYTES, length));
  const rn_status status = rn_journal_add(err, file, (const char *)record, bytes);
  free(record);
  return status;
}

/* Adds the first two records: the format version, and the first step whose values in earlier
 * files are discarded. */
static rn_status add_header(rn_err *err, rn_journal *file, int64_t first_step) {
  char version[] = "brain.Event:2";
  Retnet__Event event = RETNET__EVENT__INIT;
  Retnet__SessionLog start = RETNET__SESSION_LOG__INIT;
  event.has_wall_time = true;
  event.wall_time = wall_time();
  event.file_version = version;
  RN_TRY(err, add_event(err, file, &event));
  event.file_version = NULL;
  event.has_step = true;
  event.step = first_step;
  start.has_status = true;
  start.status = RETNET__SESSION_LOG__SESSION_STATUS__START;
  event.session_log = &start;
  return add_event(err, file, &event);
}

/* ---- event files ---- */

rn_status rn_event_file_create(rn_err *err, const char *folder, int64_t first_step,
                               rn_event_file *out) {
  rn_path path;
  *out = (rn_event_file){0};
  RN_TRY(err, choose_path(err, folder, &path));
  RN_TRY(err, rn_journal_open(err, path.text, 0, &out->file));
  rn_err failure = {0};
  const rn_status status = add_header(&failure, &out->file, first_step);
  if (status == RN_OK || status == RN_ERR_IO) return RN_OK;
  *err = failure;
  rn_journal_close(&failure, &out->file);
  return status;
}

rn_status rn_event_file_add(rn_err *err, rn_event_file *events, int64_t step,
                            const rn_scalar *scalars, int count) {
  Retnet__Event event = RETNET__EVENT__INIT;
  Retnet__EventSummary summary = RETNET__EVENT_SUMMARY__INIT;
  Retnet__EventSummary__Value value[MAX_SCALARS], *values[MAX_SCALARS];
  for (int first = 0; first < count; first += MAX_SCALARS) {
    const int now = count - first < MAX_SCALARS ? count - first : MAX_SCALARS;
    for (int i = 0; i < now; i++) {
      retnet__event_summary__value__init(&value[i]);
      value[i].tag = (char *)scalars[first + i].name;
      value[i].has_simple_value = true;
      value[i].simple_value = (float)scalars[first + i].value;
      values[i] = &value[i];
    }
    summary.n_value = (size_t)now;
    summary.value = values;
    event.has_wall_time = event.has_step = true;
    event.wall_time = wall_time();
    event.step = step;
    event.summary = &summary;
    RN_TRY(err, add_event(err, &events->file, &event));
  }
  return RN_OK;
}

rn_status rn_event_file_close(rn_err *err, rn_event_file *events) {
  return rn_journal_close(err, &events->file);
}
