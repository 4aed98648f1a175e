/* Checks that any configuration text is either read or refused with a message that says where the
 * fault is. A configuration that has been read and is written as YAML must load with the same
 * values. */
#include "proto/options/options.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/mutate.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { MAX_BYTES = 4096, ROUNDS = 4000 };

static const char good[] =
    "run: {dir: \"runs/a \\\"b\\\"\", max_hours: 1.5, seed: 7}\n"
    "model:\n  layers: 4\n  dim: 128 # width\n  decay: paper\n  norm_eps: 1e-5\n  gate: false\n"
    "data: &d\n  dir: 'text'\n  sequence_length: 256\n"
    "parallel: {sequence: 2, layer_split: [1, 2, 1]}\n"
    "optimizer:\n  lr: 2e-3\n  schedule: cosine\n"
    "checkpoint: {every: 50, resume: auto}\n";

static const char *const words[] = {"model",
                                    "dim",
                                    "run: ",
                                    "seed: ",
                                    "[",
                                    "]",
                                    "{",
                                    "}",
                                    ": ",
                                    "\n  ",
                                    "&a ",
                                    "*a",
                                    "*d",
                                    "!!int ",
                                    "---\n",
                                    "...",
                                    "? ",
                                    "- ",
                                    "| \n",
                                    "\"\\x7f\"",
                                    "\"\\u2028\"",
                                    "\"\\N\"",
                                    "99999999999999999999",
                                    "-1",
                                    "1e999",
                                    "nan",
                                    "0x10",
                                    "~",
                                    "<<: ",
                                    "%YAML 9.9\n"};
static const mutate_dictionary dictionary = {words, sizeof words / sizeof words[0]};

static void write_file(const char *path, const void *bytes, size_t count) {
  FILE *file = fopen(path, "wb");
  if (!CHECK(file != NULL)) return;
  CHECK(fwrite(bytes, 1, count, file) == count);
  fclose(file);
}

static char *as_yaml(const Retnet__Config *config, size_t *bytes) {
  char *text = NULL;
  FILE *file = open_memstream(&text, bytes);
  rn_options_write_yaml(config, file);
  fclose(file);
  return text;
}

/* Checks that the written configuration loads, and that writing it again gives the same text. */
static void check_round_trip(const Retnet__Config *config, uint64_t number) {
  rn_err err = {0};
  Retnet__Config *again = NULL;
  size_t bytes = 0, bytes_again = 0;
  char *text = as_yaml(config, &bytes), *text_again = NULL;
  const char *path = temp_path("written.yaml");
  write_file(path, text, bytes);
  if (CHECK_OK(&err, rn_options_load(&err, path, NULL, 0, &again))) {
    text_again = as_yaml(again, &bytes_again);
    const char *dir = config->run->dir != NULL ? config->run->dir : "";
    const char *dir_again = again->run->dir != NULL ? again->run->dir : "";
    if (!CHECK(strcmp(text, text_again) == 0 && strcmp(dir, dir_again) == 0))
      fprintf(stderr, "round %d\n", (int)number);
  }
  free(text);
  free(text_again);
  rn_options_free(&again);
}

static bool accepted(rn_status status, const rn_err *err, const Retnet__Config *config,
                     uint64_t number) {
  if (status == RN_OK) {
    check_round_trip(config, number);
    return true;
  }
  if (!CHECK(status == RN_ERR_USAGE && err->text[0] != '\0' && config == NULL)) {
    fprintf(stderr, "round %d: %s\n", (int)number, err->text);
  }
  return false;
}

static void files_are_read_or_refused(int64_t rounds) {
  char text[MAX_BYTES];
  const char *path = temp_path("damaged.yaml");
  int64_t read = 0;
  for (int64_t i = 0; i < rounds; i++) {
    rn_err err = {0};
    Retnet__Config *config = NULL;
    memcpy(text, good, sizeof good);
    const size_t bytes =
        mutate_with((unsigned char *)text, sizeof good - 1, MAX_BYTES, (uint64_t)i, dictionary);
    write_file(path, text, bytes);
    rn_status status = rn_options_load(&err, path, NULL, 0, &config);
    read += accepted(status, &err, config, (uint64_t)i);
    rn_options_free(&config);
  }
  CHECK(read > 0 && read < rounds);
}

static void overrides_are_read_or_refused(int64_t rounds) {
  static const char *const seeds[] = {"model.dim=64", "parallel.layer_split=[1, 2,3]", "run.dir=x",
                                      "optimizer.lr=1e-3"};
  char text[256];
  int64_t read = 0;
  for (int64_t i = 0; i < rounds; i++) {
    rn_err err = {0};
    Retnet__Config *config = NULL;
    const char *seed = seeds[i % 4], *override[] = {text};
    memcpy(text, seed, strlen(seed));
    const size_t bytes =
        mutate_with((unsigned char *)text, strlen(seed), sizeof text - 1, (uint64_t)i, dictionary);
    text[bytes] = '\0';
    rn_status status = rn_options_load(&err, NULL, override, 1, &config);
    read += accepted(status, &err, config, (uint64_t)i);
    rn_options_free(&config);
  }
  CHECK(read > 0 && read < rounds);
}

int main(void) {
  files_are_read_or_refused(mutate_rounds(ROUNDS));
  overrides_are_read_or_refused(mutate_rounds(ROUNDS));
  return check_result();
}
