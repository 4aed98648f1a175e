#include "comm/scan_ring.h"

#include <stdlib.h>

#include "comm/mpi_check.h"
#include "proto/arena.h"

static rn_scan_link *link_of(rn_chain *chain, rn_link_way way, int layer, int step) {
  return &chain->ring[chain->direction][way][layer * RN_SCAN_TURNS + step % RN_SCAN_TURNS];
}

static rn_status create_way(rn_err *err, rn_chain *chain, int direction, rn_link_way way) {
  const int count = chain->shape.layers * RN_SCAN_TURNS;
  const int peer = way == RN_LINK_SEND ? 0 : chain->size - 1;
  rn_scan_link **links = &chain->ring[direction][way];
  RN_TRY(err, rn_alloc(err, "states between bands", (size_t)count, sizeof **links, links));
  for (int i = 0; i < count; i++) {
    RN_TRY(err,
           rn_scan_link_create(err, &chain->blocks, way, peer, chain->axis[direction], *links + i));
  }
  return RN_OK;
}

rn_status rn_scan_ring_create(rn_err *err, rn_chain *chain) {
  if (chain->shape.bands == 1) return RN_OK;
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    if (chain->position[d] == 0) RN_TRY(err, create_way(err, chain, d, RN_LINK_RECEIVE));
    if (chain->position[d] == chain->size - 1) RN_TRY(err, create_way(err, chain, d, RN_LINK_SEND));
  }
  return RN_OK;
}

void rn_scan_ring_destroy(rn_chain *chain, bool *ended) {
  for (int i = 0; i < 2 * RN_SCAN_DIRECTIONS; i++) {
    rn_scan_link **links = &chain->ring[i / 2][i % 2];
    for (int l = 0; *links != NULL && l < chain->shape.layers * RN_SCAN_TURNS; l++) {
      rn_scan_link_destroy(*links + l, ended);
    }
    if (*ended) free(*links);
  }
}

rn_status rn_scan_ring_begin(rn_err *err, rn_chain *chain, int layer) {
  const int position = chain->position[chain->direction];
  const int step =
      chain->direction == RN_SCAN_FORWARD ? chain->band : chain->bands - 1 - chain->band;
  const bool first = position == 0, last = position == chain->size - 1;
  const bool goes_on = step < chain->bands - 1;
  chain->ring_from = first && step > 0 ? link_of(chain, RN_LINK_RECEIVE, layer, step - 1) : NULL;
  chain->ring_to = last && goes_on ? link_of(chain, RN_LINK_SEND, layer, step) : NULL;
  const int64_t at = layer * chain->n * chain->blocks.matrix;
  const bool carries = chain->direction == RN_SCAN_FORWARD;
  chain->origin = carries && step == 0 && chain->initial != NULL ? chain->initial + at : NULL;
  chain->remains = carries && !goes_on && chain->final != NULL ? chain->final + at : NULL;
  if (first && goes_on) {
    RN_MPI(err, MPI_Startall(chain->n * chain->blocks.per_head,
                             link_of(chain, RN_LINK_RECEIVE, layer, step)->request));
  }
  return RN_OK;
}

rn_status rn_scan_ring_receive(rn_err *err, rn_chain *chain) {
  if (chain->position[chain->direction] > 0) return RN_OK;
  chain->before = chain->origin;
  if (chain->ring_from == NULL) return RN_OK;
  RN_TRY(err, rn_scan_link_settle(err, chain->ring_from));
  chain->before = chain->ring_from->buffer;
  return RN_OK;
}

rn_status rn_scan_ring_send(rn_err *err, rn_chain *chain) {
  const bool last = chain->position[chain->direction] == chain->size - 1;
  chain->out = chain->remains;
  if (chain->ring_to != NULL) {
    RN_TRY(err, rn_scan_link_settle(err, chain->ring_to));
    chain->out = chain->ring_to->buffer;
  }
  if (!last || chain->out == NULL) return RN_OK;
  rn_scan_advance_all(chain);
  if (chain->ring_to == NULL) return RN_OK;
  chain->bytes_sent += chain->n * chain->blocks.matrix * (int64_t)sizeof(float);
  RN_MPI(err, MPI_Startall(chain->n * chain->blocks.per_head, chain->ring_to->request));
  return RN_OK;
}
