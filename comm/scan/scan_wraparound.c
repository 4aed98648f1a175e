#include "comm/scan/scan_wraparound.h"

#include <stdlib.h>

#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

static rn_scan_channel *link_of(rn_scan *scan, rn_channel_direction way, int layer, int step) {
  return &scan->ring[scan->direction][way][layer * RN_SCAN_BUFFERS + step % RN_SCAN_BUFFERS];
}

static rn_status create_way(rn_err *err, rn_scan *scan, int direction, rn_channel_direction way) {
  const int count = scan->shape.layers * RN_SCAN_BUFFERS;
  const int peer = way == RN_CHANNEL_SEND ? 0 : scan->size - 1;
  rn_scan_channel **links = &scan->ring[direction][way];
  RN_TRY(err, rn_alloc(err, "states between bands", (size_t)count, sizeof **links, links));
  for (int i = 0; i < count; i++) {
    RN_TRY(err, rn_scan_channel_create(err, &scan->blocks, way, peer, scan->axis[direction],
                                       *links + i));
  }
  return RN_OK;
}

rn_status rn_scan_wraparound_create(rn_err *err, rn_scan *scan) {
  if (scan->shape.bands == 1) return RN_OK;
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    if (scan->position[d] == 0) RN_TRY(err, create_way(err, scan, d, RN_CHANNEL_RECEIVE));
    if (scan->position[d] == scan->size - 1) RN_TRY(err, create_way(err, scan, d, RN_CHANNEL_SEND));
  }
  return RN_OK;
}

void rn_scan_wraparound_destroy(rn_scan *scan, bool *ended) {
  for (int i = 0; i < 2 * RN_SCAN_DIRECTIONS; i++) {
    rn_scan_channel **links = &scan->ring[i / 2][i % 2];
    for (int l = 0; *links != NULL && l < scan->shape.layers * RN_SCAN_BUFFERS; l++) {
      rn_scan_channel_destroy(*links + l, ended);
    }
    if (*ended) free(*links);
  }
}

rn_status rn_scan_wraparound_begin(rn_err *err, rn_scan *scan, int layer) {
  const int position = scan->position[scan->direction];
  const int step = scan->direction == RN_SCAN_FORWARD ? scan->band : scan->bands - 1 - scan->band;
  const bool first = position == 0, last = position == scan->size - 1;
  const bool goes_on = step < scan->bands - 1;
  scan->ring_from = first && step > 0 ? link_of(scan, RN_CHANNEL_RECEIVE, layer, step - 1) : NULL;
  scan->ring_to = last && goes_on ? link_of(scan, RN_CHANNEL_SEND, layer, step) : NULL;
  const int64_t at = layer * scan->n * scan->blocks.matrix;
  const bool carries = scan->direction == RN_SCAN_FORWARD;
  scan->origin = carries && step == 0 && scan->initial != NULL ? scan->initial + at : NULL;
  scan->remains = carries && !goes_on && scan->final != NULL ? scan->final + at : NULL;
  if (first && goes_on) {
    RN_MPI(err, MPI_Startall(scan->n * scan->blocks.per_head,
                             link_of(scan, RN_CHANNEL_RECEIVE, layer, step)->request));
  }
  return RN_OK;
}

rn_status rn_scan_wraparound_receive(rn_err *err, rn_scan *scan) {
  if (scan->position[scan->direction] > 0) return RN_OK;
  scan->before = scan->origin;
  if (scan->ring_from == NULL) return RN_OK;
  RN_TRY(err, rn_scan_channel_settle(err, scan->ring_from));
  scan->before = scan->ring_from->buffer;
  return RN_OK;
}

rn_status rn_scan_wraparound_send(rn_err *err, rn_scan *scan) {
  const bool last = scan->position[scan->direction] == scan->size - 1;
  scan->out = scan->remains;
  if (scan->ring_to != NULL) {
    RN_TRY(err, rn_scan_channel_settle(err, scan->ring_to));
    scan->out = scan->ring_to->buffer;
  }
  if (!last || scan->out == NULL) return RN_OK;
  rn_scan_advance_all(scan);
  if (scan->ring_to == NULL) return RN_OK;
  scan->bytes_sent += scan->n * scan->blocks.matrix * (int64_t)sizeof(float);
  RN_MPI(err, MPI_Startall(scan->n * scan->blocks.per_head, scan->ring_to->request));
  return RN_OK;
}
