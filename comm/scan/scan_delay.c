#include "comm/scan/scan_delay.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "comm/world/last_wait.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/fault.h"

/* The message with the send time of block b has tag TIME_TAG + b; blocks have smaller tags. */
enum { TIME_TAG = 16384 };

static const char site[] = "scan.message";

struct rn_scan_delay {
  MPI_Comm comm;
  int peer, blocks;
  /* [blocks] send time of each block; also the send buffer of the message with this time */
  double *sent_s;
  MPI_Request *request; /* [blocks] sends of sent_s */
  /* [blocks] time until which a block that has arrived is held back; INFINITY for other blocks */
  double *due_s;
};

rn_status rn_scan_delay_create(rn_err *err, int blocks, int peer, MPI_Comm comm,
                               rn_scan_delay **out) {
  const size_t count = (size_t)blocks;
  rn_scan_delay *d;
  *out = NULL;
  if (!rn_fault_names(site)) return RN_OK;
  assert(blocks < TIME_TAG);
  RN_TRY(err, rn_alloc(err, "delay of a scan", 1, sizeof *d, &d));
  *d = (rn_scan_delay){.comm = comm, .peer = peer, .blocks = blocks};
  *out = d;
  RN_TRY(err, rn_alloc(err, "delay of a scan", count, sizeof *d->sent_s, &d->sent_s));
  RN_TRY(err, rn_alloc(err, "delay of a scan", count, sizeof *d->due_s, &d->due_s));
  RN_TRY(err, rn_alloc(err, "delay of a scan", count, sizeof *d->request, &d->request));
  for (int b = 0; b < blocks; b++) {
    d->request[b] = MPI_REQUEST_NULL;
    d->due_s[b] = INFINITY;
  }
  return RN_OK;
}

void rn_scan_delay_destroy(rn_scan_delay **delay, bool *ended) {
  rn_scan_delay *d = *delay;
  if (d == NULL) return;
  if (d->request != NULL) *ended = *ended && rn_last_wait(d->blocks, d->request);
  if (!*ended) return;
  free(d->sent_s);
  free(d->due_s);
  free(d->request);
  free(d);
  *delay = NULL;
}

rn_status rn_scan_delay_send(rn_err *err, rn_scan_delay *d, int block) {
  RN_MPI_WAIT(err, MPI_Wait(&d->request[block], MPI_STATUS_IGNORE));
  d->sent_s[block] = rn_clock_s();
  RN_MPI(err, MPI_Isend(&d->sent_s[block], 1, MPI_DOUBLE, d->peer, TIME_TAG + block, d->comm,
                        &d->request[block]));
  return RN_OK;
}

rn_status rn_scan_delay_filter(rn_err *err, rn_scan_delay *d, int *count, int *blocks) {
  for (int i = 0; i < *count; i++) {
    double sent_s;
    RN_MPI_WAIT(err, MPI_Recv(&sent_s, 1, MPI_DOUBLE, d->peer, TIME_TAG + blocks[i], d->comm,
                              MPI_STATUS_IGNORE));
    d->due_s[blocks[i]] = sent_s + rn_fault_late_s(site);
  }
  const double now_s = rn_fault_names(site) ? rn_clock_s() : HUGE_VAL;
  *count = 0;
  for (int b = 0; b < d->blocks; b++) {
    if (!isfinite(d->due_s[b]) || d->due_s[b] > now_s) continue;
    d->due_s[b] = INFINITY;
    blocks[(*count)++] = b;
  }
  return RN_OK;
}

double rn_scan_delay_until_s(const rn_scan_delay *d) {
  double until_s = 0;
  for (int b = 0; b < d->blocks; b++) {
    if (isfinite(d->due_s[b]) && d->due_s[b] > until_s) until_s = d->due_s[b];
  }
  return until_s;
}
