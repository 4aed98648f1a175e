/**
 * Keeps rank 0 informed of what every rank is doing, so that the watchdog can name a rank on
 * another host that is late, stopped or disconnected.
 *
 * Each rank sends a UDP datagram of about 100 bytes to rank 0 at every call of
 * rn_rank_reports_exchange, and rank 0 answers with a shorter one. MPI is not used, because the
 * main thread may hang in an MPI call. Datagrams may be lost. If none arrive, for example because a
 * firewall drops UDP, the watchdog knows less about the other hosts, but nothing fails.
 *
 * Datagrams carry a random number that MPI has distributed; those without it are ignored. Their
 * content appears only in the message of the watchdog.
 */
#ifndef RN_COMM_WORLD_RANK_REPORTS_H
#define RN_COMM_WORLD_RANK_REPORTS_H

#include <stdbool.h>

#include "comm/world/world.h"
#include "proto/base/progress.h"

typedef struct rn_rank_reports rn_rank_reports;

/** What rank 0 knows about another rank. */
typedef struct rn_rank_report {
  const char *host;
  char operation[RN_PROGRESS_NAME_BYTES];
  int64_t step;
  double idle_s;   /* time since the last progress of the rank */
  double silent_s; /* time since its last datagram; negative: none has arrived */
  bool waits;      /* true if the rank waited for other ranks */
} rn_rank_report;

/**
 * Opens the sockets. Sets *out to NULL on all ranks if all ranks are on one node, or if rank 0
 * cannot open its socket. A rank that cannot open its own socket sends no reports.
 *
 * Collective: over the world. Ownership: the world outlives the object.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_rank_reports_create(rn_err *err, const rn_world *world, rn_rank_reports **out);

/** Frees the object; accepts NULL. Not collective. Errors: none. */
void rn_rank_reports_destroy(rn_rank_reports **reports);

/**
 * Sends a report of this rank to rank 0 and receives all datagrams that have arrived, without
 * waiting. The report contains the main members of `mine`, the progress record of this rank, and
 * `expired`: true if the watchdog of this rank has seen no progress of the job for its time limit.
 * Not collective; all calls on a rank are from one thread. Errors: none.
 */
void rn_rank_reports_exchange(rn_rank_reports *reports, rn_progress *mine, bool expired);

/** Receives all datagrams that have arrived, without waiting. Not collective. Errors: none. */
void rn_rank_reports_receive(rn_rank_reports *reports);

/** Returns a descriptor that is readable when a datagram has arrived. Not collective. Errors: none.
 */
int rn_rank_reports_descriptor(const rn_rank_reports *reports);

/** Returns the sum of the units that the ranks have counted, as far as this rank knows; it grows
 * when any rank makes progress. Not collective. Errors: none. */
int64_t rn_rank_reports_units(const rn_rank_reports *reports);

/** True if another rank has reported `expired` (see rn_rank_reports_exchange). For rank 0. Not
 * collective. Errors: none. */
bool rn_rank_reports_expired(const rn_rank_reports *reports);

/** Tells every rank that rank 0 has printed the watchdog's table of all ranks, so that no other
 * rank prints one. For rank 0. Not collective. Errors: none. */
void rn_rank_reports_confirm_printed(rn_rank_reports *reports);

/** True if rank 0 has told this rank that it has printed the table. Must be called on ranks other
 * than 0. Not collective. Errors: none. */
bool rn_rank_reports_printed(const rn_rank_reports *reports);

/** Returns the seconds since the last answer from rank 0; a negative value if there was none. Must
 * be called on ranks other than 0. Not collective. Errors: none. */
double rn_rank_reports_root_silent_s(const rn_rank_reports *reports);

/** Returns the host of rank 0. Not collective. Errors: none. */
const char *rn_rank_reports_root_host(const rn_rank_reports *reports);

/** Copies what is known about a rank. For rank 0. Not collective. Errors: none. */
rn_rank_report rn_rank_reports_get(const rn_rank_reports *reports, int rank);

#endif
