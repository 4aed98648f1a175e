/* Checks that spans nest like the calls that mark them, that times add up, and that nothing is
 * recorded while recording is off. Tasks of any thread must be counted in the innermost open
 * span. */
#include "proto/base/span.h"

#include <pthread.h>
#include <string.h>

#include "proto/base/clock.h"
#include "tests/support/check.h"

static void spend(double seconds) {
  const double end_s = rn_clock_s() + seconds;
  while (rn_clock_s() < end_s) {
  }
}

/* Records the spans outer { a, b { wait }, a }, after { }. a and b are phases: a phase ends when
 * the next phase or the end of the enclosing span comes. */
static void work(void) {
  rn_span_begin("outer");
  rn_span_phase("a");
  spend(1e-4);
  rn_span_phase("b");
  rn_span_begin_unit("wait", 3, 4);
  spend(1e-4);
  rn_span_end();
  rn_span_phase("a");
  rn_span_end();
  rn_span_begin("after");
  rn_span_end();
}

static const rn_span_path *find(const char *name) {
  const rn_spans *spans = rn_spans_get();
  for (int i = 0; i < spans->paths; i++) {
    if (strcmp(spans->path[i].name, name) == 0) return &spans->path[i];
  }
  CHECK(!"a path of that name");
  return &spans->path[0];
}

static const char *around(const char *name) {
  const int parent = find(name)->parent;
  return parent < 0 ? "nothing" : rn_spans_get()->path[parent].name;
}

static void paths_are_as_marked(int times) {
  CHECK_EQUAL(rn_spans_get()->paths, 5);
  CHECK(strcmp(around("outer"), "nothing") == 0 && strcmp(around("after"), "nothing") == 0);
  CHECK(strcmp(around("a"), "outer") == 0 && strcmp(around("b"), "outer") == 0);
  CHECK(strcmp(around("wait"), "b") == 0);
  CHECK_EQUAL(find("outer")->count, times);
  CHECK_EQUAL(find("a")->count, 2 * times);
  CHECK_EQUAL(find("wait")->count, times);
}

static void times_add_up(int times) {
  const double inner_s = find("a")->total_s + find("b")->total_s;
  CHECK_NEAR(find("outer")->inner_s, inner_s, 1e-12);
  CHECK_NEAR(find("b")->inner_s, find("wait")->total_s, 1e-12);
  CHECK(find("outer")->total_s >= inner_s);
  CHECK(find("a")->total_s >= 1e-4 * times && find("wait")->total_s >= 1e-4 * times);
  CHECK(find("a")->inner_s == 0);
  CHECK(rn_spans_total_s("wait") == find("wait")->total_s);
}

static void events_are_bounded(int most) {
  const rn_spans *spans = rn_spans_get();
  CHECK_EQUAL(spans->events, most);
  for (int64_t i = 0; i < spans->events; i++) {
    const rn_span_event *e = &spans->event[i];
    const bool unit = strcmp(spans->path[e->path].name, "wait") == 0;
    CHECK(e->end_s >= e->begin_s && (i == 0 || e->end_s >= spans->event[i - 1].end_s));
    CHECK_EQUAL(e->microbatch, unit ? 3 : -1);
    CHECK_EQUAL(e->segment, unit ? 4 : -1);
  }
}

enum { THREADS = 3, TASKS = 4 };

static void *run_tasks(void *self) {
  (void)self;
  for (int i = 0; i < TASKS; i++) {
    const double begin_s = rn_span_task_begin();
    spend(i == 0 ? 1e-4 : 1e-5);
    rn_span_task_end(begin_s);
  }
  return NULL;
}

static void run_loop(void) {
  pthread_t thread[THREADS];
  for (int i = 0; i < THREADS; i++) {
    CHECK_EQUAL(pthread_create(&thread[i], NULL, run_tasks, NULL), 0);
  }
  for (int i = 0; i < THREADS; i++) CHECK_EQUAL(pthread_join(thread[i], NULL), 0);
}

static void tasks_are(const char *name, int loops) {
  const rn_span_tasks *tasks = &find(name)->tasks;
  const double total_s = 1e-9 * (double)tasks->total_ns,
               longest_s = 1e-9 * (double)tasks->longest_ns;
  CHECK_EQUAL(tasks->count, loops * THREADS * TASKS);
  CHECK(total_s >= 0.99 * loops * THREADS * (1e-4 + (TASKS - 1) * 1e-5));
  CHECK(loops == 0 ? longest_s == 0 : longest_s >= 0.99e-4 && longest_s < total_s);
}

static void tasks_belong_to_the_open_span(void) {
  rn_err err = {0};
  run_loop();
  CHECK_OK(&err, rn_spans_start(&err, 0));
  run_loop();
  CHECK_EQUAL(rn_spans_get()->paths, 0);
  rn_span_begin("outer");
  rn_span_phase("twice");
  run_loop();
  run_loop();
  rn_span_begin("inner");
  run_loop();
  rn_span_end();
  rn_span_end();
  tasks_are("outer", 0);
  tasks_are("twice", 2);
  tasks_are("inner", 1);
  rn_spans_stop();
}

int main(void) {
  enum { TIMES = 3, MOST = 8 };
  rn_err err = {0};
  work();
  CHECK_EQUAL(rn_spans_get()->paths, 0);
  CHECK_OK(&err, rn_spans_start(&err, MOST));
  work();
  CHECK_EQUAL(rn_spans_get()->events, 0);
  rn_spans_get()->keep_events = true;
  for (int i = 1; i < TIMES; i++) work();
  paths_are_as_marked(TIMES);
  times_add_up(TIMES);
  events_are_bounded(MOST);
  rn_spans_stop();
  work();
  CHECK_EQUAL(rn_spans_get()->paths, 0);
  tasks_belong_to_the_open_span();
  return check_result();
}
