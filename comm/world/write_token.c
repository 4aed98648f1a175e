#include "comm/world/write_token.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/range.h"

enum { LOOK_NS = 1000000 };

/* The last token that a rank passed. */
typedef struct word {
  _Atomic int64_t turn; /* round of the token; stored after end and status */
  _Atomic int64_t end;
  _Atomic int status;
  int rank; /* world rank */
} word;

struct rn_write_token {
  MPI_Win window;
  word *first, *before, *mine; /* in the row; before: NULL on its first rank */
  int64_t turn;                /* current or last round of this rank */
  atomic_bool given_up;
};

/* The first rank, on the node, of the row of `node_rank`. */
static int row_begin(int node_rank, int node_ranks) {
  const int rows = node_ranks < RN_WRITE_TOKEN_FILES ? node_ranks : RN_WRITE_TOKEN_FILES;
  int row = 0;
  while (node_rank >= rn_cut(node_ranks, rows, row).end) row++;
  return (int)rn_cut(node_ranks, rows, row).begin;
}

static rn_status find_word(rn_err *err, rn_write_token *write_token, int node_rank, word **out) {
  MPI_Aint bytes;
  int unit;
  return RN_MPI_STATUS(err,
                       MPI_Win_shared_query(write_token->window, node_rank, &bytes, &unit, out));
}

static rn_status share_words(rn_err *err, const rn_world *world, rn_write_token *write_token) {
  MPI_Comm comm = rn_world_node_comm(world);
  int rank;
  RN_MPI(err, MPI_Comm_rank(comm, &rank));
  RN_MPI(err, MPI_Win_allocate_shared(sizeof(word), 1, MPI_INFO_NULL, comm, &write_token->mine,
                                      &write_token->window));
  memset(write_token->mine, 0, sizeof(word));
  write_token->mine->rank = rn_world_rank(world);
  const int begin = row_begin(rank, rn_world_node_ranks(world));
  RN_TRY(err, find_word(err, write_token, begin, &write_token->first));
  if (rank > begin) RN_TRY(err, find_word(err, write_token, rank - 1, &write_token->before));
  RN_MPI(err, MPI_Barrier(comm));
  return RN_OK;
}

rn_status rn_write_token_create(rn_err *err, const rn_world *world, rn_write_token **out) {
  rn_write_token *write_token;
  *out = NULL;
  RN_TRY(err, rn_agree(err, world, rn_alloc(err, "turns", 1, sizeof *write_token, &write_token)));
  write_token->window = MPI_WIN_NULL;
  RN_TRY(err, share_words(err, world, write_token));
  *out = write_token;
  return RN_OK;
}

void rn_write_token_destroy(rn_write_token **write_token) {
  rn_write_token *t = *write_token;
  if (t == NULL) return;
  if (t->window != MPI_WIN_NULL) MPI_Win_free(&t->window);
  free(t);
  *write_token = NULL;
}

int rn_write_token_first(const rn_write_token *write_token) {
  return write_token->first->rank;
}

rn_status rn_write_token_wait(rn_err *err, rn_write_token *write_token, int64_t *at) {
  *at = 0;
  write_token->turn++;
  if (write_token->before == NULL) return RN_OK;
  while (atomic_load(&write_token->before->turn) < write_token->turn) {
    if (atomic_load(&write_token->given_up)) return rn_fail(err, RN_ERR_IO, "the job is ending");
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
  }
  *at = atomic_load(&write_token->before->end);
  const rn_status status = (rn_status)atomic_load(&write_token->before->status);
  if (status == RN_OK) return RN_OK;
  return rn_fail(err, status, "rank %d, which writes the same file before this one, failed",
                 write_token->before->rank);
}

void rn_write_token_pass(rn_write_token *write_token, rn_status status, int64_t end) {
  atomic_store(&write_token->mine->end, end);
  atomic_store(&write_token->mine->status, (int)status);
  atomic_store(&write_token->mine->turn, write_token->turn);
}

void rn_write_token_give_up(rn_write_token *write_token) {
  atomic_store(&write_token->given_up, true);
}
