#include "trainer/parallel/shapes.h"

int rn_shapes_microbatches(const rn_layout *layout, int64_t sequences) {
  return (int)((sequences + layout->microbatch - 1) / layout->microbatch);
}

int rn_shapes_tokens(const Retnet__Config *config, const rn_layout *layout) {
  return (int)rn_range_count(rn_layout_piece(layout, config->data->sequence_length, 0));
}

int rn_shapes_tokens_before(const Retnet__Config *config, const rn_layout *layout) {
  const int64_t window = config->model->attention_window;
  int64_t sum = 0;
  for (int segment = 0; segment < layout->segments; segment++) {
    const int piece = segment * layout->sequence + layout->sequence - 1;
    const int64_t before = rn_layout_piece(layout, config->data->sequence_length, piece).begin;
    sum += window > 0 ? rn_smaller(before, window) : before;
  }
  return (int)(sum / layout->segments);
}

/*
 * True if the weight phase is split from backward. If parallel.split_weight is auto, it is split in
 * a pipeline, except with recomputation, because recomputed activations exist only during the
 * layer's backward phase.
 */
static bool splits_weight(const Retnet__Config *config, const rn_layout *layout) {
  switch (config->parallel->split_weight) {
    case RETNET__SWITCH__SWITCH_ON:
      return true;
    case RETNET__SWITCH__SWITCH_OFF:
      return false;
    default:
      return layout->pipeline > 1 && config->train->recompute == RETNET__RECOMPUTE__RECOMPUTE_NONE;
  }
}

rn_pipeline_shape rn_shapes_pipeline(const Retnet__Config *config, const rn_layout *layout,
                                     int stage, rn_range layers, int64_t share) {
  const bool recompute = config->train->recompute == RETNET__RECOMPUTE__RECOMPUTE_BLOCK;
  const bool split = splits_weight(config, layout);
  const int pieces = layout->sequence * layout->segments;
  return (rn_pipeline_shape){.stage = stage,
                             .first_layer = (int)layers.begin,
                             .last_layer = (int)layers.end,
                             .sequences = layout->microbatch,
                             .tokens = rn_shapes_tokens(config, layout),
                             .keys = pieces > 1 ? config->data->sequence_length : 0,
                             .schedule = {.stages = layout->pipeline,
                                          .microbatches = rn_shapes_microbatches(layout, share),
                                          .segments = layout->segments,
                                          .split_weight = split},
                             .save = recompute ? RN_SAVE_INPUTS
                                     : split   ? RN_SAVE_ALL
                                               : RN_SAVE_MOST,
                             .seed = (uint64_t)config->run->seed};
}

rn_scan_source_shape rn_shapes_scan(const Retnet__Config *config, const rn_layout *layout,
                                    int layers) {
  return (rn_scan_source_shape){.wanted = config->parallel->scan,
                                .reproducible = layout->reduction_block > 0,
                                .epsilon = config->parallel->scan_epsilon,
                                .layers = layers,
                                .sequences = layout->microbatch,
                                .segments = layout->segments};
}

/* Returns the maximum number of micro-batches that can have units in `slots` slots at the same
 * time. In the worst case the oldest of these units is the last one of its micro-batch. */
static int microbatches_in_flight(rn_pipeline_schedule_shape schedule, int slots) {
  const int others = (slots - 1 + schedule.segments - 1) / schedule.segments;
  return (int)rn_smaller(schedule.microbatches, 1 + others);
}

rn_status rn_shapes_rows(rn_err *err, const Retnet__Config *config, const rn_layout *layout,
                         const rn_pipeline_shape *pipeline, rn_row_source_shape *out) {
  int slots = 0;
  RN_TRY(err, rn_pipeline_schedule_slots(err, pipeline->schedule, pipeline->stage, &slots));
  *out = (rn_row_source_shape){.layout = *layout,
                               .layers = {pipeline->first_layer, pipeline->last_layer},
                               .sequences = layout->microbatch,
                               .tokens = config->data->sequence_length,
                               .microbatches = microbatches_in_flight(pipeline->schedule, slots),
                               .backward = true};
  return RN_OK;
}
