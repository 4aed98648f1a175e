#include "trainer/train/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/world/collective_wait.h"
#include "comm/world/shm_record.h"
#include "comm/world/watchdog.h"
#include "data/checkpoint/ckpt.h"
#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/saving.h"
#include "trainer/launch/launch.h"
#include "trainer/launch/stop_request.h"
#include "trainer/machine/binding.h"
#include "trainer/machine/gemm_sample.h"
#include "trainer/profile/profile.h"
#include "trainer/run/step.h"
#include "trainer/train/metrics.h"
#include "trainer/train/run_config.h"
#include "trainer/train/run_owner.h"

static bool divides(int64_t every, int64_t step) {
  return every > 0 && step % every == 0;
}

/* What all ranks agree on between two steps. */
typedef struct agreement {
  bool stop;  /* some rank was asked to stop, or run.max_hours is nearly reached */
  bool saved; /* all writers of the save in progress are done */
} agreement;

enum { WISH_STOP, WISH_WRITE, WISH_LEAVE, WISHES };

static rn_status agree_between_steps(rn_err *err, const rn_run *run, const rn_saver *saver,
                                     double since_s, double slowest_s, agreement *out) {
  const double limit_s = 3600 * run->config->run->max_hours;
  const rn_save_costs *saves = rn_saver_costs(saver);
  const double save_s = saves->saves > 0 ? saves->write_s / (double)saves->saves : 0;
  rn_progress_phase("agreement between steps");
  const rn_status owned = rn_run_lock_check(err, run->lock);
  int64_t wish[WISHES] = {rn_stop_request_pending(), rn_saver_is_writing(saver), owned != RN_OK};
  if (limit_s > 0 && rn_clock_s() - since_s + 2 * (slowest_s + save_s) > limit_s) {
    wish[WISH_STOP] = 1;
  }
  RN_TRY(err, rn_world_max(err, run->world, wish, WISHES));
  if (wish[WISH_LEAVE] != 0) RN_TRY(err, rn_agree(err, run->world, owned));
  *out = (agreement){wish[WISH_STOP] != 0, rn_saver_step(saver) >= 0 && wish[WISH_WRITE] == 0};
  return RN_OK;
}

/* Peak memory that this rank adds to its node: private memory, and on one rank of the node also the
 * shared weights. */
static int64_t own_peak_bytes(const rn_run *run) {
  return rn_machine_peak_bytes() - rn_machine_shared_bytes() +
         rn_weights_shared_bytes(&run->weights);
}

static rn_status write_summary(rn_err *err, rn_run *run, const rn_metrics *metrics,
                               const rn_saver *saver, double since_s) {
  const int ranks = rn_world_size(run->world);
  double *all;
  rn_progress_phase("summary");
  rn_status status = rn_alloc(err, "summary", 3 * (size_t)ranks, sizeof *all, &all);
  if ((status = rn_agree(err, run->world, status)) != RN_OK) {
    free(all);
    return status;
  }
  const double mine[3] = {(double)rn_run_targets(run), (double)run->scan_bytes,
                          (double)rn_machine_peak_bytes()};
  int64_t node = 0;
  status = rn_world_largest_node(err, run->world, own_peak_bytes(run), &node);
  for (int i = 0; status == RN_OK && i < 3; i++) {
    status = rn_world_all_gather_double(err, run->world, mine[i], all + i * ranks);
  }
  if (status == RN_OK) {
    rn_status written = RN_OK;
    if (rn_world_rank(run->world) == 0) {
      written = rn_metrics_summary(err, metrics, run, rn_saver_costs(saver), rn_clock_s() - since_s,
                                   (rn_metrics_ranks){all, all + ranks, all + 2 * ranks, node});
    }
    status = rn_agree(err, run->world, written);
  }
  free(all);
  return status;
}

/* Checks that run.dir can hold the checkpoints, and writes config.yaml with the values that the
 * planner and the run have chosen. */
static rn_status prepare_folder(rn_err *err, const rn_run *run, const rn_options_places *places) {
  const char *dir = run->config->run->dir;
  rn_decisions decisions;
  RN_TRY(err,
         rn_ckpt_preflight(err, dir, 3 * rn_spec_parameters(&run->spec) * (int64_t)sizeof(float)));
  rn_decisions_make(run->config, &run->plan, &run->spec, &decisions);
  if (run->config->parallel->scan == RETNET__SCAN__SCAN_AUTO && run->layout.sequence > 1) {
    rn_decisions_set(&decisions, "parallel.scan", rn_scan_name(run->scan.algorithm));
  }
  if (run->config->parallel->comm_thread == RETNET__SWITCH__SWITCH_AUTO) {
    rn_decisions_set(&decisions, "parallel.comm_thread", run->comm_thread != NULL ? "on" : "off");
  }
  const rn_config_notes notes = {&run->effective, places, &decisions};
  return rn_run_config_write(err, dir, &notes);
}

/* Arguments of open_folder, which prepares run.dir on rank 0 before the first step. */
typedef struct folder_work {
  rn_run *run;
  const rn_options_places *places;
  rn_metrics *metrics;
  int64_t known_step; /* of the checkpoint in run.dir that the run continues; -1: none */
} folder_work;

static rn_status open_folder(rn_err *err, void *context) {
  const folder_work *w = context;
  const char *dir = w->run->config->run->dir;
  RN_TRY(err, rn_run_owner_take(err, dir, w->known_step, &w->run->lock));
  RN_TRY(err, prepare_folder(err, w->run, w->places));
  return rn_metrics_open(err, dir, w->run->step, w->metrics);
}

/* Warns where another GEMM backend would be much faster than the one that AUTO takes. */
static rn_status check_gemm_choice(rn_err *err, const Retnet__Config *config) {
  rn_gemm_sample sample;
  char text[400];
  if (config->model->products != RETNET__PRODUCTS__PRODUCTS_AUTO) return RN_OK;
  RN_TRY(err, rn_gemm_sample_take(err, &sample));
  if (rn_gemm_sample_warning(&sample, text, sizeof text)) rn_log_warn("%s", text);
  return RN_OK;
}

static rn_status start(rn_err *err, const rn_checkpoint_source *source,
                       const rn_options_places *places, rn_run *run, rn_metrics *metrics) {
  const bool root = rn_world_rank(run->world) == 0;
  RN_TRY(err, rn_checkpoint_resume(err, source, run));
  if (run->step >= run->config->train->steps) {
    rn_log_info("already at step %lld", (long long)run->step);
    return RN_OK;
  }
  const rn_path own = rn_path_join(run->config->run->dir, "checkpoints");
  const bool goes_on = strncmp(source->path.text, own.text, strlen(own.text)) == 0;
  folder_work work = {run, places, metrics, goes_on ? run->step : -1};
  rn_progress_phase("open run.dir");
  const rn_status status = rn_collective_wait_for_root(err, run->world, open_folder, &work);
  if (status == RN_ERR_MPI) return status;
  RN_TRY(err, rn_agree(err, run->world, status));
  RN_TRY(err, rn_agree(err, run->world, root ? check_gemm_choice(err, run->config) : RN_OK));
  if (!root) return RN_OK;
  const rn_layout *l = &run->layout;
  char scan[120], messages[80], bound[160], weights[60] = "of each rank's own";
  if (run->weights.together > 1) {
    snprintf(weights, sizeof weights, "shared by up to %d ranks of a node", run->weights.together);
  }
  rn_scan_describe(run->scan.scan, scan, sizeof scan);
  rn_launch_describe(run->world, run->comm_thread, messages, sizeof messages);
  rn_binding_describe(bound, sizeof bound);
  rn_log_info(
      "%lld parameters; grid data %d x pipeline %d x sequence %d, segments %d, micro-batch %d, %d "
      "threads a rank, %s; weights %s; scan %s, %s; chunk %d, GEMM by %s, kernels %s; from "
      "step "
      "%lld",
      (long long)rn_spec_parameters(&run->spec), l->data, l->pipeline, l->sequence, l->segments,
      l->microbatch, run->threads, bound, weights, scan, messages, run->spec.chunk,
      rn_gemm_backend_in_use()->name, rn_kernels_table()->name, (long long)run->step);
  if (run->config->train->eval_every > 0 && !run->has_val) {
    rn_log_warn("%s has no val split: no evaluations", run->config->data->dir);
  }
  return RN_OK;
}

/* One step with its evaluation, its line in metrics.jsonl and its checkpoint. */
static rn_status one_step(rn_err *err, rn_run *run, rn_metrics *metrics, rn_saving *saving,
                          double *slowest_s) {
  const Retnet__Config *c = run->config;
  rn_step_result result;
  double val_loss = 0;
  const double begin_s = rn_clock_s();
  const rn_status stepped = rn_step(err, run, &result);
  if (stepped != RN_OK && stepped != RN_ERR_NUMERICS) return stepped;
  const double step_s = rn_clock_s() - begin_s;
  const bool last = run->step == c->train->steps;
  const bool evaluates = stepped == RN_OK && run->has_val && c->train->eval_every > 0 &&
                         (last || divides(c->train->eval_every, run->step));
  if (evaluates) {
    rn_span_begin("evaluation");
    RN_TRY(err, rn_validate(err, run, c->train->eval_sequences, &val_loss));
    rn_span_end();
  }
  rn_status status = RN_OK;
  if (rn_world_rank(run->world) == 0 && rn_run_lock_check(NULL, run->lock) == RN_OK) {
    rn_err told = {0};
    status = rn_metrics_step(&told, metrics, run, &result, step_s, evaluates ? &val_loss : NULL);
    if (status == RN_OK) {
      rn_repeated_warning_end(&metrics->failures);
    } else {
      rn_repeated_warning_add(&metrics->failures, "%s", told.text);
    }
  }
  if (stepped != RN_OK) return stepped;
  RN_TRY(err, last ? rn_saving_last(err, saving) : rn_saving_step(err, saving));
  *slowest_s = fmax(*slowest_s, rn_clock_s() - begin_s);
  return RN_OK;
}

static rn_status loop(rn_err *err, rn_run *run, rn_metrics *metrics, rn_saving *saving,
                      double since_s, rn_train_end *end) {
  const bool profiled = run->config->run->profile;
  double slowest_s = 0;
  agreement agreed = {0};
  rn_profile profile;
  if (profiled) RN_TRY(err, rn_profile_start(err, run, &profile));
  while (run->step < run->config->train->steps) {
    RN_TRY(err, one_step(err, run, metrics, saving, &slowest_s));
    if (profiled) rn_profile_step(&profile);
    if (run->step == run->config->train->steps) break;
    RN_TRY(err, agree_between_steps(err, run, saving->saver, since_s, slowest_s, &agreed));
    /* The state after a skipped step is never saved: a stop waits for the next good step, or until
     * train.max_bad_steps ends the run. */
    const bool stops = agreed.stop && run->bad_steps == 0;
    if (agreed.saved && !stops) RN_TRY(err, rn_saving_written(err, saving));
    if (!stops) continue;
    RN_TRY(err, rn_saving_last(err, saving));
    rn_log_info("stopped after step %lld", (long long)run->step);
    *end = RN_TRAIN_STOPPED;
    break;
  }
  if (profiled) RN_TRY(err, rn_profile_finish(err, run, &profile));
  return write_summary(err, run, metrics, saving->saver, since_s);
}

/* Runs the loop; creates and destroys what it needs for checkpoints. */
static rn_status train_steps(rn_err *err, rn_run *run, rn_metrics *metrics, double since_s,
                             rn_train_end *end) {
  rn_write_token *write_token = NULL;
  rn_saver *saver = NULL;
  RN_TRY(err, rn_write_token_create(err, run->world, &write_token));
  rn_status status = rn_agree(err, run->world, rn_saver_create(err, run, write_token, &saver));
  if (status == RN_OK) status = rn_shm_record_write(err, run->world, run->config->run->dir);
  if (status == RN_OK) {
    rn_saving saving = rn_saving_create(run, saver);
    status = loop(err, run, metrics, &saving, since_s, end);
    if (status != RN_ERR_MPI && rn_saving_end(err, &saving, status) != RN_OK) status = RN_ERR_MPI;
  }
  const bool whole = status != RN_ERR_MPI;
  rn_saver_destroy(&saver);
  if (whole) rn_write_token_destroy(&write_token);
  return status;
}

/* Lines of metrics.jsonl that cannot be written fail the run, unless it has failed already. */
static rn_status close_metrics(rn_err *err, const rn_world *world, rn_metrics *metrics,
                               rn_status status) {
  rn_err told = {0};
  const rn_status closed = rn_metrics_close(&told, metrics);
  if (status == RN_ERR_MPI) return status;
  if (status != RN_OK) {
    if (closed != RN_OK) rn_log_warn("%s", told.text);
    return status;
  }
  *err = told;
  return rn_agree(err, world, closed);
}

static rn_status train(rn_err *err, const Retnet__Config *given, const rn_options_places *places,
                       rn_world *world, double since_s, rn_run_lock **lock, rn_train_end *end) {
  rn_run run;
  rn_checkpoint_source source;
  rn_metrics metrics = {0};
  RN_TRY(err, rn_shm_record_clean(err, world, given->run->dir));
  RN_TRY(err, rn_checkpoint_look(err, given, world, &source));
  RN_TRY(err, rn_run_create_from(err, given, &source.choices, world, &run));
  run.lock = *lock;
  rn_status status = start(err, &source, places, &run, &metrics);
  *lock = run.lock;
  if (status == RN_OK && run.step < given->train->steps) {
    status = train_steps(err, &run, &metrics, since_s, end);
  }
  status = close_metrics(err, world, &metrics, status);
  rn_spans_stop();
  if (status != RN_ERR_MPI) rn_run_destroy(&run);
  return status;
}

rn_status rn_train(rn_err *err, const Retnet__Config *given, const rn_options_places *places,
                   rn_world *world, rn_train_end *end) {
  const double since_s = rn_clock_s();
  rn_watchdog *watchdog = NULL;
  rn_run_lock *lock = NULL;
  *end = RN_TRAIN_DONE;
  rn_stop_request_install();
  RN_TRY(err, rn_watchdog_start(err, world, given->run->watchdog_s, &watchdog));
  rn_status status = rn_run_owner_look(err, world, given->run->dir, &lock);
  if (status == RN_OK) status = train(err, given, places, world, since_s, &lock, end);
  if (status == RN_ERR_MPI) return status;
  rn_run_lock_release(&lock);
  rn_watchdog_stop(&watchdog);
  return status;
}
