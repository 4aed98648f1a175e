#include "trainer/run_config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/blob.h"
#include "data/file.h"
#include "proto/log.h"

enum { MOST_BYTES = 1 << 20, LINE_BYTES = 80 };

/* The first line, which vouches for what follows it. */
static void mark(const char *body, size_t bytes, char line[LINE_BYTES]) {
  snprintf(line, LINE_BYTES, "# Written by retnet-train; sum of the rest: %016" PRIx64 "\n",
           rn_blob_sum(body, bytes));
}

/* Whether the file may be written: there is none, or one that is ours to the last byte. */
static bool is_ours(const char *path) {
  struct stat about;
  rn_err untold = {0};
  void *text = NULL;
  size_t bytes = 0;
  char line[LINE_BYTES];
  if (lstat(path, &about) != 0) return true;
  if (!S_ISREG(about.st_mode)) return false;
  if (rn_file_load(&untold, path, MOST_BYTES, &text, &bytes) != RN_OK) return false;
  const char *end = memchr(text, '\n', bytes);
  bool ours = false;
  if (end != NULL) {
    const size_t first = (size_t)(end - (const char *)text) + 1;
    mark(end + 1, bytes - first, line);
    ours = first == strlen(line) && memcmp(text, line, first) == 0;
  }
  free(text);
  return ours;
}

static rn_status make_text(rn_err *err, const rn_config_notes *notes, char **text, size_t *bytes) {
  char line[LINE_BYTES];
  char *body = NULL;
  size_t body_bytes = 0;
  FILE *file = open_memstream(&body, &body_bytes);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "no memory for config.yaml");
  fprintf(
      file,
      "# The effective configuration: it starts, continues and extends the run. Behind each key "
      "stands\n# where its value came from. When this file is edited, it is not overwritten "
      "any more.\n");
  rn_options_write_yaml_noted(notes->effective->config, rn_config_notes_describe, notes, file);
  fclose(file);
  mark(body, body_bytes, line);
  file = open_memstream(text, bytes);
  if (file != NULL) {
    fputs(line, file);
    fwrite(body, 1, body_bytes, file);
    fclose(file);
  }
  free(body);
  return file != NULL ? RN_OK : rn_fail(err, RN_ERR_MEMORY, "no memory for config.yaml");
}

rn_status rn_run_config_write(rn_err *err, const char *run_dir, const rn_config_notes *notes) {
  rn_path path = rn_path_join(run_dir, "config.yaml");
  char *text = NULL;
  size_t bytes = 0;
  if (!is_ours(path.text)) {
    const rn_path beside = rn_path_join(run_dir, "effective.yaml");
    if (!is_ours(beside.text)) {
      rn_log_warn(
          "%s and %s were written or edited by hand: the effective configuration is not "
          "written",
          path.text, beside.text);
      return RN_OK;
    }
    rn_log_info("%s was written or edited by hand: the effective configuration is in %s", path.text,
                beside.text);
    path = beside;
  }
  RN_TRY(err, make_text(err, notes, &text, &bytes));
  const rn_status status = rn_file_replace(err, path.text, text, bytes);
  free(text);
  return status;
}
