#include "proto/base/fault.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ORDER_BYTES = 128 };

static const char slow[] = ":slow=";

/* The last value read from RETNET_FAULT, and the passes counted since it was first seen. */
static struct {
  pthread_mutex_t lock;
  char order[ORDER_BYTES];
  long passes;
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool names_site(const char *order, const char *site) {
  const size_t length = strlen(site);
  return strncmp(order, site, length) == 0 && order[length] == ':';
}

/* The number of this pass; a new order resets the count. */
static long count_pass(const char *order) {
  pthread_mutex_lock(&fault.lock);
  if (strncmp(fault.order, order, ORDER_BYTES - 1) != 0) {
    snprintf(fault.order, ORDER_BYTES, "%s", order);
    fault.passes = 0;
  }
  const long pass = ++fault.passes;
  pthread_mutex_unlock(&fault.lock);
  return pass;
}

/* True if `pass` is in the range "5", "5-7" or "5-"; *kind points to the text after it. */
static bool is_meant(const char *range, long pass, char **kind) {
  const long first = strtol(range, kind, 10);
  long last = first;
  if (**kind == '-') {
    const char *end = *kind + 1;
    last = strtol(end, kind, 10);
    if (*kind == end) last = LONG_MAX;
  }
  return first <= pass && pass <= last;
}

static int error_of(const char *kind) {
  static const struct {
    const char *name;
    int error;
  } errors[] = {{":EIO", EIO},
                {":EDQUOT", EDQUOT},
                {":EROFS", EROFS},
                {":EFBIG", EFBIG},
                {":ENOENT", ENOENT}};
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    if (strcmp(kind, errors[i].name) == 0) return errors[i].error;
  }
  return ENOSPC;
}

static void sleep_ms(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

bool rn_fault_now(const char *site) {
  const char *order = getenv("RETNET_FAULT");
  if (order == NULL || !names_site(order, site)) return false;
  char *kind;
  if (!is_meant(order + strlen(site) + 1, count_pass(order), &kind)) return false;
  if (strncmp(kind, slow, sizeof slow - 1) == 0) {
    sleep_ms(strtol(kind + sizeof slow - 1, NULL, 10));
    return false;
  }
  if (strcmp(kind, ":kill") == 0) raise(SIGKILL);
  if (strcmp(kind, ":stop") == 0) raise(SIGSTOP);
  while (strcmp(kind, ":loop") == 0) pause();
  errno = error_of(kind);
  return true;
}
