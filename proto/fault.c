#include "proto/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDER_BYTES = 128 };

/* What the environment asked for when it was last looked at, and the passes counted since. */
static struct {
  pthread_mutex_t lock;
  char order[ORDER_BYTES];
  long passes;
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool names_site(const char *order, const char *site) {
  const size_t length = strlen(site);
  return strncmp(order, site, length) == 0 && order[length] == ':';
}

/* The number of this pass; another order begins anew. */
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

bool rn_fault_now(const char *site) {
  const char *order = getenv("RETNET_FAULT");
  if (order == NULL || !names_site(order, site)) return false;
  char *kind;
  const long wanted = strtol(order + strlen(site) + 1, &kind, 10);
  if (count_pass(order) != wanted) return false;
  if (strcmp(kind, ":kill") == 0) raise(SIGKILL);
  errno = ENOSPC;
  return true;
}
