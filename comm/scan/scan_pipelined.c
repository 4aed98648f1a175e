/*
 * The pipelined chain: the state goes from neighbour to neighbour in blocks, so that all ranks work
 * on it at once. A block that forgets what came before is sent before anything is received.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "comm/scan/scan_internal.h"
#include "comm/world/backoff.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

rn_status rn_scan_pipelined_create(rn_err *err, rn_scan *scan) {
  const rn_scan_blocks *blocks = &scan->blocks;
  RN_TRY(err, rn_alloc(err, "blocks of states", (size_t)blocks->heads * (size_t)blocks->per_head,
                       sizeof(int), &scan->arrived));
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    const int position = scan->position[d];
    if (position > 0) {
      RN_TRY(err, rn_scan_channel_create(err, blocks, RN_CHANNEL_RECEIVE, position - 1,
                                         scan->axis[d], &scan->receive[d]));
    }
    for (int turn = 0; position < scan->size - 1 && turn < RN_SCAN_BUFFERS; turn++) {
      RN_TRY(err, rn_scan_channel_create(err, blocks, RN_CHANNEL_SEND, position + 1, scan->axis[d],
                                         &scan->send[d][turn]));
    }
  }
  return RN_OK;
}

void rn_scan_pipelined_destroy(rn_scan *scan, bool *ended) {
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    rn_scan_channel_destroy(&scan->receive[d], ended);
    for (int t = 0; t < RN_SCAN_BUFFERS; t++) rn_scan_channel_destroy(&scan->send[d][t], ended);
  }
  free(scan->arrived);
}

static bool forgets(const rn_scan *scan, int block) {
  return scan->factor[rn_scan_block_head(&scan->blocks, block)] == 0;
}

static rn_status send_block(rn_err *err, rn_scan *scan, int block) {
  const rn_range range = rn_scan_block_range(&scan->blocks, block);
  if (scan->out == NULL) return RN_OK;
  rn_scan_advance(scan, range);
  if (scan->to == NULL) return RN_OK;
  scan->bytes_sent += rn_range_count(range) * (int64_t)sizeof(float);
  RN_MPI(err, MPI_Start(&scan->to->request[block]));
  return RN_OK;
}

/* Where the scan at hand comes from and goes to: a neighbour, a band, or nowhere. */
static void choose_ends(rn_scan *scan) {
  const int d = scan->direction, position = scan->position[d];
  scan->from = scan->ring_from;
  scan->to = scan->ring_to;
  if (position > 0) scan->from = &scan->receive[d];
  if (position < scan->size - 1) {
    scan->turn[d] = (scan->turn[d] + 1) % RN_SCAN_BUFFERS;
    scan->to = &scan->send[d][scan->turn[d]];
  }
  scan->before = scan->from != NULL ? scan->from->buffer : scan->origin;
  scan->out = scan->to != NULL ? scan->to->buffer : scan->remains;
}

/* What went wrong while nobody could be told. */
static rn_status found_before(rn_err *err, const rn_scan *scan) {
  if (scan->poll_err.status == RN_OK) return RN_OK;
  return rn_fail(err, scan->poll_err.status, "%s", scan->poll_err.text);
}

rn_status rn_scan_pipelined_begin(rn_err *err, rn_scan *scan) {
  const int blocks = scan->n * scan->blocks.per_head;
  RN_TRY(err, found_before(err, scan));
  choose_ends(scan);
  scan->pending = scan->from != NULL ? blocks : 0;
  if (scan->position[scan->direction] > 0) {
    RN_MPI(err, MPI_Startall(blocks, scan->from->request));
  }
  if (scan->to != NULL) RN_TRY(err, rn_scan_channel_settle(err, scan->to));
  for (int b = 0; b < blocks; b++) {
    if (scan->from == NULL || forgets(scan, b)) RN_TRY(err, send_block(err, scan, b));
  }
  return RN_OK;
}

/* Passes on the blocks that have come; `count` is how many. */
static rn_status pass_on(rn_err *err, rn_scan *scan, int *count) {
  const int blocks = scan->n * scan->blocks.per_head;
  RN_MPI(err, MPI_Testsome(blocks, scan->from->request, count, scan->arrived, MPI_STATUSES_IGNORE));
  for (int i = 0; i < *count; i++) {
    const int block = scan->arrived[i];
    if (!forgets(scan, block)) RN_TRY(err, send_block(err, scan, block));
  }
  scan->pending -= *count;
  return RN_OK;
}

/* A failed request is gone, so that asking again would find nothing wrong: end() returns what is
 * kept here. Where nothing is to come, what is sent still wants the library to be looked after. */
void rn_scan_pipelined_poll(rn_scan *scan) {
  rn_err *err = &scan->poll_err;
  int count;
  if (err->status != RN_OK) return;
  if (scan->pending > 0) {
    pass_on(err, scan, &count);
  } else {
    (void)RN_MPI_STATUS(err, MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, scan->axis[scan->direction],
                                        &count, MPI_STATUS_IGNORE));
  }
}

/* Here the library is looked after until all that is sent has gone, also behind end(). */
rn_progress_state rn_scan_pipelined_progress(rn_scan *scan) {
  rn_err *err = &scan->poll_err;
  int gone = 1, count = 0;
  if (err->status != RN_OK) return RN_PROGRESS_DONE;
  if (scan->pending > 0) {
    pass_on(err, scan, &count);
    return count > 0 ? RN_PROGRESS_MOVED : RN_PROGRESS_WAITS;
  }
  if (scan->to != NULL) {
    (void)RN_MPI_STATUS(
        err, MPI_Testall(scan->to->blocks, scan->to->request, &gone, MPI_STATUSES_IGNORE));
  }
  return gone ? RN_PROGRESS_DONE : RN_PROGRESS_WAITS;
}

rn_status rn_scan_pipelined_end(rn_err *err, rn_scan *scan) {
  rn_backoff backoff = {0};
  RN_TRY(err, found_before(err, scan));
  while (scan->pending > 0) {
    int count = 0;
    RN_TRY(err, pass_on(err, scan, &count));
    if (count > 0) {
      backoff = (rn_backoff){0};
    } else {
      rn_backoff_wait(&backoff);
    }
  }
  return RN_OK;
}
