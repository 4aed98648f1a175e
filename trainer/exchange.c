#include "trainer/exchange.h"

static rn_status wait(rn_err *err, void *self, int part) {
  const rn_exchange *x = self;
  const int bucket = x->ownership->first[part + 1] - 1;
  if (rn_gather_has(x->gather, bucket)) return RN_OK;
  const bool lent = rn_comm_thread_take_back(x->comm_thread);
  rn_status status = rn_gather_wait(err, x->gather, bucket);
  if (lent) rn_comm_thread_lend(x->comm_thread);
  return status;
}

static void added(void *self, int part) {
  rn_exchange *x = self;
  if (!x->last || part == x->held || x->err.status != RN_OK) return;
  const bool lent = rn_comm_thread_take_back(x->comm_thread);
  rn_exchange_add(&x->err, x, part);
  if (lent) rn_comm_thread_lend(x->comm_thread);
}

rn_part_port rn_exchange_port(rn_exchange *exchange) {
  return (rn_part_port){.self = exchange, .wait = wait, .added = added};
}

rn_status rn_exchange_add(rn_err *err, rn_exchange *x, int part) {
  for (int b = x->ownership->first[part]; b < x->ownership->first[part + 1]; b++) {
    RN_TRY(err, rn_reduce_start(err, x->reducer, b));
  }
  return RN_OK;
}

rn_status rn_exchange_finish(rn_err *err, rn_exchange *x) {
  if (x->err.status != RN_OK) return rn_fail(err, x->err.status, "%s", x->err.text);
  RN_TRY(err, rn_reduce_finish(err, x->reducer));
  return rn_gather_finish(err, x->gather);
}
