#include "comm/optimizer/all_gather.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "comm/optimizer/shared_array.h"
#include "comm/world/backoff.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"

/* Elements of one message at most; its size in bytes must fit in an int. */
enum { MESSAGE = 1 << 22 };

/* Completions of a bucket by ranks of the node, over all rounds; one cache line per bucket. */
typedef struct tally {
  _Alignas(64) _Atomic int64_t done;
} tally;

struct rn_all_gather {
  MPI_Comm comm;
  const rn_node *node;
  const rn_optimizer_shards *shards;
  char *values;
  size_t bytes_each;
  int replica;
  MPI_Request *request; /* persistent: receives by bucket, then sends */
  int *first;           /* [buckets + 1] index of a bucket's first receive; the last: first send */
  int receives, sends;
  rn_shared_array *tallies; /* [buckets] tally, shared by the node */
  int64_t round;
  int arrived, whole; /* buckets received by this rank; buckets known to be complete */
  bool under_way;
};

static int messages_of(rn_range range) {
  return (int)((rn_range_count(range) + MESSAGE - 1) / MESSAGE);
}

/* True if this rank receives the shards of replica `from` for its node. */
static bool takes(const rn_all_gather *g, int from) {
  const int here = rn_node_of(g->node, g->replica);
  return rn_node_of(g->node, from) != here && rn_node_receiver(g->node, from, here) == g->replica;
}

static void count_messages(rn_all_gather *g) {
  const int others = rn_node_count(g->node) - 1;
  for (int p = 0; p < g->shards->buckets; p++) {
    for (int r = 0; r < g->shards->replicas; r++) {
      if (takes(g, r)) g->receives += messages_of(rn_optimizer_shards_of(g->shards, p, r));
    }
    g->sends += others * messages_of(rn_optimizer_shards_of(g->shards, p, g->replica));
  }
}

static rn_status take_memory(rn_err *err, rn_all_gather *g) {
  count_messages(g);
  const size_t messages = (size_t)g->receives + (size_t)g->sends;
  RN_TRY(err, rn_alloc(err, "messages of weights", messages, sizeof *g->request, &g->request));
  for (size_t i = 0; i < messages; i++) g->request[i] = MPI_REQUEST_NULL;
  return rn_alloc(err, "messages of weights", (size_t)g->shards->buckets + 1, sizeof *g->first,
                  &g->first);
}

/* Creates the persistent messages of one shard from or to `peer`, and advances *at past them. */
static rn_status prepare(rn_err *err, rn_all_gather *g, rn_range range, bool receive, int peer,
                         int *at) {
  for (int64_t begin = range.begin; begin < range.end; begin += MESSAGE) {
    const int64_t count = range.end - begin < MESSAGE ? range.end - begin : MESSAGE;
    char *place = g->values + (size_t)begin * g->bytes_each;
    const int bytes = (int)((size_t)count * g->bytes_each);
    MPI_Request *request = &g->request[(*at)++];
    if (receive) {
      RN_MPI(err, MPI_Recv_init(place, bytes, MPI_BYTE, peer, 0, g->comm, request));
    } else {
      RN_MPI(err, MPI_Send_init(place, bytes, MPI_BYTE, peer, 0, g->comm, request));
    }
  }
  return RN_OK;
}

/* All messages have tag 0: between two ranks they match in order of bucket, then of offset. */
static rn_status prepare_all(rn_err *err, rn_all_gather *g) {
  const int here = rn_node_of(g->node, g->replica);
  int receive = 0, send = g->receives;
  for (int p = 0; p < g->shards->buckets; p++) {
    for (int r = 0; r < g->shards->replicas; r++) {
      if (!takes(g, r)) continue;
      RN_TRY(err, prepare(err, g, rn_optimizer_shards_of(g->shards, p, r), true, r, &receive));
    }
    g->first[p + 1] = receive;
    for (int n = 0; n < rn_node_count(g->node); n++) {
      if (n == here) continue;
      RN_TRY(err, prepare(err, g, rn_optimizer_shards_of(g->shards, p, g->replica), false,
                          rn_node_receiver(g->node, g->replica, n), &send));
    }
  }
  return RN_OK;
}

rn_status rn_all_gather_create(rn_err *err, const rn_node *node, const rn_optimizer_shards *shards,
                               void *values, size_t bytes_each, rn_all_gather **out) {
  const rn_grid *grid = rn_node_grid(node);
  const rn_world *world = rn_grid_world(grid);
  rn_all_gather *g;
  *out = NULL;
  rn_status status = rn_alloc(err, "gather of weights", 1, sizeof *g, &g);
  if (status == RN_OK) {
    *g = (rn_all_gather){.comm = MPI_COMM_NULL,
                         .node = node,
                         .shards = shards,
                         .values = values,
                         .bytes_each = bytes_each,
                         .replica = rn_grid_replica(grid)};
    status = take_memory(err, g);
  }
  if ((status = rn_agree(err, world, status)) == RN_OK) {
    status = rn_shared_array_create(err, world, node, "tallies",
                                    (size_t)shards->buckets * sizeof(tally), &g->tallies);
  }
  if (status == RN_OK) {
    status = RN_MPI_STATUS(err, MPI_Comm_dup(rn_grid_replica_comm(grid), &g->comm));
  }
  if (status == RN_OK) status = prepare_all(err, g);
  if (status != RN_OK) rn_all_gather_destroy(&g);
  *out = g;
  return status;
}

void rn_all_gather_destroy(rn_all_gather **all_gather) {
  rn_all_gather *g = *all_gather;
  rn_err unused = {0};
  if (g == NULL) return;
  rn_all_gather_finish(&unused, g);
  for (int i = 0; g->request != NULL && i < g->receives + g->sends; i++) {
    if (g->request[i] != MPI_REQUEST_NULL) MPI_Request_free(&g->request[i]);
  }
  rn_shared_array_destroy(&g->tallies);
  if (g->comm != MPI_COMM_NULL) MPI_Comm_free(&g->comm);
  free(g->request);
  free(g->first);
  free(g);
  *all_gather = NULL;
}

static tally *tally_of(const rn_all_gather *g, int bucket) {
  return (tally *)rn_shared_array_memory(g->tallies) + bucket;
}

/* Progresses all messages; counts received buckets, in order, in the tallies of the node. */
static rn_status look(rn_err *err, rn_all_gather *g, bool *sent) {
  for (int done = 1; done && g->arrived < g->shards->buckets;) {
    const int first = g->first[g->arrived], count = g->first[g->arrived + 1] - first;
    RN_MPI(err, MPI_Testall(count, g->request + first, &done, MPI_STATUSES_IGNORE));
    if (!done) break;
    atomic_fetch_add_explicit(&tally_of(g, g->arrived)->done, 1, memory_order_release);
    g->arrived++;
    rn_progress_unit();
  }
  int gone = 0;
  RN_MPI(err, MPI_Testall(g->sends, g->request + g->receives, &gone, MPI_STATUSES_IGNORE));
  *sent = gone;
  return RN_OK;
}

static bool is_whole(const rn_all_gather *g, int bucket) {
  const int64_t want = g->round * rn_node_size(g->node);
  return atomic_load_explicit(&tally_of(g, bucket)->done, memory_order_acquire) >= want;
}

rn_status rn_all_gather_start(rn_err *err, rn_all_gather *g) {
  bool sent;
  assert(!g->under_way);
  g->round++;
  g->arrived = g->whole = 0;
  g->under_way = true;
  if (g->receives + g->sends > 0) {
    RN_MPI(err, MPI_Startall(g->receives + g->sends, g->request));
  }
  return look(err, g, &sent);
}

bool rn_all_gather_has(const rn_all_gather *g, int bucket) {
  return !g->under_way || bucket < g->whole;
}

rn_status rn_all_gather_wait(rn_err *err, rn_all_gather *g, int bucket) {
  rn_backoff backoff = {0};
  bool sent;
  if (rn_all_gather_has(g, bucket)) return RN_OK;
  rn_span_begin("wait for weights");
  RN_TRY(err, look(err, g, &sent));
  while (g->whole <= bucket) {
    if (is_whole(g, g->whole)) {
      g->whole++;
      continue;
    }
    rn_backoff_wait(&backoff);
    RN_TRY(err, look(err, g, &sent));
  }
  rn_span_end();
  return RN_OK;
}

rn_status rn_all_gather_finish(rn_err *err, rn_all_gather *g) {
  rn_backoff backoff = {0};
  bool sent = false;
  if (!g->under_way) return RN_OK;
  RN_TRY(err, rn_all_gather_wait(err, g, g->shards->buckets - 1));
  RN_TRY(err, look(err, g, &sent));
  while (!sent) {
    rn_backoff_wait(&backoff);
    RN_TRY(err, look(err, g, &sent));
  }
  g->under_way = false;
  return RN_OK;
}
