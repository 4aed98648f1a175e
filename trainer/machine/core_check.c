#include "trainer/machine/core_check.h"

#include <stdio.h>

#include "proto/base/log.h"
#include "proto/base/omp_threads.h"

/* Returns the number of cores available to each rank of the node. */
static int share_of(rn_cores c) {
  const int cores = c.offered > c.used ? c.offered : c.used;
  return cores > c.ranks ? cores / c.ranks : 1;
}

/* Writes the two mpirun options that give a rank more cores. */
static void suggest_options(rn_cores c, char *text, size_t bytes) {
  snprintf(text, bytes, "use mpirun --bind-to none, or --map-by slot:PE=%d to bind to more cores",
           share_of(c));
}

bool rn_core_check_find(rn_cores c, int threads, bool given, char *text, size_t bytes) {
  char how[120];
  const int share = share_of(c), limit = share * rn_cores_hyperthreads(c);
  suggest_options(c, how, sizeof how);
  if (threads <= share && threads > c.cores) {
    snprintf(text, bytes, "%d threads of a rank are bound to %d of %d cores: %s", threads, c.cores,
             c.offered, how);
  } else if (!given && c.used < c.offered && share > c.cores) {
    snprintf(
        text, bytes,
        "all ranks on this node (%d) are bound to %d of %d cores, and the other cores are idle: %s",
        c.ranks, c.used, c.offered, how);
  } else if (threads > limit && threads > 1) {
    snprintf(text, bytes,
             "ranks of %d threads (%d ranks on this node) share %d cores and slow each other down: "
             "set parallel.threads (or OMP_NUM_THREADS) to %d, or start fewer ranks",
             threads, c.ranks, c.offered > c.used ? c.offered : c.used, share);
  } else {
    return false;
  }
  return true;
}

void rn_core_check(rn_cores cores, int asked) {
  static bool warned;
  char text[300];
  const int threads = rn_cores_threads(cores, asked);
  const bool given = asked > 0 || rn_omp_threads() > 0;
  if (warned) return;
  if (asked == 0 && rn_omp_threads_refused(threads, text, sizeof text)) rn_log_warn("%s", text);
  if (rn_core_check_find(cores, threads, given, text, sizeof text)) rn_log_warn("%s", text);
  warned = true;
}
