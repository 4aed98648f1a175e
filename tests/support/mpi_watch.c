/*
 * Checks non-blocking messages through the MPI profiling interface (PMPI). The program must not
 * change the buffer of a send until it has completed the send with a test or wait. Until a receive
 * is completed, its buffer contains NaN.
 *
 * This finds every buffer that is used too early, independent of the MPI library's eager limit and
 * of the other rank's timing. A send whose request is dropped without a test or wait is an error
 * too. MPI_Finalize ends the process with exit code 1 if there was any error.
 */
#include <mpi.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PLACES = 1 << 16 };

/* A message, identified by the address of its request. The program passes the same address to
 * MPI_Test or MPI_Wait. */
typedef struct message {
  const MPI_Request *place;
  char *buffer;
  size_t bytes;
  uint64_t sum; /* checksum of the buffer when the send was started */
  bool sends, active;
} message;

static message known[PLACES]; /* hash table; entries are never removed */
static int count, faults;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t sum_of(const message *m) {
  uint64_t sum = m->bytes, word;
  size_t at = 0;
  for (; at + sizeof word <= m->bytes; at += sizeof word) {
    memcpy(&word, m->buffer + at, sizeof word);
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 29);
  }
  for (; at < m->bytes; at++) sum = (sum ^ (unsigned char)m->buffer[at]) * UINT64_C(0x100000001b3);
  return sum;
}

static void fault(const char *what, const message *m) {
  if (faults++ < 3) {
    int rank = 0;
    PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
    fprintf(stderr, "rank %d: %s a message of %zu bytes\n", rank, what, m->bytes);
  }
}

/* Returns the message whose request is at address `place`; adds a new one if there is none. */
static message *at_place(const MPI_Request *place) {
  const uint64_t hash = (uint64_t)(uintptr_t)place * UINT64_C(0x9e3779b97f4a7c15);
  for (uint64_t i = hash >> 48;; i = (i + 1) % PLACES) {
    if (known[i].place == place) return &known[i];
    if (known[i].place != NULL) continue;
    if (++count > PLACES / 2) abort();
    known[i].place = place;
    return &known[i];
  }
}

static size_t bytes_of(int elements, MPI_Datatype type) {
  int bytes = 0;
  PMPI_Type_size(type, &bytes);
  return (size_t)elements * (size_t)bytes;
}

static void describe(const MPI_Request *place, const void *buffer, size_t bytes, bool sends) {
  pthread_mutex_lock(&lock);
  message *m = at_place(place);
  if (m->active && m->sends) fault("nobody saw the end of", m);
  *m = (message){place, (char *)(uintptr_t)buffer, bytes, 0, sends, false};
  pthread_mutex_unlock(&lock);
}

/* Records a message as started. Must be called before the MPI call, which may already write to
 * the buffer of a receive. */
static void start(const MPI_Request *place) {
  pthread_mutex_lock(&lock);
  message *m = at_place(place);
  if (m->active) fault("started again before its end:", m);
  m->active = true;
  if (m->sends) {
    m->sum = sum_of(m);
  } else if (m->bytes > 0) {
    memset(m->buffer, 0xff, m->bytes);
  }
  pthread_mutex_unlock(&lock);
}

static void complete(const MPI_Request *place) {
  pthread_mutex_lock(&lock);
  message *m = at_place(place);
  if (m->active && m->sends && sum_of(m) != m->sum) fault("changed under way:", m);
  m->active = false;
  pthread_mutex_unlock(&lock);
}

int MPI_Isend(const void *buffer, int elements, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request *request) {
  describe(request, buffer, bytes_of(elements, type), true);
  start(request);
  return PMPI_Isend(buffer, elements, type, to, tag, comm, request);
}

int MPI_Irecv(void *buffer, int elements, MPI_Datatype type, int from, int tag, MPI_Comm comm,
              MPI_Request *request) {
  describe(request, buffer, bytes_of(elements, type), false);
  start(request);
  return PMPI_Irecv(buffer, elements, type, from, tag, comm, request);
}

int MPI_Send_init(const void *buffer, int elements, MPI_Datatype type, int to, int tag,
                  MPI_Comm comm, MPI_Request *request) {
  describe(request, buffer, bytes_of(elements, type), true);
  return PMPI_Send_init(buffer, elements, type, to, tag, comm, request);
}

int MPI_Recv_init(void *buffer, int elements, MPI_Datatype type, int from, int tag, MPI_Comm comm,
                  MPI_Request *request) {
  describe(request, buffer, bytes_of(elements, type), false);
  return PMPI_Recv_init(buffer, elements, type, from, tag, comm, request);
}

int MPI_Start(MPI_Request *request) {
  start(request);
  return PMPI_Start(request);
}

int MPI_Startall(int requests, MPI_Request request[]) {
  for (int i = 0; i < requests; i++) start(&request[i]);
  return PMPI_Startall(requests, request);
}

int MPI_Test(MPI_Request *request, int *done, MPI_Status *status) {
  const int code = PMPI_Test(request, done, status);
  if (*done) complete(request);
  return code;
}

int MPI_Wait(MPI_Request *request, MPI_Status *status) {
  const int code = PMPI_Wait(request, status);
  complete(request);
  return code;
}

int MPI_Testall(int requests, MPI_Request request[], int *done, MPI_Status status[]) {
  const int code = PMPI_Testall(requests, request, done, status);
  for (int i = 0; *done && i < requests; i++) complete(&request[i]);
  return code;
}

int MPI_Testsome(int requests, MPI_Request request[], int *ended, int which[],
                 MPI_Status status[]) {
  const int code = PMPI_Testsome(requests, request, ended, which, status);
  for (int i = 0; *ended != MPI_UNDEFINED && i < *ended; i++) complete(&request[which[i]]);
  return code;
}

int MPI_Finalize(void) {
  for (int i = 0; i < PLACES; i++) {
    if (known[i].active && known[i].sends) fault("nobody saw the end of", &known[i]);
  }
  const int code = PMPI_Finalize();
  if (faults > 0) {
    fprintf(stderr, "%d faults of messages under way\n", faults);
    _exit(1);
  }
  return code;
}
