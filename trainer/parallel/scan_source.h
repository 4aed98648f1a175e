/**
 * Provides the state scan of a stage, for one unit at a time. The scan runs over the ranks of the
 * sequence axis, or on a single rank if that axis has size 1.
 *
 * A sequence is cut into segments x ranks pieces; segment k of a rank is the k-th piece of that
 * rank. The units of a micro-batch run segment by segment: forward from first to last, backward
 * from last to first.
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
  rn_scan_port *override; /* replaces the scan in measurements; not owned; NULL: none */
} rn_scan_source;

/** Parameters of a scan source. */
typedef struct rn_scan_source_shape {
  Retnet__Scan wanted; /* parallel.scan */
  bool reproducible;
  double epsilon; /* parallel.scan_epsilon */
  int layers;     /* number of layers in the stage */
  int sequences;  /* maximum number of sequences in a unit */
  int segments;   /* segments per rank */
} rn_scan_source_shape;

/** Returns the algorithm that a source with `ranks` ranks per sequence would use. */
rn_scan_algorithm rn_scan_source_choose(const rn_spec *spec, rn_scan_source_shape shape, int ranks);

/** Returns the size in bytes of the scan buffers on rank `rank` of `ranks`. */
size_t rn_scan_source_bytes(const rn_spec *spec, rn_scan_source_shape shape, int rank, int ranks);

/** Returns the size in bytes of the states of one layer, for all heads of a unit. */
int64_t rn_scan_source_state_bytes(const rn_spec *spec, rn_scan_source_shape shape);

/**
 * Creates the scan of a stage. The grid must outlive the source.
 *
 * Collective: over the sequence axis of the grid.
 * Errors:     RN_ERR_MEMORY; RN_ERR_USAGE if states are too large for the scan's messages.
 */
rn_status rn_scan_source_create(rn_err *err, const rn_grid *grid, const rn_spec *spec,
                                rn_scan_source_shape shape, rn_scan_source *out);
void rn_scan_source_destroy(rn_scan_source *source);

/** The unit that is scanned: segment `segment` of a micro-batch. */
typedef struct rn_scan_unit {
  int microbatch, segment;
  rn_tbptt_streams *streams; /* kept between steps; not owned; NULL: sequences start from zero */
} rn_scan_unit;

/** Returns the port for the scans of one unit; it is valid until the next call. */
rn_scan_port *rn_scan_source_port(rn_scan_source *source, rn_scan_unit unit);

#endif
