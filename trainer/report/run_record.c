#include "trainer/report/run_record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "data/file/json_text.h"
#include "trainer/report/line_reader.h"

enum { MAX_LINE_BYTES = 1 << 20, MAX_SUMMARY_BYTES = 1 << 26 };

/* Larger values are ignored: they are not measurements, and their differences may overflow. */
#define MAX_VALUE 1e100

/* ---- metrics.jsonl ---- */

static rn_status no_memory(rn_err *err, const char *file) {
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading %s", file);
}

/* Finds the series with this name, or creates it. Sets *out to NULL if there are too many
 * series. */
static rn_status find_series(rn_err *err, rn_run_record *record, const char *name,
                             rn_series **out) {
  *out = NULL;
  for (int i = 0; i < record->series_count; i++) {
    if (strcmp(record->series[i].name, name) != 0) continue;
    *out = &record->series[i];
    return RN_OK;
  }
  if (record->series_count == RN_RECORD_MAX_SERIES) return RN_OK;
  rn_series *fresh = &record->series[record->series_count];
  fresh->name = strdup(name);
  if (fresh->name == NULL) return no_memory(err, "metrics.jsonl");
  record->series_count++;
  *out = fresh;
  return RN_OK;
}

/* Adds a point to the series of a mark if the line of the step has the mark. */
static rn_status add_mark(rn_err *err, const json_t *line, const char *mark, int64_t step,
                          rn_series *out) {
  if (!json_is_true(json_object_get(line, mark))) return RN_OK;
  return rn_series_add(err, out, (rn_point){step, 1});
}

/* Adds the numbers of a step. If a run was resumed from an earlier step, its later lines replace
 * the earlier lines of the same steps. */
static rn_status add_step(rn_err *err, rn_run_record *record, const json_t *line, int64_t step) {
  const char *name;
  json_t *value;
  if (step <= record->steps) {
    for (int i = 0; i < record->series_count; i++) rn_series_cut(&record->series[i], step);
    rn_series_cut(&record->skipped, step);
    rn_series_cut(&record->spikes, step);
  }
  record->steps = step;
  record->lines++;
  const bool is_skipped = json_is_true(json_object_get(line, "skipped"));
  RN_TRY(err, add_mark(err, line, "skipped", step, &record->skipped));
  RN_TRY(err, add_mark(err, line, "spike", step, &record->spikes));
  json_object_foreach((json_t *)line, name, value) {
    rn_series *series;
    if (!json_is_number(value) || strcmp(name, "step") == 0) continue;
    if (is_skipped && strcmp(name, "loss") == 0) continue;
    if (fabs(json_number_value(value)) > MAX_VALUE) continue;
    RN_TRY(err, find_series(err, record, name, &series));
    if (series == NULL) continue;
    RN_TRY(err, rn_series_add(err, series, (rn_point){step, json_number_value(value)}));
  }
  return RN_OK;
}

static rn_status add_line(rn_err *err, rn_run_record *record, const rn_line_text *text) {
  rn_status status = RN_OK;
  json_error_t error = {0};
  json_t *line = NULL;
  bool no_room = false;
  if (text->whole) line = rn_json_parse(text->bytes, text->count, 0, &error, &no_room);
  if (no_room) return no_memory(err, "metrics.jsonl");
  const json_t *step = json_object_get(line, "step");
  if (json_is_integer(step) && json_integer_value(step) > 0) {
    status = add_step(err, record, line, json_integer_value(step));
  } else {
    record->strange++;
  }
  json_decref(line);
  return status;
}

static rn_status read_metrics(rn_err *err, rn_run_record *record) {
  const rn_path path = rn_path_join(record->path, "metrics.jsonl");
  rn_line_reader *reader = NULL;
  rn_line_text line;
  RN_TRY(err, rn_line_reader_open(err, path.text, MAX_LINE_BYTES, &reader));
  rn_status status = RN_OK;
  while (status == RN_OK && (status = rn_line_reader_next(err, reader, &line)) == RN_OK) {
    if (line.bytes == NULL) break;
    if (line.count > 0 || !line.whole) status = add_line(err, record, &line);
  }
  rn_line_reader_close(&reader);
  return status;
}

/* ---- summary.json ---- */

/* Records why summary.json cannot be shown. */
static rn_status note_summary_fault(rn_err *err, rn_run_record *record, const char *fault) {
  record->summary_fault = strdup(fault);
  return record->summary_fault != NULL ? RN_OK : no_memory(err, "summary.json");
}

static rn_status parse_summary(rn_err *err, rn_run_record *record, const char *path,
                               const char *text, size_t bytes) {
  rn_err fault = {0};
  json_error_t error = {0};
  bool no_room;
  record->summary = rn_json_parse(text, bytes, 0, &error, &no_room);
  if (json_is_object(record->summary)) return RN_OK;
  if (no_room) return no_memory(err, "summary.json");
  rn_fail(&fault, RN_ERR_FORMAT, "%s: %s", path,
          record->summary != NULL ? "it is not a JSON object" : error.text);
  json_decref(record->summary);
  record->summary = NULL;
  return note_summary_fault(err, record, fault.text);
}

/* A missing file is normal, and an invalid one is noted; both are shown on the page. */
static rn_status read_summary(rn_err *err, rn_run_record *record) {
  const rn_path path = rn_path_join(record->path, "summary.json");
  rn_err fault = {0};
  void *text = NULL;
  size_t bytes = 0;
  rn_status status = rn_file_load(&fault, path.text, MAX_SUMMARY_BYTES, &text, &bytes);
  if (status == RN_ERR_NOT_FOUND) return RN_OK;
  if (status == RN_ERR_FORMAT) return note_summary_fault(err, record, fault.text);
  if (status != RN_OK) return rn_fail(err, status, "%s", fault.text);
  status = parse_summary(err, record, path.text, text, bytes);
  free(text);
  return status;
}

/* Returns the value that the summary holds for `key`, which may have the form "section.key"; NULL
 * if there is none. */
static const json_t *summary_value(const rn_run_record *record, const char *key) {
  char section[64];
  const char *dot = strchr(key, '.');
  if (dot == NULL) return json_object_get(record->summary, key);
  snprintf(section, sizeof section, "%.*s", (int)(dot - key), key);
  return json_object_get(json_object_get(record->summary, section), dot + 1);
}

double rn_run_record_value(const rn_run_record *record, const char *key) {
  const json_t *value = summary_value(record, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *rn_run_record_text(const rn_run_record *record, const char *key) {
  return json_string_value(summary_value(record, key));
}

/* ---- records ---- */

rn_status rn_run_record_read(rn_err *err, const char *path, rn_run_record *out) {
  *out = (rn_run_record){.path = path};
  RN_TRY(err, read_metrics(err, out));
  RN_TRY(err, read_summary(err, out));
  return rn_config_record_read(err, path, &out->config);
}

const rn_series *rn_run_record_series(const rn_run_record *record, const char *name) {
  static const rn_series none = {0};
  for (int i = 0; i < record->series_count; i++) {
    if (strcmp(record->series[i].name, name) == 0) return &record->series[i];
  }
  return &none;
}

int64_t rn_run_record_rollbacks(const rn_run_record *record, int64_t end) {
  const rn_series *lines = rn_run_record_series(record, "rolled_back_from");
  const rn_series *numbers = rn_run_record_series(record, "rollbacks");
  int64_t rollbacks = 0;
  for (size_t i = 0; i < lines->count && lines->point[i].step < end; i++) rollbacks++;
  for (size_t i = 0; i < numbers->count && numbers->point[i].step < end; i++) {
    const double number = numbers->point[i].value;
    if (number > (double)rollbacks && number < INT32_MAX) rollbacks = (int64_t)number;
  }
  return rollbacks;
}

void rn_run_record_free(rn_run_record *record) {
  for (int i = 0; i < record->series_count; i++) rn_series_free(&record->series[i]);
  rn_series_free(&record->skipped);
  rn_series_free(&record->spikes);
  json_decref(record->summary);
  free(record->summary_fault);
  rn_config_record_free(&record->config);
  *record = (rn_run_record){0};
}
