/*
 * The pipelined scan sends the state from neighbour to neighbour in blocks, so that ranks work on
 * different blocks at the same time. The blocks of a head whose factor is 0 are sent without
 * waiting for the previous rank.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "comm/scan/scan_ops.h"
#include "comm/scan/scan_wraparound.h"
#include "comm/world/backoff.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"

/* Two send buffers alternate: a scan may start while the previous state is still in flight. */
typedef struct pipelined {
  rn_scan_channel receive[RN_SCAN_DIRECTIONS], send[RN_SCAN_DIRECTIONS][RN_SCAN_BUFFERS];
  int buffer[RN_SCAN_DIRECTIONS];
  /* channels of the current scan: to a neighbour or of the wrap-around; NULL: none */
  rn_scan_channel *from, *to;
  atomic_int pending; /* number of blocks not yet received and forwarded */
  int *received;      /* [blocks]: scratch of forward_blocks */
} pipelined;

static int states_held(rn_scan_shape shape, int position, int ranks) {
  const int receive = position > 0 ? 1 : 0, send = position < ranks - 1 ? RN_SCAN_BUFFERS : 0;
  return rn_scan_wraparound_states(shape, position, ranks) + receive + send;
}

static size_t pipelined_bytes(rn_scan_shape shape, int rank, int ranks) {
  const int states = states_held(shape, rank, ranks) + states_held(shape, ranks - 1 - rank, ranks);
  return (size_t)states * (size_t)shape.heads * (size_t)shape.matrix * sizeof(float);
}

static rn_status pipelined_create(rn_err *err, rn_scan *scan) {
  const rn_scan_blocks *blocks = &scan->blocks;
  pipelined *p;
  RN_TRY(err, rn_alloc(err, "scan", 1, sizeof *p, &p));
  scan->impl = p;
  RN_TRY(err, rn_alloc(err, "scan blocks", (size_t)blocks->heads * (size_t)blocks->per_head,
                       sizeof(int), &p->received));
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    const int position = scan->position[d];
    if (position > 0) {
      RN_TRY(err, rn_scan_channel_create(err, blocks, RN_CHANNEL_RECEIVE, position - 1,
                                         scan->axis[d], &p->receive[d]));
    }
    for (int b = 0; position < scan->size - 1 && b < RN_SCAN_BUFFERS; b++) {
      RN_TRY(err, rn_scan_channel_create(err, blocks, RN_CHANNEL_SEND, position + 1, scan->axis[d],
                                         &p->send[d][b]));
    }
  }
  return rn_scan_wraparound_create(err, scan);
}

static void pipelined_destroy(rn_scan *scan, bool *ended) {
  pipelined *p = scan->impl;
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    rn_scan_channel_destroy(&p->receive[d], ended);
    for (int b = 0; b < RN_SCAN_BUFFERS; b++) rn_scan_channel_destroy(&p->send[d][b], ended);
  }
  free(p->received);
  if (*ended) free(p);
}

static bool is_reset(const rn_scan *scan, int block) {
  return scan->factor[rn_scan_block_head(&scan->blocks, block)] == 0;
}

static rn_status send_block(rn_err *err, rn_scan *scan, int block) {
  const pipelined *p = scan->impl;
  const rn_range range = rn_scan_block_range(&scan->blocks, block);
  if (scan->out == NULL) return RN_OK;
  rn_scan_advance(scan, range);
  if (p->to == NULL) return RN_OK;
  scan->bytes_sent += rn_range_count(range) * (int64_t)sizeof(float);
  return rn_scan_channel_send(err, p->to, block);
}

/* Sets the channels from which the current scan receives and to which it sends: neighbour,
 * wrap-around, or NULL. */
static void choose_channels(rn_scan *scan) {
  pipelined *p = scan->impl;
  const int d = scan->direction, position = scan->position[d];
  p->from = scan->wraparound.from;
  p->to = scan->wraparound.to;
  if (position > 0) p->from = &p->receive[d];
  if (position < scan->size - 1) {
    p->buffer[d] = (p->buffer[d] + 1) % RN_SCAN_BUFFERS;
    p->to = &p->send[d][p->buffer[d]];
  }
  scan->before = p->from != NULL ? p->from->buffer : scan->sequence_initial;
  scan->out = p->to != NULL ? p->to->buffer : scan->sequence_final;
}

static rn_status pipelined_begin(rn_err *err, rn_scan *scan) {
  pipelined *p = scan->impl;
  const int blocks = scan->n * scan->blocks.per_head;
  RN_TRY(err, rn_scan_wraparound_begin(err, scan));
  choose_channels(scan);
  p->pending = p->from != NULL ? blocks : 0;
  if (rn_scan_position(scan) > 0)
    RN_MPI(err, MPI_Startall(blocks, p->receive[scan->direction].request));
  if (p->to != NULL) RN_TRY(err, rn_scan_channel_wait(err, p->to));
  for (int b = 0; b < blocks; b++) {
    if (p->from == NULL || is_reset(scan, b)) RN_TRY(err, send_block(err, scan, b));
  }
  return RN_OK;
}

/* For each block that has arrived, computes the outgoing block and sends it. Sets *count to the
 * number of blocks that have arrived.
 */
static rn_status forward_blocks(rn_err *err, rn_scan *scan, int *count) {
  pipelined *p = scan->impl;
  const int blocks = scan->n * scan->blocks.per_head;
  RN_TRY(err, rn_scan_channel_test(err, p->from, blocks, count, p->received));
  for (int i = 0; i < *count; i++) {
    if (!is_reset(scan, p->received[i])) RN_TRY(err, send_block(err, scan, p->received[i]));
  }
  p->pending -= *count;
  return RN_OK;
}

/* Forwards blocks that have arrived. After the last block, MPI must still progress the sends. When
 * poll() calls this function, a cheap probe is enough. The communication thread instead tests the
 * sends until all are complete, even after end(). */
static rn_progress_state pipelined_progress(rn_err *err, rn_scan *scan, bool by_thread) {
  pipelined *p = scan->impl;
  int sent = 1, count = 0;
  if (p->pending > 0) {
    forward_blocks(err, scan, &count);
    return count > 0 ? RN_PROGRESS_MOVED : RN_PROGRESS_WAITS;
  }
  if (!by_thread) {
    rn_mpi_progress(scan->axis[scan->direction]);
  } else if (p->to != NULL) {
    (void)RN_MPI_STATUS(err,
                        MPI_Testall(p->to->blocks, p->to->request, &sent, MPI_STATUSES_IGNORE));
  }
  return sent ? RN_PROGRESS_DONE : RN_PROGRESS_WAITS;
}

static bool pipelined_test(const rn_scan *scan) {
  const pipelined *p = scan->impl;
  return p->pending == 0;
}

/* Waits between two polls. Adds to scan->held_s the part of the wait in which a block had arrived
 * but was held back (scan_delay.h). */
static void wait_for_blocks(rn_scan *scan, rn_backoff *backoff) {
  const pipelined *p = scan->impl;
  if (p->from->delay == NULL) {
    rn_backoff_wait(backoff);
    return;
  }
  const double start_s = rn_clock_s(), until_s = rn_scan_delay_until_s(p->from->delay);
  rn_backoff_wait(backoff);
  const double end_s = fmin(rn_clock_s(), until_s);
  if (end_s > start_s) scan->held_s[scan->direction] += end_s - start_s;
}

static rn_status pipelined_end(rn_err *err, rn_scan *scan) {
  const pipelined *p = scan->impl;
  rn_backoff backoff = {0};
  while (p->pending > 0) {
    int count = 0;
    RN_TRY(err, forward_blocks(err, scan, &count));
    if (count > 0) {
      backoff = (rn_backoff){0};
    } else {
      wait_for_blocks(scan, &backoff);
    }
  }
  return RN_OK;
}

static void pipelined_describe(const rn_scan *scan, char *text, size_t bytes) {
  const rn_scan_cost *c = &scan->cost;
  if (c->latency_s == 0) {
    snprintf(text, bytes, "%s, one message per head", scan->ops->name);
    return;
  }
  snprintf(text, bytes, "%s, blocks of %lld KiB (measured: %.1f us per message, %.1f GB/s)",
           scan->ops->name, (long long)scan->blocks.block * (long long)sizeof(float) / 1024,
           1e6 * c->latency_s, 1e-9 / c->byte_s);
}

const rn_scan_ops rn_scan_pipelined = {.name = "chain",
                                       .blocks = true,
                                       .bytes = pipelined_bytes,
                                       .create = pipelined_create,
                                       .destroy = pipelined_destroy,
                                       .begin = pipelined_begin,
                                       .progress = pipelined_progress,
                                       .test = pipelined_test,
                                       .end = pipelined_end,
                                       .describe = pipelined_describe};
