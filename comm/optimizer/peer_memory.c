#include "comm/optimizer/peer_memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"
#include "proto/base/fault.h"

/* Header of a block. */
typedef struct head {
  int64_t token; /* identifies the block */
  _Alignas(64) char marks[RN_PEER_MARKS_BYTES];
} head;
static_assert(sizeof(head) == 4096,
              "the head takes a whole page, so the memory after it is aligned");

struct rn_peer_memory {
  const rn_node *node;
  int replica, replicas;
  bool is_private; /* true if this rank is alone on its node; its block then comes from rn_alloc */
  size_t bytes;    /* size of a block, including the head with its marks */
  head **block; /* [replicas] blocks of the replicas on this node; NULL for those on other nodes */
};

/* What the other ranks of the node need to know to open a rank's block. */
typedef struct address {
  int64_t pid, file, token; /* file: descriptor of the block's file in process `pid`; -1: none */
} address;

static int64_t make_token(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) ^ ((int64_t)getpid() << 40);
}

static rn_status fail(rn_err *err, const rn_world *world, const char *what) {
  return rn_fail(err, RN_ERR_MEMORY, "the ranks of host %s cannot share memory: %s: %s",
                 rn_world_host(world), what, strerror(errno));
}

/* True if a file of this size exceeds RLIMIT_FSIZE; writing it would end the process by SIGXFSZ. */
static bool exceeds_file_limit(size_t bytes) {
  struct rlimit limit;
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
         limit.rlim_cur < bytes;
}

/* Maps a file, with huge pages if the system grants them. */
static void *map(int file, size_t bytes, int access) {
  void *memory = mmap(NULL, bytes, access, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) return NULL;
  madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

/* True if all pages must be allocated at creation. With overcommit_memory = 2 the system may refuse
 * a page at its first write, which ends the process by SIGBUS. In other modes, pages are allocated
 * at the first write, so that each one is placed near the thread that writes it. */
static bool must_reserve(void) {
  FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
  const bool strict = file != NULL && fgetc(file) == '2';
  if (file != NULL) fclose(file);
  return strict;
}

/* Allocates the pages of a file if needed; returns 0 or an errno value. */
static int reserve(int file, size_t bytes) {
  if (rn_fault_now("peer_memory.reserve")) return errno;
  if (!must_reserve()) return 0;
  int error;
  do error = posix_fallocate(file, 0, (off_t)bytes);
  while (error == EINTR);
  return error;
}

static rn_status create_own(rn_err *err, const rn_world *world, rn_peer_memory *m, int *file) {
  if (exceeds_file_limit(m->bytes)) {
    errno = EFBIG;
    return fail(err, world, "limit of file sizes (ulimit -f)");
  }
  *file = rn_fault_now("peer_memory.create") ? -1 : memfd_create("retnet", MFD_CLOEXEC);
  if (*file < 0) return fail(err, world, "memfd_create");
  if (ftruncate(*file, (off_t)m->bytes) != 0) return fail(err, world, "ftruncate");
  errno = reserve(*file, m->bytes);
  if (errno != 0) return fail(err, world, "fallocate");
  head *own = map(*file, m->bytes, PROT_READ | PROT_WRITE);
  if (own == NULL) return fail(err, world, "mmap");
  own->token = make_token();
  m->block[m->replica] = own;
  return RN_OK;
}

/* Opens the block of another rank. Checks the file's size and token, because the PID may name a
 * different process if the rank runs in another PID namespace. */
static rn_status open_block(rn_err *err, const rn_world *world, rn_peer_memory *m, address from,
                            int replica) {
  char path[64];
  struct stat about;
  snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)from.pid, (long long)from.file);
  const int file = rn_fault_now("peer_memory.open")
                       ? -1
                       : open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (file < 0) return fail(err, world, path);
  if (fstat(file, &about) == 0 && S_ISREG(about.st_mode) && (size_t)about.st_size == m->bytes) {
    m->block[replica] = map(file, m->bytes, PROT_READ);
  }
  rn_status status = RN_OK;
  if (m->block[replica] == NULL || m->block[replica]->token != from.token) {
    errno = ENXIO;
    status = fail(err, world, path);
  }
  close(file);
  return status;
}

/* Opens the blocks of all other ranks of the node. Does nothing if any rank failed to create its
 * block. */
static rn_status open_others(rn_err *err, const rn_world *world, const rn_node *node,
                             const address *of, rn_peer_memory *m) {
  const int here = rn_node_of(node, m->replica);
  for (int i = 0; i < rn_node_size(node); i++) {
    if (of[i].file < 0) return RN_OK;
  }
  for (int r = 0, i = 0; r < m->replicas; r++) {
    if (rn_node_of(node, r) != here) continue;
    if (r != m->replica) RN_TRY(err, open_block(err, world, m, of[i], r));
    i++;
  }
  return RN_OK;
}

/* Creates this rank's block and maps the others. A rank that fails still takes part in all
 * collective calls. `of` [ranks of the node] is work space. */
static rn_status share(rn_err *err, const rn_world *world, const rn_node *node, address *of,
                       rn_peer_memory *m) {
  int file = -1;
  rn_status status = create_own(err, world, m, &file);
  const address mine = {getpid(), status == RN_OK ? file : -1,
                        status == RN_OK ? m->block[m->replica]->token : 0};
  const rn_status sent = RN_MPI_WAIT_STATUS(
      err, MPI_Allgather(&mine, 3, MPI_INT64_T, of, 3, MPI_INT64_T, rn_node_comm(node)));
  if (sent == RN_OK && status == RN_OK) status = open_others(err, world, node, of, m);
  if (sent == RN_OK) status = rn_agree(err, world, status);
  if (file >= 0) close(file);
  return sent == RN_OK ? status : sent;
}

static rn_status allocate(rn_err *err, const rn_node *node, const char *what, size_t bytes,
                          rn_peer_memory **out, address **of) {
  const rn_grid *grid = rn_node_grid(node);
  rn_peer_memory *m;
  RN_TRY(err, rn_alloc(err, what, 1, sizeof *m, &m));
  *m = (rn_peer_memory){.node = node,
                        .replica = rn_grid_replica(grid),
                        .replicas = rn_grid_replica_size(grid),
                        .is_private = rn_node_size(node) == 1,
                        .bytes = sizeof(head) + bytes};
  *out = m;
  RN_TRY(err, rn_alloc(err, what, (size_t)m->replicas, sizeof(head *), &m->block));
  RN_TRY(err, rn_alloc(err, what, (size_t)rn_node_size(node), sizeof **of, of));
  if (!m->is_private) return RN_OK;
  return rn_alloc(err, what, m->bytes, 1, &m->block[m->replica]);
}

rn_status rn_peer_memory_create(rn_err *err, const rn_world *world, const rn_node *node,
                                const char *what, size_t bytes, rn_peer_memory **out) {
  address *of = NULL;
  *out = NULL;
  rn_status status = rn_agree(err, world, allocate(err, node, what, bytes, out, &of));
  if (status == RN_OK) {
    assert(*out != NULL);
    status = (*out)->is_private ? rn_agree(err, world, RN_OK) : share(err, world, node, of, *out);
  }
  free(of);
  if (status != RN_OK) rn_peer_memory_destroy(out);
  return status;
}

void rn_peer_memory_destroy(rn_peer_memory **memory) {
  rn_peer_memory *m = *memory;
  if (m == NULL) return;
  for (int r = 0; m->block != NULL && r < m->replicas; r++) {
    if (m->block[r] != NULL && !m->is_private) munmap(m->block[r], m->bytes);
  }
  if (m->is_private && m->block != NULL) free(m->block[m->replica]);
  free(m->block);
  free(m);
  *memory = NULL;
}

const rn_node *rn_peer_memory_node(const rn_peer_memory *m) {
  return m->node;
}

int rn_peer_memory_replicas(const rn_peer_memory *m) {
  return m->replicas;
}

void *rn_peer_memory_own(const rn_peer_memory *m) {
  return m->block[m->replica] + 1;
}

const void *rn_peer_memory_of(const rn_peer_memory *m, int replica) {
  return m->block[replica] == NULL ? NULL : m->block[replica] + 1;
}

void *rn_peer_memory_own_marks(const rn_peer_memory *m) {
  return m->block[m->replica]->marks;
}

const void *rn_peer_memory_marks_of(const rn_peer_memory *m, int replica) {
  return m->block[replica]->marks;
}

void rn_peer_memory_drop(const rn_peer_memory *m, int replica, size_t begin, size_t bytes) {
  if (replica == m->replica || bytes == 0) return;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const size_t first = (sizeof(head) + begin) / page * page;
  madvise((char *)m->block[replica] + first, sizeof(head) + begin + bytes - first, MADV_DONTNEED);
}
