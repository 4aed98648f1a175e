#include "comm/optimizer/all_gather.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "comm/optimizer/shared_array.h"
#include "comm/world/backoff.h"
#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"

/* Maximum elements per message: the size in bytes must fit in an int. */
enum { MAX_MESSAGE = 1 << 22 };

/* For one bucket: how many ranks of the node have received their messages for it, summed over all
 * rounds. A round is one all-gather. Each counter has its own cache line. */
typedef struct completions {
  _Alignas(64) _Atomic int64_t done;
} completions;

struct rn_all_gather {
  MPI_Comm comm;
  const rn_node *node;
  const rn_optimizer_shards *shards;
  char *values;
  size_t bytes_each;
  int replica;
  MPI_Request *request; /* persistent: all receives, ordered by bucket, then all sends */
  int *first; /* [buckets + 1] index in `request` of each bucket's first receive, then of the first
                 send */
  int receives, sends;
  rn_shared_array *shared_completions; /* [buckets] completions, one array per node */
  int64_t round;
  /* counts of buckets: received by this rank; known to be complete on the node */
  int received, complete;
  bool active;
};

static int messages_of(rn_range range) {
  return (int)((rn_range_count(range) + MAX_MESSAGE - 1) / MAX_MESSAGE);
}

/* True if this rank is the one of its node that receives the shards of replica `from`. */
static bool receives_from(const rn_all_gather *g, int from) {
  const int here = rn_node_of(g->node, g->replica);
  return rn_node_of(g->node, from) != here && rn_node_receiver(g->node, from, here) == g->replica;
}

static void count_messages(rn_all_gather *g) {
  const int others = rn_node_count(g->node) - 1;
  for (int p = 0; p < g->shards->buckets; p++) {
    for (int r = 0; r < g->shards->replicas; r++) {
      if (receives_from(g, r)) g->receives += messages_of(rn_optimizer_shards_of(g->shards, p, r));
    }
    g->sends += others * messages_of(rn_optimizer_shards_of(g->shards, p, g->replica));
  }
}

static rn_status allocate(rn_err *err, rn_all_gather *g) {
  count_messages(g);
  const size_t messages = (size_t)g->receives + (size_t)g->sends;
  RN_TRY(err, rn_alloc(err, "weight messages", messages, sizeof *g->request, &g->request));
  for (size_t i = 0; i < messages; i++) g->request[i] = MPI_REQUEST_NULL;
  return rn_alloc(err, "weight messages", (size_t)g->shards->buckets + 1, sizeof *g->first,
                  &g->first);
}

/* Creates the persistent requests for one shard: receives from `peer` if `receive` is true, else
 * sends to `peer`. A shard takes several messages if it is longer than MAX_MESSAGE. Advances *at
 * past the new requests. */
static rn_status create_messages(rn_err *err, rn_all_gather *g, rn_range range, bool receive,
                                 int peer, int *at) {
  for (int64_t begin = range.begin; begin < range.end; begin += MAX_MESSAGE) {
    const int64_t count = range.end - begin < MAX_MESSAGE ? range.end - begin : MAX_MESSAGE;
    char *bytes_at = g->values + (size_t)begin * g->bytes_each;
    const int bytes = (int)((size_t)count * g->bytes_each);
    MPI_Request *request = &g->request[(*at)++];
    if (receive) {
      RN_MPI(err, MPI_Recv_init(bytes_at, bytes, MPI_BYTE, peer, 0, g->comm, request));
    } else {
      RN_MPI(err, MPI_Send_init(bytes_at, bytes, MPI_BYTE, peer, 0, g->comm, request));
    }
  }
  return RN_OK;
}

/* All messages have tag 0: both ranks start their messages in the same order (by bucket, then by
 * offset), so MPI matches them in this order. */
static rn_status create_all_messages(rn_err *err, rn_all_gather *g) {
  const int here = rn_node_of(g->node, g->replica);
  int receive = 0, send = g->receives;
  for (int p = 0; p < g->shards->buckets; p++) {
    for (int r = 0; r < g->shards->replicas; r++) {
      if (!receives_from(g, r)) continue;
      RN_TRY(err,
             create_messages(err, g, rn_optimizer_shards_of(g->shards, p, r), true, r, &receive));
    }
    g->first[p + 1] = receive;
    for (int n = 0; n < rn_node_count(g->node); n++) {
      if (n == here) continue;
      RN_TRY(err, create_messages(err, g, rn_optimizer_shards_of(g->shards, p, g->replica), false,
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
  rn_status status = rn_alloc(err, "all-gather of weights", 1, sizeof *g, &g);
  if (status == RN_OK) {
    *g = (rn_all_gather){.comm = MPI_COMM_NULL,
                         .node = node,
                         .shards = shards,
                         .values = values,
                         .bytes_each = bytes_each,
                         .replica = rn_grid_replica(grid)};
    status = allocate(err, g);
  }
  if ((status = rn_agree(err, world, status)) == RN_OK) {
    status = rn_shared_array_create(err, world, node, "completion counts",
                                    (size_t)shards->buckets * sizeof(completions),
                                    &g->shared_completions);
  }
  if (status == RN_OK) {
    status = RN_MPI_WAIT_STATUS(err, MPI_Comm_dup(rn_grid_replica_comm(grid), &g->comm));
  }
  if (status == RN_OK) status = create_all_messages(err, g);
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
  rn_shared_array_destroy(&g->shared_completions);
  rn_mpi_free_comm(&g->comm);
  free(g->request);
  free(g->first);
  free(g);
  *all_gather = NULL;
}

static completions *completions_of(const rn_all_gather *g, int bucket) {
  return (completions *)rn_shared_array_memory(g->shared_completions) + bucket;
}

/* Progresses all messages. For each bucket that has been received, in order, adds one to the
 * completion count of the bucket on the node. */
static rn_status progress(rn_err *err, rn_all_gather *g, bool *sent) {
  for (int done = 1; done && g->received < g->shards->buckets;) {
    const int first = g->first[g->received], count = g->first[g->received + 1] - first;
    RN_MPI(err, MPI_Testall(count, g->request + first, &done, MPI_STATUSES_IGNORE));
    if (!done) break;
    atomic_fetch_add_explicit(&completions_of(g, g->received)->done, 1, memory_order_release);
    g->received++;
    rn_progress_unit();
  }
  int done_sending = 0;
  RN_MPI(err, MPI_Testall(g->sends, g->request + g->receives, &done_sending, MPI_STATUSES_IGNORE));
  *sent = done_sending;
  return RN_OK;
}

static bool is_complete(const rn_all_gather *g, int bucket) {
  const int64_t expected = g->round * rn_node_size(g->node);
  return atomic_load_explicit(&completions_of(g, bucket)->done, memory_order_acquire) >= expected;
}

rn_status rn_all_gather_start(rn_err *err, rn_all_gather *g) {
  bool sent;
  assert(!g->active);
  g->round++;
  g->received = g->complete = 0;
  g->active = true;
  if (g->receives + g->sends > 0) {
    RN_MPI(err, MPI_Startall(g->receives + g->sends, g->request));
  }
  return progress(err, g, &sent);
}

bool rn_all_gather_is_complete(const rn_all_gather *g, int bucket) {
  return !g->active || bucket < g->complete;
}

rn_status rn_all_gather_wait(rn_err *err, rn_all_gather *g, int bucket) {
  rn_backoff backoff = {0};
  bool sent;
  if (rn_all_gather_is_complete(g, bucket)) return RN_OK;
  rn_span_begin("wait for weights");
  RN_TRY(err, progress(err, g, &sent));
  while (g->complete <= bucket) {
    if (is_complete(g, g->complete)) {
      g->complete++;
      continue;
    }
    rn_mpi_progress(g->comm); /* needed on a single node, where progress() makes no MPI call that
                                 progresses messages */
    rn_backoff_wait(&backoff);
    RN_TRY(err, progress(err, g, &sent));
  }
  rn_span_end();
  return RN_OK;
}

rn_status rn_all_gather_finish(rn_err *err, rn_all_gather *g) {
  rn_backoff backoff = {0};
  bool sent = false;
  if (!g->active) return RN_OK;
  RN_TRY(err, rn_all_gather_wait(err, g, g->shards->buckets - 1));
  RN_TRY(err, progress(err, g, &sent));
  while (!sent) {
    rn_backoff_wait(&backoff);
    RN_TRY(err, progress(err, g, &sent));
  }
  g->active = false;
  return RN_OK;
}
