#include "comm/world/write_token.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/range.h"

enum { POLL_NS = 1000000 };

/* What a rank wrote when it last passed the token; the next rank reads it. */
typedef struct slot {
  _Atomic int64_t round; /* round in which the token was passed; stored after `end` and `status` */
  _Atomic int64_t end;
  _Atomic int status;
  int rank; /* world rank */
} slot;

struct rn_write_token {
  MPI_Win window;
  slot *first, *previous,
      *mine;     /* among the ranks that write the same file: slots of the first
                    rank, of the previous one (NULL on the first), and of this rank */
  int64_t round; /* current or last round of this rank */
  atomic_bool cancelled;
};

/* Returns the first rank of the row (see write_token.h) to which `node_rank` belongs. All ranks
 * here are ranks on the node. */
static int row_begin(int node_rank, int node_ranks) {
  const int rows = node_ranks < RN_WRITE_TOKEN_FILES ? node_ranks : RN_WRITE_TOKEN_FILES;
  int row = 0;
  while (node_rank >= rn_cut(node_ranks, rows, row).end) row++;
  return (int)rn_cut(node_ranks, rows, row).begin;
}

static rn_status find_slot(rn_err *err, rn_write_token *write_token, int node_rank, slot **out) {
  MPI_Aint bytes;
  int unit;
  return RN_MPI_STATUS(err,
                       MPI_Win_shared_query(write_token->window, node_rank, &bytes, &unit, out));
}

static rn_status share_slots(rn_err *err, const rn_world *world, rn_write_token *write_token) {
  MPI_Comm comm = rn_world_node_comm(world);
  int rank;
  RN_MPI(err, MPI_Comm_rank(comm, &rank));
  RN_MPI_WAIT(err, MPI_Win_allocate_shared(sizeof(slot), 1, MPI_INFO_NULL, comm, &write_token->mine,
                                           &write_token->window));
  memset(write_token->mine, 0, sizeof(slot));
  write_token->mine->rank = rn_world_rank(world);
  const int begin = row_begin(rank, rn_world_node_ranks(world));
  RN_TRY(err, find_slot(err, write_token, begin, &write_token->first));
  if (rank > begin) RN_TRY(err, find_slot(err, write_token, rank - 1, &write_token->previous));
  RN_MPI_WAIT(err, MPI_Barrier(comm));
  return RN_OK;
}

rn_status rn_write_token_create(rn_err *err, const rn_world *world, rn_write_token **out) {
  rn_write_token *write_token;
  *out = NULL;
  rn_status status = rn_alloc(err, "write token", 1, sizeof *write_token, &write_token);
  if ((status = rn_agree(err, world, status)) != RN_OK) {
    free(write_token);
    return status;
  }
  write_token->window = MPI_WIN_NULL;
  RN_TRY(err, share_slots(err, world, write_token));
  *out = write_token;
  return RN_OK;
}

void rn_write_token_destroy(rn_write_token **write_token) {
  rn_write_token *t = *write_token;
  if (t == NULL) return;
  rn_mpi_free_window(&t->window);
  free(t);
  *write_token = NULL;
}

int rn_write_token_first(const rn_write_token *write_token) {
  return write_token->first->rank;
}

rn_status rn_write_token_wait(rn_err *err, rn_write_token *write_token, int64_t *offset) {
  *offset = 0;
  write_token->round++;
  if (write_token->previous == NULL) return RN_OK;
  while (atomic_load(&write_token->previous->round) < write_token->round) {
    if (atomic_load(&write_token->cancelled)) return rn_fail(err, RN_ERR_IO, "the job is ending");
    nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
  }
  *offset = atomic_load(&write_token->previous->end);
  const rn_status status = (rn_status)atomic_load(&write_token->previous->status);
  if (status == RN_OK) return RN_OK;
  return rn_fail(err, status, "rank %d, which writes to the same file before this rank, failed",
                 write_token->previous->rank);
}

void rn_write_token_pass(rn_write_token *write_token, rn_status status, int64_t end) {
  atomic_store(&write_token->mine->end, end);
  atomic_store(&write_token->mine->status, (int)status);
  atomic_store(&write_token->mine->round, write_token->round);
}

void rn_write_token_cancel(rn_write_token *write_token) {
  atomic_store(&write_token->cancelled, true);
}
