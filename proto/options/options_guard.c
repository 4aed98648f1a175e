/* Reads a configuration file and checks its size, depth and number of events before it is loaded.
 * This is necessary because libyaml's time is quadratic in the depth and in the number of
 * anchors. */
#include "proto/options/options_guard.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"

enum { MAX_BYTES = 1 << 20, MAX_EVENTS = 4096, MAX_DEPTH = 16 };

/* Fails because of an error of fopen or fread. A path that is wrong or not permitted is an error of
 * the user; any other is one of the machine, such as a failed disk. */
static rn_status cannot_read(rn_err *err, const char *path, int error) {
  static const int of_user[] = {ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, ELOOP, ENAMETOOLONG, ENXIO};
  rn_status status = RN_ERR_IO;
  for (size_t i = 0; i < sizeof of_user / sizeof of_user[0]; i++) {
    if (error == of_user[i]) status = RN_ERR_USAGE;
  }
  const bool of_shell = status == RN_ERR_USAGE && strncmp(path, "/dev/fd/", 8) == 0;
  return rn_fail(
      err, status, "%s: cannot read the file: %s%s", path, strerror(error),
      of_shell ? " (mpirun does not pass <(...) on to its ranks: use a file, or /dev/stdin)" : "");
}

rn_status rn_options_read(rn_err *err, const char *path, char **text, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return cannot_read(err, path, errno);
  rn_status status = rn_alloc(err, "configuration", MAX_BYTES + 1, 1, text);
  if (status == RN_OK) {
    errno = 0;
    *bytes = fread(*text, 1, MAX_BYTES + 1, file);
    if (ferror(file)) {
      status = cannot_read(err, path, errno);
    } else if (*bytes > MAX_BYTES) {
      status = rn_fail(err, RN_ERR_USAGE,
                       "%s: the file is too large for a configuration (more than %d bytes)", path,
                       MAX_BYTES);
    }
  }
  fclose(file);
  if (status != RN_OK) {
    free(*text);
    *text = NULL;
  }
  return status;
}

/* State of the parser: number of events so far, current nesting depth, number of documents so
 * far. */
typedef struct yaml_tally {
  int events, depth, documents;
} yaml_tally;

static void count_event(yaml_tally *tally, yaml_event_type_t type) {
  tally->events++;
  tally->documents += type == YAML_DOCUMENT_START_EVENT;
  tally->depth += type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
  tally->depth -= type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
}

static rn_status check_tally(rn_err *err, const char *path, const yaml_tally *tally, size_t line) {
  if (tally->documents > 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s:%zu: the file has more than one YAML document; remove the --- line", path,
                   line);
  }
  if (tally->depth > MAX_DEPTH || tally->events > MAX_EVENTS) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s:%zu: the configuration is nested too deeply or has too many entries", path,
                   line);
  }
  return RN_OK;
}

rn_status rn_options_yaml_problem(rn_err *err, const char *path, const yaml_parser_t *parser) {
  if (parser->error == YAML_MEMORY_ERROR) {
    return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while reading it", path);
  }
  const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";
  const bool by_tab = strstr(problem, "cannot start any token") != NULL;
  return rn_fail(err, RN_ERR_USAGE, "%s:%zu: invalid YAML: %s%s", path,
                 parser->problem_mark.line + 1, problem,
                 by_tab ? " (indent with spaces, not tabs; quote a leading @ or `)" : "");
}

rn_status rn_options_check_yaml(rn_err *err, const char *path, const char *text, size_t bytes) {
  yaml_parser_t parser;
  yaml_tally tally = {0};
  rn_status status = RN_OK;
  if (!yaml_parser_initialize(&parser)) {
    return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while reading it", path);
  }
  yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
  for (bool end = false; status == RN_OK && !end;) {
    yaml_event_t event;
    if (!yaml_parser_parse(&parser, &event)) {
      status = rn_options_yaml_problem(err, path, &parser);
      break;
    }
    count_event(&tally, event.type);
    status = check_tally(err, path, &tally, event.start_mark.line + 1);
    end = event.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&event);
  }
  yaml_parser_delete(&parser);
  return status;
}
