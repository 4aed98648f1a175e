#include "trainer/bench/bench_phases.h"

#include <stdbool.h>
#include <string.h>

/* Spans that begin a phase; all others belong to the phase of the enclosing span. */
static const struct {
  const char *span;
  rn_phase phase;
} starts[] = {{"forward", RN_PHASE_FORWARD},
              {"backward", RN_PHASE_BACKWARD},
              {"weight", RN_PHASE_WEIGHT},
              {"weight gradient GEMMs", RN_PHASE_WEIGHT},
              {"cast weights", RN_PHASE_OPTIMIZER},
              {"zero gradients", RN_PHASE_OPTIMIZER},
              {"gradient reduction", RN_PHASE_OPTIMIZER},
              {"bucket reduction", RN_PHASE_OPTIMIZER},
              {"gradient norm", RN_PHASE_OPTIMIZER},
              {"update", RN_PHASE_OPTIMIZER},
              {"weight all-gather", RN_PHASE_OPTIMIZER}};

static bool find_start(const char *name, rn_phase *phase) {
  if (strncmp(name, "wait", 4) == 0) {
    *phase = RN_PHASE_WAIT;
    return true;
  }
  for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
    if (strcmp(name, starts[i].span) != 0) continue;
    *phase = starts[i].phase;
    return true;
  }
  return false;
}

/* Finds the phase of a span path; returns false if the path is not inside a step. */
static bool phase_of(const rn_spans *spans, int path, rn_phase *phase) {
  bool found = false;
  *phase = RN_PHASE_OTHER;
  for (int p = path; p >= 0; p = spans->path[p].parent) {
    if (strcmp(spans->path[p].name, "step") == 0) return true;
    if (!found) found = find_start(spans->path[p].name, phase);
  }
  return false;
}

rn_phase_times rn_phase_times_of(const rn_spans *spans) {
  rn_phase_times times = {0};
  for (int i = 0; i < spans->paths; i++) {
    rn_phase phase;
    if (!phase_of(spans, i, &phase)) continue;
    times.s[phase] += spans->path[i].total_s - spans->path[i].inner_s;
  }
  return times;
}

const char *rn_phase_name(rn_phase phase) {
  static const char *const names[] = {"forward",   "backward_input", "weight",
                                      "optimizer", "wait",           "other"};
  return names[phase];
}
