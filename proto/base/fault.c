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

#include "proto/base/random.h"

enum { ORDER_BYTES = 128 };

static const char slow[] = ":slow=", busy[] = ":busy=", late[] = ":late=";

/* The value of RETNET_FAULT at the last pass, and the number of passes since it got this value. */
static struct {
  pthread_mutex_t lock;
  char order[ORDER_BYTES];
  long passes;
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool names_site(const char *order, const char *site) {
  const size_t length = strlen(site);
  return strncmp(order, site, length) == 0 && order[length] == ':';
}

static bool is_current(const char *order) {
  return strncmp(fault.order, order, ORDER_BYTES - 1) == 0;
}

/* Counts a pass through the site that RETNET_FAULT names; returns the number of passes so far. If
 * RETNET_FAULT has changed, the count restarts. */
static long count_pass(const char *order) {
  pthread_mutex_lock(&fault.lock);
  if (!is_current(order)) {
    snprintf(fault.order, ORDER_BYTES, "%s", order);
    fault.passes = 0;
  }
  const long pass = ++fault.passes;
  pthread_mutex_unlock(&fault.lock);
  return pass;
}

/* True if the pass number is in `range`, for example "5", "5-7" or "5-". Sets *kind to the text
 * after the range. */
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

/* Counts a pass through `site` if RETNET_FAULT names it, and sets *pass to the number of the pass.
 * Returns the kind of fault to inject in this pass; NULL for none. */
static const char *kind_at(const char *site, long *pass) {
  const char *order = getenv("RETNET_FAULT");
  if (order == NULL || !names_site(order, site)) return NULL;
  char *kind;
  *pass = count_pass(order);
  return is_meant(order + strlen(site) + 1, *pass, &kind) ? kind : NULL;
}

bool rn_fault_names(const char *site) {
  const char *order = getenv("RETNET_FAULT");
  return order != NULL && names_site(order, site);
}

long rn_fault_passes(void) {
  const char *order = getenv("RETNET_FAULT");
  pthread_mutex_lock(&fault.lock);
  const long passes = order != NULL && is_current(order) ? fault.passes : 0;
  pthread_mutex_unlock(&fault.lock);
  return passes;
}

double rn_fault_busy(const char *site) {
  long pass;
  const char *kind = kind_at(site, &pass);
  if (kind == NULL || strncmp(kind, busy, sizeof busy - 1) != 0) return 0;
  char *end;
  const double fraction = strtod(kind + sizeof busy - 1, &end) / 100;
  if (*end != '~') return fraction;
  const uint64_t seed = strtoull(end + 1, NULL, 10);
  const rn_random_key key = rn_random_key_make(RN_RANDOM_TEST, &seed, 1);
  return 2 * fraction * rn_random_uniform(key, (uint64_t)pass);
}

double rn_fault_late_s(const char *site) {
  long pass;
  const char *kind = kind_at(site, &pass);
  if (kind == NULL || strncmp(kind, late, sizeof late - 1) != 0) return 0;
  return strtod(kind + sizeof late - 1, NULL) / 1000;
}

bool rn_fault_now(const char *site) {
  long pass;
  const char *kind = kind_at(site, &pass);
  if (kind == NULL) return false;
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
