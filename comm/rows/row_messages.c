#include "comm/rows/row_messages.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "comm/world/backoff.h"
#include "comm/world/last_wait.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

size_t rn_row_messages_bytes(int capacity) {
  return sizeof(rn_row_messages) + 2 * (size_t)capacity * sizeof(MPI_Request);
}

rn_status rn_row_messages_create(rn_err *err, int capacity, rn_row_messages *out) {
  *out = (rn_row_messages){.capacity = capacity};
  RN_TRY(err, rn_alloc(err, "messages", (size_t)capacity, sizeof *out->send, &out->send));
  return rn_alloc(err, "messages", (size_t)capacity, sizeof *out->receive, &out->receive);
}

rn_status rn_row_messages_connect(rn_err *err, rn_row_messages *m, MPI_Comm comm, size_t bytes) {
  assert(bytes <= INT_MAX);
  m->connected = true;
  m->comm = MPI_COMM_NULL;
  m->type = MPI_DATATYPE_NULL;
  RN_MPI_WAIT(err, MPI_Comm_dup(comm, &m->comm));
  RN_MPI(err, MPI_Comm_set_errhandler(m->comm, MPI_ERRORS_RETURN));
  RN_MPI(err, MPI_Type_contiguous((int)bytes, MPI_BYTE, &m->type));
  RN_MPI(err, MPI_Type_commit(&m->type));
  return RN_OK;
}

void rn_row_messages_attach(rn_row_messages *m, const rn_row_messages *owner) {
  m->comm = owner->comm;
  m->type = owner->type;
}

rn_status rn_row_messages_post(rn_err *err, rn_row_messages *m, bool send, rn_row_message message) {
  const int count = (int)message.count;
  assert(message.count <= INT_MAX && (send ? m->sends : m->receives) < m->capacity);
  if (send) {
    RN_MPI(err, MPI_Isend(message.rows, count, m->type, message.peer, message.tag, m->comm,
                          &m->send[m->sends++]));
  } else {
    RN_MPI(err, MPI_Irecv(message.rows, count, m->type, message.peer, message.tag, m->comm,
                          &m->receive[m->receives++]));
  }
  return RN_OK;
}

/* Waits until these requests are complete. MPI also progresses all other messages of the rank. */
static rn_status wait_for(rn_err *err, int *count, MPI_Request *request) {
  rn_backoff backoff = {0};
  for (int done = *count == 0; !done;) {
    RN_MPI(err, MPI_Testall(*count, request, &done, MPI_STATUSES_IGNORE));
    if (!done) rn_backoff_wait(&backoff);
  }
  *count = 0;
  return RN_OK;
}

rn_status rn_row_messages_receive(rn_err *err, rn_row_messages *m) {
  return wait_for(err, &m->receives, m->receive);
}

rn_status rn_row_messages_wait(rn_err *err, rn_row_messages *m) {
  RN_TRY(err, wait_for(err, &m->receives, m->receive));
  return wait_for(err, &m->sends, m->send);
}

void rn_row_messages_destroy(rn_row_messages *m, bool *ended) {
  *ended = *ended && rn_last_wait(m->sends, m->send) && rn_last_wait(m->receives, m->receive);
  if (!*ended) return;
  if (m->connected) {
    rn_mpi_free_comm(&m->comm);
    if (m->type != MPI_DATATYPE_NULL) MPI_Type_free(&m->type);
  }
  free(m->send);
  free(m->receive);
  *m = (rn_row_messages){0};
}
