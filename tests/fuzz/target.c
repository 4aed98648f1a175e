#include "tests/fuzz/target.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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
