/**
 * The scan behind a unit's states, wherever the rest of its sequence is worked on: across the ranks
 * of the sequence axis, or on this rank alone.
 *
 * A sequence is cut into segments x ranks pieces; segment k of a rank is its k-th piece. Units of a
 * micro-batch come segment by segment, forward from the first, backward from the last.
 */
#ifndef RN_TRAINER_PARALLEL_SCAN_SOURCE_H
#define RN_TRAINER_PARALLEL_SCAN_SOURCE_H

#include "comm/scan/scan.h"
#include "model/spec/spec.h"
#include "proto/schema/config.pb-c.h"
#include "trainer/parallel/tbptt_streams.h"

typedef struct rn_scan_source {
  rn_scan *scan;
  rn_scan_algorithm algorithm;
  int segments;
  rn_scan_port *override; /* answers in place of the scan, for measuring; not owned; or NULL */
  rn_tbptt_streams
      *streams; /* states from step to step, not owned; NULL: sequences start at zero */
} rn_scan_source;

/** What a source is made for. */
typedef struct rn_scan_source_shape {
  Retnet__Scan wanted; /* parallel.scan */
  bool reproducible;
  double epsilon;                  /* parallel.scan_epsilon */
  int layers, sequences, segments; /* of units, at most */
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

/** The port for the scans of a unit: valid until the next call. */
rn_scan_port *rn_scan_source_port(rn_scan_source *source, int microbatch, int segment);

#endif
