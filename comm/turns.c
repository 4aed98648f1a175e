#include "comm/turns.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "comm/mpi_check.h"
#include "proto/arena.h"
#include "proto/cut.h"

enum { LOOK_NS = 1000000 };

/* What one rank has said last. */
typedef struct word {
  _Atomic int64_t turn; /* of this number; written after the others */
  _Atomic int64_t end;
  _Atomic int status;
  int rank; /* of the world */
} word;

struct rn_turns {
  MPI_Win window;
  word *first, *before, *mine; /* of the row; before: NULL for the first itself */
  int64_t turn;                /* that this rank has, or had last */
  atomic_bool given_up;
};

/* The rank of the node that begins the row of another. */
static int row_begin(int node_rank, int node_ranks) {
  const int rows = node_ranks < RN_TURNS_FILES ? node_ranks : RN_TURNS_FILES;
  int row = 0;
  while (node_rank >= rn_cut(node_ranks, rows, row).end) row++;
  return (int)rn_cut(node_ranks, rows, row).begin;
}

static rn_status find_word(rn_err *err, rn_turns *turns, int node_rank, word **out) {
  MPI_Aint bytes;
  int unit;
  return RN_MPI_STATUS(err, MPI_Win_shared_query(turns->window, node_rank, &bytes, &unit, out));
}

static rn_status share_words(rn_err *err, const rn_world *world, rn_turns *turns) {
  MPI_Comm comm = rn_world_node_comm(world);
  int rank;
  RN_MPI(err, MPI_Comm_rank(comm, &rank));
  RN_MPI(err, MPI_Win_allocate_shared(sizeof(word), 1, MPI_INFO_NULL, comm, &turns->mine,
                                      &turns->window));
  memset(turns->mine, 0, sizeof(word));
  turns->mine->rank = rn_world_rank(world);
  const int begin = row_begin(rank, rn_world_node_ranks(world));
  RN_TRY(err, find_word(err, turns, begin, &turns->first));
  if (rank > begin) RN_TRY(err, find_word(err, turns, rank - 1, &turns->before));
  RN_MPI(err, MPI_Barrier(comm));
  return RN_OK;
}

rn_status rn_turns_create(rn_err *err, const rn_world *world, rn_turns **out) {
  rn_turns *turns;
  *out = NULL;
  RN_TRY(err, rn_agree(err, world, rn_alloc(err, "turns", 1, sizeof *turns, &turns)));
  turns->window = MPI_WIN_NULL;
  RN_TRY(err, share_words(err, world, turns));
  *out = turns;
  return RN_OK;
}

void rn_turns_destroy(rn_turns **turns) {
  rn_turns *t = *turns;
  if (t == NULL) return;
  if (t->window != MPI_WIN_NULL) MPI_Win_free(&t->window);
  free(t);
  *turns = NULL;
}

int rn_turns_first(const rn_turns *turns) {
  return turns->first->rank;
}

rn_status rn_turns_wait(rn_err *err, rn_turns *turns, int64_t *at) {
  *at = 0;
  turns->turn++;
  if (turns->before == NULL) return RN_OK;
  while (atomic_load(&turns->before->turn) < turns->turn) {
    if (atomic_load(&turns->given_up)) return rn_fail(err, RN_ERR_IO, "the job is ending");
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
  }
  *at = atomic_load(&turns->before->end);
  const rn_status status = (rn_status)atomic_load(&turns->before->status);
  if (status == RN_OK) return RN_OK;
  return rn_fail(err, status, "rank %d, which writes the same file before this one, failed",
                 turns->before->rank);
}

void rn_turns_pass(rn_turns *turns, rn_status status, int64_t end) {
  atomic_store(&turns->mine->end, end);
  atomic_store(&turns->mine->status, (int)status);
  atomic_store(&turns->mine->turn, turns->turn);
}

void rn_turns_give_up(rn_turns *turns) {
  atomic_store(&turns->given_up, true);
}
