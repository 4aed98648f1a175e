/* retnet-report writes one HTML page about one or more runs. */
#include <stdlib.h>
#include <unistd.h>

#include "data/file/file.h"
#include "proto/base/arena.h"
#include "proto/cli/args.h"
#include "proto/cli/launched.h"
#include "proto/cli/program.h"
#include "trainer/machine/program_version.h"
#include "trainer/report/page.h"

typedef struct options {
  const char *out;
  rn_args_found found;
} options;

/* Sets *run to false if the command line has --help or --version, which are handled here. */
static rn_status parse(rn_err *err, int argc, char **argv, options *o, bool *run) {
  enum { MAX_RUNS = 64 };
  const rn_arg table[] = {{0, "out", "FILE", "write the page to FILE instead of standard output",
                           RN_ARG_PATH, &o->out, 0, 0}};
  const rn_args args = {
      .program = "retnet-report",
      .form = "[--out FILE] RUN...",
      .about =
          "Writes one HTML page about runs: training and validation loss, learning rate, gradient "
          "norm, throughput, memory, layout, and the configuration with the origin of each value. "
          "Several runs are drawn into the same charts, and keys in which they differ are "
          "marked.\n\n"
          "The page is self-contained, so it can be mailed and read without a network. The run "
          "directories are only read, even while a run is writing to them. Lines of metrics.jsonl "
          "without a step are ignored; the page shows their number.",
      .example =
          "retnet-report --out report.html RUN\n"
          "retnet-report RUN1 RUN2 RUN3 > comparison.html",
      .options = table,
      .count = (int)(sizeof table / sizeof table[0]),
      .min_words = 1,
      .max_words = MAX_RUNS};
  RN_TRY(err, rn_args_parse(err, &args, argc, argv, &o->found));
  *run = !rn_args_answer(&args, &o->found, rn_program_version);
  if (*run && o->out == NULL && isatty(STDOUT_FILENO)) {
    return rn_fail(err, RN_ERR_USAGE,
                   "standard output is a terminal: give --out FILE, or redirect the output");
  }
  return RN_OK;
}

/* Writes the page to memory first, so that an existing file is replaced only by a complete page. */
static rn_status make_page(rn_err *err, const rn_run_record *runs, int count, char **text,
                           size_t *bytes) {
  FILE *file = open_memstream(text, bytes);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing the report");
  rn_status status = rn_page_write(err, runs, count, file);
  const bool failed = ferror(file) != 0;
  if ((fclose(file) != 0 || failed) && status == RN_OK) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while writing the report");
  }
  return status;
}

static rn_status replace_page(rn_err *err, const char *out, const char *text, size_t bytes) {
  rn_path path;
  RN_TRY(err, rn_file_resolve_symlink(err, out, &path));
  return rn_file_replace(err, path.text, text, bytes);
}

static rn_status write_report(rn_err *err, const options *o) {
  const rn_words *words = &o->found.words;
  rn_run_record *runs = NULL;
  char *text = NULL;
  size_t bytes = 0;
  RN_TRY(err, rn_alloc(err, "the runs of the report", (size_t)words->count, sizeof *runs, &runs));
  rn_status status = RN_OK;
  for (int i = 0; status == RN_OK && i < words->count; i++) {
    status = rn_run_record_read(err, words->word[i], &runs[i]);
  }
  if (status == RN_OK) status = make_page(err, runs, words->count, &text, &bytes);
  if (status == RN_OK && o->out != NULL) status = replace_page(err, o->out, text, bytes);
  if (status == RN_OK && o->out == NULL) fwrite(text, 1, bytes, stdout);
  for (int i = 0; i < words->count; i++) rn_run_record_free(&runs[i]);
  free(runs);
  free(text);
  return status;
}

int main(int argc, char **argv) {
  rn_err err = {0};
  options o = {0};
  bool run = false;
  rn_program_start();
  rn_status status = parse(&err, argc, argv, &o, &run);
  if (status == RN_OK && run && rn_launched_detect().rank == 0) status = write_report(&err, &o);
  rn_words_free(&o.found.words);
  return rn_program_finish("retnet-report", status, &err);
}
