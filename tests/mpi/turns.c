/* Neighbours on a node take turns: each begins where the one before ended, in few rows, and learns
 * of its failure. */
#include "comm/turns.h"

#include <pthread.h>
#include <unistd.h>

#include "proto/cut.h"
#include "tests/support/check.h"

static rn_err err;
static rn_world *world;

typedef struct turn {
  rn_turns *turns;
  int64_t bytes, at; /* of this rank: written, and where it began */
  rn_status own, met;
} turn;

static void *take(void *argument) {
  turn *t = argument;
  rn_err told = {0};
  t->met = rn_turns_wait(&told, t->turns, &t->at);
  rn_turns_pass(t->turns, t->met != RN_OK ? t->met : t->own, t->at + t->bytes);
  return NULL;
}

/* Beside the thread that speaks MPI, after all have met; some ranks come late. */
static void take_beside(turn *t, int rank, int round) {
  pthread_t thread;
  CHECK_OK(&err, rn_world_barrier(&err, world));
  if ((rank + round) % 3 == 0) usleep(5000);
  if (!CHECK(pthread_create(&thread, NULL, take, t) == 0)) return;
  pthread_join(thread, NULL);
}

/* The rank's row, told in the way of the header: nearly equal rows of neighbours. */
static rn_range row_of(int rank, int size) {
  const int rows = size < RN_TURNS_FILES ? size : RN_TURNS_FILES;
  rn_range row = {0, 0};
  for (int i = 0; i < rows && rank >= row.end; i++) row = rn_cut(size, rows, i);
  return row;
}

static void turns_follow_each_other(rn_turns *turns, int rank, rn_range row) {
  for (int round = 0; round < 5; round++) {
    turn t = {.turns = turns, .bytes = 100 * round + rank % 4};
    int64_t want = 0;
    for (int64_t r = row.begin; r < rank; r++) want += 100 * round + r % 4;
    take_beside(&t, rank, round);
    CHECK(t.met == RN_OK);
    CHECK_EQUAL(t.at, want);
  }
}

/* A failure goes down its row, whose other rows do not mind; the next turns are good again. */
static void failures_are_passed_on(rn_turns *turns, int rank, rn_range row) {
  const int culprit = 1;
  turn t = {.turns = turns, .own = rank == culprit ? RN_ERR_MEMORY : RN_OK};
  take_beside(&t, rank, 0);
  CHECK_EQUAL(t.met, row.begin <= culprit && rank > culprit ? RN_ERR_MEMORY : RN_OK);
  t.own = RN_OK;
  take_beside(&t, rank, 1);
  CHECK(t.met == RN_OK);
}

/* Nobody passes: a wait ends when the job does. */
static void giving_up_ends_waits(rn_turns *turns, int rank, rn_range row) {
  if (rank == row.begin) {
    CHECK_OK(&err, rn_world_barrier(&err, world));
    return;
  }
  rn_turns_give_up(turns);
  turn t = {.turns = turns};
  take_beside(&t, rank, 0);
  CHECK(t.met == RN_ERR_IO);
}

int main(int argc, char **argv) {
  rn_turns *turns = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status == RN_OK) status = rn_turns_create(&err, world, &turns);
  if (status == RN_OK) {
    const int rank = rn_world_rank(world);
    const rn_range row = row_of(rank, rn_world_size(world));
    CHECK_EQUAL(rn_turns_first(turns), row.begin);
    turns_follow_each_other(turns, rank, row);
    failures_are_passed_on(turns, rank, row);
    giving_up_ends_waits(turns, rank, row);
    rn_turns_destroy(&turns);
  }
  CHECK(status == RN_OK);
  int64_t failed = check_failures();
  if (status == RN_OK) status = rn_world_max(&err, world, &failed, 1);
  const int result = check_result();
  return rn_world_finish(&world, status, &err) + (failed > 0 ? 1 : result);
}
