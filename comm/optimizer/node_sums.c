#include "comm/optimizer/node_sums.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "comm/optimizer/gradient_marks.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"

enum {
  SLOTS = 4,    /* maximum number of buckets whose partial sums are in memory */
  AVERAGE = 3,  /* minimum average number of replicas per node for which this algorithm is used */
  TAG_PART = 0, /* message tag: partial sum, from one node to the next */
  TAG_SUM = 1   /* message tag: complete slice, from the last node to the owner of the slice */
};

/* A rank of a neighbouring node, and the slices of each bucket that this rank receives from it or
 * sends to it. A bucket is divided into one slice per replica (comm/optimizer/shards.h). */
typedef struct node_link {
  int rank;
  rn_range slices;
} node_link;

struct rn_node_sums {
  rn_node_sums_operands of;
  MPI_Datatype type;
  size_t bytes_each;
  int rank, size;
  rn_range members; /* replicas of this node */
  rn_range slices;  /* slices of each bucket that this rank sums for its node */
  bool is_first, is_last;
  node_link *from, *to;  /* [froms], [tos] links to the previous and to the next node */
  int froms, tos, sends; /* sends: maximum number of messages that this rank sends per bucket */
  int64_t longest;       /* maximum number of elements of `slices` in one bucket */
  char *slots;           /* [SLOTS, longest] partial sums of up to SLOTS buckets in flight */
  MPI_Request *receive;  /* [SLOTS, froms] */
  MPI_Request *send;     /* [SLOTS, sends] */
  MPI_Request *sum;      /* [buckets] receives of this rank's shards, in the order of `order` */
  const char **gradient; /* [buckets] */
  const char **addend;   /* [size + 1] work space of add_bucket */
  int *order;            /* [buckets] buckets in the order in which they were started */
  int started, posted, added, sent, arrived; /* counts of buckets; sent <= added <= posted */
};

/* ---- assignment of slices to ranks ---- */

/* Returns the replicas of a node, which are consecutive. */
static rn_range members_of(const rn_node *node, int index, int size) {
  rn_range members = {0, 0};
  while (members.begin < size && rn_node_of(node, (int)members.begin) != index) members.begin++;
  members.end = members.begin;
  while (members.end < size && rn_node_of(node, (int)members.end) == index) members.end++;
  return members;
}

/* Returns the slices of each bucket that a replica sums for its node. */
static rn_range slices_of(rn_range members, int replica, int size) {
  assert(rn_range_count(members) > 0);
  return rn_cut(size, rn_range_count(members), replica - members.begin);
}

bool rn_node_sums_apply(const rn_node *node) {
  const int size = rn_grid_replica_size(rn_node_grid(node)), nodes = rn_node_count(node);
  for (int r = 1; r < size; r++) {
    if (rn_node_of(node, r) < rn_node_of(node, r - 1)) return false;
  }
  return nodes > 1 && size >= AVERAGE * nodes;
}

static rn_range common(rn_range a, rn_range b) {
  const rn_range both = {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
  return both.begin < both.end ? both : (rn_range){0, 0};
}

/* Finds the ranks of a neighbouring node that sum some of this rank's slices. */
static int find_links(const rn_node_sums *c, int node, node_link *links) {
  const rn_range members = members_of(c->of.node, node, c->size);
  int count = 0;
  for (int64_t m = members.begin; m < members.end; m++) {
    const rn_range both = common(c->slices, slices_of(members, (int)m, c->size));
    if (rn_range_count(both) > 0) links[count++] = (node_link){(int)m, both};
  }
  return count;
}

/* Returns the range of elements that consecutive slices of a bucket cover. */
static rn_range elements_of(const rn_node_sums *c, int bucket, rn_range slices) {
  const int64_t *edge = c->of.shards->edge + (int64_t)bucket * (c->size + 1);
  return (rn_range){edge[slices.begin], edge[slices.end]};
}

/* Returns the slice of a bucket that a replica owns; owner_of is the inverse. */
static int slice_owned_by(const rn_node_sums *c, int bucket, int replica) {
  return (int)(((int64_t)replica + bucket) % c->size);
}

static int owner_of(const rn_node_sums *c, int bucket, int64_t slice) {
  return (int)((slice + c->size - bucket % c->size) % c->size);
}

/* Returns the rank that sums a slice on the last node. */
static int last_to_sum(const rn_node_sums *c, int slice) {
  const rn_range members = members_of(c->of.node, rn_node_count(c->of.node) - 1, c->size);
  int64_t m = members.begin;
  while (slices_of(members, (int)m, c->size).end <= slice) m++;
  return (int)m;
}

/* ---- creation ---- */

static rn_status allocate_links(rn_err *err, rn_node_sums *c) {
  const int here = rn_node_of(c->of.node, c->rank);
  RN_TRY(err,
         rn_alloc(err, "sums of gradients over nodes", (size_t)c->size, sizeof *c->from, &c->from));
  RN_TRY(err,
         rn_alloc(err, "sums of gradients over nodes", (size_t)c->size, sizeof *c->to, &c->to));
  if (!c->is_first) c->froms = find_links(c, here - 1, c->from);
  if (!c->is_last) c->tos = find_links(c, here + 1, c->to);
  c->sends = c->is_last ? (int)rn_range_count(c->slices) : c->tos;
  for (int b = 0; b < c->of.shards->buckets; b++) {
    const int64_t count = rn_range_count(elements_of(c, b, c->slices));
    if (count > c->longest) c->longest = count;
  }
  return RN_OK;
}

static rn_status allocate_requests(rn_err *err, size_t count, MPI_Request **out) {
  RN_TRY(err, rn_alloc(err, "sums of gradients over nodes", count, sizeof **out, out));
  for (size_t i = 0; i < count; i++) (*out)[i] = MPI_REQUEST_NULL;
  return RN_OK;
}

static rn_status allocate(rn_err *err, rn_node_sums *c) {
  const size_t buckets = (size_t)c->of.shards->buckets, size = (size_t)c->size;
  RN_TRY(err, allocate_links(err, c));
  RN_TRY(err, allocate_requests(err, SLOTS * (size_t)c->froms, &c->receive));
  RN_TRY(err, allocate_requests(err, SLOTS * (size_t)c->sends, &c->send));
  RN_TRY(err, allocate_requests(err, buckets, &c->sum));
  RN_TRY(err,
         rn_alloc(err, "sums of gradients over nodes", buckets, sizeof *c->gradient, &c->gradient));
  RN_TRY(err, rn_alloc(err, "sums of gradients over nodes", buckets, sizeof *c->order, &c->order));
  RN_TRY(err,
         rn_alloc(err, "sums of gradients over nodes", size + 1, sizeof *c->addend, &c->addend));
  return rn_alloc(err, "sums of gradients over nodes", SLOTS * (size_t)c->longest, c->bytes_each,
                  &c->slots);
}

rn_status rn_node_sums_create(rn_err *err, rn_node_sums_operands operands, rn_node_sums **out) {
  const rn_grid *grid = rn_node_grid(operands.node);
  const int rank = rn_grid_replica(grid), size = rn_grid_replica_size(grid);
  const int here = rn_node_of(operands.node, rank);
  rn_node_sums *c;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "sums of gradients over nodes", 1, sizeof *c, &c));
  *c = (rn_node_sums){.of = operands,
                      .type = operands.kind == RN_REDUCE_EXACT ? MPI_INT64_T : MPI_FLOAT,
                      .bytes_each = rn_reduce_kind_bytes(operands.kind),
                      .rank = rank,
                      .size = size,
                      .members = members_of(operands.node, here, size),
                      .is_first = here == 0,
                      .is_last = here == rn_node_count(operands.node) - 1};
  c->slices = slices_of(c->members, rank, size);
  const rn_status status = allocate(err, c);
  if (status != RN_OK) rn_node_sums_destroy(&c);
  *out = c;
  return status;
}

void rn_node_sums_destroy(rn_node_sums **node_sums) {
  rn_node_sums *c = *node_sums;
  if (c == NULL) return;
  free(c->from);
  free(c->to);
  free(c->receive);
  free(c->send);
  free(c->sum);
  free(c->gradient);
  free(c->order);
  free(c->addend);
  free(c->slots);
  free(c);
  *node_sums = NULL;
}

/* ---- sum of one bucket ---- */

static char *slot_of(const rn_node_sums *c, int index) {
  return c->slots + (size_t)(index % SLOTS) * (size_t)c->longest * c->bytes_each;
}

/* Returns the address, in the slot of bucket order[index], of `slices`, which must be among this
 * rank's slices. */
static char *place_of(const rn_node_sums *c, int index, rn_range slices) {
  const int bucket = c->order[index];
  const int64_t before =
      elements_of(c, bucket, slices).begin - elements_of(c, bucket, c->slices).begin;
  return slot_of(c, index) + (size_t)before * c->bytes_each;
}

/* Messages between two ranks with the same tag match in the order in which buckets are started.
 * Empty messages are not sent. */
rn_status rn_node_sums_start(rn_err *err, rn_node_sums *c, int bucket, const char *gradient) {
  const int slice = slice_owned_by(c, bucket, c->rank), from = last_to_sum(c, slice);
  const rn_range mine = elements_of(c, bucket, (rn_range){slice, slice + 1});
  const int index = c->started++;
  assert(index < c->of.shards->buckets);
  c->gradient[bucket] = gradient;
  c->order[index] = bucket;
  if (from == c->rank || rn_range_count(mine) == 0) return RN_OK;
  RN_MPI(err,
         MPI_Irecv(c->of.own + (size_t)c->of.at[bucket] * c->bytes_each, (int)rn_range_count(mine),
                   c->type, from, TAG_SUM, c->of.comm, &c->sum[index]));
  return RN_OK;
}

static rn_status post_receives(rn_err *err, rn_node_sums *c, int index) {
  for (int i = 0; i < c->froms; i++) {
    const rn_range elements = elements_of(c, c->order[index], c->from[i].slices);
    if (rn_range_count(elements) == 0) continue;
    RN_MPI(err, MPI_Irecv(place_of(c, index, c->from[i].slices), (int)rn_range_count(elements),
                          c->type, c->from[i].rank, TAG_PART, c->of.comm,
                          &c->receive[index % SLOTS * c->froms + i]));
  }
  return RN_OK;
}

/* Adds the gradients of the node's ranks to the partial sum in the bucket's slot, then unmaps the
 * pages of these gradients (see rn_peer_memory_drop). */
static void add_bucket(rn_node_sums *c, int index) {
  const int bucket = c->order[index];
  const rn_range elements = elements_of(c, bucket, c->slices);
  const char *own =
      c->gradient[bucket] +
      (size_t)(elements.begin - rn_optimizer_shards_bucket(c->of.shards, bucket).begin) *
          c->bytes_each;
  const size_t offset = (size_t)(own - (const char *)rn_peer_memory_own(c->of.peers));
  int addends = 0;
  if (!c->is_first) c->addend[addends++] = slot_of(c, index);
  for (int64_t m = c->members.begin; m < c->members.end; m++) {
    c->addend[addends++] = (const char *)rn_peer_memory_of(c->of.peers, (int)m) + offset;
  }
  rn_gradient_sum(c->of.kind, rn_range_count(elements), c->addend, addends, slot_of(c, index));
  for (int64_t m = c->members.begin; m < c->members.end; m++) {
    rn_peer_memory_drop(c->of.peers, (int)m, offset,
                        (size_t)rn_range_count(elements) * c->bytes_each);
  }
}

/* Sends to rank to.rank the slices to.slices of a bucket. `i` is the index of the message among
 * those of the bucket. */
static rn_status send(rn_err *err, rn_node_sums *c, int index, node_link to, int tag, int i) {
  const int64_t count = rn_range_count(elements_of(c, c->order[index], to.slices));
  if (count == 0) return RN_OK;
  RN_MPI(err, MPI_Isend(place_of(c, index, to.slices), (int)count, c->type, to.rank, tag,
                        c->of.comm, &c->send[index % SLOTS * c->sends + i]));
  return RN_OK;
}

/* Sends the partial sum to the next node or, on the last node, each slice to its owner. */
static rn_status pass_on(rn_err *err, rn_node_sums *c, int index) {
  const int bucket = c->order[index];
  for (int i = 0; i < c->tos; i++) {
    RN_TRY(err, send(err, c, index, c->to[i], TAG_PART, i));
  }
  for (int64_t k = c->slices.begin; c->is_last && k < c->slices.end; k++) {
    const rn_range slice = {k, k + 1};
    const int owner = owner_of(c, bucket, k);
    if (owner != c->rank) {
      const node_link to = {owner, slice};
      RN_TRY(err, send(err, c, index, to, TAG_SUM, (int)(k - c->slices.begin)));
    } else {
      memcpy(c->of.own + (size_t)c->of.at[bucket] * c->bytes_each, place_of(c, index, slice),
             (size_t)rn_range_count(elements_of(c, bucket, slice)) * c->bytes_each);
    }
  }
  return RN_OK;
}

/* Sums and forwards the next bucket, if the previous node's partial sums of the bucket have arrived
 * and all ranks of this node have completed their gradients of it. Sets *moved if so. */
static rn_status add_next(rn_err *err, rn_node_sums *c, int64_t earlier, bool *moved) {
  int here = 0;
  if (c->added == c->posted ||
      !rn_gradient_peers_have_completed(c->of.peers, earlier + c->added + 1)) {
    return RN_OK;
  }
  RN_MPI(err, MPI_Testall(c->froms, c->receive + c->added % SLOTS * c->froms, &here,
                          MPI_STATUSES_IGNORE));
  if (!here) return RN_OK;
  rn_span_begin("bucket reduction");
  add_bucket(c, c->added);
  rn_span_end();
  rn_progress_unit();
  *moved = true;
  return pass_on(err, c, c->added++);
}

rn_status rn_node_sums_progress(rn_err *err, rn_node_sums *c, int64_t earlier, int *done) {
  int here = 0;
  for (bool moved = true; moved;) {
    moved = false;
    while (c->posted < c->started && c->posted < c->sent + SLOTS) {
      RN_TRY(err, post_receives(err, c, c->posted++));
    }
    RN_TRY(err, add_next(err, c, earlier, &moved));
    if (c->sent == c->added) continue;
    RN_MPI(err,
           MPI_Testall(c->sends, c->send + c->sent % SLOTS * c->sends, &here, MPI_STATUSES_IGNORE));
    if (here) {
      c->sent++;
      moved = true;
    }
  }
  while (c->arrived < c->sent) {
    RN_MPI(err, MPI_Test(&c->sum[c->arrived], &here, MPI_STATUS_IGNORE));
    if (!here) break;
    c->arrived++;
  }
  *done = c->arrived;
  return RN_OK;
}

void rn_node_sums_end_round(rn_node_sums *c) {
  assert(c->arrived == c->started);
  c->started = c->posted = c->added = c->sent = c->arrived = 0;
}
