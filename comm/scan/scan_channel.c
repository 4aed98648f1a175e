#include "comm/scan/scan_channel.h"

#include <assert.h>
#include <stdlib.h>

#include "comm/world/backoff.h"
#include "comm/world/last_wait.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

rn_scan_blocks rn_scan_blocks_make(int heads, int64_t matrix, int64_t block) {
  if (block > matrix) block = matrix;
  return (rn_scan_blocks){.heads = heads,
                          .per_head = (int)((matrix + block - 1) / block),
                          .matrix = matrix,
                          .block = block};
}

int rn_scan_block_head(const rn_scan_blocks *blocks, int block) {
  return block / blocks->per_head;
}

rn_range rn_scan_block_range(const rn_scan_blocks *b, int block) {
  const int64_t head = block / b->per_head * b->matrix, at = block % b->per_head * b->block;
  const int64_t left = b->matrix - at;
  return (rn_range){head + at, head + at + (left < b->block ? left : b->block)};
}

rn_status rn_scan_channel_create(rn_err *err, const rn_scan_blocks *blocks,
                                 rn_channel_direction direction, int peer, MPI_Comm comm,
                                 rn_scan_channel *out) {
  const int count = blocks->heads * blocks->per_head;
  *out = (rn_scan_channel){0};
  RN_TRY(err, rn_alloc(err, "scan buffers", (size_t)blocks->heads * (size_t)blocks->matrix,
                       sizeof(float), &out->buffer));
  RN_TRY(err, rn_alloc(err, "scan blocks", (size_t)count, sizeof(MPI_Request), &out->request));
  for (; out->blocks < count; out->blocks++) {
    const rn_range range = rn_scan_block_range(blocks, out->blocks);
    float *at = out->buffer + range.begin;
    const int elements = (int)rn_range_count(range);
    MPI_Request *request = &out->request[out->blocks];
    if (direction == RN_CHANNEL_SEND) {
      RN_MPI(err, MPI_Send_init(at, elements, MPI_FLOAT, peer, out->blocks, comm, request));
    } else {
      RN_MPI(err, MPI_Recv_init(at, elements, MPI_FLOAT, peer, out->blocks, comm, request));
    }
  }
  return rn_scan_delay_create(err, count, peer, comm, &out->delay);
}

void rn_scan_channel_destroy(rn_scan_channel *channel, bool *ended) {
  *ended = *ended && rn_last_wait(channel->blocks, channel->request);
  rn_scan_delay_destroy(&channel->delay, ended);
  if (!*ended) return;
  for (int b = 0; b < channel->blocks; b++) MPI_Request_free(&channel->request[b]);
  free(channel->request);
  free(channel->buffer);
  *channel = (rn_scan_channel){0};
}

rn_status rn_scan_channel_send(rn_err *err, rn_scan_channel *channel, int block) {
  if (channel->delay != NULL) RN_TRY(err, rn_scan_delay_send(err, channel->delay, block));
  RN_MPI(err, MPI_Start(&channel->request[block]));
  return RN_OK;
}

rn_status rn_scan_channel_test(rn_err *err, rn_scan_channel *channel, int blocks, int *count,
                               int *received) {
  RN_MPI(err, MPI_Testsome(blocks, channel->request, count, received, MPI_STATUSES_IGNORE));
  if (channel->delay == NULL) return RN_OK;
  return rn_scan_delay_filter(err, channel->delay, count, received);
}

rn_status rn_scan_channel_wait(rn_err *err, rn_scan_channel *channel) {
  rn_backoff backoff = {0};
  for (int done = 0;; rn_backoff_wait(&backoff)) {
    RN_MPI(err, MPI_Testall(channel->blocks, channel->request, &done, MPI_STATUSES_IGNORE));
    if (done) return RN_OK;
  }
}
