/**
 * The layout of a run: the grid of ranks, and the sizes of a unit, which is one segment of each
 * sequence of a micro-batch. Rules choose the values that the configuration leaves at 0.
 *
 * The layout is a pure function of the configuration and the number of ranks; nothing is measured.
 */
#ifndef RN_TRAINER_LAYOUT_LAYOUT_H
#define RN_TRAINER_LAYOUT_LAYOUT_H

#include <stdint.h>

#include "model/spec/spec.h"
#include "proto/base/range.h"
#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

typedef struct rn_layout {
  int data, pipeline, sequence; /* grid axes; the product is the number of ranks */
  int segments;        /* number of pieces of a sequence that a rank processes one after another */
  int microbatch;      /* number of sequences in a unit */
  int reduction_block; /* tokens in a reduction block (run.leaf); 0 outside reproducible mode */
} rn_layout;

/**
 * Returns the number of tokens in a reduction block: run.leaf if set, otherwise a value derived
 * from data.sequence_length. Returns 0 unless run.reproducible is set.
 */
int rn_layout_reduction_block(const Retnet__Config *config);

/**
 * Returns the chunk length to use instead of `chunk` so that no chunk crosses the end of a
 * reduction block: `reduction_block` if it is shorter than `chunk`, otherwise gcd(reduction_block,
 * chunk).
 */
int rn_layout_chunk_within(int reduction_block, int chunk);

/**
 * Computes the layout for `ranks` ranks. Uses the keys that are given; rules replace zeros (in the
 * grid, first data, then sequence). `config` must be an effective configuration.
 *
 * Errors: RN_ERR_USAGE naming the keys: a grid whose product is not the number of ranks, more data
 *         ranks than sequences, more pieces than tokens, more stages than layers, a micro-batch
 *         larger than a data rank's share, a retention_scale that does not allow the pieces,
 *         split_weight on with recomputation, anything that reproducible mode excludes.
 */
rn_status rn_layout_resolve(rn_err *err, const Retnet__Config *config, int layers, int ranks,
                            rn_layout *out);

/**
 * Returns the token range of piece `index`. A sequence of `length` tokens is cut into sequence x
 * segments pieces. Pieces are as equal as possible; in reproducible mode they consist of whole
 * reduction blocks.
 */
rn_range rn_layout_piece(const rn_layout *layout, int64_t length, int index);

/**
 * Reproducible mode: changes the chunk length of `spec` so that no chunk crosses the end of a
 * reduction block. Errors: RN_ERR_USAGE if model.chunk is given and does not divide the reduction
 * block.
 */
rn_status rn_layout_fit_chunk(rn_err *err, const Retnet__Config *config, const rn_layout *layout,
                              rn_spec *spec);

#endif
