/** What a run tells: metrics.jsonl, a line on the console, summary.json. Rank 0 only. */
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
  double total_s;     /* of all steps of this launch */
  double scan_wait_s; /* in all of them, mean of the ranks */
  int64_t steps;
  rn_repeated_warning failures; /* lines that could not be written yet */
  double val_loss, loss;        /* the last ones; NaN before the first */
} rn_metrics;

/**
 * Opens RUN/metrics.jsonl, first removing lines of later steps than `step` and a torn last line; a
 * line that is not ours stays where it is.
 * Errors: RN_ERR_IO naming the file.
 */
rn_status rn_metrics_open(rn_err *err, const char *run_dir, int64_t step, rn_metrics *out);
/** Errors: RN_ERR_IO when lines could not be written to the end. */
rn_status rn_metrics_close(rn_err *err, rn_metrics *metrics);

/** Writes the line of a step, and the console's; val_loss NULL: no evaluation. */
rn_status rn_metrics_step(rn_err *err, rn_metrics *metrics, const rn_run *run,
                          const rn_step_result *result, double step_s, const double *val_loss);

/**
 * What rn_metrics_summary tells of all ranks: [ranks] each. A rank's peak counts all memory that it
 * mapped, as the system does; the fullest node's counts what its ranks share once.
 */
typedef struct rn_metrics_ranks {
  const double *targets, *scan_bytes, *peak_bytes;
  int64_t node_peak_bytes;
} rn_metrics_ranks;

/** Replaces RUN/summary.json. */
rn_status rn_metrics_summary(rn_err *err, const rn_metrics *metrics, const rn_run *run,
                             const rn_save_costs *saves, double seconds, rn_metrics_ranks ranks);

#endif
