#include "trainer/run/parallel_context.h"

#include <stdlib.h>

#include "proto/base/arena.h"
#include "trainer/launch/launch.h"
#include "trainer/layout/layer_split.h"
#include "trainer/parallel/shapes.h"

/* Chooses the layers of this rank's stage. */
static rn_status choose_layers(rn_err *err, const rn_run_settings *settings,
                               rn_parallel_context *p) {
  const int stages = settings->plan.layout.pipeline, stage = rn_grid_pipeline(p->grid);
  int *first;
  RN_TRY(err, rn_alloc(err, "layers by stage", (size_t)stages + 1, sizeof *first, &first));
  rn_status status =
      rn_layer_split(err, &settings->spec, settings->config->parallel, stages, first);
  if (status == RN_OK) p->layers = (rn_range){first[stage], first[stage + 1]};
  free(first);
  return status;
}

static rn_status create_scan(rn_err *err, const rn_run_settings *settings,
                             const rn_choices *choices, rn_parallel_context *p) {
  const rn_layout *l = &settings->plan.layout;
  rn_scan_source_shape shape = rn_shapes_scan(settings->config, l, (int)rn_range_count(p->layers));
  if (choices != NULL) {
    const rn_scan_algorithm rule = rn_scan_source_choose(&settings->spec, shape, l->sequence);
    rn_choices_scan(choices, (rn_choices_now){settings->config, l}, rn_scan_name(rule),
                    &shape.wanted);
  }
  return rn_scan_source_create(err, p->grid, &settings->spec, shape, &p->scan);
}

static rn_status create_rows(rn_err *err, const rn_run_settings *settings, rn_parallel_context *p) {
  const rn_layout *l = &settings->plan.layout;
  const rn_pipeline_shape pipeline = rn_shapes_pipeline(
      settings->config, l, rn_grid_pipeline(p->grid), p->layers, rn_range_count(p->sequences));
  rn_row_source_shape shape;
  RN_TRY(err, rn_shapes_rows(err, settings->config, l, &pipeline, &shape));
  return rn_row_source_create(err, p->grid, &settings->spec, shape, &p->rows);
}

rn_status rn_parallel_context_create(rn_err *err, const rn_run_settings *settings,
                                     const rn_choices *choices, rn_world *world,
                                     rn_parallel_context *out) {
  const rn_layout *l = &settings->plan.layout;
  *out = (rn_parallel_context){.world = world};
  RN_TRY(err, rn_grid_create(err, world, l->data, l->pipeline, l->sequence, &out->grid));
  out->sequences =
      rn_cut(settings->config->data->batch_sequences, l->data, rn_grid_data(out->grid));
  RN_TRY(err, rn_agree(err, world, choose_layers(err, settings, out)));
  rn_status status = RN_OK;
  if (l->pipeline > 1) {
    status = rn_pipeline_p2p_create(err, out->grid, settings->spec.dim, &out->p2p);
  }
  if (status == RN_OK) status = create_scan(err, settings, choices, out);
  RN_TRY(err, rn_agree(err, world, status));
  status = create_rows(err, settings, out);
  return rn_agree(err, world, status);
}

rn_status rn_parallel_context_start_thread(rn_err *err, const rn_run_settings *settings,
                                           rn_parallel_context *p) {
  const rn_comm_thread_use use = {.wanted = settings->config->parallel->comm_thread,
                                  .threads = settings->machine.threads,
                                  .sends = rn_world_size(p->world) > 1,
                                  .scans = settings->plan.layout.sequence > 1};
  RN_TRY(err, rn_launch_comm_thread(err, p->world, use, &p->comm_thread));
  rn_scan_use_thread(p->scan.scan, p->comm_thread);
  rn_row_source_use_thread(&p->rows, p->comm_thread);
  if (p->p2p != NULL) rn_pipeline_p2p_use_thread(p->p2p, p->comm_thread);
  return RN_OK;
}

void rn_parallel_context_stop_thread(rn_parallel_context *context) {
  rn_comm_thread_stop(&context->comm_thread);
}

void rn_parallel_context_destroy(rn_parallel_context *context) {
  rn_row_source_destroy(&context->rows);
  rn_scan_source_destroy(&context->scan);
  rn_pipeline_p2p_destroy(&context->p2p);
  rn_grid_destroy(&context->grid);
  *context = (rn_parallel_context){.world = NULL};
}
