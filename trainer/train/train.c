#include "trainer/train/train.h"

#include <math.h>
#include <string.h>

#include "comm/world/shm_record.h"
#include "comm/world/watchdog.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/rollback.h"
#include "trainer/checkpoint/saving.h"
#include "trainer/launch/stop_request.h"
#include "trainer/launch/time_limit.h"
#include "trainer/profile/profile.h"
#include "trainer/run/step.h"
#include "trainer/run/validate.h"
#include "trainer/train/metrics.h"
#include "trainer/train/run_owner.h"
#include "trainer/train/run_start.h"
#include "trainer/train/summary.h"

/* One launch of retnet-train: the run, its output, and the measurements of the loop. */
typedef struct launch {
  rn_run run;
  rn_collective_stop stop; /* a request to stop before the first step */
  rn_run_folder folder;    /* used on rank 0 */
  rn_saver *saver;
  rn_saving saving;
  double since_s; /* clock time at the start of the launch */
  rn_time_limit limit;
  double slowest_s;   /* time of the slowest step, including its evaluation and save */
  int64_t scan_bytes; /* bytes of states that this rank sent in steps */
  rn_train_end end;
} launch;

static bool divides(int64_t every, int64_t step) {
  return every > 0 && step % every == 0;
}

/* ---- between two steps ---- */

/* The values on which all ranks agree between two steps. */
typedef struct agreement {
  int64_t stop; /* reason to stop: an rn_time_reason, or ASKED; RN_TIME_LEFT: none */
  bool saved;   /* true if all writers of the save in progress are done */
} agreement;

enum { WISH_STOP, WISH_WRITE, WISH_LEAVE, WISHES };

/* Another reason to stop, besides those of rn_time_reason: a rank received a signal that asks for
 * it. */
enum { ASKED = RN_TIME_REASONS };

/* Returns this rank's reason to stop. A limit is a reason as soon as it may be reached before
 * another step and a save are done. */
static int64_t reason_to_stop(const launch *l) {
  const double needed_s = l->slowest_s + rn_saver_expected_s(l->saver);
  if (rn_stop_request_pending()) return ASKED;
  return rn_time_limit_check(&l->limit, 2 * needed_s);
}

static void print_stopped(int64_t step, int64_t reason) {
  static const char *const why[] = {[RN_TIME_OWN] = "run.max_hours is almost reached",
                                    [RN_TIME_JOB] = "the SLURM job is about to end",
                                    [ASKED] = "requested by a signal"};
  rn_log_info("stopped after step %lld: %s", (long long)step, why[reason]);
}

static rn_status agree_between_steps(rn_err *err, const launch *l, agreement *out) {
  rn_world *world = l->run.parallel.world;
  rn_progress_phase("agreement between steps");
  const rn_status owned = rn_run_lock_check(err, l->folder.lock);
  int64_t wish[WISHES] = {reason_to_stop(l), rn_saver_is_writing(l->saver), owned != RN_OK};
  RN_TRY(err, rn_world_max(err, world, wish, WISHES));
  if (wish[WISH_LEAVE] != 0) RN_TRY(err, rn_agree(err, world, owned));
  *out = (agreement){wish[WISH_STOP], rn_saver_step(l->saver) >= 0 && wish[WISH_WRITE] == 0};
  return RN_OK;
}

/* ---- the loop ---- */

/* Reports a step in metrics.jsonl, in the event file and on the console, on the rank that owns
 * run.dir. A failure is counted and does not end the run. */
static void report_step(launch *l, const rn_step_result *result, double step_s,
                        const rn_validation *val) {
  rn_err failure = {0};
  if (rn_world_rank(l->run.parallel.world) != 0 || rn_run_lock_check(NULL, l->folder.lock) != RN_OK)
    return;
  const rn_metrics_sample sample = {&l->run.counters, result, step_s, val};
  if (rn_metrics_step(&failure, &l->folder.metrics, &l->run.settings, &sample) == RN_OK) {
    rn_repeated_warning_end(&l->folder.metrics.failures);
  } else {
    rn_repeated_warning_add(&l->folder.metrics.failures, "%s", failure.text);
  }
}

/* True if an evaluation follows the step that has just ended. */
static bool evaluates(const rn_run *run) {
  const Retnet__Train *train = run->settings.config->train;
  return run->datasets.val_sets > 0 && train->eval_every > 0 &&
         (run->counters.step == train->steps || divides(train->eval_every, run->counters.step));
}

/* Returns to the last good checkpoint after a spike. *to is its step, or -1 if there is none. */
static rn_status roll_back(rn_err *err, launch *l, int64_t *to) {
  rn_run *run = &l->run;
  rn_err failure = {0};
  const int64_t from = run->counters.step;
  RN_TRY(err, rn_rollback(err, &l->saving, run, l->folder.lock, to));
  if (*to < 0 || rn_world_rank(run->parallel.world) != 0) return RN_OK;
  if (rn_metrics_rewind(&failure, &l->folder.metrics, run->settings.config->run->dir, *to, from,
                        run->spikes.rollbacks) != RN_OK) {
    rn_log_warn("%s", failure.text);
  }
  return RN_OK;
}

/* Saves the state before the run ends. First checks it for bit flips (replica_check.h), because no
 * later step will do so. */
static rn_status save_last(rn_err *err, launch *l) {
  rn_run *run = &l->run;
  RN_TRY(err, rn_weights_finish_fetch(err, &run->model.weights));
  rn_span_begin("last check");
  RN_TRY(err, rn_replica_check_verify(err, &run->replicas, rn_run_checked_state(run)));
  rn_span_end();
  return rn_saving_last(err, &l->saving);
}

/* Runs one step. Then evaluates, writes the line in metrics.jsonl and saves a checkpoint, each only
 * if it is due. */
static rn_status one_step(rn_err *err, launch *l) {
  rn_run *run = &l->run;
  const Retnet__Train *train = run->settings.config->train;
  rn_step_result result;
  rn_validation val;
  const double begin_s = rn_clock_s();
  const rn_status stepped = rn_step(err, run, &result);
  if (stepped != RN_OK && stepped != RN_ERR_NUMERICS) return stepped;
  const double step_s = rn_clock_s() - begin_s;
  const bool rolls_back = rn_step_rolls_back(train, &result);
  const bool evaluated = stepped == RN_OK && !rolls_back && evaluates(run);
  l->scan_bytes += result.scan_bytes;
  if (evaluated) {
    rn_span_begin("evaluation");
    RN_TRY(err, rn_validate(err, run, train->eval_sequences, &val));
    rn_span_end();
  }
  report_step(l, &result, step_s, evaluated ? &val : NULL);
  if (stepped != RN_OK) return stepped;
  if (rolls_back) {
    int64_t to;
    RN_TRY(err, roll_back(err, l, &to));
    if (to >= 0) return RN_OK;
    RN_TRY(err, rn_step_check_bad_steps(err, run));
  }
  RN_TRY(err,
         run->counters.step == train->steps ? save_last(err, l) : rn_saving_step(err, &l->saving));
  l->slowest_s = fmax(l->slowest_s, rn_clock_s() - begin_s);
  return RN_OK;
}

static rn_status loop(rn_err *err, launch *l) {
  rn_run *run = &l->run;
  const int64_t steps = run->settings.config->train->steps;
  const bool profiled = run->settings.config->run->profile;
  agreement agreed = {0};
  rn_profile profile;
  if (profiled)
    RN_TRY(err, rn_profile_start(err, &run->parallel, &run->model.pipeline.schedule, &profile));
  while (run->counters.step < steps) {
    RN_TRY(err, one_step(err, l));
    if (profiled) rn_profile_step(&profile);
    if (run->counters.step == steps) break;
    RN_TRY(err, agree_between_steps(err, l, &agreed));
    /* The state after a skipped step is never saved, so a request to stop takes effect after the
     * next good step, unless train.max_bad_steps ends the run first. */
    const bool stops = agreed.stop != RN_TIME_LEFT && run->counters.bad_steps == 0;
    if (agreed.saved && !stops) RN_TRY(err, rn_saving_written(err, &l->saving));
    if (!stops) continue;
    RN_TRY(err, save_last(err, l));
    print_stopped(run->counters.step, agreed.stop);
    l->end = RN_TRAIN_STOPPED;
    break;
  }
  if (profiled) {
    RN_TRY(err, rn_agree(err, run->parallel.world, rn_run_lock_verify(err, l->folder.lock)));
    RN_TRY(err, rn_profile_finish(err, run->settings.config->run->dir, &profile));
  }
  const rn_launch_totals totals = {l->folder.lock, &l->folder.metrics, rn_saver_costs(l->saver),
                                   l->scan_bytes, rn_clock_s() - l->since_s};
  return rn_summary_write(err, run, &totals);
}

/* Records in run.dir which shared memory this job has created so far, so that the next job can
 * remove it if this one is killed. */
static rn_status record_shared_memory(rn_err *err, rn_world *world, const char *run_dir,
                                      rn_run_lock *lock) {
  RN_TRY(err, rn_agree(err, world, rn_run_lock_verify(err, lock)));
  return rn_shm_record_write(err, world, run_dir);
}

/* Creates the objects that save checkpoints, runs the loop, and destroys them. */
static rn_status train_steps(rn_err *err, launch *l) {
  rn_world *world = l->run.parallel.world;
  rn_write_token *write_token = NULL;
  RN_TRY(err, rn_write_token_create(err, world, &write_token));
  rn_status status =
      rn_agree(err, world, rn_saver_create(err, &l->run, l->folder.lock, write_token, &l->saver));
  if (status == RN_OK) {
    status = record_shared_memory(err, world, l->run.settings.config->run->dir, l->folder.lock);
  }
  if (status == RN_OK) {
    l->saving = rn_saving_create(l->run.settings.config, &l->run.counters, l->saver);
    status = loop(err, l);
    if (l->run.replicas.damaged) rn_saving_distrust(&l->saving);
    if (status != RN_ERR_MPI && rn_saving_end(err, &l->saving, status) != RN_OK) {
      status = RN_ERR_MPI;
    }
  }
  /* After a failure of MPI, the job is aborted at once: a save in progress, for which the destroyer
   * would wait, may take long. */
  if (status == RN_ERR_MPI) return status;
  rn_saver_destroy(&l->saver);
  rn_write_token_destroy(&write_token);
  return status;
}

/* ---- launch ---- */

/* Closes metrics.jsonl and the event file. Lines that still wait are discarded if the lock is lost,
 * because the files then belong to another job. If some lines are discarded or cannot be written,
 * the run fails with this error, unless it has already failed. */
static rn_status close_metrics(rn_err *err, const rn_world *world, rn_run_folder *folder,
                               rn_status status) {
  rn_err failure = {0};
  rn_status owned = RN_OK;
  if (rn_metrics_waiting(&folder->metrics)) owned = rn_run_lock_verify(&failure, folder->lock);
  if (owned != RN_OK) rn_metrics_discard(&folder->metrics);
  const rn_status written = rn_metrics_close(&failure, &folder->metrics);
  if (status == RN_ERR_MPI) return status;
  if (status != RN_OK) {
    if (owned == RN_OK && written != RN_OK) rn_log_warn("%s", failure.text);
    return status;
  }
  *err = failure;
  return rn_agree(err, world, owned != RN_OK ? owned : written);
}

/* Ends a launch that was asked to stop while it waited for the lock of run.dir. */
static rn_status stop_before_steps(launch *l) {
  rn_log_info("stopped before the first step of this launch");
  l->end = RN_TRAIN_STOPPED;
  return RN_OK;
}

/* Loads the checkpoint; trains unless the checkpoint is that of the last step. */
static rn_status resume_and_train(rn_err *err, const rn_checkpoint_source *source,
                                  const rn_options_locations *locations, launch *l) {
  const Retnet__Config *config = l->run.settings.config;
  RN_TRY(err, rn_checkpoint_resume(err, source, &l->run));
  if (l->run.counters.step >= config->train->steps) {
    rn_log_info("nothing to do: the run is already at step %lld", (long long)l->run.counters.step);
    return RN_OK;
  }
  const rn_path own = rn_path_join(config->run->dir, "checkpoints");
  const bool continues = strncmp(source->path.text, own.text, strlen(own.text)) == 0;
  RN_TRY(err, rn_run_start(err, locations, continues, &l->run, &l->stop, &l->folder));
  if (atomic_load(&l->stop.given)) return stop_before_steps(l);
  return train_steps(err, l);
}

/* Records the shared memory if run.dir exists already. Loading a large model takes minutes, so this
 * is done early. */
static rn_status record_early(rn_err *err, rn_world *world, const Retnet__Config *given,
                              const launch *l) {
  int64_t exists = l->folder.lock != NULL;
  RN_TRY(err, rn_world_max(err, world, &exists, 1));
  if (exists == 0) return RN_OK;
  return record_shared_memory(err, world, given->run->dir, l->folder.lock);
}

static rn_status train(rn_err *err, const Retnet__Config *given,
                       const rn_options_locations *locations, rn_world *world, launch *l) {
  rn_checkpoint_source source;
  RN_TRY(err, rn_run_owner_take_existing(err, world, given->run->dir, &l->stop, &l->folder.lock));
  if (atomic_load(&l->stop.given)) return stop_before_steps(l);
  RN_TRY(err, rn_shm_record_clean(err, world, given->run->dir));
  RN_TRY(err, record_early(err, world, given, l));
  RN_TRY(err, rn_checkpoint_select(err, given, world, &source));
  RN_TRY(err, rn_run_create_from(err, given, &source.choices, world, &l->run));
  rn_status status = record_early(err, world, given, l);
  if (status == RN_OK) status = resume_and_train(err, &source, locations, l);
  status = close_metrics(err, world, &l->folder, status);
  rn_spans_stop();
  if (status != RN_ERR_MPI) rn_run_destroy(&l->run);
  return status;
}

rn_status rn_train(rn_err *err, const Retnet__Config *given, const rn_options_locations *locations,
                   rn_world *world, rn_train_end *end) {
  launch l = {
      .since_s = rn_clock_s(), .stop = {.asked = rn_stop_request_pending}, .end = RN_TRAIN_DONE};
  rn_watchdog *watchdog = NULL;
  l.limit = rn_time_limit_read(given->run->max_hours, l.since_s);
  rn_stop_request_install();
  RN_TRY(err, rn_watchdog_start(err, world, given->run->watchdog_s, &watchdog));
  const rn_status status = train(err, given, locations, world, &l);
  *end = l.end;
  if (status == RN_ERR_MPI) return status;
  rn_run_lock_release(&l.folder.lock);
  rn_watchdog_stop(&watchdog);
  return status;
}
