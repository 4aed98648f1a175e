/**
 * The scan behind a unit's states, wherever the rest of its sequence is worked on: across the ranks
 * of the sequence axis, or on this rank alone.
 *
 * A sequence is cut into bands x ranks pieces; band k of a rank is its k-th piece. Units of a
 * micro-batch come band by band, forward from the first, backward from the last.
 */
#ifndef RN_TRAINER_PARALLEL_SCAN_SOURCE_H
#define RN_TRAINER_PARALLEL_SCAN_SOURCE_H

#include "comm/scan/ordered_scan.h"
#include "comm/scan/scan.h"
#include "model/retention/local_state.h"
#include "model/spec/spec.h"
#include "trainer/parallel/tbptt_streams.h"

typedef struct rn_scan_source {
  rn_scan *scan;         /* across ranks; NULL when a rank has whole sequences */
  rn_ordered_scan *fold; /* the same in reproducible mode */
  rn_local_state *alone; /* of one rank; NULL otherwise */
  rn_scan_algorithm algorithm;
  int bands, layers;
  rn_scan_port *instead; /* answers in place of all of them, for measuring; not owned; NULL: none */
  rn_tbptt_streams
      *streams; /* states from step to step, not owned; NULL: sequences begin with zero */
} rn_scan_source;

/** What a source is made for. */
typedef struct rn_scan_source_shape {
  Retnet__Scan wanted; /* parallel.scan */
  bool reproducible;
  double epsilon;               /* parallel.scan_epsilon */
  int layers, sequences, bands; /* of units, at most */
} rn_scan_source_shape;

/** The scan that a source of `ranks` ranks a sequence would use. */
rn_scan_algorithm rn_scan_source_choose(const rn_spec *spec, rn_scan_source_shape shape, int ranks);

/** Bytes of states that rank `rank` of `ranks` would hold; and one state of all heads, in bytes. */
size_t rn_scan_source_bytes(const rn_spec *spec, rn_scan_source_shape shape, int rank, int ranks);
int64_t rn_scan_source_state_bytes(const rn_spec *spec, rn_scan_source_shape shape);

/**
 * Collective: over the sequence axis of the grid, which outlives the source.
 * Errors:     RN_ERR_MEMORY; RN_ERR_USAGE for states that the scan cannot send.
 */
rn_status rn_scan_source_create(rn_err *err, const rn_grid *grid, const rn_spec *spec,
                                rn_scan_source_shape shape, rn_scan_source *out);
void rn_scan_source_destroy(rn_scan_source *source);

/** As rn_scan_use_thread. */
void rn_scan_source_use_thread(rn_scan_source *source, rn_comm_thread *thread);

/** Bytes that this rank has sent for scans, and seconds that it has waited, since create. */
int64_t rn_scan_source_bytes_sent(const rn_scan_source *source);
double rn_scan_source_wait_s(const rn_scan_source *source);

/** "none", or the algorithm and its choices in words: into text [bytes]. */
void rn_scan_source_describe(const rn_scan_source *source, char *text, size_t bytes);

/** The port for the scans of a unit in one direction; valid until the next call. */
rn_scan_port *rn_scan_source_port(rn_scan_source *source, rn_scan_direction direction,
                                  int microbatch, int band);

/** To be called after a unit's forward: keeps the state behind a last band where it is carried. */
void rn_scan_source_keep(rn_scan_source *source, int microbatch, int band);

#endif
