#include "model/retention/eager_completion.h"

#include <string.h>

static void keep_before(const rn_eager_completion *f) {
  const rn_retention *r = f->retention;
  const size_t heads = (size_t)f->view->sequences * (size_t)r->heads;
  const size_t each = (size_t)r->key_width * (size_t)r->value_width;
  if (f->before != NULL) memcpy(f->before, f->state, heads * each * sizeof *f->before);
}

static rn_status fold(rn_err *err, rn_eager_completion *f) {
  f->done = true;
  RN_TRY(err, f->scan->end(f->scan->self, err, f->state));
  keep_before(f);
  if (f->direction == RN_SCAN_FORWARD) {
    rn_retention_forward_states(f->retention, f->view, f->state, f->parts, f->states);
  } else {
    rn_retention_backward_states(f->retention, f->view, f->state, f->parts, f->states);
  }
  return f->scan->publish != NULL ? f->scan->publish(f->scan->self, err, f->state) : RN_OK;
}

static void poll(void *self) {
  rn_eager_completion *f = self;
  f->scan->poll(f->scan->self);
  if (f->done || f->scan->test == NULL || !f->scan->test(f->scan->self)) return;
  f->status = fold(&f->err, f);
}

void rn_eager_completion_start(rn_eager_completion *out, rn_scan_port *scan,
                               rn_scan_direction direction, const rn_retention *retention,
                               const rn_retention_view *view, rn_real *before, rn_real *state,
                               rn_real *parts, rn_array states) {
  *out = (rn_eager_completion){.port = {.self = out, .poll = poll, .hops = scan->hops},
                               .scan = scan,
                               .direction = direction,
                               .retention = retention,
                               .view = view,
                               .before = before,
                               .state = state,
                               .parts = parts,
                               .states = states};
  poll(out);
}

rn_status rn_eager_completion_finish(rn_err *err, rn_eager_completion *f) {
  if (!f->done) return fold(err, f);
  return f->status == RN_OK ? RN_OK : rn_fail(err, f->status, "%s", f->err.text);
}
