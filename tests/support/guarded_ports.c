#include "tests/support/guarded_ports.h"

#include <omp.h>
#include <string.h>

/* Protects the arrays of the stage and returns true. In a parallel region, does nothing and returns
 * false: the layers may poll or complete a scan there, while other threads still use the arrays. */
static bool close_for_scan(guarded_cpu_stage *s) {
  if (omp_in_parallel()) return false;
  guarded_close_all(&s->set);
  return true;
}

static void open_again(guarded_cpu_stage *s, bool closed) {
  if (closed) guarded_open_all(&s->set);
}

static rn_status wait(rn_err *err, void *self, int group) {
  guarded_cpu_stage *s = self;
  guarded_close_all(&s->set);
  rn_status status = s->port.wait == NULL ? RN_OK : s->port.wait(err, s->port.self, group);
  guarded_open_all(&s->set);
  return status;
}

static void added(void *self, int group) {
  guarded_cpu_stage *s = self;
  guarded_close_all(&s->set);
  if (s->port.added != NULL) s->port.added(s->port.self, group);
  guarded_open_all(&s->set);
}

void guarded_attach(rn_stage *base, rn_layer_group_port port) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  s->port = port;
  rn_layer_stack_attach(s->layers, (rn_layer_group_port){.self = s, .wait = wait, .added = added});
}

/* Copies `values` to the pages of an array, and opens these pages for the caller to read. */
static const float *hand_out(guarded_array *array, rn_range range, const float *values) {
  void *to = guarded_map(array, range, RN_ACCESS_WRITE);
  memcpy(to, values, (size_t)rn_range_count(range) * sizeof *values);
  guarded_unmap(array, range, RN_ACCESS_WRITE);
  return guarded_map(array, range, RN_ACCESS_READ);
}

static rn_status begin_scan(void *self, rn_err *err, rn_scan_direction direction, int layer,
                            rn_scan_element element) {
  guarded_cpu_stage *s = self;
  s->states = (rn_range){0, element.n * element.m};
  element.own = hand_out(s->own, s->states, element.own);
  const bool closed = close_for_scan(s);
  rn_status status = s->scan->begin(s->scan->self, err, direction, layer, element);
  open_again(s, closed);
  return status;
}

static void poll_scan(void *self) {
  guarded_cpu_stage *s = self;
  const bool closed = close_for_scan(s);
  s->scan->poll(s->scan->self);
  open_again(s, closed);
}

static rn_status end_scan(void *self, rn_err *err, float *before) {
  guarded_cpu_stage *s = self;
  float *in = guarded_map(s->before, s->states, RN_ACCESS_WRITE);
  const bool closed = close_for_scan(s);
  rn_status status = s->scan->end(s->scan->self, err, in);
  open_again(s, closed);
  memcpy(before, in, (size_t)s->states.end * sizeof *in);
  guarded_unmap(s->before, s->states, RN_ACCESS_WRITE);
  guarded_unmap(s->own, s->states, RN_ACCESS_READ);
  return status;
}

static rn_status publish(void *self, rn_err *err, const float *after) {
  guarded_cpu_stage *s = self;
  const float *out = hand_out(s->after, s->states, after);
  const bool closed = close_for_scan(s);
  rn_status status = s->scan->publish(s->scan->self, err, out);
  open_again(s, closed);
  guarded_unmap(s->after, s->states, RN_ACCESS_READ);
  return status;
}

static bool test_scan(void *self) {
  guarded_cpu_stage *s = self;
  const bool closed = close_for_scan(s);
  const bool done = s->scan->test(s->scan->self);
  open_again(s, closed);
  return done;
}

rn_scan_port guarded_scan_port(guarded_cpu_stage *s, rn_scan_port *scan) {
  s->scan = scan;
  return (rn_scan_port){.self = s,
                        .begin = begin_scan,
                        .poll = poll_scan,
                        .end = end_scan,
                        .publish = scan->publish != NULL ? publish : NULL,
                        .test = scan->test != NULL ? test_scan : NULL};
}

bool guarded_until_reached(void *self) {
  guarded_until *c = self;
  const bool closed = close_for_scan(c->stage);
  const bool is_reached = c->until.reached(c->until.self);
  open_again(c->stage, closed);
  return is_reached;
}
