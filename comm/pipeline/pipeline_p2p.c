#include "comm/pipeline/pipeline_p2p.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "comm/world/backoff.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/span.h"

/* Maximum number of values per message between the first and the last stage. */
enum { END_BLOCK = 1 << 16 };

/* Number of different tags; the MPI standard guarantees 0..32767. A tag is reused after TAGS units
 * (micro-batch segments); far fewer are in flight at a time. */
enum { TAGS = 32767 };

struct rn_pipeline_p2p {
  int stage, stages;
  int in_flight;    /* number of started messages that are not known to be complete */
  MPI_Comm comm[2]; /* one per direction; the tag of a message is envelope.unit % TAGS */
  MPI_Datatype row;
  void *other_end; /* [END_BLOCK] floats or integers that the first stage receives from the last, or
                      the reverse */
};

rn_status rn_pipeline_p2p_create(rn_err *err, const rn_grid *grid, int width,
                                 rn_pipeline_p2p **out) {
  rn_pipeline_p2p *p2p;
  *out = NULL;
  rn_status status = rn_alloc(err, "stage transfers", 1, sizeof *p2p, &p2p);
  if (status == RN_OK) {
    *p2p = (rn_pipeline_p2p){.stage = rn_grid_pipeline(grid),
                             .stages = rn_grid_pipeline_size(grid),
                             .comm = {MPI_COMM_NULL, MPI_COMM_NULL},
                             .row = MPI_DATATYPE_NULL};
    status = rn_alloc(err, "gradient of the tied embedding", END_BLOCK, sizeof(int64_t),
                      &p2p->other_end);
  }
  status = rn_grid_agree(err, grid, status);
  for (int d = 0; status == RN_OK && d < 2; d++) {
    status = RN_MPI_WAIT_STATUS(err, MPI_Comm_dup(rn_grid_pipeline_comm(grid), &p2p->comm[d]));
  }
  if (status == RN_OK) {
    status = RN_MPI_STATUS(err, MPI_Type_contiguous(width, MPI_FLOAT, &p2p->row));
  }
  if (status == RN_OK) status = RN_MPI_STATUS(err, MPI_Type_commit(&p2p->row));
  if (status != RN_OK) {
    rn_pipeline_p2p_destroy(&p2p);
    return status;
  }
  *out = p2p;
  return RN_OK;
}

void rn_pipeline_p2p_destroy(rn_pipeline_p2p **p2p) {
  if (*p2p == NULL) return;
  for (int d = 0; d < 2; d++) {
    rn_mpi_free_comm(&(*p2p)->comm[d]);
  }
  if ((*p2p)->row != MPI_DATATYPE_NULL) MPI_Type_free(&(*p2p)->row);
  free((*p2p)->other_end);
  free(*p2p);
  *p2p = NULL;
}

/* Returns no errors: rn_pipeline_p2p_wait returns those of the messages. */
static rn_progress_state poll_messages(void *self) {
  const rn_pipeline_p2p *p2p = self;
  if (p2p->in_flight == 0) return RN_PROGRESS_DONE;
  rn_mpi_progress(p2p->comm[0]);
  return RN_PROGRESS_WAITS;
}

void rn_pipeline_p2p_use_thread(rn_pipeline_p2p *p2p, rn_comm_thread *thread) {
  if (thread == NULL || rn_comm_thread_waits(thread) != RN_COMM_THREAD_OWN_CORE) return;
  rn_comm_thread_add(thread, (rn_progress_callback){p2p, poll_messages});
}

bool rn_pipeline_p2p_is_first(const rn_pipeline_p2p *p2p) {
  return p2p->stage == 0;
}

bool rn_pipeline_p2p_is_last(const rn_pipeline_p2p *p2p) {
  return p2p->stage == p2p->stages - 1;
}

rn_status rn_pipeline_p2p_send(rn_err *err, rn_pipeline_p2p *p2p, rn_pipeline_p2p_envelope envelope,
                               int64_t count, const float *rows, rn_pipeline_p2p_message *out) {
  const int to = envelope.direction == RN_PIPELINE_P2P_ROWS ? p2p->stage + 1 : p2p->stage - 1;
  assert(0 <= to && to < p2p->stages && count <= INT_MAX);
  p2p->in_flight++;
  RN_MPI(err, MPI_Isend(rows, (int)count, p2p->row, to, envelope.unit % TAGS,
                        p2p->comm[envelope.direction], &out->request));
  return RN_OK;
}

rn_status rn_pipeline_p2p_receive(rn_err *err, rn_pipeline_p2p *p2p,
                                  rn_pipeline_p2p_envelope envelope, int64_t count, float *rows,
                                  rn_pipeline_p2p_message *out) {
  const int from = envelope.direction == RN_PIPELINE_P2P_ROWS ? p2p->stage - 1 : p2p->stage + 1;
  assert(0 <= from && from < p2p->stages && count <= INT_MAX);
  p2p->in_flight++;
  RN_MPI(err, MPI_Irecv(rows, (int)count, p2p->row, from, envelope.unit % TAGS,
                        p2p->comm[envelope.direction], &out->request));
  return RN_OK;
}

rn_status rn_pipeline_p2p_test(rn_err *err, rn_pipeline_p2p *p2p, rn_pipeline_p2p_message *message,
                               bool *complete) {
  int done = 1;
  const bool known = message->request == MPI_REQUEST_NULL;
  *complete = true;
  if (known) return RN_OK;
  RN_MPI(err, MPI_Test(&message->request, &done, MPI_STATUS_IGNORE));
  *complete = done != 0;
  if (done) p2p->in_flight--;
  return RN_OK;
}

rn_status rn_pipeline_p2p_wait(rn_err *err, rn_pipeline_p2p *p2p,
                               rn_pipeline_p2p_message *message) {
  if (message->request == MPI_REQUEST_NULL) return RN_OK;
  p2p->in_flight--;
  rn_span_begin("wait for pipeline stage");
  rn_backoff backoff = {0};
  for (int done = 0; !done;) {
    RN_MPI(err, MPI_Test(&message->request, &done, MPI_STATUS_IGNORE));
    if (!done) rn_backoff_wait(&backoff);
  }
  rn_span_end();
  return RN_OK;
}

/* Returns the stage at the other end of the pipeline; -1 on a middle stage or if there is only one
 * stage. */
static int other_end(const rn_pipeline_p2p *p2p) {
  if (p2p->stages == 1) return -1;
  return rn_pipeline_p2p_is_first(p2p) ? p2p->stages - 1 : rn_pipeline_p2p_is_last(p2p) ? 0 : -1;
}

/* Sends up to END_BLOCK values to stage `other` and receives the same number from it. */
static rn_status sendrecv_block(rn_err *err, rn_pipeline_p2p *p2p, int other, const void *values,
                                int count, MPI_Datatype type) {
  RN_MPI_WAIT(err, MPI_Sendrecv(values, count, type, other, 0, p2p->other_end, count, type, other,
                                0, p2p->comm[RN_PIPELINE_P2P_ROWS], MPI_STATUS_IGNORE));
  return RN_OK;
}

static int block_at(int64_t count, int64_t at) {
  return count - at < END_BLOCK ? (int)(count - at) : END_BLOCK;
}

rn_status rn_tied_embedding_reduce(rn_err *err, rn_pipeline_p2p *p2p, int64_t count,
                                   float *values) {
  const int other = other_end(p2p);
  const float *theirs = p2p->other_end;
  for (int64_t at = 0; other >= 0 && at < count; at += END_BLOCK) {
    const int block = block_at(count, at);
    RN_TRY(err, sendrecv_block(err, p2p, other, values + at, block, MPI_FLOAT));
    for (int i = 0; i < block; i++) values[at + i] += theirs[i];
  }
  return RN_OK;
}

rn_status rn_tied_embedding_reduce_exact(rn_err *err, rn_pipeline_p2p *p2p, int64_t count,
                                         int64_t *values) {
  const int other = other_end(p2p);
  const int64_t *theirs = p2p->other_end;
  for (int64_t at = 0; other >= 0 && at < count; at += END_BLOCK) {
    const int block = block_at(count, at);
    RN_TRY(err, sendrecv_block(err, p2p, other, values + at, block, MPI_INT64_T));
    for (int i = 0; i < block; i++) values[at + i] += theirs[i];
  }
  return RN_OK;
}
