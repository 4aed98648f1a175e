#include "model/retention/eager_completion.h"

#include <omp.h>
#include <stddef.h>

static rn_status receive(rn_err *err, rn_eager_completion *c) {
  c->arrived = true;
  return c->scan->end(c->scan->self, err, c->states.state);
}

static rn_status propagate(rn_err *err, rn_eager_completion *c) {
  c->done = true;
  rn_retention_propagate(c->retention, c->view, c->direction, &c->states);
  return c->scan->publish != NULL ? c->scan->publish(c->scan->self, err, c->states.state) : RN_OK;
}

/* Ends the scan if the state has arrived. Propagates it only if poll() is called outside a parallel
 * region or if another rank waits for the result (publish): inside a region, one thread would
 * propagate alone while all others wait for it at the end of the region. Otherwise,
 * rn_eager_completion_finish propagates the state with all threads. */
static void poll(void *self) {
  rn_eager_completion *c = self;
  c->scan->poll(c->scan->self);
  if (c->arrived || c->scan->test == NULL || !c->scan->test(c->scan->self)) return;
  c->status = receive(&c->err, c);
  if (c->status != RN_OK || (c->scan->publish == NULL && omp_in_parallel())) return;
  c->status = propagate(&c->err, c);
}

void rn_eager_completion_start(rn_eager_completion *out, rn_scan_port *scan,
                               rn_scan_direction direction, const rn_retention *retention,
                               const rn_retention_view *view, rn_segment_states states) {
  *out = (rn_eager_completion){.port = {.self = out, .poll = poll},
                               .scan = scan,
                               .direction = direction,
                               .retention = retention,
                               .view = view,
                               .states = states};
  poll(out);
}

static bool has_arrived(void *self) {
  rn_eager_completion *c = self;
  poll(c);
  return c->arrived;
}

void rn_eager_completion_run_weights(rn_eager_completion *c, rn_weight_queue *queue) {
  if (queue == NULL || c->arrived) return;
  rn_weight_queue_run(queue, (rn_weight_queue_until){c, has_arrived});
}

rn_status rn_eager_completion_finish(rn_err *err, rn_eager_completion *c) {
  if (!c->arrived) RN_TRY(err, receive(err, c));
  if (c->status != RN_OK) return rn_fail(err, c->status, "%s", c->err.text);
  return c->done ? RN_OK : propagate(err, c);
}
