#include "model/retention/eager_completion.h"

static rn_status complete(rn_err *err, rn_eager_completion *c) {
  c->done = true;
  RN_TRY(err, c->scan->end(c->scan->self, err, c->states.state));
  rn_retention_propagate(c->retention, c->view, c->direction, &c->states);
  return c->scan->publish != NULL ? c->scan->publish(c->scan->self, err, c->states.state) : RN_OK;
}

static void poll(void *self) {
  rn_eager_completion *c = self;
  c->scan->poll(c->scan->self);
  if (c->done || c->scan->test == NULL || !c->scan->test(c->scan->self)) return;
  c->status = complete(&c->err, c);
}

void rn_eager_completion_start(rn_eager_completion *out, rn_scan_port *scan,
                               rn_scan_direction direction, const rn_retention *retention,
                               const rn_retention_view *view, rn_segment_states states) {
  *out = (rn_eager_completion){.port = {.self = out, .poll = poll, .hops = scan->hops},
                               .scan = scan,
                               .direction = direction,
                               .retention = retention,
                               .view = view,
                               .states = states};
  poll(out);
}

rn_status rn_eager_completion_finish(rn_err *err, rn_eager_completion *c) {
  if (!c->done) return complete(err, c);
  return c->status == RN_OK ? RN_OK : rn_fail(err, c->status, "%s", c->err.text);
}
