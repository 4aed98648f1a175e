/*
 * The pipelined chain: the state goes from neighbour to neighbour in blocks, so that all ranks work
 * on it at once. A block that forgets what came before is sent before anything is received.
 */
#include <string.h>

#include "comm/mpi_check.h"
#include "comm/scan.h"

static int64_t total_of(const rn_chain *chain) {
  return (int64_t)chain->n * chain->m;
}

static int64_t end_of(const rn_chain *chain, int block) {
  const int64_t end = (block + 1) * chain->block, total = total_of(chain);
  return end < total ? end : total;
}

static bool forgets(const rn_chain *chain, int block) {
  const int64_t first = block * chain->block / chain->m,
                last = (end_of(chain, block) - 1) / chain->m;
  for (int64_t head = first; head <= last; head++) {
    if (chain->factor[head] != 0) return false;
  }
  return true;
}

static rn_status send_block(rn_err *err, rn_chain *chain, int block) {
  const int position = chain->position[chain->direction];
  const int64_t begin = block * chain->block, count = end_of(chain, block) - begin;
  chain->sent[block] = true;
  if (position == chain->size - 1) return RN_OK;
  rn_scan_advance(chain, begin, begin + count);
  chain->bytes_sent += count * (int64_t)sizeof(float);
  RN_MPI(err, MPI_Isend(chain->out + begin, (int)count, MPI_FLOAT, position + 1, block,
                        chain->axis[chain->direction], &chain->send[block]));
  return RN_OK;
}

rn_status rn_scan_chain_begin(rn_err *err, rn_chain *chain) {
  const int64_t total = total_of(chain);
  const int position = chain->position[chain->direction];
  chain->block = (total + RN_SCAN_MAX_BLOCKS - 1) / RN_SCAN_MAX_BLOCKS;
  if (chain->block < RN_SCAN_MIN_BLOCK) chain->block = RN_SCAN_MIN_BLOCK;
  chain->blocks = (int)((total + chain->block - 1) / chain->block);
  chain->next = 0;
  rn_err_clear(&chain->poll_err);
  memset(chain->before, 0, (size_t)total * sizeof *chain->before);
  for (int b = 0; b < chain->blocks; b++) {
    chain->receive[b] = chain->send[b] = MPI_REQUEST_NULL;
    chain->sent[b] = false;
    if (position == 0) continue;
    const int64_t begin = b * chain->block;
    RN_MPI(err, MPI_Irecv(chain->before + begin, (int)(end_of(chain, b) - begin), MPI_FLOAT,
                          position - 1, b, chain->axis[chain->direction], &chain->receive[b]));
  }
  for (int b = 0; b < chain->blocks; b++) {
    if (position != 0 && !forgets(chain, b)) continue;
    RN_TRY(err, send_block(err, chain, b));
  }
  return RN_OK;
}

/* Passes on the blocks that have come, in order. A failed request is gone, so that asking again
 * would find nothing wrong: end() returns what is kept here. */
void rn_scan_chain_poll(rn_chain *chain) {
  rn_err *err = &chain->poll_err;
  while (err->status == RN_OK && chain->next < chain->blocks) {
    int arrived = 0;
    rn_status status =
        RN_MPI_STATUS(err, MPI_Test(&chain->receive[chain->next], &arrived, MPI_STATUS_IGNORE));
    if (status != RN_OK || !arrived) return;
    if (!chain->sent[chain->next] && send_block(err, chain, chain->next) != RN_OK) return;
    chain->next++;
  }
}

rn_status rn_scan_chain_end(rn_err *err, rn_chain *chain) {
  if (chain->poll_err.status != RN_OK) {
    return rn_fail(err, chain->poll_err.status, "%s", chain->poll_err.text);
  }
  for (; chain->next < chain->blocks; chain->next++) {
    RN_MPI(err, MPI_Wait(&chain->receive[chain->next], MPI_STATUS_IGNORE));
    if (!chain->sent[chain->next]) RN_TRY(err, send_block(err, chain, chain->next));
  }
  RN_MPI(err, MPI_Waitall(chain->blocks, chain->send, MPI_STATUSES_IGNORE));
  return RN_OK;
}
