#include "comm/relay.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "comm/mpi_check.h"
#include "comm/patience.h"
#include "proto/arena.h"
#include "proto/span.h"

/* Values of the two ends that are under way at a time. */
enum { END_BLOCK = 1 << 16 };

/* Every MPI has this many tags; far fewer units are under way at a time. */
enum { TAGS = 32767 };

struct rn_relay {
  int stage, stages, width;
  int under_way;    /* messages, until they are waited for */
  MPI_Comm comm[2]; /* by direction: nothing is told apart by tags */
  MPI_Datatype row;
  double wait_s;
  int64_t bytes_sent;
  void *other_end; /* [END_BLOCK] floats or integers */
};

rn_status rn_relay_create(rn_err *err, const rn_grid *grid, int width, rn_relay **out) {
  rn_relay *relay;
  *out = NULL;
  rn_status status = rn_alloc(err, "relay", 1, sizeof *relay, &relay);
  if (status == RN_OK) {
    *relay = (rn_relay){.stage = rn_grid_pipeline(grid),
                        .stages = rn_grid_pipeline_size(grid),
                        .width = width,
                        .comm = {MPI_COMM_NULL, MPI_COMM_NULL},
                        .row = MPI_DATATYPE_NULL};
    status =
        rn_alloc(err, "the other end's gradient", END_BLOCK, sizeof(int64_t), &relay->other_end);
  }
  status = rn_grid_agree(err, grid, status);
  for (int d = 0; status == RN_OK && d < 2; d++) {
    status = RN_MPI_STATUS(err, MPI_Comm_dup(rn_grid_pipeline_comm(grid), &relay->comm[d]));
  }
  if (status == RN_OK) {
    status = RN_MPI_STATUS(err, MPI_Type_contiguous(width, MPI_FLOAT, &relay->row));
  }
  if (status == RN_OK) status = RN_MPI_STATUS(err, MPI_Type_commit(&relay->row));
  if (status != RN_OK) {
    rn_relay_destroy(&relay);
    return status;
  }
  *out = relay;
  return RN_OK;
}

void rn_relay_destroy(rn_relay **relay) {
  if (*relay == NULL) return;
  for (int d = 0; d < 2; d++) {
    if ((*relay)->comm[d] != MPI_COMM_NULL) MPI_Comm_free(&(*relay)->comm[d]);
  }
  if ((*relay)->row != MPI_DATATYPE_NULL) MPI_Type_free(&(*relay)->row);
  free((*relay)->other_end);
  free(*relay);
  *relay = NULL;
}

/* The library moves all it has at any call; what fails shows in rn_relay_wait. */
static rn_errand_state relay_look(void *self) {
  const rn_relay *relay = self;
  int there;
  if (relay->under_way == 0) return RN_ERRAND_DONE;
  MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, relay->comm[0], &there, MPI_STATUS_IGNORE);
  return RN_ERRAND_WAITS;
}

void rn_relay_use_thread(rn_relay *relay, rn_comm_thread *thread) {
  if (thread != NULL) rn_comm_thread_add(thread, (rn_errand){relay, relay_look});
}

bool rn_relay_is_first(const rn_relay *relay) {
  return relay->stage == 0;
}

bool rn_relay_is_last(const rn_relay *relay) {
  return relay->stage == relay->stages - 1;
}

rn_status rn_relay_send(rn_err *err, rn_relay *relay, rn_relay_direction direction, int unit,
                        int64_t count, const float *rows, rn_relay_message *out) {
  const int to = direction == RN_RELAY_ROWS ? relay->stage + 1 : relay->stage - 1;
  assert(0 <= to && to < relay->stages && count <= INT_MAX);
  relay->under_way++;
  relay->bytes_sent += count * relay->width * (int64_t)sizeof(float);
  RN_MPI(err, MPI_Isend(rows, (int)count, relay->row, to, unit % TAGS, relay->comm[direction],
                        &out->request));
  return RN_OK;
}

rn_status rn_relay_receive(rn_err *err, rn_relay *relay, rn_relay_direction direction, int unit,
                           int64_t count, float *rows, rn_relay_message *out) {
  const int from = direction == RN_RELAY_ROWS ? relay->stage - 1 : relay->stage + 1;
  assert(0 <= from && from < relay->stages && count <= INT_MAX);
  relay->under_way++;
  RN_MPI(err, MPI_Irecv(rows, (int)count, relay->row, from, unit % TAGS, relay->comm[direction],
                        &out->request));
  return RN_OK;
}

rn_status rn_relay_wait(rn_err *err, rn_relay *relay, rn_relay_message *message) {
  if (message->request == MPI_REQUEST_NULL) return RN_OK;
  relay->under_way--;
  const double start = MPI_Wtime();
  rn_span_begin("wait for a stage");
  rn_patience patience = {0};
  for (int done = 0; !done;) {
    RN_MPI(err, MPI_Test(&message->request, &done, MPI_STATUS_IGNORE));
    if (!done) rn_patience_wait(&patience);
  }
  rn_span_end();
  relay->wait_s += MPI_Wtime() - start;
  return RN_OK;
}

double rn_relay_wait_s(const rn_relay *relay) {
  return relay->wait_s;
}

int64_t rn_relay_bytes_sent(const rn_relay *relay) {
  return relay->bytes_sent;
}

/* The rank at the other end of the pipeline, or -1 between the ends. */
static int other_end(const rn_relay *relay) {
  if (relay->stages == 1) return -1;
  return rn_relay_is_first(relay) ? relay->stages - 1 : rn_relay_is_last(relay) ? 0 : -1;
}

/* Swaps up to END_BLOCK values with the other end. */
static rn_status swap(rn_err *err, rn_relay *relay, int other, const void *values, int count,
                      MPI_Datatype type) {
  RN_MPI_WAIT(err, MPI_Sendrecv(values, count, type, other, 0, relay->other_end, count, type, other,
                                0, relay->comm[RN_RELAY_ROWS], MPI_STATUS_IGNORE));
  return RN_OK;
}

static int block_at(int64_t count, int64_t at) {
  return count - at < END_BLOCK ? (int)(count - at) : END_BLOCK;
}

rn_status rn_relay_sum_ends(rn_err *err, rn_relay *relay, int64_t count, float *values) {
  const int other = other_end(relay);
  const float *theirs = relay->other_end;
  for (int64_t at = 0; other >= 0 && at < count; at += END_BLOCK) {
    const int block = block_at(count, at);
    RN_TRY(err, swap(err, relay, other, values + at, block, MPI_FLOAT));
    for (int i = 0; i < block; i++) values[at + i] += theirs[i];
  }
  return RN_OK;
}

rn_status rn_relay_sum_ends_exact(rn_err *err, rn_relay *relay, int64_t count, int64_t *values) {
  const int other = other_end(relay);
  const int64_t *theirs = relay->other_end;
  for (int64_t at = 0; other >= 0 && at < count; at += END_BLOCK) {
    const int block = block_at(count, at);
    RN_TRY(err, swap(err, relay, other, values + at, block, MPI_INT64_T));
    for (int i = 0; i < block; i++) values[at + i] += theirs[i];
  }
  return RN_OK;
}
