/*
 * Implements the scan for a single rank, which holds whole sequences and keeps the states in memory
 * between segments.
 *
 * The state of a head whose factor is 0 is replaced, not multiplied, so that a NaN in the old state
 * does not propagate.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/scan/scan_ops.h"
#include "proto/base/arena.h"

typedef struct single_rank {
  float *state[RN_SCAN_DIRECTIONS]; /* [layers, heads, matrix]; NULL if there is one segment */
} single_rank;

static size_t single_rank_bytes(rn_scan_shape shape, int rank, int ranks) {
  (void)rank, (void)ranks;
  if (shape.segments == 1) return 0;
  return RN_SCAN_DIRECTIONS * (size_t)shape.layers * (size_t)shape.heads * (size_t)shape.matrix *
         sizeof(float);
}

static rn_status single_rank_create(rn_err *err, rn_scan *scan) {
  const rn_scan_shape *s = &scan->shape;
  single_rank *impl;
  RN_TRY(err, rn_alloc(err, "scan", 1, sizeof *impl, &impl));
  scan->impl = impl;
  for (int d = 0; s->segments > 1 && d < RN_SCAN_DIRECTIONS; d++) {
    RN_TRY(err, rn_alloc(err, "segment states", (size_t)s->layers * (size_t)s->heads,
                         (size_t)s->matrix * sizeof(float), &impl->state[d]));
  }
  return RN_OK;
}

static void single_rank_destroy(rn_scan *scan, bool *ended) {
  single_rank *impl = scan->impl;
  (void)ended;
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) free(impl->state[d]);
  free(impl);
}

/* Returns the state of the current layer that is kept between segments; NULL if there is one
 * segment. */
static float *state_of(const rn_scan *scan) {
  const single_rank *impl = scan->impl;
  float *states = impl->state[scan->direction];
  const int64_t elements = scan->shape.heads * scan->shape.matrix;
  return states != NULL ? states + scan->layer * elements : NULL;
}

static bool is_last_segment(const rn_scan *scan) {
  return rn_scan_segment_index(scan) == scan->segments - 1;
}

static rn_status single_rank_begin(rn_err *err, rn_scan *scan) {
  (void)err;
  scan->before = rn_scan_segment_index(scan) == 0 ? scan->sequence_initial : state_of(scan);
  scan->out = NULL;
  return RN_OK;
}

static bool single_rank_test(const rn_scan *scan) {
  (void)scan;
  return true;
}

static rn_status single_rank_end(rn_err *err, rn_scan *scan) {
  (void)err, (void)scan;
  return RN_OK;
}

static void single_rank_update(rn_scan *scan) {
  if (scan->port.publish != NULL) return;
  scan->out = is_last_segment(scan) ? scan->sequence_final : state_of(scan);
  if (scan->out != NULL) rn_scan_advance_all(scan);
}

static rn_status single_rank_publish(rn_err *err, rn_scan *scan, const float *after) {
  (void)err;
  if (!is_last_segment(scan)) memcpy(state_of(scan), after, rn_scan_state_bytes(scan));
  return RN_OK;
}

static void single_rank_describe(const rn_scan *scan, char *text, size_t bytes) {
  (void)scan;
  snprintf(text, bytes, "none");
}

const rn_scan_ops rn_scan_single_rank = {.name = "chain",
                                         .bytes = single_rank_bytes,
                                         .create = single_rank_create,
                                         .destroy = single_rank_destroy,
                                         .begin = single_rank_begin,
                                         .test = single_rank_test,
                                         .end = single_rank_end,
                                         .update = single_rank_update,
                                         .publish = single_rank_publish,
                                         .describe = single_rank_describe};
