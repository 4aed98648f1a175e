/**
 * Computes the shapes of a rank's pipeline and scan as pure functions of configuration and layout.
 * A run uses them to allocate memory, and a plan to estimate memory.
 */
#ifndef RN_TRAINER_PARALLEL_SHAPES_H
#define RN_TRAINER_PARALLEL_SHAPES_H

#include "trainer/layout/layout.h"
#include "trainer/parallel/pipeline.h"
#include "trainer/parallel/row_source.h"
#include "trainer/parallel/scan_source.h"

/** Returns the number of micro-batches for `sequences` sequences. */
int rn_shapes_microbatches(const rn_layout *layout, int64_t sequences);

/** Returns the number of tokens in the longest piece of a sequence. */
int rn_shapes_tokens(const Retnet__Config *config, const rn_layout *layout);

/**
 * Returns the number of earlier tokens that attention sees from a piece of a sequence on the last
 * rank of the sequence axis, as the mean over the pieces of that rank. The last rank sees the most
 * keys. Without a window, the work of attention is linear in this number.
 */
int rn_shapes_tokens_before(const Retnet__Config *config, const rn_layout *layout);

/**
 * Returns the shape of the pipeline of stage `stage` with layers `layers`, for `share` sequences
 * per step.
 */
rn_pipeline_shape rn_shapes_pipeline(const Retnet__Config *config, const rn_layout *layout,
                                     int stage, rn_range layers, int64_t share);

/** Returns the shape of the scan of a stage with `layers` layers. */
rn_scan_source_shape rn_shapes_scan(const Retnet__Config *config, const rn_layout *layout,
                                    int layers);

/** Computes the shape of the exchange of keys and values of a pipeline. Errors: those of
 * rn_pipeline_schedule_slots. */
rn_status rn_shapes_rows(rn_err *err, const Retnet__Config *config, const rn_layout *layout,
                         const rn_pipeline_shape *pipeline, rn_row_source_shape *out);

#endif
