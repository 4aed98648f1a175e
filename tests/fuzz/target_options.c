/* Fuzzes the reader of configurations. The input is a YAML text or, if it begins with "-s ", an
 * override. A configuration that is accepted, written as YAML, must load with the same values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/options/options.h"
#include "tests/fuzz/target.h"

static char *as_yaml(const Retnet__Config *config, size_t *bytes) {
  char *text = NULL;
  FILE *file = open_memstream(&text, bytes);
  target_require(file != NULL, "memory suffices");
  rn_options_write_yaml(config, file);
  fclose(file);
  return text;
}

static bool same_dir(const Retnet__Config *a, const Retnet__Config *b) {
  const char *dir_a = a->run->dir, *dir_b = b->run->dir;
  return strcmp(dir_a != NULL ? dir_a : "", dir_b != NULL ? dir_b : "") == 0;
}

static void check_round_trip(const Retnet__Config *config) {
  rn_err err = {0};
  Retnet__Config *again = NULL;
  size_t bytes = 0, bytes_again = 0;
  char *text = as_yaml(config, &bytes);
  const rn_options_input input = {.name = "written.yaml", .text = text, .bytes = bytes};
  target_require(rn_options_load_text(&err, &input, NULL, &again) == RN_OK,
                 "a written configuration loads");
  char *text_again = as_yaml(again, &bytes_again);
  target_require(strcmp(text, text_again) == 0 && same_dir(config, again),
                 "a written configuration has the same values");
  free(text);
  free(text_again);
  rn_options_free(&again);
}

bool target_run(const uint8_t *data, size_t bytes) {
  rn_err err = {0};
  Retnet__Config *config = NULL;
  char *text = malloc(bytes + 1);
  target_require(text != NULL, "memory suffices");
  if (bytes > 0) memcpy(text, data, bytes);
  text[bytes] = '\0';
  const bool overrides = strncmp(text, "-s ", 3) == 0;
  const char *override = text + 3;
  const rn_options_input input =
      overrides ? (rn_options_input){.overrides = &override, .count = 1}
                : (rn_options_input){.name = "fuzzed.yaml", .text = text, .bytes = bytes};
  const rn_status status = rn_options_load_text(&err, &input, NULL, &config);
  target_require(status == RN_OK || (status == RN_ERR_USAGE && config == NULL),
                 "a refused configuration is a usage error and gives no configuration");
  const bool accepted = target_is_ok(status, &err);
  if (accepted) check_round_trip(config);
  rn_options_free(&config);
  free(text);
  return accepted;
}
