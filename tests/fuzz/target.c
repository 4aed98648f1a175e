#include "tests/fuzz/target.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data/file/blob.h"
#include "data/file/little_endian.h"
#include "tests/support/temp.h"

void target_require(bool condition, const char *rule) {
  if (condition) return;
  fprintf(stderr, "fuzz target: broken rule: %s\n", rule);
  abort();
}

bool target_is_ok(rn_status status, const rn_err *err) {
  target_require((status == RN_OK) == (err->text[0] == '\0'),
                 "a failure, and only that, has a message");
  return status == RN_OK;
}

const char *target_file(const void *data, size_t bytes) {
  static char path[64];
  static int fd = -1;
  if (fd >= 0) close(fd);
  fd = memfd_create("fuzz", MFD_CLOEXEC);
  target_require(fd >= 0, "memfd_create works");
  target_require(write(fd, data, bytes) == (ssize_t)bytes, "the file can be written");
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return path;
}

const char *target_path(const char *name) {
  static const char *known[8];
  int i = 0;
  while (i < 8 && known[i] != NULL && strcmp(strrchr(known[i], '/') + 1, name) != 0) i++;
  target_require(i < 8, "few paths are used");
  if (known[i] == NULL) known[i] = temp_path(name);
  return known[i];
}

void target_write(const char *path, const void *data, size_t bytes) {
  FILE *file = fopen(path, "wb");
  target_require(file != NULL, "the file can be created");
  target_require(bytes == 0 || fwrite(data, bytes, 1, file) == 1, "the file can be written");
  target_require(fclose(file) == 0, "the file can be closed");
}

void *target_memory(size_t bytes) {
  void *memory = malloc(bytes > 0 ? bytes : 1);
  target_require(memory != NULL, "memory suffices");
  return memory;
}

target_bytes target_copy(target_bytes bytes) {
  target_bytes copy = {target_memory(bytes.count), bytes.count};
  if (bytes.count > 0) memcpy(copy.data, bytes.data, bytes.count);
  return copy;
}

target_bytes target_pack(target_bytes raw) {
  rn_err err = {0};
  target_bytes frame = {target_memory(rn_blob_bound(raw.count)), 0};
  target_require(rn_blob_pack(&err, raw.data, raw.count, 1, frame.data, &frame.count) == RN_OK,
                 "the bytes can be compressed");
  return frame;
}

bool target_split(const uint8_t *data, size_t bytes, target_bytes *message, target_bytes *rest) {
  if (bytes < 2) return false;
  const size_t claimed = (size_t)rn_get_bytes(data, 2), left = bytes - 2;
  uint8_t *start = (uint8_t *)(uintptr_t)data + 2;
  *message = (target_bytes){start, claimed < left ? claimed : left};
  *rest = (target_bytes){start + message->count, left - message->count};
  return true;
}
