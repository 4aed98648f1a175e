#include "proto/base/span.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool rn_spans_are_on;

/* An open span. */
typedef struct span {
  int path, microbatch, segment;
  double begin_s;
  bool is_phase;
} span;

static struct {
  rn_spans trace;
  span open[RN_SPAN_DEPTH];
  int depth;
  /* index of the path to which tasks of all threads are added: that of the innermost open span; -1:
   * none */
  atomic_int task_path;
} recorder;

rn_status rn_spans_start(rn_err *err, int64_t max_events) {
  assert(!rn_spans_are_on);
  memset(&recorder, 0, sizeof recorder);
  recorder.trace.event = malloc((size_t)max_events * sizeof(rn_span_event));
  if (recorder.trace.event == NULL && max_events > 0) {
    return rn_fail(err, RN_ERR_MEMORY, "out of memory: cannot allocate a trace of %lld events",
                   (long long)max_events);
  }
  recorder.trace.capacity = max_events;
  recorder.task_path = -1;
  rn_spans_are_on = true;
  return RN_OK;
}

void rn_spans_stop(void) {
  rn_spans_are_on = false;
  free(recorder.trace.event);
  memset(&recorder, 0, sizeof recorder);
}

rn_spans *rn_spans_get(void) {
  return &recorder.trace;
}

double rn_spans_total_s(const char *name) {
  double total_s = 0;
  for (int i = 0; i < recorder.trace.paths; i++) {
    const rn_span_path *path = &recorder.trace.path[i];
    if (strcmp(path->name, name) == 0) total_s += path->total_s;
  }
  return total_s;
}

/* Returns the index of a path; adds the path if it is new. Compares names by content, because equal
 * names may be different literals. */
static int find_path(int parent, const char *name) {
  rn_spans *t = &recorder.trace;
  for (int i = 0; i < t->paths; i++) {
    const rn_span_path *path = &t->path[i];
    if (path->parent == parent && (path->name == name || strcmp(path->name, name) == 0)) return i;
  }
  assert(t->paths < RN_SPAN_PATHS);
  t->path[t->paths] = (rn_span_path){.name = name, .parent = parent};
  return t->paths++;
}

static span *innermost(void) {
  return recorder.depth > 0 ? &recorder.open[recorder.depth - 1] : NULL;
}

static void push(const char *name, int microbatch, int segment, bool is_phase) {
  const span *around = innermost();
  assert(recorder.depth < RN_SPAN_DEPTH);
  const int path = find_path(around != NULL ? around->path : -1, name);
  recorder.open[recorder.depth++] = (span){path, microbatch, segment, rn_clock_s(), is_phase};
  recorder.task_path = path;
}

static void pop(void) {
  rn_spans *t = &recorder.trace;
  assert(recorder.depth > 0);
  const span s = recorder.open[--recorder.depth];
  const double end_s = rn_clock_s();
  rn_span_path *path = &t->path[s.path];
  path->count++;
  path->total_s += end_s - s.begin_s;
  recorder.task_path = recorder.depth > 0 ? innermost()->path : -1;
  if (recorder.depth > 0) t->path[innermost()->path].inner_s += end_s - s.begin_s;
  if (t->keep_events && t->events < t->capacity) {
    t->event[t->events++] = (rn_span_event){s.path, s.microbatch, s.segment, s.begin_s, end_s};
  }
}

static void end_phase(void) {
  if (innermost() != NULL && innermost()->is_phase) pop();
}

void rn_span_do_begin(const char *name, int microbatch, int segment) {
  push(name, microbatch, segment, false);
}

void rn_span_do_end(void) {
  end_phase();
  pop();
}

void rn_span_do_phase(const char *name) {
  end_phase();
  push(name, -1, -1, true);
}

void rn_span_do_task(double begin_s) {
  const int path = atomic_load_explicit(&recorder.task_path, memory_order_relaxed);
  if (path < 0) return;
  rn_span_tasks *tasks = &recorder.trace.path[path].tasks;
  const long long ns = (long long)(1e9 * (rn_clock_s() - begin_s));
  atomic_fetch_add_explicit(&tasks->count, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&tasks->total_ns, ns, memory_order_relaxed);
  long long longest = atomic_load_explicit(&tasks->longest_ns, memory_order_relaxed);
  while (ns > longest &&
         !atomic_compare_exchange_weak_explicit(&tasks->longest_ns, &longest, ns,
                                                memory_order_relaxed, memory_order_relaxed)) {
  }
}
