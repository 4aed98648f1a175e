/**
 * Sets up the exchange of keys and values of a stage's attention layers for one unit at a time. The
 * exchange runs over the ranks of the sequence axis and the segments of a rank. It is not needed if
 * units hold whole sequences.
 */
#ifndef RN_TRAINER_PARALLEL_ROW_SOURCE_H
#define RN_TRAINER_PARALLEL_ROW_SOURCE_H

#include "comm/rows/row_exchange.h"
#include "model/spec/spec.h"
#include "trainer/layout/layout.h"

typedef struct rn_row_source {
  rn_row_exchange *exchange; /* NULL: no exchange is needed */
  rn_layout layout;
  int64_t tokens; /* length of a training sequence */
  int64_t *bound; /* [segments x ranks + 1] first token of each piece, then the length */
} rn_row_source;

/** Parameters of a row source. */
typedef struct rn_row_source_shape {
  rn_layout layout;
  rn_range layers;  /* layers of the stage */
  int sequences;    /* maximum number of sequences in a unit */
  int64_t tokens;   /* length of the longest sequence */
  int microbatches; /* number of micro-batches whose keys and values are kept at the same time */
  bool backward;
} rn_row_source_shape;

/** Returns the size in bytes of keys, values and their gradients; 0 if no exchange is needed. */
size_t rn_row_source_bytes(const rn_spec *spec, rn_row_source_shape shape);

/**
 * Computes the number of bytes of keys, values and their gradients that a rank sends and receives
 * for one sequence in a training step, in all attention layers of the stage; 0 if no exchange is
 * needed. The result is the number of the first or of the last rank of the sequence axis, whichever
 * is larger.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_row_source_traffic(rn_err *err, const rn_spec *spec, rn_row_source_shape shape,
                                double *bytes);

/**
 * Creates the exchange of a stage, if it needs one. The grid must outlive the source.
 *
 * Collective: over the world of the grid.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_row_source_create(rn_err *err, const rn_grid *grid, const rn_spec *spec,
                               rn_row_source_shape shape, rn_row_source *out);
void rn_row_source_destroy(rn_row_source *source);

/** Lets the communication thread `thread` make progress on the messages; NULL: no thread. */
void rn_row_source_use_thread(rn_row_source *source, rn_comm_thread *thread);

/** Unit of an exchange: a segment of a micro-batch of sequences of `length` tokens. */
typedef struct rn_row_source_unit {
  int microbatch, segment;
  int64_t length;
  bool backward;
} rn_row_source_unit;

/** Returns the port for one unit, or NULL; it is valid until the next call. */
rn_row_port *rn_row_source_port(rn_row_source *source, rn_row_source_unit unit);

#endif
