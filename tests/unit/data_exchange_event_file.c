/*
 * Checks that an event file has the bytes that TensorBoard reads: framed records with masked
 * checksums; first the version, then the step from which it replaces earlier files, then the
 * scalars. The names of later files must come after those of earlier ones.
 */
#include "data/exchange/event_file.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/little_endian.h"
#include "proto/schema/event.pb-c.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

/* Lists the names in the folder in alphabetical order. */
static int list(const char *folder, struct dirent ***names) {
  return scandir(folder, names, NULL, alphasort);
}

static void free_names(struct dirent **names, int count) {
  for (int i = 0; i < count; i++) free(names[i]);
  free(names);
}

/* Returns the newest event file of the folder, which is the last one in the order of names. */
static rn_path newest(const char *folder) {
  struct dirent **names = NULL;
  const int count = list(folder, &names);
  const rn_path path = rn_path_join(folder, count > 0 ? names[count - 1]->d_name : "");
  if (count > 0) free_names(names, count);
  return path;
}

/* Reads the record at *at and advances *at; NULL if there is no complete one. */
static Retnet__Event *take(const unsigned char *bytes, size_t size, size_t *at) {
  if (*at + 16 > size) return NULL;
  const uint64_t length = rn_get_u64(bytes + *at);
  if (length > size - *at - 16) return NULL;
  const unsigned char *data = bytes + *at + 12;
  *at += 16 + length;
  return retnet__event__unpack(NULL, length, data);
}

static void records_hold_what_was_added(void) {
  const char *folder = temp_path("records");
  const rn_scalar scalars[] = {{"loss", 2.5}, {"lr", 1e-3}, {"grad_norm", NAN}};
  rn_event_file events;
  void *bytes = NULL;
  size_t size = 0, at = 0;
  CHECK_OK(err, rn_file_make_folder(err, folder));
  CHECK_OK(err, rn_event_file_create(err, folder, 8, &events));
  CHECK_OK(err, rn_event_file_add(err, &events, 8, scalars, 3));
  CHECK_OK(err, rn_event_file_close(err, &events));
  CHECK_OK(err, rn_file_load(err, newest(folder).text, 1 << 20, &bytes, &size));

  Retnet__Event *version = take(bytes, size, &at);
  if (CHECK(version != NULL && version->file_version != NULL)) {
    CHECK(strcmp(version->file_version, "brain.Event:2") == 0);
    CHECK(version->wall_time > 1.7e9);
  }
  Retnet__Event *start = take(bytes, size, &at);
  if (CHECK(start != NULL && start->session_log != NULL)) {
    CHECK_EQUAL(start->step, 8);
    CHECK_EQUAL(start->session_log->status, 1);
  }
  Retnet__Event *step = take(bytes, size, &at);
  if (CHECK(step != NULL && step->summary != NULL && step->summary->n_value == 3)) {
    CHECK_EQUAL(step->step, 8);
    CHECK(strcmp(step->summary->value[1]->tag, "lr") == 0);
    CHECK_RELATIVE(step->summary->value[0]->simple_value, 2.5, 0);
    CHECK_RELATIVE(step->summary->value[1]->simple_value, 1e-3, 1e-7);
    CHECK(isnan(step->summary->value[2]->simple_value));
  }
  CHECK_EQUAL(at, size);
  retnet__event__free_unpacked(version, NULL);
  retnet__event__free_unpacked(start, NULL);
  retnet__event__free_unpacked(step, NULL);
  free(bytes);
}

/* Checks length and checksum of the first record, which are the same in all event files of
 * TensorFlow. */
static void a_file_begins_like_those_of_tensorflow(void) {
  const char *folder = temp_path("records");
  void *bytes = NULL;
  size_t size = 0;
  static const unsigned char head[12] = {24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22};
  CHECK_OK(err, rn_file_load(err, newest(folder).text, 1 << 20, &bytes, &size));
  if (CHECK(size > 40)) CHECK(memcmp(bytes, head, sizeof head) == 0);
  free(bytes);
}

/* Names must increase even if files are created in the same second or an existing file has a time
 * in the future. */
static void names_are_in_order(void) {
  const char *folder = temp_path("names");
  rn_event_file events;
  struct dirent **names = NULL;
  CHECK_OK(err, rn_file_make_folder(err, folder));
  for (int i = 0; i < 3; i++) {
    CHECK_OK(err, rn_event_file_create(err, folder, 1, &events));
    CHECK_OK(err, rn_event_file_close(err, &events));
  }
  int count = list(folder, &names);
  CHECK_EQUAL(count, 2 + 3);
  free_names(names, count);
  const rn_path future = rn_path_join(folder, "events.out.tfevents.4000000000.z.1.0");
  CHECK_OK(err, rn_file_replace(err, future.text, "", 0));
  CHECK_OK(err, rn_event_file_create(err, folder, 1, &events));
  CHECK_OK(err, rn_event_file_close(err, &events));
  CHECK(strstr(newest(folder).text, "events.out.tfevents.4000000001.") != NULL);
}

static void a_missing_folder_is_named(void) {
  rn_event_file events;
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "nowhere",
              rn_event_file_create(err, temp_path("nowhere"), 1, &events));
}

int main(void) {
  records_hold_what_was_added();
  a_file_begins_like_those_of_tensorflow();
  names_are_in_order();
  a_missing_folder_is_named();
  return check_result();
}
