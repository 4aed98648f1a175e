#include "tests/support/held.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_HELD = 8192 };

typedef struct held {
  held_kind kind;
  uintptr_t handle, place;
  const char *function;
} held;

static struct {
  pthread_mutex_t lock;
  int count;
  held entry[MAX_HELD];
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void remove_entry(held_kind kind, uintptr_t handle) {
  for (int i = all.count - 1; i >= 0; i--) {
    if (all.entry[i].kind != kind || all.entry[i].handle != handle) continue;
    all.entry[i] = all.entry[--all.count];
    return;
  }
}

void held_remove(held_kind kind, uintptr_t handle) {
  pthread_mutex_lock(&all.lock);
  remove_entry(kind, handle);
  pthread_mutex_unlock(&all.lock);
}

void held_add(held_kind kind, uintptr_t handle, const char *function, uintptr_t place) {
  pthread_mutex_lock(&all.lock);
  remove_entry(kind, handle);
  if (all.count == MAX_HELD) abort();
  all.entry[all.count++] = (held){kind, handle, place, function};
  pthread_mutex_unlock(&all.lock);
}

/* Sets `target` to what a descriptor refers to. Returns false if the descriptor is closed. Uses
 * system calls, because the functions of the C library are redirected. */
static bool find_target(int fd, char *target, size_t bytes) {
  char link[64];
  if (syscall(SYS_fcntl, fd, F_GETFD) < 0) return false;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const long length = syscall(SYS_readlink, link, target, bytes - 1);
  target[length > 0 ? length : 0] = '\0';
  return true;
}

void held_report(int rank) {
  static const char *const names[] = {"descriptor", "mapping",   "communicator", "window",
                                      "data type",  "operation", "request"};
  for (const held *e = all.entry; e < all.entry + all.count; e++) {
    char target[PATH_MAX] = "";
    if (e->kind == HELD_DESCRIPTOR && !find_target((int)e->handle, target, sizeof target)) continue;
    dprintf(STDERR_FILENO, "leak: rank %d: %s 0x%lx of %s@%lx %s\n", rank, names[e->kind],
            (unsigned long)e->handle, e->function, (unsigned long)e->place, target);
  }
}
