/** Reads the data of a run from its run directory: metrics.jsonl, summary.json and the
 * configuration. */
#ifndef RN_TRAINER_REPORT_RUN_RECORD_H
#define RN_TRAINER_REPORT_RUN_RECORD_H

#include <jansson.h>

#include "trainer/report/config_record.h"
#include "trainer/report/series.h"

enum { RN_RECORD_MAX_SERIES = 64 };

/** Zero-initialise. */
typedef struct rn_run_record {
  const char *path; /* as given; not owned */
  /* One for each number of the lines of metrics.jsonl. Without the losses of skipped steps, which
   * did not train the model: a spike would hide the other losses. */
  rn_series series[RN_RECORD_MAX_SERIES];
  int series_count;
  int64_t steps;       /* number of the last step; 0 without metrics */
  int64_t lines;       /* number of lines of metrics.jsonl that have a step */
  rn_series skipped;   /* has a point for each step that is marked as skipped */
  rn_series spikes;    /* has a point for each step that is marked as a spike */
  int64_t strange;     /* number of lines without a step, which are ignored */
  json_t *summary;     /* an object; NULL if there is none */
  char *summary_fault; /* why `summary` is NULL although the file exists; NULL otherwise */
  rn_config_record config;
} rn_run_record;

/**
 * Reads a run directory; the run may still be writing to it. Ignores lines of metrics.jsonl without
 * a step, and values that are not numbers. If a step occurs more than once, as in a resumed run,
 * its last line counts. If the summary or the configuration cannot be read, the record contains the
 * reason.
 *
 * Ownership: rn_run_record_free, on failure too; `path` must outlive the record.
 * Errors:    RN_ERR_NOT_FOUND if the folder does not exist or has no metrics.jsonl; RN_ERR_IO;
 *            RN_ERR_FORMAT if metrics.jsonl is not a regular file; RN_ERR_MEMORY.
 */
rn_status rn_run_record_read(rn_err *err, const char *path, rn_run_record *out);
void rn_run_record_free(rn_run_record *record);

/** Returns the series with this name, or an empty series if there is none. */
const rn_series *rn_run_record_series(const rn_run_record *record, const char *name);

/**
 * Returns the number of rollbacks of the run before step `end`. A rollback removes the lines of
 * later steps, and with them the records of earlier rollbacks to the same checkpoint or a later
 * one. Each line after a rollback therefore has the number of all rollbacks; lines of older
 * versions do not, and are counted.
 */
int64_t rn_run_record_rollbacks(const rn_run_record *record, int64_t end);

/** Returns the number that the summary holds for `key`, which may have the form "section.key"; NaN
 * if there is none. */
double rn_run_record_value(const rn_run_record *record, const char *key);

/** Returns the string that the summary holds for `key`, which may have the form "section.key"; NULL
 * if there is none. */
const char *rn_run_record_text(const rn_run_record *record, const char *key);

#endif
