#include "trainer/machine/binding.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/base/threads.h"

static struct {
  bool decided;
  int threads, cores, hyperthreads; /* `cores`: cores of this rank's share; `hyperthreads`: hardware
                                       threads per core */
  char why[120];
} decision = {.why = "not bound"};

bool rn_binding_find(rn_cores cores, int threads, char *why, size_t bytes) {
  static const char *const variable[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY",
                                         "KMP_AFFINITY"};
  for (size_t i = 0; i < sizeof variable / sizeof variable[0]; i++) {
    const char *value = getenv(variable[i]);
    if (value == NULL) continue;
    snprintf(why, bytes, "bound by %s=%.40s", variable[i], value);
    return false;
  }
  const int own = rn_mask_count(&cores.own);
  if (cores.sharing > 1 && threads > own) {
    snprintf(why, bytes, "not bound: %d ranks share %d core%s", cores.sharing, cores.cores,
             cores.cores == 1 ? "" : "s");
  } else if (threads > own) {
    snprintf(why, bytes, "not bound: %d threads on %d core%s", threads, cores.cores,
             cores.cores == 1 ? "" : "s");
  } else if (threads < 2) {
    snprintf(why, bytes, "not bound: only one thread");
  } else {
    return true;
  }
  return false;
}

void rn_binding_decide(rn_cores cores, int threads) {
  if (decision.decided) return;
  decision.decided = true;
  const bool wanted = rn_binding_find(cores, threads, decision.why, sizeof decision.why);
  if (wanted) snprintf(decision.why, sizeof decision.why, "not bound: the system refused it");
  rn_threads_bind(wanted ? &cores.own : NULL);
  decision.threads = threads;
  decision.cores = cores.cores / (cores.sharing > 0 ? cores.sharing : 1);
  decision.hyperthreads = rn_cores_hyperthreads(cores);
}

void rn_binding_reset(void) {
  decision.decided = false;
}

/* If cores have several hardware threads, appends whether the threads of this rank share cores. */
static void describe_hyperthreads(char *text, size_t bytes) {
  if (decision.hyperthreads < 2) return;
  const char *how =
      decision.threads <= decision.cores ? "one thread per core" : "threads share cores";
  snprintf(text, bytes, " (%s; %d core%s with %d hardware threads each)", how, decision.cores,
           decision.cores == 1 ? "" : "s", decision.hyperthreads);
}

void rn_binding_describe(char *text, size_t bytes) {
  rn_mask cores;
  char list[80], more[90] = "";
  describe_hyperthreads(more, sizeof more);
  if (rn_threads_bound(&cores)) {
    rn_mask_text(&cores, list, sizeof list);
    snprintf(text, bytes, "bound to cores %s%s", list, more);
  } else {
    snprintf(text, bytes, "%s%s", decision.why, more);
  }
}
