#include "comm/scan/scan_wraparound.h"

#include <stdlib.h>

#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

static rn_scan_channel *channel_of(rn_scan *scan, rn_channel_direction transfer,
                                   int segment_index) {
  const int buffer = scan->layer * RN_SCAN_BUFFERS + segment_index % RN_SCAN_BUFFERS;
  return &scan->wraparound.channel[scan->direction][transfer][buffer];
}

static rn_status create_channels(rn_err *err, rn_scan *scan, int direction,
                                 rn_channel_direction transfer) {
  const int count = scan->shape.layers * RN_SCAN_BUFFERS;
  const int peer = transfer == RN_CHANNEL_SEND ? 0 : scan->size - 1;
  rn_scan_channel **channels = &scan->wraparound.channel[direction][transfer];
  RN_TRY(err, rn_alloc(err, "segment states", (size_t)count, sizeof **channels, channels));
  for (int i = 0; i < count; i++) {
    RN_TRY(err, rn_scan_channel_create(err, &scan->blocks, transfer, peer, scan->axis[direction],
                                       *channels + i));
  }
  return RN_OK;
}

rn_status rn_scan_wraparound_create(rn_err *err, rn_scan *scan) {
  if (scan->shape.segments == 1) return RN_OK;
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    if (scan->position[d] == 0) RN_TRY(err, create_channels(err, scan, d, RN_CHANNEL_RECEIVE));
    if (scan->position[d] == scan->size - 1)
      RN_TRY(err, create_channels(err, scan, d, RN_CHANNEL_SEND));
  }
  return RN_OK;
}

void rn_scan_wraparound_destroy(rn_scan *scan, bool *ended) {
  for (int i = 0; i < 2 * RN_SCAN_DIRECTIONS; i++) {
    rn_scan_channel **channels = &scan->wraparound.channel[i / 2][i % 2];
    for (int l = 0; *channels != NULL && l < scan->shape.layers * RN_SCAN_BUFFERS; l++) {
      rn_scan_channel_destroy(*channels + l, ended);
    }
    if (*ended) free(*channels);
  }
}

int rn_scan_wraparound_states(rn_scan_shape shape, int position, int ranks) {
  if (shape.segments == 1) return 0;
  return ((position == 0) + (position == ranks - 1)) * shape.layers * RN_SCAN_BUFFERS;
}

rn_status rn_scan_wraparound_begin(rn_err *err, rn_scan *scan) {
  const int position = rn_scan_position(scan), index = rn_scan_segment_index(scan);
  const bool first = position == 0, last = position == scan->size - 1;
  const bool more_segments = index < scan->segments - 1;
  rn_scan_wraparound *w = &scan->wraparound;
  w->from = first && index > 0 ? channel_of(scan, RN_CHANNEL_RECEIVE, index - 1) : NULL;
  w->to = last && more_segments ? channel_of(scan, RN_CHANNEL_SEND, index) : NULL;
  if (!first || !more_segments) return RN_OK;
  RN_MPI(err, MPI_Startall(scan->n * scan->blocks.per_head,
                           channel_of(scan, RN_CHANNEL_RECEIVE, index)->request));
  return RN_OK;
}

rn_status rn_scan_wraparound_receive(rn_err *err, rn_scan *scan) {
  if (rn_scan_position(scan) > 0) return RN_OK;
  scan->before = scan->sequence_initial;
  if (scan->wraparound.from == NULL) return RN_OK;
  RN_TRY(err, rn_scan_channel_wait(err, scan->wraparound.from));
  scan->before = scan->wraparound.from->buffer;
  return RN_OK;
}

rn_status rn_scan_wraparound_send(rn_err *err, rn_scan *scan) {
  rn_scan_channel *to = scan->wraparound.to;
  const bool last = rn_scan_position(scan) == scan->size - 1;
  scan->out = scan->sequence_final;
  if (to != NULL) {
    RN_TRY(err, rn_scan_channel_wait(err, to));
    scan->out = to->buffer;
  }
  if (!last || scan->out == NULL) return RN_OK;
  rn_scan_advance_all(scan);
  if (to == NULL) return RN_OK;
  scan->bytes_sent += (int64_t)rn_scan_state_bytes(scan);
  RN_MPI(err, MPI_Startall(scan->n * scan->blocks.per_head, to->request));
  return RN_OK;
}
