#include "comm/optimizer/reduce_scatter.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "comm/optimizer/gradient_marks.h"
#include "comm/optimizer/node_sums.h"
#include "comm/world/backoff.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"

enum {
  MAX_IN_FLIGHT = 4,     /* buckets */
  GATHER_BLOCK = 1 << 20 /* number of doubles per MPI_Allreduce in rn_gather_ordered */
};

struct rn_reduce_scatter {
  MPI_Comm comm;
  const rn_peer_memory *peers; /* as in rn_reduce_operands */
  rn_node_sums *node_sums;     /* NULL: each rank of another node sends its gradients directly */
  const rn_optimizer_shards *shards;
  rn_reduce_kind kind;
  MPI_Datatype type;
  size_t bytes_each;
  int rank, size;
  const char **gradient; /* [buckets] the caller's gradient of each started bucket */
  char *own;             /* as in rn_reduce_operands; may be NULL */
  int64_t *at;           /* [buckets] offset in `own` of this rank's shard of each bucket */
  int64_t longest;       /* elements of this rank's largest shard */
  int senders;           /* number of ranks whose gradients arrive in messages */
  int *buffer_index; /* [size] index of each sender in `buffers`, in rank order; -1: the rank is not
                        a sender */
  char *buffers;     /* [MAX_IN_FLIGHT, senders, longest] receive buffers */
  const char **addend;  /* [size] work space of sum_bucket */
  MPI_Request *request; /* [MAX_IN_FLIGHT, size, 2]: for each rank, a receive and a send */
  int *order;           /* [buckets] bucket indices in the order in which they were started */
  int started, posted, summed; /* counts of buckets; summed <= posted <= started */
  /* number of buckets in all earlier rounds; rn_reduce_scatter_finish ends a round */
  int64_t earlier;
  int64_t bytes_sent;
};

size_t rn_reduce_scatter_bytes(int senders, int64_t longest, rn_reduce_kind kind) {
  return MAX_IN_FLIGHT * (size_t)senders * (size_t)longest * rn_reduce_kind_bytes(kind);
}

/* True if rank i is another rank of this node, whose gradients this rank reads in place. */
static bool is_peer(const rn_reduce_scatter *r, int i) {
  return r->peers != NULL && i != r->rank && rn_peer_memory_of(r->peers, i) != NULL;
}

static bool needs_node_sums(const rn_reduce_scatter *r) {
  return r->peers != NULL && rn_node_sums_apply(rn_peer_memory_node(r->peers));
}

static void find_senders(rn_reduce_scatter *r) {
  const bool by_node = needs_node_sums(r);
  for (int i = 0; i < r->size; i++) {
    const bool sends = i != r->rank && !is_peer(r, i) && !by_node;
    r->buffer_index[i] = sends ? r->senders++ : -1;
  }
}

/* Computes the offsets of this rank's shards and allocates the receive buffers. */
static rn_status allocate(rn_err *err, rn_reduce_scatter *r) {
  const size_t buckets = (size_t)r->shards->buckets, requests = MAX_IN_FLIGHT * 2 * (size_t)r->size;
  RN_TRY(err, rn_alloc(err, "reduce-scatter of gradients", buckets, sizeof *r->at, &r->at));
  RN_TRY(err, rn_alloc(err, "reduce-scatter of gradients", buckets, sizeof *r->order, &r->order));
  RN_TRY(err,
         rn_alloc(err, "reduce-scatter of gradients", buckets, sizeof *r->gradient, &r->gradient));
  RN_TRY(err,
         rn_alloc(err, "reduce-scatter of gradients", requests, sizeof *r->request, &r->request));
  for (size_t i = 0; i < requests; i++) r->request[i] = MPI_REQUEST_NULL;
  RN_TRY(err, rn_alloc(err, "reduce-scatter of gradients", (size_t)r->size, sizeof *r->buffer_index,
                       &r->buffer_index));
  RN_TRY(err, rn_alloc(err, "reduce-scatter of gradients", (size_t)r->size, sizeof *r->addend,
                       &r->addend));
  find_senders(r);
  int64_t at = 0;
  for (int b = 0; b < r->shards->buckets; b++) {
    const int64_t count = rn_range_count(rn_optimizer_shards_of(r->shards, b, r->rank));
    r->at[b] = at;
    at += count;
    if (count > r->longest) r->longest = count;
  }
  return rn_alloc(err, "reduce-scatter of gradients",
                  rn_reduce_scatter_bytes(r->senders, r->longest, r->kind), 1, &r->buffers);
}

static rn_status create_node_sums(rn_err *err, rn_reduce_scatter *r) {
  if (!needs_node_sums(r)) return RN_OK;
  return rn_node_sums_create(err,
                             (rn_node_sums_operands){.comm = r->comm,
                                                     .node = rn_peer_memory_node(r->peers),
                                                     .shards = r->shards,
                                                     .peers = r->peers,
                                                     .kind = r->kind,
                                                     .own = r->own,
                                                     .at = r->at},
                             &r->node_sums);
}

rn_status rn_reduce_scatter_create(rn_err *err, const rn_grid *grid,
                                   const rn_optimizer_shards *shards, rn_reduce_operands operands,
                                   rn_reduce_scatter **out) {
  rn_reduce_scatter *r;
  *out = NULL;
  rn_status status = rn_alloc(err, "reduce-scatter of gradients", 1, sizeof *r, &r);
  if (status == RN_OK) {
    *r = (rn_reduce_scatter){.comm = MPI_COMM_NULL,
                             .shards = shards,
                             .kind = operands.kind,
                             .type = operands.kind == RN_REDUCE_EXACT ? MPI_INT64_T : MPI_FLOAT,
                             .bytes_each = rn_reduce_kind_bytes(operands.kind),
                             .rank = rn_grid_replica(grid),
                             .size = rn_grid_replica_size(grid),
                             .own = operands.own,
                             .peers = operands.peers};
    assert(operands.own != NULL || r->size == 1);
    status = allocate(err, r);
  }
  if ((status = rn_grid_agree(err, grid, status)) == RN_OK) {
    status = RN_MPI_WAIT_STATUS(err, MPI_Comm_dup(rn_grid_replica_comm(grid), &r->comm));
  }
  if (status == RN_OK) status = rn_grid_agree(err, grid, create_node_sums(err, r));
  if (status != RN_OK) rn_reduce_scatter_destroy(&r);
  *out = r;
  return status;
}

void rn_reduce_scatter_destroy(rn_reduce_scatter **reduce_scatter) {
  if (*reduce_scatter == NULL) return;
  rn_node_sums_destroy(&(*reduce_scatter)->node_sums);
  rn_mpi_free_comm(&(*reduce_scatter)->comm);
  free((*reduce_scatter)->at);
  free((*reduce_scatter)->gradient);
  free((*reduce_scatter)->order);
  free((*reduce_scatter)->buffer_index);
  free((*reduce_scatter)->addend);
  free((*reduce_scatter)->buffers);
  free((*reduce_scatter)->request);
  free(*reduce_scatter);
  *reduce_scatter = NULL;
}

/* Returns the receive buffer for rank i's contribution to this rank's shard of bucket
 * order[order_index]. */
static char *buffer_of(const rn_reduce_scatter *r, int order_index, int i) {
  const int64_t index = (int64_t)(order_index % MAX_IN_FLIGHT) * r->senders + r->buffer_index[i];
  return r->buffers + (size_t)(index * r->longest) * r->bytes_each;
}

static MPI_Request *requests_of(const rn_reduce_scatter *r, int order_index) {
  return r->request + (int64_t)(order_index % MAX_IN_FLIGHT) * 2 * r->size;
}

/* Returns the address of this rank's gradient for the elements `shard` of a started bucket. */
static const char *gradient_of(const rn_reduce_scatter *r, int bucket, rn_range shard) {
  const int64_t within = shard.begin - rn_optimizer_shards_bucket(r->shards, bucket).begin;
  return r->gradient[bucket] + (size_t)within * r->bytes_each;
}

/* Returns the offset of a gradient in the peer memory, in bytes. */
static size_t offset_of(const rn_reduce_scatter *r, const char *gradient) {
  return (size_t)(gradient - (const char *)rn_peer_memory_own(r->peers));
}

/* Unmaps the pages of other ranks that this rank has read. Otherwise the system would count the
 * memory of all ranks of the node as memory of each of them. */
static void drop_pages(const rn_reduce_scatter *r, const char *gradient, size_t bytes) {
  for (int i = 0; i < r->size; i++) {
    if (is_peer(r, i)) rn_peer_memory_drop(r->peers, i, offset_of(r, gradient), bytes);
  }
}

/* Posts the sends and receives of one bucket. All messages have tag 0 and match in the order in
 * which buckets are started. Empty shards are not sent. */
static rn_status post_bucket(rn_err *err, rn_reduce_scatter *r, int order_index) {
  const int bucket = r->order[order_index];
  const int count = (int)rn_range_count(rn_optimizer_shards_of(r->shards, bucket, r->rank));
  MPI_Request *request = requests_of(r, order_index);
  for (int i = 0; i < r->size; i++) {
    if (r->buffer_index[i] < 0) continue;
    const rn_range theirs = rn_optimizer_shards_of(r->shards, bucket, i);
    if (count > 0) {
      RN_MPI(err, MPI_Irecv(buffer_of(r, order_index, i), count, r->type, i, 0, r->comm,
                            &request[2 * i]));
    }
    if (rn_range_count(theirs) == 0) continue;
    RN_MPI(err, MPI_Isend(gradient_of(r, bucket, theirs), (int)rn_range_count(theirs), r->type, i,
                          0, r->comm, &request[2 * i + 1]));
  }
  return RN_OK;
}

int64_t rn_reduce_scatter_bytes_sent(const rn_reduce_scatter *reduce_scatter) {
  return reduce_scatter->bytes_sent;
}

/* Returns rank i's gradient for the elements of this rank's shard: this rank's own `gradient`, a
 * receive buffer, or the peer memory of rank i. */
static const char *addend_of(const rn_reduce_scatter *r, int order_index, int i,
                             const char *gradient) {
  if (i == r->rank) return gradient;
  if (!is_peer(r, i)) return buffer_of(r, order_index, i);
  return (const char *)rn_peer_memory_of(r->peers, i) + offset_of(r, gradient);
}

/* Writes to `own` the sum of the contributions of all ranks to this rank's shard of a bucket, added
 * in rank order. */
static void sum_bucket(const rn_reduce_scatter *r, int order_index) {
  const int bucket = r->order[order_index];
  const rn_range mine = rn_optimizer_shards_of(r->shards, bucket, r->rank);
  const char *gradient = gradient_of(r, bucket, mine);
  if (r->own == NULL) return;
  for (int i = 0; i < r->size; i++) r->addend[i] = addend_of(r, order_index, i, gradient);
  rn_gradient_sum(r->kind, rn_range_count(mine), r->addend, r->size,
                  r->own + (size_t)r->at[bucket] * r->bytes_each);
  drop_pages(r, gradient, (size_t)rn_range_count(mine) * r->bytes_each);
}

/* Progresses without waiting: sums the buckets received, and posts more buckets while buffers are
 * free. */
static rn_status progress(rn_err *err, rn_reduce_scatter *r) {
  if (r->node_sums != NULL) return rn_node_sums_progress(err, r->node_sums, r->earlier, &r->summed);
  for (int done = 1; done && r->summed < r->started;) {
    while (r->posted < r->started && r->posted < r->summed + MAX_IN_FLIGHT) {
      RN_TRY(err, post_bucket(err, r, r->posted++));
    }
    if (!rn_gradient_peers_have_completed(r->peers, r->earlier + r->summed + 1)) break;
    RN_MPI(err, MPI_Testall(2 * r->size, requests_of(r, r->summed), &done, MPI_STATUSES_IGNORE));
    if (!done) break;
    rn_span_begin("bucket reduction");
    sum_bucket(r, r->summed++);
    rn_progress_unit();
    rn_span_end();
  }
  return RN_OK;
}

rn_status rn_reduce_scatter_start(rn_err *err, rn_reduce_scatter *r, int bucket,
                                  const void *gradient) {
  assert(r->started < r->shards->buckets);
  r->gradient[bucket] = gradient;
  r->order[r->started++] = bucket;
  r->bytes_sent += (rn_range_count(rn_optimizer_shards_bucket(r->shards, bucket)) -
                    rn_range_count(rn_optimizer_shards_of(r->shards, bucket, r->rank))) *
                   (int64_t)r->bytes_each;
  if (r->node_sums != NULL) RN_TRY(err, rn_node_sums_start(err, r->node_sums, bucket, gradient));
  rn_gradient_mark_complete(r->peers, r->earlier + r->started);
  return progress(err, r);
}

/*
 * Waits briefly for the marks of other ranks. It must also let MPI progress: another rank may set
 * its mark only after it has received a message from this rank (such as a scan state), and MPI
 * transfers that message only while this rank is inside an MPI call.
 */
static void wait_for_ranks(const rn_reduce_scatter *r, rn_backoff *backoff) {
  rn_mpi_progress(r->comm);
  rn_backoff_wait(backoff);
}

rn_status rn_reduce_scatter_finish(rn_err *err, rn_reduce_scatter *r) {
  rn_backoff backoff = {0};
  assert(r->started == r->shards->buckets);
  RN_TRY(err, progress(err, r));
  for (int last_summed = r->summed; r->summed < r->started; last_summed = r->summed) {
    wait_for_ranks(r, &backoff);
    RN_TRY(err, progress(err, r));
    if (r->summed > last_summed) backoff = (rn_backoff){0};
  }
  r->earlier += r->started;
  r->started = r->posted = r->summed = 0;
  if (r->node_sums != NULL) rn_node_sums_end_round(r->node_sums);
  rn_gradient_mark_read(r->peers, r->earlier);
  return RN_OK;
}

void rn_reduce_scatter_release(const rn_reduce_scatter *r) {
  rn_backoff backoff = {0};
  assert(r->started == 0);
  while (!rn_gradient_peers_have_read(r->peers, r->earlier)) wait_for_ranks(r, &backoff);
}

rn_status rn_sum_doubles(rn_err *err, const rn_grid *grid, double *values, int count) {
  const MPI_Comm comm = rn_grid_world_comm(grid);
  double *all = rn_grid_scratch(grid);
  int size = 0;
  assert(count <= RN_GRID_SCRATCH);
  RN_MPI(err, MPI_Comm_size(comm, &size));
  RN_MPI_WAIT(err, MPI_Allgather(values, count, MPI_DOUBLE, all, count, MPI_DOUBLE, comm));
  for (int i = 0; i < count; i++) {
    values[i] = 0;
    for (int r = 0; r < size; r++) values[i] += all[r * count + i];
  }
  return RN_OK;
}

rn_status rn_gather_ordered(rn_err *err, const rn_grid *grid, double *values, int64_t count) {
  static_assert(sizeof(double) == sizeof(uint64_t), "a double has the size of a uint64_t");
  for (int64_t at = 0; at < count; at += GATHER_BLOCK) {
    const int block = (int)(count - at < GATHER_BLOCK ? count - at : GATHER_BLOCK);
    RN_MPI_WAIT(err, MPI_Allreduce(MPI_IN_PLACE, values + at, block, MPI_UINT64_T, MPI_BOR,
                                   rn_grid_world_comm(grid)));
  }
  return RN_OK;
}
