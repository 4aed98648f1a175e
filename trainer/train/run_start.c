#include "trainer/train/run_start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt.h"
#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "proto/options/options_items.h"
#include "trainer/checkpoint/checkpoint_find.h"
#include "trainer/launch/launch.h"
#include "trainer/machine/binding.h"
#include "trainer/machine/gemm_sample.h"
#include "trainer/train/run_config.h"
#include "trainer/train/run_owner.h"
#include "trainer/train/run_visible.h"

/* Checks that run.dir can hold the checkpoints, and writes config.yaml with the values that the
 * planner and the run have chosen. */
static rn_status prepare_folder(rn_err *err, const rn_run_settings *settings,
                                const rn_parallel_context *parallel,
                                const rn_options_locations *locations) {
  const char *dir = settings->config->run->dir;
  rn_decisions decisions;
  const Retnet__Checkpoint *checkpoint = settings->config->checkpoint;
  RN_TRY(err, rn_ckpt_preflight(
                  err, dir, 3 * rn_spec_parameters(&settings->spec) * (int64_t)sizeof(float),
                  (rn_ckpt_keep){(int)checkpoint->keep_last, checkpoint->keep_every}));
  rn_decisions_make(settings->config, &settings->plan, &settings->spec, &decisions);
  if (settings->config->parallel->scan == RETNET__SCAN__SCAN_AUTO &&
      settings->plan.layout.sequence > 1) {
    rn_decisions_set(&decisions, "parallel.scan", rn_scan_name(parallel->scan.algorithm));
  }
  if (settings->config->parallel->comm_thread == RETNET__SWITCH__SWITCH_AUTO) {
    rn_decisions_set(&decisions, "parallel.comm_thread",
                     parallel->comm_thread != NULL ? "on" : "off");
  }
  const rn_config_notes notes = {&settings->effective, locations, &decisions};
  return rn_run_config_write(err, dir, &notes);
}

/* Arguments of open_folder, which prepares run.dir on rank 0 before the first step. */
typedef struct folder_work {
  const rn_run *run;
  const rn_options_locations *locations;
  int64_t known_step; /* step of the checkpoint in run.dir from which the run continues; -1: none */
  const atomic_bool *stop;
  rn_run_folder *folder;
} folder_work;

static rn_status open_folder(rn_err *err, void *context) {
  const folder_work *w = context;
  const rn_run_settings *settings = &w->run->settings;
  const char *dir = settings->config->run->dir;
  RN_TRY(err, rn_run_owner_take(err, dir, w->known_step, w->stop, &w->folder->lock));
  if (w->folder->lock == NULL) return RN_OK; /* a stop was requested */
  RN_TRY(err, prepare_folder(err, settings, &w->run->parallel, w->locations));
  return rn_metrics_open(err, dir, w->run->counters.step, &w->folder->metrics);
}

/* Warns if another GEMM backend would be much faster than the one that AUTO selects. */
static rn_status check_gemm_choice(rn_err *err, const Retnet__Config *config) {
  rn_gemm_sample sample;
  char text[400];
  if (config->model->products != RETNET__PRODUCTS__PRODUCTS_AUTO || rn_gemm_takes_bf16()) {
    return RN_OK; /* nothing to compare: the key is set, or bf16 has only one backend */
  }
  RN_TRY(err, rn_gemm_sample_take(err, &sample));
  if (rn_gemm_sample_warning(&sample, text, sizeof text)) rn_log_warn("%s", text);
  return RN_OK;
}

/* Prints the share and the size of each source of a mixture, and after how many steps the source
 * has been read once. */
static void print_mixture(const rn_run *run) {
  const rn_datasets *d = &run->datasets;
  const Retnet__Data *data = run->settings.config->data;
  for (int i = 0; d->sources > 1 && i < d->sources; i++) {
    const double share = (double)d->mix.weight[i] / (double)d->mix.total;
    const int64_t sequences = rn_split_sequences(&d->train[i].split, data->sequence_length);
    rn_log_info(
        "mixture: %.2f %% of the sequences from %s, whose %lld sequences last for %.1f steps",
        100 * share, d->train[i].dir, (long long)sequences,
        (double)sequences / share / data->batch_sequences);
  }
}

/* Warns about each folder that a mixture lists more than once, even under different paths. */
static void warn_repeated_folders(const rn_datasets *d) {
  char *real[RN_OPTIONS_MAX_ITEMS];
  for (int i = 0; i < d->sources; i++) {
    int first = 0;
    real[i] = realpath(d->train[i].dir, NULL);
    while (real[i] != NULL && first < i &&
           (real[first] == NULL || strcmp(real[first], real[i]) != 0)) {
      first++;
    }
    if (real[i] == NULL || first == i) continue;
    rn_log_warn("data.dir: items %d and %d are the same folder, %s", first + 1, i + 1, real[i]);
  }
  for (int i = 0; i < d->sources; i++) free(real[i]);
}

/* Prints one line with the model, the layout, the machine settings and the first step of the
 * run. */
static void print_start(const rn_run *run) {
  const rn_run_settings *settings = &run->settings;
  const rn_parallel_context *parallel = &run->parallel;
  const rn_layout *l = &settings->plan.layout;
  const int sharing = run->model.weights.sharing_ranks;
  const int reading = run->model.gradient.sharing_ranks;
  char scan[120], messages[160], bound[240], weights[60] = "not shared", gradients[80] = "";
  if (sharing > 1) {
    snprintf(weights, sizeof weights, "shared by up to %d ranks per node", sharing);
  }
  if (reading > 1) {
    snprintf(gradients, sizeof gradients, ", gradients shared by up to %d ranks per node", reading);
  }
  rn_scan_describe(parallel->scan.scan, scan, sizeof scan);
  rn_launch_describe(parallel->world, parallel->comm_thread, messages, sizeof messages);
  rn_binding_describe(bound, sizeof bound);
  rn_log_info(
      "%lld parameters; grid data %d x pipeline %d x sequence %d, segments %d, micro-batch %d, %d "
      "threads per rank, %s; weights %s%s; scan %s, %s; chunk %d, GEMM backend %s, kernels %s; "
      "from step %lld",
      (long long)rn_spec_parameters(&settings->spec), l->data, l->pipeline, l->sequence,
      l->segments, l->microbatch, settings->machine.threads, bound, weights, gradients, scan,
      messages, settings->spec.chunk, rn_gemm_backend_in_use()->name, rn_kernels_table()->name,
      (long long)run->counters.step);
  if (settings->machine.threads_reason[0] != '\0') {
    rn_log_info("threads: %s", settings->machine.threads_reason);
  }
  print_mixture(run);
  warn_repeated_folders(&run->datasets);
  if (settings->config->train->eval_every > 0 && run->datasets.val_sets == 0) {
    rn_log_warn("%s has no val split: evaluation is disabled", settings->config->data->dir);
  }
}

rn_status rn_run_start(rn_err *err, const rn_options_locations *locations, bool continues,
                       const rn_run *run, rn_collective_stop *stop, rn_run_folder *folder) {
  rn_world *world = run->parallel.world;
  const bool root = rn_world_rank(world) == 0;
  const int64_t known_step = continues ? run->counters.step : -1;
  folder_work work = {run, locations, known_step, &stop->given, folder};
  rn_progress_phase("open run.dir");
  const rn_status status =
      rn_collective_wait_for_root_or_stop(err, world, open_folder, &work, stop);
  if (status == RN_ERR_MPI) return status;
  RN_TRY(err, rn_agree(err, world, status));
  if (atomic_load(&stop->given)) return RN_OK;
  RN_TRY(err,
         rn_run_visible_check(err, world, run->settings.config->run->dir, RN_FIND_TIMEOUT_S, stop));
  if (atomic_load(&stop->given)) return RN_OK;
  RN_TRY(err, rn_agree(err, world, root ? check_gemm_choice(err, run->settings.config) : RN_OK));
  if (root) print_start(run);
  return RN_OK;
}
