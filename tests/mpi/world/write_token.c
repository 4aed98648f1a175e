/* Checks that the write token passes from rank to rank. The ranks of a node are divided into a few
 * rows of consecutive ranks. Each rank begins to write where the previous rank of its row ended,
 * and receives the failure of any earlier rank of the row. */
#include "comm/world/write_token.h"

#include <pthread.h>
#include <unistd.h>

#include "proto/base/range.h"
#include "tests/support/check.h"

static rn_err err;
static rn_world *world;

typedef struct write_round {
  rn_write_token *write_token;
  int64_t bytes, at; /* bytes that this rank writes, and its offset */
  rn_status own, received;
} write_round;

static void *pass_token(void *argument) {
  write_round *t = argument;
  rn_err thread_err = {0};
  t->received = rn_write_token_wait(&thread_err, t->write_token, &t->at);
  rn_write_token_pass(t->write_token, t->received != RN_OK ? t->received : t->own,
                      t->at + t->bytes);
  return NULL;
}

/* Takes and passes the token in a thread, after a barrier; some ranks are late. */
static void pass_in_thread(write_round *t, int rank, int round) {
  pthread_t thread;
  CHECK_OK(&err, rn_world_barrier(&err, world));
  if ((rank + round) % 3 == 0) usleep(5000);
  if (!CHECK(pthread_create(&thread, NULL, pass_token, t) == 0)) return;
  pthread_join(thread, NULL);
}

/* Returns the ranks of the row of `rank`. As the header defines, rows are consecutive ranks and
 * nearly equal in length. */
static rn_range row_of(int rank, int size) {
  const int rows = size < RN_WRITE_TOKEN_FILES ? size : RN_WRITE_TOKEN_FILES;
  rn_range row = {0, 0};
  for (int i = 0; i < rows && rank >= row.end; i++) row = rn_cut(size, rows, i);
  return row;
}

static void each_write_begins_where_the_previous_ended(rn_write_token *write_token, int rank,
                                                       rn_range row) {
  for (int round = 0; round < 5; round++) {
    write_round t = {.write_token = write_token, .bytes = 100 * round + rank % 4};
    int64_t want = 0;
    for (int64_t r = row.begin; r < rank; r++) want += 100 * round + r % 4;
    pass_in_thread(&t, rank, round);
    CHECK(t.received == RN_OK);
    CHECK_EQUAL(t.at, want);
  }
}

/* Checks that a failure is reported only to the later ranks of the same row, and that the next
 * round succeeds. */
static void failures_are_passed_on(rn_write_token *write_token, int rank, rn_range row) {
  const int culprit = 1;
  write_round t = {.write_token = write_token, .own = rank == culprit ? RN_ERR_MEMORY : RN_OK};
  pass_in_thread(&t, rank, 0);
  CHECK_EQUAL(t.received, row.begin <= culprit && rank > culprit ? RN_ERR_MEMORY : RN_OK);
  t.own = RN_OK;
  pass_in_thread(&t, rank, 1);
  CHECK(t.received == RN_OK);
}

/* Checks that rn_write_token_cancel ends the waits if no rank passes the token. */
static void cancelling_ends_waits(rn_write_token *write_token, int rank, rn_range row) {
  if (rank == row.begin) {
    CHECK_OK(&err, rn_world_barrier(&err, world));
    return;
  }
  rn_write_token_cancel(write_token);
  write_round t = {.write_token = write_token};
  pass_in_thread(&t, rank, 0);
  CHECK(t.received == RN_ERR_IO);
}

int main(int argc, char **argv) {
  rn_write_token *write_token = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status == RN_OK) status = rn_write_token_create(&err, world, &write_token);
  if (status == RN_OK) {
    const int rank = rn_world_rank(world);
    const rn_range row = row_of(rank, rn_world_size(world));
    CHECK_EQUAL(rn_write_token_first(write_token), row.begin);
    each_write_begins_where_the_previous_ended(write_token, rank, row);
    failures_are_passed_on(write_token, rank, row);
    cancelling_ends_waits(write_token, rank, row);
    rn_write_token_destroy(&write_token);
  }
  CHECK(status == RN_OK);
  int64_t failed = check_failures();
  if (status == RN_OK) status = rn_world_max(&err, world, &failed, 1);
  const int result = check_result();
  return rn_world_finish(&world, status, &err) + (failed > 0 ? 1 : result);
}
