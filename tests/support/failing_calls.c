#include "tests/support/failing_calls.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Set while no other thread uses files. */
static struct {
  const char *function, *only;
  int error;
  bool acts;
} failing;
static atomic_int failed;

void failing_calls_set(const char *function, int error, const char *only, bool acts) {
  failing.function = function;
  failing.only = only;
  failing.error = error;
  failing.acts = acts;
  atomic_store(&failed, 0);
}

int failing_calls_count(void) {
  return atomic_load(&failed);
}

static bool is_meant(const char *function, const char *path) {
  if (failing.function == NULL || strcmp(failing.function, function) != 0) return false;
  return failing.only == NULL || strstr(path, failing.only) != NULL;
}

static int fail(void) {
  atomic_fetch_add(&failed, 1);
  errno = failing.error;
  return -1;
}

#define WRAP(name, path, parameters, arguments)                  \
  int __real_##name parameters;                                  \
  int __wrap_##name parameters;                                  \
  int __wrap_##name parameters {                                 \
    if (!is_meant(#name, path)) return __real_##name arguments;  \
    if (failing.acts && __real_##name arguments != 0) return -1; \
    return fail();                                               \
  }

WRAP(fsync, "", (int fd), (fd))
WRAP(link, to, (const char *from, const char *to), (from, to))
WRAP(mkdir, path, (const char *path, mode_t mode), (path, mode))
WRAP(remove, path, (const char *path), (path))
WRAP(rename, to, (const char *from, const char *to), (from, to))
WRAP(renameat2, to, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
     (from_fd, from, to_fd, to, flags))
WRAP(statvfs, path, (const char *path, struct statvfs *out), (path, out))
WRAP(unlink, path, (const char *path), (path))
