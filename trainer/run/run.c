#include "trainer/run/run.h"

#include "proto/base/progress.h"
#include "trainer/launch/gemm_agree.h"

rn_status rn_run_create(rn_err *err, const Retnet__Config *given, rn_world *world, rn_run *out) {
  return rn_run_create_from(err, given, NULL, world, out);
}

/* Opens the data. This comes first, because the model depends on the vocabulary of the data. */
static rn_status open_data(rn_err *err, const Retnet__Config *given, rn_machine machine, int ranks,
                           rn_run *run) {
  RN_TRY(err, rn_datasets_open(err, given->data, &run->datasets));
  return rn_run_settings_create(err, given, rn_datasets_vocabulary(&run->datasets), ranks, machine,
                                &run->settings);
}

static rn_status settle(rn_err *err, const Retnet__Config *given, const rn_choices *choices,
                        rn_world *world, rn_run *run) {
  rn_machine machine;
  rn_progress_begin("plan", 0);
  RN_TRY(err, rn_machine_query(err, world, given, 0, &machine));
  RN_TRY(err, rn_gemm_bf16_agree(err, world, given->train->precision));
  RN_TRY(err, rn_agree(err, world, open_data(err, given, machine, rn_world_size(world), run)));
  RN_TRY(err, rn_datasets_check_same(err, &run->datasets, world));
  RN_TRY(err, rn_run_settings_plan(err, world, &run->settings));
  return rn_run_settings_keep_choices(err, choices, world, &run->settings);
}

/* Creates the parts of the run in the order of their dependencies. */
static rn_status create_parts(rn_err *err, const rn_choices *choices, rn_world *world,
                              rn_run *run) {
  const rn_run_settings *settings = &run->settings;
  rn_parallel_context *parallel = &run->parallel;
  RN_TRY(err, rn_parallel_context_create(err, settings, choices, world, parallel));
  RN_TRY(err, rn_agree(err, world,
                       rn_data_stream_create(err, settings, parallel, &run->datasets, &run->data)));
  RN_TRY(err, rn_local_model_create(err, settings, parallel, &run->model));
  RN_TRY(err, rn_optimizer_create(err, settings, parallel, &run->model, &run->optimizer));
  RN_TRY(err, rn_replica_check_create(err, settings, rn_run_checked_state(run), &run->replicas));
  RN_TRY(err, rn_parallel_context_start_thread(err, settings, parallel));
  run->model.pipeline.rows = &parallel->rows;
  run->model.pipeline.comm_thread = parallel->comm_thread;
  run->optimizer.distributed.comm_thread = parallel->comm_thread;
  return RN_OK;
}

rn_status rn_run_create_from(rn_err *err, const Retnet__Config *given, const rn_choices *choices,
                             rn_world *world, rn_run *out) {
  *out = (rn_run){.counters.step = 0};
  rn_status status = settle(err, given, choices, world, out);
  if (status == RN_OK) status = create_parts(err, choices, world, out);
  if (status != RN_OK && status != RN_ERR_MPI) rn_run_destroy(out);
  return status;
}

/*
 * Destroys the parts in reverse order, after stopping the communication thread, which makes MPI
 * calls for them.
 */
void rn_run_destroy(rn_run *run) {
  rn_parallel_context_stop_thread(&run->parallel);
  rn_replica_check_destroy(&run->replicas);
  rn_optimizer_destroy(&run->optimizer);
  rn_local_model_destroy(&run->model);
  rn_data_stream_destroy(&run->data);
  rn_parallel_context_destroy(&run->parallel);
  rn_run_settings_destroy(&run->settings);
  rn_datasets_close(&run->datasets);
  *run = (rn_run){.counters.step = 0};
}
