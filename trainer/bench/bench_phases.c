#include "trainer/bench/bench_phases.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Spans that begin a phase. Other spans belong to the phase of the enclosing span. */
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

/* ---- subphases ---- */

static rn_subphase *find_subphase(rn_subphases *subphases, rn_phase phase, const char *name) {
  for (int i = 0; i < subphases->count; i++) {
    rn_subphase *subphase = &subphases->subphase[i];
    if (subphase->phase == phase && strcmp(subphase->name, name) == 0) return subphase;
  }
  assert(subphases->count < RN_SUBPHASES);
  subphases->subphase[subphases->count] = (rn_subphase){.phase = phase, .name = name};
  return &subphases->subphase[subphases->count++];
}

void rn_subphases_add(const rn_spans *spans, rn_subphases *subphases) {
  for (int i = 0; i < spans->paths; i++) {
    const rn_span_path *path = &spans->path[i];
    rn_phase phase;
    if (!phase_of(spans, i, &phase)) continue;
    rn_subphase *subphase = find_subphase(subphases, phase, path->name);
    subphase->s += path->total_s - path->inner_s;
    subphase->count += (double)path->count;
    subphase->tasks += (double)path->tasks.count;
    subphase->tasks_s += 1e-9 * (double)path->tasks.total_ns;
    subphase->longest_task_s =
        fmax(subphase->longest_task_s, 1e-9 * (double)path->tasks.longest_ns);
  }
}

double rn_subphase_busy(const rn_subphase *subphase, int threads) {
  return subphase->tasks > 0 ? subphase->tasks_s / (threads * subphase->s) : 0;
}

double rn_subphase_longest(const rn_subphase *subphase) {
  return subphase->tasks > 0 ? subphase->longest_task_s * subphase->count / subphase->s : 0;
}

const char *rn_phase_name(rn_phase phase) {
  static const char *const names[] = {"forward",   "backward_input", "weight",
                                      "optimizer", "wait",           "other"};
  return names[phase];
}
