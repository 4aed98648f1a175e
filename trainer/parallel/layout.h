/**
 * Who works on what: the grid of ranks and the sizes of their pieces, filled in by rule.
 *
 * A pure function of the configuration and the number of ranks; nothing is measured.
 */
#ifndef RN_TRAINER_PARALLEL_LAYOUT_H
#define RN_TRAINER_PARALLEL_LAYOUT_H

#include <stdint.h>

#include "model/spec/spec.h"
#include "proto/base/range.h"
#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

typedef struct rn_layout {
  int data, pipeline, sequence; /* their product is the number of ranks */
  int segments;                 /* pieces a rank works through one after the other */
  int microbatch;               /* sequences of one data rank that go together */
  int leaf;                     /* tokens, in reproducible mode; 0 elsewhere */
} rn_layout;

/** Tokens of a leaf: run.leaf, or by rule from data.sequence_length; 0 elsewhere. */
int rn_layout_leaf(const Retnet__Config *config);

/** The chunk nearest to `chunk` that does not reach across a leaf. */
int rn_layout_chunk_within(int leaf, int chunk);

/**
 * The grid for `ranks` ranks: given keys hold, zeros are filled (data, then sequence). The config
 * is an effective one.
 *
 * Errors: RN_ERR_USAGE naming the keys: a grid that does not multiply to the ranks, more data ranks
 *         than sequences, more pieces than tokens, more stages than layers, a micro-batch above the
 *         largest share, a scale mode that cannot be cut, what reproducible mode excludes.
 */
rn_status rn_layout_resolve(rn_err *err, const Retnet__Config *config, int layers, int ranks,
                            rn_layout *out);

/**
 * Tokens of piece `index` of the sequence x segments pieces of a sequence of `length` tokens: even
 * cuts, in reproducible mode of whole leaves.
 */
rn_range rn_layout_piece(const rn_layout *layout, int64_t length, int index);

/**
 * Reproducible mode: makes the spec's chunk one that does not reach across leaves.
 * Errors: RN_ERR_USAGE for a given chunk that does.
 */
rn_status rn_layout_fit_chunk(rn_err *err, const Retnet__Config *config, const rn_layout *layout,
                              rn_spec *spec);

#endif
