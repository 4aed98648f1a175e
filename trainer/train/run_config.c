#include "trainer/train/run_config.h"

#include <stdlib.h>

#include "data/file/file.h"
#include "data/run/config_file.h"
#include "proto/base/log.h"

/* Returns the reason why a file must not be overwritten. Returns NULL if the file does not exist,
 * or if retnet-train wrote it and it is unchanged. */
static const char *why_not(rn_config_file_kind kind) {
  switch (kind) {
    case RN_CONFIG_FILE_EDITED:
      return "was edited by hand";
    case RN_CONFIG_FILE_FOREIGN:
      return "was not written by this version of retnet-train";
    case RN_CONFIG_FILE_UNREADABLE:
      return "cannot be read";
    default:
      return NULL;
  }
}

/* Closes a memory stream; returns false if the text is incomplete. */
static bool close_text(FILE *file) {
  const bool failed = ferror(file) != 0;
  return fclose(file) == 0 && !failed;
}

static rn_status make_text(rn_err *err, const rn_config_notes *notes, char **text, size_t *bytes) {
  char mark[RN_CONFIG_MARK_BYTES];
  char *body = NULL;
  size_t body_bytes = 0;
  bool whole = false;
  FILE *file = open_memstream(&body, &body_bytes);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing config.yaml");
  fprintf(
      file,
      "# The effective configuration; use it to start, continue or extend the run. The comment "
      "after each\n"
      "# key names the origin of its value. Once edited, this file is no longer overwritten.\n");
  rn_options_write_yaml_noted(notes->effective->config, rn_config_notes_describe, notes, file);
  if (close_text(file) && (file = open_memstream(text, bytes)) != NULL) {
    rn_config_file_mark(body, body_bytes, mark);
    fputs(mark, file);
    fwrite(body, 1, body_bytes, file);
    whole = close_text(file);
  }
  free(body);
  if (whole) return RN_OK;
  free(*text);
  *text = NULL;
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing config.yaml");
}

rn_status rn_run_config_write(rn_err *err, const char *run_dir, const rn_config_notes *notes) {
  rn_path path = rn_path_join(run_dir, "config.yaml");
  char *text = NULL;
  size_t bytes = 0;
  rn_err unreadable = {0}, ignored = {0};
  const rn_config_file_kind kind = rn_config_file_state(&unreadable, path.text);
  const char *why = why_not(kind);
  if (why != NULL) {
    const rn_path beside = rn_path_join(run_dir, "effective.yaml");
    const char *why_beside = why_not(rn_config_file_state(&ignored, beside.text));
    if (kind == RN_CONFIG_FILE_UNREADABLE) rn_log_warn("%s", unreadable.text);
    if (why_beside != NULL) {
      rn_log_warn("the effective configuration is not written: %s %s, and %s %s", path.text, why,
                  beside.text, why_beside);
      return RN_OK;
    }
    rn_log_info("%s %s; the effective configuration is in %s", path.text, why, beside.text);
    path = beside;
  }
  RN_TRY(err, make_text(err, notes, &text, &bytes));
  const rn_status status = rn_file_replace(err, path.text, text, bytes);
  free(text);
  return status;
}
