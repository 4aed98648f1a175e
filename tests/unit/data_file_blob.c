/* Checks that a blob is read back as written, and that a blob that is altered, truncated or too
 * large is rejected. */
#include "data/file/blob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/random.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

static unsigned char *sample_bytes(size_t count) {
  unsigned char *bytes = malloc(count + 1);
  rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, 1, "blob");
  for (size_t i = 0; i < count; i++) {
    bytes[i] = (unsigned char)(rn_random_bits(key, i) >> (i % 3 == 0 ? 60 : 63));
  }
  return bytes;
}

static void blobs_of_any_size_come_back(void) {
  static const size_t sizes[] = {0, 1, 2, 1000, 65536, 300001};
  enum { COUNT = sizeof sizes / sizeof *sizes };
  const char *path = temp_path("blobs");
  rn_blob_extent extents[COUNT];
  unsigned char *raw = sample_bytes(sizes[COUNT - 1]);
  rn_file file = {0};
  int64_t end = 5;
  CHECK_OK(err, rn_file_create(err, path, &file));
  for (int i = 0; i < COUNT; i++) {
    CHECK_OK(err, rn_blob_write(err, &file, end, (rn_bytes){raw, sizes[i]}, i - 1, &extents[i]));
    CHECK_EQUAL(extents[i].offset, end);
    end += extents[i].stored_bytes;
  }
  CHECK_OK(err, rn_file_sync(err, &file));
  CHECK_OK(err, rn_file_close(err, &file));
  CHECK_OK(err, rn_file_open(err, path, &file));
  CHECK_EQUAL(file.size_bytes, end);
  for (int i = 0; i < COUNT; i++) {
    void *back = NULL;
    size_t bytes = 0;
    if (!CHECK_OK(err, rn_blob_read(err, &file, extents[i], sizes[i], &back, &bytes))) continue;
    CHECK_EQUAL(bytes, sizes[i]);
    CHECK(memcmp(back, raw, bytes) == 0);
    free(back);
    if (sizes[i] > 0) {
      CHECK_FAILS(err, RN_ERR_FORMAT, "blobs|declares",
                  rn_blob_read(err, &file, extents[i], sizes[i] - 1, &back, &bytes));
    }
  }
  rn_blob_extent beyond = extents[COUNT - 1];
  void *back = NULL;
  size_t bytes = 0;
  beyond.stored_bytes++;
  CHECK_FAILS(err, RN_ERR_FORMAT, "blobs|truncated",
              rn_blob_read(err, &file, beyond, 1 << 20, &back, &bytes));
  beyond = (rn_blob_extent){INT64_MAX, INT64_MAX, 0};
  CHECK_FAILS(err, RN_ERR_FORMAT, "blobs",
              rn_blob_read(err, &file, beyond, 1 << 20, &back, &bytes));
  beyond.offset = -1;
  CHECK_FAILS(err, RN_ERR_FORMAT, "blobs",
              rn_blob_read(err, &file, beyond, 1 << 20, &back, &bytes));
  rn_file_destroy(&file);
  free(raw);
}

static void every_flipped_bit_is_found(void) {
  enum { RAW = 60 };
  const char *path = temp_path("flipped");
  unsigned char *raw = sample_bytes(RAW);
  rn_blob_extent place;
  rn_file file = {0};
  CHECK_OK(err, rn_file_create(err, path, &file));
  CHECK_OK(err, rn_blob_write(err, &file, 0, (rn_bytes){raw, RAW}, 3, &place));
  file.size_bytes = place.stored_bytes;
  for (int64_t bit = 0; bit < 8 * place.stored_bytes; bit++) {
    unsigned char byte;
    void *back = NULL;
    size_t bytes = 0;
    CHECK_OK(err, rn_file_read(err, &file, bit / 8, &byte, 1));
    byte ^= (unsigned char)(1 << bit % 8);
    CHECK_OK(err, rn_file_write(err, &file, bit / 8, &byte, 1));
    CHECK_FAILS(err, RN_ERR_FORMAT, "flipped|sum",
                rn_blob_read(err, &file, place, RAW, &back, &bytes));
    byte ^= (unsigned char)(1 << bit % 8);
    CHECK_OK(err, rn_file_write(err, &file, bit / 8, &byte, 1));
  }
  rn_file_destroy(&file);
  free(raw);
}

static void foreign_frames_are_refused(void) {
  unsigned char *raw = sample_bytes(5000), stored[8192], back[5000];
  size_t bytes = 0;
  CHECK(rn_blob_bound(5000) <= sizeof stored);
  CHECK_OK(err, rn_blob_pack(err, raw, 5000, 1, stored, &bytes));
  CHECK_OK(err, rn_blob_unpack(err, "here", stored, bytes, back, 5000));
  CHECK(memcmp(raw, back, 5000) == 0);
  CHECK_FAILS(err, RN_ERR_FORMAT, "here", rn_blob_unpack(err, "here", stored, bytes, back, 4999));
  CHECK_FAILS(err, RN_ERR_FORMAT, "here",
              rn_blob_unpack(err, "here", stored, bytes - 1, back, 5000));
  CHECK_FAILS(err, RN_ERR_FORMAT, "here",
              rn_blob_unpack(err, "here", stored, bytes + 1, back, 5000));
  CHECK_FAILS(err, RN_ERR_FORMAT, "here", rn_blob_unpack(err, "here", raw, 5000, back, 5000));
  CHECK_FAILS(err, RN_ERR_FORMAT, "here", rn_blob_unpack(err, "here", stored, 0, back, 5000));
  free(raw);
}

static void a_replaced_file_is_whole_and_leaves_nothing_behind(void) {
  const char *path = temp_path("deep/er/replaced");
  void *text = NULL;
  size_t bytes = 0;
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "replaced|No such file|check the path",
              rn_file_replace(err, path, "one", 3));
  CHECK_OK(err, rn_file_make_folder(err, temp_path("deep/er")));
  CHECK_OK(err, rn_file_make_folder(err, temp_path("deep/er")));
  CHECK_OK(err, rn_file_replace(err, path, "one", 3));
  CHECK_OK(err, rn_file_replace(err, path, "three", 5));
  CHECK_OK(err, rn_file_load(err, path, 5, &text, &bytes));
  CHECK_EQUAL(bytes, 5);
  CHECK(strcmp(text, "three") == 0);
  free(text);
  CHECK_FAILS(err, RN_ERR_FORMAT, "replaced", rn_file_load(err, path, 4, &text, &bytes));
  CHECK(!rn_file_exists(temp_path("deep/er/replaced.new")));
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "deep/er/replaced/x|Not a directory",
              rn_file_make_folder(err, temp_path("deep/er/replaced/x")));
  CHECK_FAILS(err, RN_ERR_FORMAT, "deep|regular",
              rn_file_load(err, temp_path("deep"), 9, &text, &bytes));
  CHECK_OK(err, rn_file_remove_tree(err, temp_path("deep")));
  CHECK(!rn_file_exists(temp_path("deep")));
}

/* A path whose lookup fails is neither there nor missing, and what may be left there is not taken
 * for removed. */
static void a_failed_lookup_is_not_absence(void) {
  char name[300];
  bool exists;
  memset(name, 'n', sizeof name - 1); /* ENAMETOOLONG */
  name[sizeof name - 1] = '\0';
  CHECK(!rn_file_exists(name) && !rn_file_is_missing(name));
  CHECK_FAILS(err, RN_ERR_IO, "look up", rn_file_find(err, name, &exists));
  CHECK_FAILS(err, RN_ERR_IO, "look up", rn_file_remove_left(err, name));
  CHECK(rn_file_is_missing(temp_path("never")));
  CHECK_OK(err, rn_file_remove_left(err, temp_path("never")));
  CHECK_OK(err, rn_file_replace(err, temp_path("left"), "one", 3));
  CHECK(!rn_file_is_missing(temp_path("left")));
  CHECK_OK(err, rn_file_remove_left(err, temp_path("left")));
  CHECK(rn_file_is_missing(temp_path("left")));
}

/* Checks that only regular files are replaced: a rename to the path of a device or pipe would
 * remove the device or pipe. */
static void only_regular_files_are_replaced(void) {
  const char *pipe = temp_path("pipe");
  struct stat info;
  CHECK(mkfifo(pipe, 0600) == 0);
  CHECK_FAILS(err, RN_ERR_IO, "pipe|regular file", rn_file_replace(err, pipe, "one", 3));
  CHECK(stat(pipe, &info) == 0 && S_ISFIFO(info.st_mode));
  CHECK(!rn_file_exists(temp_path("pipe.new")));
  CHECK_OK(err, rn_file_make_folder(err, temp_path("folder")));
  CHECK_FAILS(err, RN_ERR_IO, "folder|regular file",
              rn_file_replace(err, temp_path("folder"), "one", 3));
}

static void resolves_to(const char *path, const char *expected) {
  rn_path resolved;
  CHECK_OK(err, rn_file_resolve_symlink(err, path, &resolved));
  CHECK(strcmp(resolved.text, expected) == 0);
}

/* A symbolic link must resolve to the file that it points to; the path of a file and a missing path
 * must be unchanged. */
static void links_are_resolved(void) {
  const char *file = temp_path("linked"), *link = temp_path("link");
  CHECK_OK(err, rn_file_replace(err, file, "one", 3));
  CHECK(symlink(file, link) == 0);
  char *real = realpath(file, NULL);
  if (!CHECK(real != NULL)) return;
  resolves_to(link, real);
  resolves_to(file, file);
  resolves_to("/nowhere/x", "/nowhere/x");
  free(real);
}

/* A failed lookup is RN_ERR_IO: the path must not be taken for a missing file or for another kind
 * of file. A link whose target has a name that is too long cannot be looked up by any user. */
static void failed_lookups_are_errors(void) {
  const char *link = temp_path("long"), *below = temp_path("long/below");
  char name[512];
  rn_path resolved;
  bool found;
  memset(name, 'x', sizeof name);
  name[sizeof name - 1] = '\0';
  CHECK(symlink(name, link) == 0);
  CHECK_FAILS(err, RN_ERR_IO, "long/below|look up", rn_file_resolve_symlink(err, below, &resolved));
  CHECK_FAILS(err, RN_ERR_IO, "long|look up", rn_file_resolve_symlink(err, link, &resolved));
  CHECK_FAILS(err, RN_ERR_IO, "long/below|look up", rn_file_find(err, below, &found));
  CHECK_FAILS(err, RN_ERR_IO, "long|look up", rn_file_find_folder(err, link, &found));
  CHECK_FAILS(err, RN_ERR_IO, "long|look up", rn_file_find_regular(err, link, &found));
  CHECK_FAILS(err, RN_ERR_IO, "long|look up", rn_file_check_target(err, link));
}

static void a_full_disk_is_named(void) {
  rn_file file = {.path = strdup("/dev/full")};
  FILE *full = fopen("/dev/full", "w");
  if (full != NULL) {
    file.fd = fileno(full);
    CHECK_FAILS(err, RN_ERR_IO, "/dev/full|No space left on device|free some space",
                rn_file_write(err, &file, 0, "x", 1));
    fclose(full);
  }
  free(file.path);
}

int main(void) {
  blobs_of_any_size_come_back();
  every_flipped_bit_is_found();
  foreign_frames_are_refused();
  a_replaced_file_is_whole_and_leaves_nothing_behind();
  a_failed_lookup_is_not_absence();
  only_regular_files_are_replaced();
  links_are_resolved();
  failed_lookups_are_errors();
  a_full_disk_is_named();
  return check_result();
}
