/*
 * Checks that the report shows the contents of a run directory, whatever they are. Texts of any
 * origin are escaped, lines without a step are counted and left out, and a repeated step replaces
 * the earlier records of this step and of later steps.
 */
#include "trainer/report/page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"
#include "trainer/report/html.h"

static rn_err *err = &(rn_err){0};

static void put(const char *dir, const char *name, const char *text, size_t bytes) {
  const rn_path path = rn_path_join(dir, name);
  CHECK_OK(err, rn_file_replace(err, path.text, text, bytes));
}

static const char *make_run(const char *name) {
  const char *dir = temp_path(name);
  CHECK_OK(err, rn_file_make_folder(err, dir));
  return dir;
}

/* Returns the page of a run; the caller frees it. */
static char *page_of(const char *dir) {
  rn_run_record record = {0};
  char *text = NULL;
  size_t bytes = 0;
  CHECK_OK(err, rn_run_record_read(err, dir, &record));
  FILE *file = open_memstream(&text, &bytes);
  CHECK_OK(err, rn_page_write(err, &record, 1, file));
  fclose(file);
  rn_run_record_free(&record);
  return text;
}

static void has_rows(const char *page, const char *const *row, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!CHECK(strstr(page, row[i]) != NULL)) fprintf(stderr, "no row %s\n", row[i]);
  }
}

/* Texts of any length are written whole, and characters of several bytes stay whole. */
static void long_texts_are_whole(void) {
  enum { CHARACTERS = 300 };
  for (int shift = 0; shift < 3; shift++) {
    char text[4 + 3 * CHARACTERS + 3] = "", want[2 * sizeof text + 8];
    for (int i = 0; i < shift; i++) strcat(text, "a");
    for (int i = 0; i < CHARACTERS; i++) strcat(text, "\xe2\x82\xac");
    snprintf(want, sizeof want, "%s\xef\xbf\xbd\"%s\xef\xbf\xbd\"", text, text);
    strcat(text, "\xe2\x82");
    char *got = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&got, &bytes);
    rn_html_text(file, text);
    rn_html_json_string(file, text);
    fclose(file);
    CHECK(strcmp(got, want) == 0);
    free(got);
  }
}

static void strange_lines_are_left_out(void) {
  static const char lines[] =
      "{\"step\": 1, \"loss\": 5.5, \"lr\": 0.1}\n"
      "\n"
      "a remark\n"
      "{\"step\": 2, \"loss\": 4.5, \"lr\": 0.1, \"val_loss\": 4.25}\n"
      "[1, 2]\n{\"step\": \"3\", \"loss\": 1}\n{\"step\": -1}\n{\"loss\": 1e999}\n"
      "\0\0\n{\"step\": 3, \"loss\": null, \"skipped\": true, \"lr\": 1e308}\n"
      "{\"step\": 4, \"loss\": 9}\n"
      "{\"step\": 4, \"loss\": 3.5, \"lr\": \"x\", \"notes\": [[{}]]}\n"
      "{\"step\": 5, \"lo";
  const char *dir = make_run("strange");
  rn_run_record record = {0};
  put(dir, "metrics.jsonl", lines, sizeof lines - 1);
  put(dir, "summary.json", "[]", 2);
  CHECK_OK(err, rn_run_record_read(err, dir, &record));
  CHECK_EQUAL(record.steps, 4);
  CHECK_EQUAL(record.lines, 5);
  CHECK_EQUAL(record.skipped.count, 1);
  CHECK_EQUAL(record.strange, 7);
  const rn_series *loss = rn_run_record_series(&record, "loss");
  CHECK_EQUAL(loss->count, 3);
  CHECK_NEAR(rn_series_last(loss), 3.5, 0);
  CHECK_NEAR(rn_series_min(rn_run_record_series(&record, "val_loss")), 4.25, 0);
  CHECK_EQUAL(rn_run_record_series(&record, "lr")->count, 2);
  CHECK(record.summary == NULL &&
        strstr(record.summary_fault, "summary.json: it is not a JSON object") != NULL);
  CHECK(record.config.fault != NULL);
  CHECK(isnan(rn_run_record_value(&record, "layout.data")));
  rn_run_record_free(&record);
  free(page_of(dir));
}

/* If a run is resumed from an earlier step, the old records of this step and of later ones are
 * removed, as in TensorBoard. */
static void a_repeated_step_replaces_later_ones(void) {
  static const char lines[] =
      "{\"step\": 1, \"loss\": 5}\n{\"step\": 2, \"loss\": 4, \"val_loss\": 4}\n"
      "{\"step\": 3, \"loss\": null, \"skipped\": true}\n{\"step\": 2, \"loss\": 4.5}\n";
  const char *dir = make_run("again");
  rn_run_record record = {0};
  put(dir, "metrics.jsonl", lines, sizeof lines - 1);
  CHECK_OK(err, rn_run_record_read(err, dir, &record));
  CHECK_EQUAL(record.steps, 2);
  CHECK_EQUAL(rn_run_record_series(&record, "loss")->count, 2);
  CHECK_EQUAL(rn_run_record_series(&record, "val_loss")->count, 0);
  CHECK_EQUAL(record.skipped.count, 0);
  rn_run_record_free(&record);
}

/* Skipped steps, spikes and rollbacks are counted and named. The loss curve is without the losses
 * of skipped steps, and a diverged run is not given the loss of an earlier step. */
static void a_disturbed_run_shows_it(void) {
  static const char lines[] =
      "{\"step\": 1, \"loss\": 5}\n"
      "{\"step\": 2, \"loss\": 9.5, \"rolled_back_from\": 7, \"skipped\": true, \"spike\": true}\n"
      "{\"step\": 3, \"loss\": 4.25}\n{\"step\": 4, \"loss\": null, \"skipped\": true}\n";
  static const char *const rows[] = {"last step</th><td data-run=\"0\">4<",
                                     "skipped steps</th><td data-run=\"0\">2<",
                                     "loss spikes</th><td data-run=\"0\">1<",
                                     "left out of the loss curve: 2, 4</li>",
                                     "rolled back from step 7; the next recorded step is 2</li>",
                                     "rollbacks to an earlier step</th><td data-run=\"0\">1<",
                                     "loss of the last step</th><td data-run=\"0\">-<"};
  const char *dir = make_run("disturbed");
  put(dir, "metrics.jsonl", lines, sizeof lines - 1);
  char *page = page_of(dir);
  has_rows(page, rows, sizeof rows / sizeof *rows);
  CHECK(strstr(page, ",9.5") == NULL);
  free(page);
}

/* The lines of rollbacks to one checkpoint replace each other; the last one has the number of all
 * rollbacks. Lines of older versions have no number. */
static void replaced_rollbacks_are_counted(void) {
  static const char lines[] =
      "{\"step\": 3, \"loss\": 5, \"rolled_back_from\": 4}\n"
      "{\"step\": 5, \"loss\": 4, \"rolled_back_from\": 9, \"rollbacks\": 4}\n"
      "{\"step\": 7, \"loss\": 4, \"rolled_back_from\": 8, \"rollbacks\": 5}\n";
  static const char *const rows[] = {
      "rollbacks to an earlier step</th><td data-run=\"0\">5<",
      ": rolled back from step 4; the next recorded step is 3</li>",
      ": rolled back 3 times, the last time from step 9; the next recorded step is 5</li>",
      ": rolled back from step 8; the next recorded step is 7</li>"};
  const char *dir = make_run("rolled back");
  put(dir, "metrics.jsonl", lines, sizeof lines - 1);
  char *page = page_of(dir);
  has_rows(page, rows, sizeof rows / sizeof *rows);
  free(page);
}

static void texts_are_escaped(void) {
  static const char evil[] = "</script><img src=x onerror=alert(1)>";
  char text[2048];
  const char *dir = make_run("<img src=x onerror=alert(2)>\xff\x1b");
  int bytes = snprintf(text, sizeof text,
                       "{\"step\": 1, \"loss\": 2, \"val_loss%s\": 3}\n"
                       "{\"step\": 2, \"loss\": 1, \"val_loss%s\": 2}\n",
                       evil, evil);
  put(dir, "metrics.jsonl", text, (size_t)bytes);
  bytes = snprintf(text, sizeof text,
                   "{\"ranks\": 2, \"choices\": {\"scan\": \"%s\", \"kernels\": 7},"
                   " \"layout\": [], \"peak_bytes\": {\"max\": 1048576}}",
                   evil);
  put(dir, "summary.json", text, (size_t)bytes);
  bytes = snprintf(text, sizeof text, "run:\n  dir: \"\xc3\xa9%s\"  # %s\n  \"<b>\": [1, 2]\n",
                   evil, "<i>-s</i>");
  put(dir, "config.yaml", text, (size_t)bytes);
  char *page = page_of(dir);
  CHECK(strstr(page, "<img") == NULL);
  CHECK(strstr(page, "<b>\"") == NULL && strstr(page, "<i>-s") == NULL);
  CHECK(strstr(page, "&lt;img src=x onerror=alert(2)&gt;\xef\xbf\xbd\xef\xbf\xbd") != NULL);
  CHECK(strstr(page, "\\u003c/script\\u003e") != NULL);
  CHECK(strstr(page, "run.&lt;b&gt;</code></th><td data-run=\"0\"><code>[1, 2]</code>") != NULL);
  CHECK(strstr(page, "&lt;i&gt;-s&lt;/i&gt;</small>") != NULL);
  CHECK(strstr(page, "1 MiB") != NULL);
  free(page);
}

/* Checks that the origin of a key is read from the comment that follows its value, also in a text
 * that contains multi-byte characters. */
static void the_configuration_keeps_its_origins(void) {
  static const char text[] =
      "# \xe2\x82\xac\nrun:\n  dir: \"a # b\"  # run.yaml:3\n  seed: 1  # default\n"
      "parallel:\n  layer_split: [2, 2]  # -s\n  threads: 2\n";
  rn_config_record config = {0};
  CHECK_OK(err, rn_config_record_parse(err, "config.yaml", text, sizeof text - 1, &config));
  CHECK_EQUAL(config.count, 4);
  const rn_config_entry *dir = rn_config_record_find(&config, "run.dir");
  const rn_config_entry *split = rn_config_record_find(&config, "parallel.layer_split");
  const rn_config_entry *threads = rn_config_record_find(&config, "parallel.threads");
  if (CHECK(dir != NULL && split != NULL && threads != NULL)) {
    CHECK(strcmp(dir->value, "\"a # b\"") == 0 && strcmp(dir->origin, "run.yaml:3") == 0);
    CHECK(strcmp(split->value, "[2, 2]") == 0 && strcmp(split->origin, "-s") == 0);
    CHECK(strcmp(threads->value, "2") == 0 && strcmp(threads->origin, "") == 0);
  }
  rn_config_record_free(&config);
  CHECK_OK(err, rn_config_record_parse(err, "config.yaml", "a: [", 4, &config));
  CHECK(config.count == 0 && config.fault != NULL);
  rn_config_record_free(&config);
}

/* Checks that reducing a series keeps the extremes and does not exceed the limit. */
static void peaks_are_kept(void) {
  rn_series all = {0}, few = {0};
  for (int i = 1; i <= 10000; i++) {
    const double value = i == 4321 ? 100 : i == 8765 ? -100 : i % 7;
    CHECK_OK(err, rn_series_add(err, &all, (rn_point){i, value}));
  }
  CHECK_OK(err, rn_series_reduce(err, &all, 100, &few));
  CHECK(few.count <= 100);
  double max = -INFINITY;
  for (size_t i = 0; i < few.count; i++) max = fmax(max, few.point[i].value);
  CHECK_NEAR(max, 100, 0);
  CHECK_NEAR(rn_series_min(&few), -100, 0);
  rn_series_free(&all);
  rn_series_free(&few);
}

static void a_missing_run_is_named(void) {
  rn_run_record record = {0};
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "nowhere/metrics.jsonl",
              rn_run_record_read(err, temp_path("nowhere"), &record));
  rn_run_record_free(&record);
}

/* An unreadable file is not shown as missing. A link to itself cannot be opened by any user. */
static void an_unreadable_file_is_an_error(void) {
  static const char *const names[] = {"summary.json", "config.yaml", "effective.yaml"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *dir = make_run(names[i]);
    rn_run_record record = {0};
    put(dir, "metrics.jsonl", "{\"step\": 1}\n", 12);
    put(dir, i == 0 ? "config.yaml" : "summary.json", "{}", 2);
    CHECK(symlink(names[i], rn_path_join(dir, names[i]).text) == 0);
    CHECK_FAILS(err, RN_ERR_IO, names[i], rn_run_record_read(err, dir, &record));
    rn_run_record_free(&record);
  }
}

int main(void) {
  long_texts_are_whole();
  strange_lines_are_left_out();
  a_repeated_step_replaces_later_ones();
  a_disturbed_run_shows_it();
  replaced_rollbacks_are_counted();
  texts_are_escaped();
  the_configuration_keeps_its_origins();
  peaks_are_kept();
  a_missing_run_is_named();
  an_unreadable_file_is_an_error();
  return check_result();
}
