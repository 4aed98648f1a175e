#include "comm/world/rank_reports.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

enum { MAX_ADDRESSES = 16, HOST_BYTES = 64, TRUST_S = 10 };

/* Where rank 0 receives datagrams, and the token that all datagrams of the job carry. */
typedef struct endpoint {
  uint64_t token;
  uint16_t port; /* 0: rank 0 has no socket */
  int32_t addresses;
  uint32_t address[MAX_ADDRESSES];
  char host[HOST_BYTES];
} endpoint;

/* The datagram that a rank sends to rank 0. All ranks run the same binary, so they agree on its
 * layout. */
typedef struct report_message {
  uint64_t token;
  int64_t units, step, idle_ns;
  int32_t rank, waits, expired, unused; /* `unused` so that no byte of the datagram is undefined */
  char operation[RN_PROGRESS_NAME_BYTES];
} report_message;

/* The datagram with which rank 0 answers a report. */
typedef struct answer_message {
  uint64_t token;
  int64_t units; /* sum of the units that the ranks have counted */
  int32_t printed, unused;
} answer_message;

/* The last datagram of a rank. */
typedef struct received {
  report_message message;
  int64_t at_ns; /* 0: none has arrived */
  struct sockaddr_in from;
} received;

struct rn_rank_reports {
  const rn_world *world;
  int socket;
  endpoint root;
  received *ranks;           /* [world size] on rank 0, [1] and unused on other ranks */
  char (*hosts)[HOST_BYTES]; /* [world size] on rank 0, [1] and unused on other ranks */
  int64_t units;             /* on rank 0: sum of the units in `ranks` */
  bool expired;
  /* On other ranks: the last answer of rank 0, when it arrived, and from which address. */
  answer_message answer;
  int64_t answer_ns; /* 0: none */
  struct sockaddr_in answer_from;
};

static bool is_root(const rn_rank_reports *r) {
  return rn_world_rank(r->world) == 0;
}

/* ---- creation ---- */

/* Lists the IPv4 addresses of the network interfaces that are up. Loopback addresses come last;
 * they are needed if the hosts are simulated on one machine without a network. */
static void list_addresses(endpoint *out) {
  struct ifaddrs *all = NULL;
  if (getifaddrs(&all) != 0) return;
  for (int loopback = 0; loopback < 2; loopback++) {
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
      if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET) continue;
      if ((i->ifa_flags & IFF_UP) == 0 || ((i->ifa_flags & IFF_LOOPBACK) != 0) != loopback)
        continue;
      if (out->addresses == MAX_ADDRESSES) break;
      struct sockaddr_in address;
      memcpy(&address, i->ifa_addr, sizeof address);
      out->address[out->addresses++] = address.sin_addr.s_addr;
    }
  }
  freeifaddrs(all);
}

static int open_socket(void) {
  const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct sockaddr_in any = {.sin_family = AF_INET};
  if (s < 0) return -1;
  if (bind(s, (struct sockaddr *)&any, sizeof any) == 0) return s;
  close(s);
  return -1;
}

static void describe_root(rn_rank_reports *r) {
  struct sockaddr_in bound = {0};
  socklen_t bytes = sizeof bound;
  const int buffer_bytes = 1 << 22; /* many ranks may send at the same time */
  if (r->socket < 0 || getsockname(r->socket, (struct sockaddr *)&bound, &bytes) != 0) return;
  if (getrandom(&r->root.token, sizeof r->root.token, 0) != sizeof r->root.token) return;
  (void)setsockopt(r->socket, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
  list_addresses(&r->root);
  r->root.port = bound.sin_port;
}

static rn_status allocate(rn_err *err, const rn_world *world, rn_rank_reports **out) {
  const size_t ranks = rn_world_rank(world) == 0 ? (size_t)rn_world_size(world) : 1;
  RN_TRY(err, rn_alloc(err, "reports of the ranks", 1, sizeof **out, out));
  (*out)->world = world;
  (*out)->socket = -1;
  RN_TRY(err, rn_alloc(err, "reports of the ranks", ranks, sizeof *(*out)->ranks, &(*out)->ranks));
  return rn_alloc(err, "hosts of the ranks", ranks, sizeof *(*out)->hosts, &(*out)->hosts);
}

/* Distributes the endpoint of rank 0, and gathers the host names there. */
static rn_status connect_all(rn_err *err, rn_rank_reports *r) {
  MPI_Comm comm = rn_world_comm(r->world);
  char host[HOST_BYTES] = "";
  strncpy(host, rn_world_host(r->world), sizeof host - 1);
  r->socket = open_socket();
  if (is_root(r)) {
    memcpy(r->root.host, host, sizeof host);
    describe_root(r);
  }
  RN_MPI_WAIT(err, MPI_Bcast(&r->root, (int)sizeof r->root, MPI_BYTE, 0, comm));
  RN_MPI_WAIT(err, MPI_Gather(host, HOST_BYTES, MPI_CHAR, r->hosts, HOST_BYTES, MPI_CHAR, 0, comm));
  return RN_OK;
}

rn_status rn_rank_reports_create(rn_err *err, const rn_world *world, rn_rank_reports **out) {
  *out = NULL;
  int one_node = rn_world_node_ranks(world) == rn_world_size(world);
  if (one_node) return RN_OK;
  rn_rank_reports *r = NULL;
  rn_status status = rn_agree(err, world, allocate(err, world, &r));
  if (status == RN_OK) status = connect_all(err, r);
  if (status == RN_OK && r->root.port != 0) {
    *out = r;
    return RN_OK;
  }
  rn_rank_reports_destroy(&r);
  return status;
}

void rn_rank_reports_destroy(rn_rank_reports **reports) {
  rn_rank_reports *r = *reports;
  if (r == NULL) return;
  if (r->socket >= 0) close(r->socket);
  free(r->ranks);
  free(r->hosts);
  free(r);
  *reports = NULL;
}

/* ---- rank 0 ---- */

static double seconds_since(int64_t ns) {
  return ns == 0 ? -1 : (double)(rn_progress_now_ns() - ns) * 1e-9;
}

static void store(rn_rank_reports *r, const received *in) {
  received *last = &r->ranks[in->message.rank];
  r->units += in->message.units - last->message.units;
  *last = *in;
}

static void answer(const rn_rank_reports *r, const struct sockaddr_in *to, bool printed) {
  const answer_message message = {.token = r->root.token, .units = r->units, .printed = printed};
  (void)sendto(r->socket, &message, sizeof message, MSG_DONTWAIT, (const struct sockaddr *)to,
               sizeof *to);
}

static void receive_reports(rn_rank_reports *r) {
  received in;
  socklen_t bytes = sizeof in.from;
  while (recvfrom(r->socket, &in.message, sizeof in.message, MSG_DONTWAIT,
                  (struct sockaddr *)&in.from, &bytes) == sizeof in.message) {
    bytes = sizeof in.from;
    const int rank = in.message.rank;
    if (in.message.token != r->root.token || rank <= 0 || rank >= rn_world_size(r->world)) continue;
    in.message.operation[RN_PROGRESS_NAME_BYTES - 1] = '\0';
    in.at_ns = rn_progress_now_ns();
    store(r, &in);
    r->expired = r->expired || in.message.expired != 0;
    answer(r, &in.from, false);
  }
}

bool rn_rank_reports_expired(const rn_rank_reports *reports) {
  return reports->expired;
}

void rn_rank_reports_confirm_printed(rn_rank_reports *reports) {
  for (int rank = 1; rank < rn_world_size(reports->world); rank++) {
    const received *in = &reports->ranks[rank];
    if (in->at_ns != 0) answer(reports, &in->from, true);
  }
}

rn_rank_report rn_rank_reports_get(const rn_rank_reports *reports, int rank) {
  const received *in = &reports->ranks[rank];
  rn_rank_report out = {.host = reports->hosts[rank],
                        .step = in->message.step,
                        .silent_s = seconds_since(in->at_ns),
                        .waits = in->message.waits != 0};
  memcpy(out.operation, in->message.operation, sizeof out.operation);
  out.idle_s = (double)in->message.idle_ns * 1e-9 + (in->at_ns == 0 ? 0 : out.silent_s);
  return out;
}

/* ---- other ranks ---- */

static void send_to(const rn_rank_reports *r, const report_message *message, uint32_t address) {
  const struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = r->root.port, .sin_addr.s_addr = address};
  (void)sendto(r->socket, message, sizeof *message, MSG_DONTWAIT, (const struct sockaddr *)&to,
               sizeof to);
}

/* Sends a report to the address from which rank 0 has answered in the last TRUST_S seconds or, if
 * it has not answered, to all of its addresses. */
static void send_report(const rn_rank_reports *r, const report_message *message) {
  if (r->answer_ns != 0 && seconds_since(r->answer_ns) < TRUST_S) {
    send_to(r, message, r->answer_from.sin_addr.s_addr);
    return;
  }
  for (int i = 0; i < r->root.addresses; i++) send_to(r, message, r->root.address[i]);
}

static void receive_answers(rn_rank_reports *r) {
  answer_message in;
  struct sockaddr_in from;
  socklen_t bytes = sizeof from;
  while (recvfrom(r->socket, &in, sizeof in, MSG_DONTWAIT, (struct sockaddr *)&from, &bytes) ==
         sizeof in) {
    bytes = sizeof from;
    if (in.token != r->root.token) continue;
    in.printed = in.printed != 0 || r->answer.printed != 0;
    r->answer = in;
    r->answer_from = from;
    r->answer_ns = rn_progress_now_ns();
  }
}

bool rn_rank_reports_printed(const rn_rank_reports *reports) {
  return reports->answer.printed != 0;
}

double rn_rank_reports_root_silent_s(const rn_rank_reports *reports) {
  return seconds_since(reports->answer_ns);
}

const char *rn_rank_reports_root_host(const rn_rank_reports *reports) {
  return reports->root.host;
}

/* ---- all ranks ---- */

static report_message message_of(const rn_rank_reports *r, rn_progress *mine, bool expired) {
  report_message message = {.token = r->root.token,
                            .units = atomic_load(&mine->units),
                            .step = atomic_load(&mine->step),
                            .idle_ns = rn_progress_now_ns() - atomic_load(&mine->last_ns),
                            .rank = rn_world_rank(r->world),
                            .waits = rn_progress_is_waiting(mine),
                            .expired = expired};
  rn_progress_name(mine, message.operation);
  return message;
}

void rn_rank_reports_receive(rn_rank_reports *reports) {
  if (is_root(reports)) {
    receive_reports(reports);
  } else {
    receive_answers(reports);
  }
}

void rn_rank_reports_exchange(rn_rank_reports *reports, rn_progress *mine, bool expired) {
  const report_message message = message_of(reports, mine, expired);
  if (reports->socket < 0) return;
  if (is_root(reports)) {
    store(reports, &(received){.message = message});
  } else {
    send_report(reports, &message);
  }
  rn_rank_reports_receive(reports);
}

int rn_rank_reports_descriptor(const rn_rank_reports *reports) {
  return reports->socket;
}

int64_t rn_rank_reports_units(const rn_rank_reports *reports) {
  return is_root(reports) ? reports->units : reports->answer.units;
}
