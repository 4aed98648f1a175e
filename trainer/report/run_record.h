/** What a run directory says of its run: metrics.jsonl, summary.json and the configuration. */
#ifndef RN_TRAINER_REPORT_RUN_RECORD_H
#define RN_TRAINER_REPORT_RUN_RECORD_H

#include <jansson.h>

#include "trainer/report/config_record.h"
#include "trainer/report/series.h"

enum { RN_RECORD_MAX_SERIES = 64 };

/** Zero-initialise it. */
typedef struct rn_run_record {
  const char *path; /* as given; not owned */
  rn_series series[RN_RECORD_MAX_SERIES];
  int series_count;
  int64_t steps;       /* the last step; 0 without metrics */
  int64_t lines;       /* lines of metrics.jsonl that hold a step */
  int64_t skipped;     /* steps that are marked as skipped */
  int64_t strange;     /* lines that hold no step, left out */
  json_t *summary;     /* an object; NULL if there is none */
  char *summary_fault; /* why there is none, although the file exists; NULL otherwise */
  rn_config_record config;
} rn_run_record;

/**
 * Reads a run directory, also while the run writes to it. Lines of metrics.jsonl that hold no step,
 * and values that are no numbers, are left out. If a step comes again, its later line counts, as in
 * a run that was resumed. A summary or configuration that cannot be read is described in the
 * record.
 *
 * Ownership: rn_run_record_free, also after an error; `path` must outlive the record.
 * Errors:    RN_ERR_NOT_FOUND if there is no such folder or no metrics.jsonl in it; RN_ERR_IO;
 *            RN_ERR_FORMAT if metrics.jsonl is not a regular file; RN_ERR_MEMORY.
 */
rn_status rn_run_record_read(rn_err *err, const char *path, rn_run_record *out);
void rn_run_record_free(rn_run_record *record);

/** The series of that name; an empty one if there is none. */
const rn_series *rn_run_record_series(const rn_run_record *record, const char *name);

/** A number of the summary by "key" or "key.key"; NaN if it is not there. */
double rn_run_record_value(const rn_run_record *record, const char *key);

/** A text of the summary by "key" or "key.key"; NULL if it is not there. */
const char *rn_run_record_text(const rn_run_record *record, const char *key);

#endif
