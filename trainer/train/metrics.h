/** The output of a run: metrics.jsonl, console lines, summary.json. Rank 0 only. */
#ifndef RN_TRAINER_TRAIN_METRICS_H
#define RN_TRAINER_TRAIN_METRICS_H

#include "data/file/journal.h"
#include "trainer/checkpoint/repeated_warning.h"
#include "trainer/checkpoint/saver.h"
#include "trainer/run/run.h"
#include "trainer/run/step.h"

typedef struct rn_metrics {
  rn_journal file;    /* metrics.jsonl */
  double step_s;      /* of the last step */
  double total_s;     /* sum over the steps of this launch */
  double scan_wait_s; /* sum over these steps of the mean over ranks */
  int64_t steps;
  rn_repeated_warning failures; /* consecutive failed writes */
  double val_loss, loss;        /* most recent values; NaN before the first */
} rn_metrics;

/**
 * Opens RUN/metrics.jsonl after removing the lines of steps later than `step` and a torn last line.
 * Lines that retnet-train did not write are kept in place.
 *
 * Errors: RN_ERR_IO naming the file; RN_ERR_FORMAT if it is not a regular file.
 */
rn_status rn_metrics_open(rn_err *err, const char *run_dir, int64_t step, rn_metrics *out);
/** Writes the lines that are still pending. Errors: RN_ERR_IO if some cannot be written. */
rn_status rn_metrics_close(rn_err *err, rn_metrics *metrics);

/**
 * Adds a step to the totals; at logged, skipped, evaluated and last steps also writes its line to
 * metrics.jsonl and to the console. val_loss is NULL without an evaluation.
 *
 * Errors: RN_ERR_IO, RN_ERR_MEMORY; after RN_ERR_IO the line stays pending.
 */
rn_status rn_metrics_step(rn_err *err, rn_metrics *metrics, const rn_run *run,
                          const rn_step_result *result, double step_s, const double *val_loss);

/**
 * Per-rank values for rn_metrics_summary, [ranks] each. The peak of a rank includes the shared
 * memory that it maps, as the system counts it; node_peak_bytes, of the node that uses most memory,
 * counts shared memory once.
 */
typedef struct rn_metrics_ranks {
  const double *targets, *scan_bytes, *peak_bytes;
  int64_t node_peak_bytes;
} rn_metrics_ranks;

/** Replaces RUN/summary.json. Errors: RN_ERR_IO, RN_ERR_MEMORY. */
rn_status rn_metrics_summary(rn_err *err, const rn_metrics *metrics, const rn_run *run,
                             const rn_save_costs *saves, double seconds, rn_metrics_ranks ranks);

#endif
