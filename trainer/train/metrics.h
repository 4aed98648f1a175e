/** Reports each step in metrics.jsonl, in a TensorBoard event file, and on the console. Rank 0
 * only. */
#ifndef RN_TRAINER_TRAIN_METRICS_H
#define RN_TRAINER_TRAIN_METRICS_H

#include "data/exchange/event_file.h"
#include "data/file/journal.h"
#include "trainer/checkpoint/repeated_warning.h"
#include "trainer/run/settings.h"
#include "trainer/run/step.h"
#include "trainer/run/validate.h"

typedef struct rn_metrics {
  rn_journal file; /* metrics.jsonl */
  rn_event_file events;
  double total_s;     /* time of all steps of this launch */
  double scan_wait_s; /* time spent waiting for states in these steps, mean over the ranks */
  int64_t steps;
  double shown_s; /* clock time at which the progress line was shown; 0: there is no line */
  rn_repeated_warning failures; /* consecutive failed writes of either file */
  double val_loss, loss;        /* most recent values; NaN before the first */
  int64_t rolled_back_from;     /* step from which the run was just rolled back; 0: none */
  int rollbacks;     /* number of rollbacks since the run began, if rolled_back_from > 0 */
  rn_validation val; /* the most recent evaluation; no sets before the first */
} rn_metrics;

/**
 * Opens RUN/metrics.jsonl after removing the lines of steps later than `step` and a torn last line.
 * Lines that retnet-train did not write are kept in place. Also creates a TensorBoard event file,
 * whose steps after `step` replace those of earlier event files.
 *
 * Errors: RN_ERR_IO naming the file; RN_ERR_FORMAT if it is not a regular file.
 */
rn_status rn_metrics_open(rn_err *err, const char *run_dir, int64_t step, rn_metrics *out);
/**
 * Called after a rollback from step `from` to the checkpoint of `step`, the run's `rollbacks`-th
 * one. Removes the lines of later steps, as a resume does, also those of earlier rollbacks. The
 * next line therefore contains "rolled_back_from": `from` and "rollbacks": `rollbacks`. Lines that
 * still cannot be written are dropped.
 *
 * Errors: RN_ERR_IO, RN_ERR_FORMAT, RN_ERR_NOT_FOUND, RN_ERR_MEMORY; then lines were dropped, or
 *         lines of abandoned steps are left.
 */
rn_status rn_metrics_rewind(rn_err *err, rn_metrics *metrics, const char *run_dir, int64_t step,
                            int64_t from, int rollbacks);
/** True if a line or record is pending. */
bool rn_metrics_waiting(const rn_metrics *metrics);
/** Discards the pending lines and records of both files, for a job that has lost its lock. */
void rn_metrics_discard(rn_metrics *metrics);
/** Writes the pending lines and records, and closes both files. Errors: RN_ERR_IO if a line or
 * record cannot be written. */
rn_status rn_metrics_close(rn_err *err, rn_metrics *metrics);

/** One step to report. */
typedef struct rn_metrics_sample {
  const rn_step_counters *counters; /* counters after the step */
  const rn_step_result *result;
  double step_s;
  const rn_validation *val; /* NULL if no evaluation followed the step */
} rn_metrics_sample;

/**
 * Adds a step to the totals. If the step is logged, skipped, evaluated or the last one, writes a
 * line to metrics.jsonl and the same numbers to the event file. On a console that is not a
 * terminal, prints a line for each of these steps. On a terminal, shows each step in the progress
 * line, and prints lines only for skipped and evaluated steps and the last one.
 *
 * Errors: RN_ERR_IO, RN_ERR_MEMORY; after RN_ERR_IO the line or record stays pending.
 */
rn_status rn_metrics_step(rn_err *err, rn_metrics *metrics, const rn_run_settings *settings,
                          const rn_metrics_sample *sample);

#endif
