/*
 * The pipelined chain: the state goes from neighbour to neighbour in blocks, so that all ranks work
 * on it at once. A block that forgets what came before is sent before anything is received.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "comm/mpi_check.h"
#include "comm/patience.h"
#include "comm/scan.h"
#include "proto/arena.h"

rn_status rn_scan_chain_create(rn_err *err, rn_chain *chain) {
  const rn_scan_blocks *blocks = &chain->blocks;
  RN_TRY(err, rn_alloc(err, "blocks of states", (size_t)blocks->heads * (size_t)blocks->per_head,
                       sizeof(int), &chain->arrived));
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    const int position = chain->position[d];
    if (position > 0) {
      RN_TRY(err, rn_scan_link_create(err, blocks, RN_LINK_RECEIVE, position - 1, chain->axis[d],
                                      &chain->receive[d]));
    }
    for (int turn = 0; position < chain->size - 1 && turn < RN_SCAN_TURNS; turn++) {
      RN_TRY(err, rn_scan_link_create(err, blocks, RN_LINK_SEND, position + 1, chain->axis[d],
                                      &chain->send[d][turn]));
    }
  }
  return RN_OK;
}

void rn_scan_chain_destroy(rn_chain *chain, bool *ended) {
  for (int d = 0; d < RN_SCAN_DIRECTIONS; d++) {
    rn_scan_link_destroy(&chain->receive[d], ended);
    for (int t = 0; t < RN_SCAN_TURNS; t++) rn_scan_link_destroy(&chain->send[d][t], ended);
  }
  free(chain->arrived);
}

static bool forgets(const rn_chain *chain, int block) {
  return chain->factor[rn_scan_block_head(&chain->blocks, block)] == 0;
}

static rn_status send_block(rn_err *err, rn_chain *chain, int block) {
  const rn_range range = rn_scan_block_range(&chain->blocks, block);
  if (chain->out == NULL) return RN_OK;
  rn_scan_advance(chain, range);
  if (chain->to == NULL) return RN_OK;
  chain->bytes_sent += rn_range_count(range) * (int64_t)sizeof(float);
  RN_MPI(err, MPI_Start(&chain->to->request[block]));
  return RN_OK;
}

/* Where the scan at hand comes from and goes to: a neighbour, a band, or nowhere. */
static void choose_ends(rn_chain *chain) {
  const int d = chain->direction, position = chain->position[d];
  chain->from = chain->ring_from;
  chain->to = chain->ring_to;
  if (position > 0) chain->from = &chain->receive[d];
  if (position < chain->size - 1) {
    chain->turn[d] = (chain->turn[d] + 1) % RN_SCAN_TURNS;
    chain->to = &chain->send[d][chain->turn[d]];
  }
  chain->before = chain->from != NULL ? chain->from->buffer : chain->origin;
  chain->out = chain->to != NULL ? chain->to->buffer : chain->remains;
}

/* What went wrong while nobody could be told. */
static rn_status found_before(rn_err *err, const rn_chain *chain) {
  if (chain->poll_err.status == RN_OK) return RN_OK;
  return rn_fail(err, chain->poll_err.status, "%s", chain->poll_err.text);
}

rn_status rn_scan_chain_begin(rn_err *err, rn_chain *chain) {
  const int blocks = chain->n * chain->blocks.per_head;
  RN_TRY(err, found_before(err, chain));
  choose_ends(chain);
  chain->pending = chain->from != NULL ? blocks : 0;
  if (chain->position[chain->direction] > 0) {
    RN_MPI(err, MPI_Startall(blocks, chain->from->request));
  }
  if (chain->to != NULL) RN_TRY(err, rn_scan_link_settle(err, chain->to));
  for (int b = 0; b < blocks; b++) {
    if (chain->from == NULL || forgets(chain, b)) RN_TRY(err, send_block(err, chain, b));
  }
  return RN_OK;
}

/* Passes on the blocks that have come; `count` is how many. */
static rn_status pass_on(rn_err *err, rn_chain *chain, int *count) {
  const int blocks = chain->n * chain->blocks.per_head;
  RN_MPI(err,
         MPI_Testsome(blocks, chain->from->request, count, chain->arrived, MPI_STATUSES_IGNORE));
  for (int i = 0; i < *count; i++) {
    const int block = chain->arrived[i];
    if (!forgets(chain, block)) RN_TRY(err, send_block(err, chain, block));
  }
  chain->pending -= *count;
  return RN_OK;
}

/* A failed request is gone, so that asking again would find nothing wrong: end() returns what is
 * kept here. Where nothing is to come, what is sent still wants the library to be looked after. */
void rn_scan_chain_poll(rn_chain *chain) {
  rn_err *err = &chain->poll_err;
  int count;
  if (err->status != RN_OK) return;
  if (chain->pending > 0) {
    pass_on(err, chain, &count);
  } else {
    (void)RN_MPI_STATUS(err, MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, chain->axis[chain->direction],
                                        &count, MPI_STATUS_IGNORE));
  }
}

/* Here the library is looked after until all that is sent has gone, also behind end(). */
rn_errand_state rn_scan_chain_look(rn_chain *chain) {
  rn_err *err = &chain->poll_err;
  int gone = 1, count = 0;
  if (err->status != RN_OK) return RN_ERRAND_DONE;
  if (chain->pending > 0) {
    pass_on(err, chain, &count);
    return count > 0 ? RN_ERRAND_MOVED : RN_ERRAND_WAITS;
  }
  if (chain->to != NULL) {
    (void)RN_MPI_STATUS(
        err, MPI_Testall(chain->to->blocks, chain->to->request, &gone, MPI_STATUSES_IGNORE));
  }
  return gone ? RN_ERRAND_DONE : RN_ERRAND_WAITS;
}

rn_status rn_scan_chain_end(rn_err *err, rn_chain *chain) {
  rn_patience patience = {0};
  RN_TRY(err, found_before(err, chain));
  while (chain->pending > 0) {
    int count = 0;
    RN_TRY(err, pass_on(err, chain, &count));
    if (count > 0) {
      patience = (rn_patience){0};
    } else {
      rn_patience_wait(&patience);
    }
  }
  return RN_OK;
}
