/* Checks that the phases of a step add up to its time. Products that compute weight gradients must
 * count as phase `weight` wherever they run, and waits as phase `wait`; any other span must count
 * as the phase that encloses it. All spans with the same name in one phase form a subphase.
 * Subphases must add up to the phases, also over several steps, and must separate the time in which
 * threads are idle from the time of tasks. */
#include "trainer/bench/bench_phases.h"

#include <string.h>

#include "tests/support/check.h"

static rn_spans spans;

/* Adds a path with `own_s` seconds that are not in its children; returns its index. */
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

/* Adds one path of each kind; the times are powers of two, so that all sums are different. */
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

/* Adds `count` tasks to a path: all take 1 s except one of `longest_s`. */
static void add_tasks(int path, int count, int longest_s) {
  rn_span_tasks *tasks = &spans.path[path].tasks;
  tasks->count += count;
  tasks->total_ns += 1000000000LL * (count - 1 + longest_s);
  if (1000000000LL * longest_s > tasks->longest_ns) tasks->longest_ns = 1000000000LL * longest_s;
}

static const rn_subphase *subphase_of(const rn_subphases *subphases, rn_phase phase,
                                      const char *name) {
  const rn_subphase *found = NULL;
  for (int i = 0; i < subphases->count; i++) {
    const rn_subphase *subphase = &subphases->subphase[i];
    if (subphase->phase != phase || strcmp(subphase->name, name) != 0) continue;
    CHECK(found == NULL);
    found = subphase;
  }
  return found;
}

static void parts_show_idle_threads(void) {
  static rn_subphases subphases;
  spans = (rn_spans){0};
  const int step = add("step", -1, 0), forward = add("forward", step, 0);
  const int backward = add("backward", step, 0), again = add("recompute forward", backward, 0);
  const int norms = add("norms", forward, 4), late = add("norms", again, 8);
  add("evaluation", -1, 99);
  add_tasks(norms, 4, 3);
  add_tasks(late, 8, 1);
  add_tasks(add("norms", backward, 2), 2, 2);
  spans.path[norms].count = 2;
  for (int i = 0; i < 2; i++) rn_subphases_add(&spans, &subphases);
  const rn_subphase *first = subphase_of(&subphases, RN_PHASE_FORWARD, "norms");
  const rn_subphase *other = subphase_of(&subphases, RN_PHASE_BACKWARD, "norms");
  const rn_subphase *none = subphase_of(&subphases, RN_PHASE_OTHER, "step");
  if (!CHECK(first != NULL && other != NULL && none != NULL)) return;
  CHECK_EQUAL(first->s, 2 * 4);
  CHECK_EQUAL(first->count, 4);
  CHECK_EQUAL(first->tasks, 8);
  CHECK_NEAR(first->tasks_s, 2 * 6, 1e-9);
  CHECK_NEAR(rn_subphase_busy(first, 3), 12.0 / (3 * 8), 1e-9);
  CHECK_NEAR(rn_subphase_longest(first), 3.0 / (8.0 / 4), 1e-9);
  CHECK_EQUAL(other->s, 2 * (8 + 2));
  CHECK_EQUAL(other->tasks, 2 * (8 + 2));
  CHECK(rn_subphase_busy(none, 2) == 0 && rn_subphase_longest(none) == 0);
}

int main(void) {
  parts_show_idle_threads();
  phases_are_told_apart();
  time_outside_of_steps_does_not_count();
  return check_result();
}
