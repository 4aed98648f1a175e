/**
 * Shapes of a rank's pipeline and scan: pure functions of configuration and layout, so that a run
 * allocates and a plan estimates from the same numbers.
 */
#ifndef RN_TRAINER_PARALLEL_SHAPES_H
#define RN_TRAINER_PARALLEL_SHAPES_H

#include "trainer/layout/layout.h"
#include "trainer/parallel/pipeline.h"
#include "trainer/parallel/scan_source.h"

/** Number of micro-batches of `sequences` sequences. */
int rn_shapes_microbatches(const rn_layout *layout, int64_t sequences);

/** Tokens of the longest piece of a sequence. */
int rn_shapes_tokens(const Retnet__Config *config, const rn_layout *layout);

/** The pipeline of stage `stage` with layers `layers`, for `share` sequences per step. */
rn_pipeline_shape rn_shapes_pipeline(const Retnet__Config *config, const rn_layout *layout,
                                     int stage, rn_range layers, int64_t share);

/** The scan of a stage with `layers` layers. */
rn_scan_source_shape rn_shapes_scan(const Retnet__Config *config, const rn_layout *layout,
                                    int layers);

#endif
