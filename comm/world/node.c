#include "comm/world/node.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "comm/world/mpi_check.h"
#include "comm/world/real_host.h"
#include "proto/base/arena.h"

struct rn_node {
  const rn_grid *grid;
  MPI_Comm comm;
  int size, index, replicas, count, largest;
  int *leader; /* [replicas] for each replica, the first replica of its node */
  int *of;     /* [replicas] node of each replica */
  int *at;     /* [replicas] index of each replica on its node */
  int *first;  /* [nodes + 1] start of each node's replicas in `member` */
  int *member; /* [replicas] replicas, sorted by node, then by index on the node */
};

static rn_status allocate(rn_err *err, int replicas, rn_node **out) {
  const size_t count = (size_t)replicas;
  rn_node *n;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "nodes", 1, sizeof *n, &n));
  n->comm = MPI_COMM_NULL;
  n->replicas = replicas;
  rn_status status;
  if ((status = rn_alloc(err, "nodes", count, sizeof *n->leader, &n->leader)) != RN_OK ||
      (status = rn_alloc(err, "nodes", count, sizeof *n->of, &n->of)) != RN_OK ||
      (status = rn_alloc(err, "nodes", count, sizeof *n->at, &n->at)) != RN_OK ||
      (status = rn_alloc(err, "nodes", count + 1, sizeof *n->first, &n->first)) != RN_OK ||
      (status = rn_alloc(err, "nodes", count, sizeof *n->member, &n->member)) != RN_OK) {
    rn_node_destroy(&n);
    return status;
  }
  *out = n;
  return RN_OK;
}

/* Splits the replicas of a host into nodes of at most `max_size` (0: no limit). */
static rn_status split_host(rn_err *err, rn_node *n, MPI_Comm host, int max_size) {
  int rank;
  RN_MPI(err, MPI_Comm_rank(host, &rank));
  RN_MPI_WAIT(err, MPI_Comm_split(host, max_size > 0 ? rank / max_size : 0, rank, &n->comm));
  RN_MPI(err, MPI_Comm_set_errhandler(n->comm, MPI_ERRORS_RETURN));
  RN_MPI(err, MPI_Comm_size(n->comm, &n->size));
  RN_MPI(err, MPI_Comm_rank(n->comm, &n->index));
  return RN_OK;
}

static rn_status find_leaders(rn_err *err, rn_node *n, const rn_grid *grid, int max_size) {
  const MPI_Comm replicas = rn_grid_replica_comm(grid);
  int leader = rn_grid_replica(grid);
  MPI_Comm host = MPI_COMM_NULL;
  rn_status status = rn_real_host_split(err, replicas, &host);
  if (status == RN_OK) status = split_host(err, n, host, max_size);
  rn_mpi_free_comm(&host);
  RN_TRY(err, status);
  RN_MPI_WAIT(err, MPI_Bcast(&leader, 1, MPI_INT, 0, n->comm));
  RN_MPI_WAIT(err, MPI_Allgather(&leader, 1, MPI_INT, n->leader, 1, MPI_INT, replicas));
  return RN_OK;
}

/* Computes `of`, `at`, `first` and `member` from `leader`. */
static void index_nodes(rn_node *n) {
  for (int r = 0; r < n->replicas; r++) {
    if (n->leader[r] != r) continue;
    const int node = n->count++, begin = n->first[node];
    int end = begin;
    for (int m = r; m < n->replicas; m++) {
      if (n->leader[m] != r) continue;
      n->of[m] = node;
      n->at[m] = end - begin;
      n->member[end++] = m;
    }
    n->first[node + 1] = end;
    if (end - begin > n->largest) n->largest = end - begin;
  }
}

rn_status rn_node_create(rn_err *err, const rn_world *world, const rn_grid *grid, int max_size,
                         rn_node **out) {
  rn_status status = allocate(err, rn_grid_replica_size(grid), out);
  if ((status = rn_agree(err, world, status)) == RN_OK) {
    status = find_leaders(err, *out, grid, max_size);
  }
  if (status != RN_OK) {
    rn_node_destroy(out);
    return status;
  }
  (*out)->grid = grid;
  index_nodes(*out);
  return RN_OK;
}

static rn_status parse_limit(rn_err *err, const char *text, int *max_size) {
  char *end;
  errno = 0;
  const long value = strtol(text, &end, 10);
  *max_size = (int)value;
  if (end != text && *end == '\0' && errno == 0 && value >= 0 && value <= INT_MAX) return RN_OK;
  return rn_fail(
      err, RN_ERR_USAGE,
      "RETNET_NODE_RANKS is '%.40s', but it must be a number of ranks, or 0 for all ranks of a "
      "host; correct it or unset it",
      text);
}

rn_status rn_node_read_limit(rn_err *err, const rn_world *world, int *max_size) {
  const char *text = getenv("RETNET_NODE_RANKS");
  *max_size = 0;
  return rn_agree(err, world, text == NULL ? RN_OK : parse_limit(err, text, max_size));
}

void rn_node_destroy(rn_node **node) {
  if (*node == NULL) return;
  rn_mpi_free_comm(&(*node)->comm);
  free((*node)->leader);
  free((*node)->of);
  free((*node)->at);
  free((*node)->first);
  free((*node)->member);
  free(*node);
  *node = NULL;
}

const rn_grid *rn_node_grid(const rn_node *node) {
  return node->grid;
}

int rn_node_size(const rn_node *node) {
  return node->size;
}

int rn_node_index(const rn_node *node) {
  return node->index;
}

MPI_Comm rn_node_comm(const rn_node *node) {
  return node->comm;
}

rn_status rn_node_barrier(rn_err *err, const rn_node *node) {
  RN_MPI_WAIT(err, MPI_Barrier(node->comm));
  return RN_OK;
}

int rn_node_count(const rn_node *node) {
  return node->count;
}

int rn_node_of(const rn_node *node, int replica) {
  return node->of[replica];
}

int rn_node_largest(const rn_node *node) {
  return node->largest;
}

int rn_node_receiver(const rn_node *node, int from, int to) {
  assert(node->of[from] != to);
  const int size = node->first[to + 1] - node->first[to];
  return node->member[node->first[to] + node->at[from] % size];
}
