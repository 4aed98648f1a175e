/* The phases of a step add up to its time: weight products count as weight wherever they run, waits
 * as wait, and whatever has no phase of its own belongs to the one that encloses it. */
#include "trainer/bench/bench_phases.h"

#include "tests/support/check.h"

static rn_spans spans;

/* Adds a path with `own_s` seconds of its own; returns its index. */
static int add(const char *name, int parent, double own_s) {
  spans.path[spans.paths] = (rn_span_path){.name = name, .parent = parent, .count = 1};
  for (int p = spans.paths; p >= 0; p = spans.path[p].parent) {
    spans.path[p].total_s += own_s;
    if (p != spans.paths) spans.path[p].inner_s += own_s;
  }
  return spans.paths++;
}

static double sum_of(rn_phase_times times) {
  double sum = 0;
  for (int i = 0; i < RN_PHASES; i++) sum += times.s[i];
  return sum;
}

/* One path of each kind, with times of which every sum is different. */
static void phases_are_told_apart(void) {
  spans = (rn_spans){0};
  const int step = add("step", -1, 1), pipeline = add("pipeline", step, 2);
  const int forward = add("forward", pipeline, 4), backward = add("backward", pipeline, 8);
  add("head", forward, 16);
  const int again = add("recompute forward", backward, 32);
  add("wait for state", again, 64);
  add("weight gradient GEMMs", add("layer", backward, 128), 256);
  add("feed-forward", add("weight", pipeline, 512), 1024);
  add("update", step, 2048);
  add("wait for loss and norm of all ranks", step, 4096);
  add("bucket reduction", backward, 8192);
  const rn_phase_times times = rn_phase_times_of(&spans);
  CHECK_EQUAL(times.s[RN_PHASE_FORWARD], 4 + 16);
  CHECK_EQUAL(times.s[RN_PHASE_BACKWARD], 8 + 32 + 128);
  CHECK_EQUAL(times.s[RN_PHASE_WEIGHT], 256 + 512 + 1024);
  CHECK_EQUAL(times.s[RN_PHASE_OPTIMIZER], 2048 + 8192);
  CHECK_EQUAL(times.s[RN_PHASE_WAIT], 64 + 4096);
  CHECK_EQUAL(times.s[RN_PHASE_OTHER], 1 + 2);
  CHECK_EQUAL(sum_of(times), spans.path[step].total_s);
}

static void time_outside_of_steps_does_not_count(void) {
  spans = (rn_spans){0};
  add("forward", add("evaluation", -1, 1), 2);
  CHECK_EQUAL(sum_of(rn_phase_times_of(&spans)), 0);
}

int main(void) {
  phases_are_told_apart();
  time_outside_of_steps_does_not_count();
  return check_result();
}
