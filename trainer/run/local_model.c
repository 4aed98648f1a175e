#include "trainer/run/local_model.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"
#include "trainer/parallel/shapes.h"

/* ---- creating ---- */

static rn_status create_pipeline(rn_err *err, const rn_run_settings *settings,
                                 const rn_parallel_context *parallel, rn_pipeline *out) {
  const rn_pipeline_shape shape =
      rn_shapes_pipeline(settings->config, &settings->plan.layout, rn_grid_pipeline(parallel->grid),
                         parallel->layers, rn_range_count(parallel->sequences));
  return rn_pipeline_create(err, &settings->spec, shape, parallel->p2p, out);
}

/*
 * Reproducible mode: allocates the exact gradient sums and the losses by reduction block. The
 * losses have one extra element, in which a step reports an overflow.
 */
static rn_status create_exact_sums(rn_err *err, const Retnet__Data *data, int block,
                                   rn_local_model *m) {
  m->loss.each = (data->sequence_length + block - 1) / block;
  m->reduction_blocks = m->loss.each * data->batch_sequences;
  RN_TRY(err,
         rn_stage_create_gradient(err, m->pipeline.stage, RN_GRADIENT_EXACT, m->reduction_blocks));
  return rn_alloc(err, "losses of reduction blocks", (size_t)m->reduction_blocks + 1,
                  sizeof(double), &m->loss.block);
}

static rn_status create_gradient(rn_err *err, const rn_run_settings *settings, rn_local_model *m) {
  const int block = settings->plan.layout.reduction_block;
  if (block > 0) return create_exact_sums(err, settings->config->data, block, m);
  return rn_stage_create_gradient(err, m->pipeline.stage, RN_GRADIENT_FLOAT, 0);
}

rn_status rn_local_model_create(rn_err *err, const rn_run_settings *settings,
                                const rn_parallel_context *parallel, rn_local_model *out) {
  const Retnet__Config *c = settings->config;
  *out = (rn_local_model){.pipeline.stage = NULL};
  const rn_gradient_kind kind =
      settings->plan.layout.reduction_block > 0 ? RN_GRADIENT_EXACT : RN_GRADIENT_FLOAT;
  RN_TRY(err,
         rn_agree(err, parallel->world, create_pipeline(err, settings, parallel, &out->pipeline)));
  RN_TRY(err, rn_gradient_memory_create(err, c->parallel, parallel, out->pipeline.stage, kind,
                                        &out->gradient));
  RN_TRY(err, rn_agree(err, parallel->world, create_gradient(err, settings, out)));
  rn_progress_begin("initial weights", 0);
  RN_TRY(err, rn_weights_create(err, c->parallel, parallel, out->pipeline.stage, &out->weights));
  rn_weights_init_shards(&out->weights, (uint64_t)c->run->seed);
  RN_TRY(err, rn_weights_start_fetch(err, &out->weights));
  return rn_weights_finish_fetch(err, &out->weights);
}

void rn_local_model_destroy(rn_local_model *m) {
  rn_pipeline_destroy(&m->pipeline);
  rn_gradient_memory_destroy(&m->gradient);
  rn_weights_destroy(&m->weights);
  free(m->loss.block);
  *m = (rn_local_model){.pipeline.stage = NULL};
}

/* ---- a step ---- */

bool rn_local_model_is_exact(const rn_local_model *model) {
  return model->reduction_blocks > 0;
}

/* Sets the gradient and the losses to zero. */
static rn_status start_sums(rn_err *err, rn_local_model *m, const rn_data_stream *data) {
  m->loss.sum = 0;
  if (rn_local_model_is_exact(m)) {
    memset(m->loss.block, 0, (size_t)m->reduction_blocks * sizeof(double));
    m->loss.first_sequence = data->first_sequence;
    m->loss.first_position = data->first_position;
  }
  return rn_stage_start_gradient(err, m->pipeline.stage);
}

rn_status rn_local_model_train(rn_err *err, rn_local_model *m, rn_data_stream *data,
                               rn_scan_source *scan, double scale) {
  RN_TRY(err, start_sums(err, m, data));
  rn_span_phase("cast weights");
  RN_TRY(err, rn_weights_cast(err, &m->weights));
  rn_span_phase("pipeline");
  const rn_pipeline_batch batch = {data->unit, rn_data_stream_streams(data)};
  return rn_pipeline_train(err, &m->pipeline, batch, scan, scale, &m->loss);
}
