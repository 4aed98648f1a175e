/* Checks that each key of the schema can be set and read back, and that an error names file,
 * line and key. */
#include "proto/options/options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/check.h"

static rn_err err;

static rn_status load_text(const char *yaml, const char *const *overrides, int count,
                           Retnet__Config **out) {
  char path[] = "options-XXXXXX";
  int file = mkstemp(path);
  CHECK(file >= 0 && write(file, yaml, strlen(yaml)) == (ssize_t)strlen(yaml));
  close(file);
  rn_status status = rn_options_load(&err, path, overrides, count, out);
  unlink(path);
  return status;
}

static void refuse(const char *yaml, const char *words) {
  Retnet__Config *config = NULL;
  CHECK_FAILS(&err, RN_ERR_USAGE, words, load_text(yaml, NULL, 0, &config));
  CHECK(config == NULL);
}

static void what_is_wrong_is_named(void) {
  refuse("model:\n  layers: 2\n  dimm: 3\n", ":3|model.dimm|model.dim?");
  refuse("modle: {dim: 3}\n", ":1|modle|mean model?");
  refuse("steps: 10\n", ":1|steps|mean train.steps?");
  refuse("model: {lr: 1}\n", "model.lr|mean optimizer.lr?");
  refuse("model: {hedas: 1}\n", "model.hedas|mean model.heads?");
  refuse("model: {dim: 3.5}\n", "model.dim|integer");
  refuse("model: {dim: 64x}\n", "model.dim|integer");
  refuse("model: {dim: 0}\n", "model.dim|out of range");
  refuse("model: {dim: 2147483712}\n", "model.dim|32-bit integer");
  refuse("optimizer: {lr: 1e-3x}\n", "optimizer.lr|finite number");
  refuse("parallel: {layer_split: [5, -1]}\n", "parallel.layer_split|out of range");
  refuse("model: {dim: 99999999999999999999}\n", "model.dim");
  refuse("model: {dim: [1, 2, x]}\n", "model.dim");
  refuse("model: {decay: eq9}\n", "model.decay|eq8|paper");
  refuse("model: {gate: yes}\n", "model.gate|true or false|yes, no, on, off");
  refuse("optimizer: {beta1: 1}\n", "optimizer.beta1|out of range");
  refuse("optimizer: {lr: nan}\n", "optimizer.lr");
  refuse("run: {dir: a}\nmodel: {dim: 4, dim: 6}\n", ":2|model.dim|twice");
  refuse("- 1\n", "sections");
  refuse("model: {dimm: [1]}\n", "model.dimm|model.dim?");
  refuse("model: {dim: {a: 1}}\n", "model.dim");
  refuse("model: [\n", "invalid YAML");
  Retnet__Config *config = NULL;
  CHECK_FAILS(&err, RN_ERR_USAGE, "/nowhere/x.yaml",
              rn_options_load(&err, "/nowhere/x.yaml", NULL, 0, &config));
  const char *override[] = {"train.stepz=3"};
  CHECK_FAILS(&err, RN_ERR_USAGE, "-s|train.stepz|train.steps",
              rn_options_load(&err, NULL, override, 1, &config));
}

static void a_list_has_commas_and_both_brackets_or_none(void) {
  static const char *const right[] = {"[5,6]", "[ 5 , 6 ]", "5,6", " 5, 6 ", "[5, 6,]", "5,6,"};
  static const char *const wrong[] = {"[5 6",   "[5,6", "5,6]",  "[5 6]",   "5 6",
                                      "[5,,6]", "[,5]", "[[5]]", "[5,6] 7", "5;6"};
  char key[64];
  const char *override[] = {key};
  for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
    Retnet__Config *config = NULL;
    snprintf(key, sizeof key, "parallel.layer_split=%s", right[i]);
    if (!CHECK_OK(&err, rn_options_load(&err, NULL, override, 1, &config))) continue;
    const Retnet__Parallel *parallel = config->parallel;
    CHECK(parallel->n_layer_split == 2 && parallel->layer_split[0] == 5 &&
          parallel->layer_split[1] == 6);
    rn_options_free(&config);
  }
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    Retnet__Config *config = NULL;
    snprintf(key, sizeof key, "parallel.layer_split=%s", wrong[i]);
    CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.layer_split|a list",
                rn_options_load(&err, NULL, override, 1, &config));
  }
  refuse("parallel: {layer_split: [5 6]}\n", ":1|parallel.layer_split|a list");
}

static void overrides_win_and_given_is_known(void) {
  Retnet__Config *config = NULL;
  const char *override[] = {"model.dim=128", "parallel.layer_split=5,6", "model.arch=transformer"};
  const char *yaml = "run: {dir: here}\nmodel: {dim: 64, decay: paper}\ntrain: {steps: 7}\ndata:\n";
  if (!CHECK_OK(&err, load_text(yaml, override, 3, &config))) return;
  CHECK_EQUAL(config->model->dim, 128);
  CHECK_EQUAL(config->train->steps, 7);
  CHECK_EQUAL(config->model->decay, RETNET__DECAY__DECAY_PAPER);
  CHECK_EQUAL(config->parallel->n_layer_split, 2);
  CHECK(strcmp(config->run->dir, "here") == 0);
  CHECK(rn_options_given(config, "model.dim") && !rn_options_given(config, "model.heads"));
  CHECK(rn_options_given(config, "run.dir") && !rn_options_given(config, "data.dir"));
  CHECK_OK(&err, rn_options_require(&err, config, "run.dir"));
  CHECK_FAILS(&err, RN_ERR_USAGE, "data.dir", rn_options_require(&err, config, "data.dir"));
  CHECK_EQUAL(config->model->arch, RETNET__ARCH__ARCH_TRANSFORMER);
  rn_options_free(&config);
}

static void round_trip_one(void *self, const char *key) {
  Retnet__Config *config = self;
  char text[4096], again[4096];
  CHECK(rn_options_text(config, key, text, sizeof text));
  size_t length = strlen(text);
  if (text[0] == '"') {
    text[length - 1] = '\0';
    memmove(text, text + 1, length);
  }
  if (strcmp(key, "run.dir") == 0 || strcmp(key, "data.dir") == 0) return;
  CHECK_OK(&err, rn_options_set(&err, config, "test", key, text));
  CHECK(rn_options_text(config, key, again, sizeof again));
}

static void the_effective_file_loads_back(void) {
  Retnet__Config *config = NULL, *again = NULL;
  const char *override[] = {"optimizer.lr=0.00123456789012345", "run.dir=a \"b\" c",
                            "model.retention_scale=ts_parallel", "run.seed=9007199254740993"};
  if (!CHECK_OK(&err, rn_options_load(&err, NULL, override, 4, &config))) return;
  rn_options_each(round_trip_one, config);
  char *yaml = NULL, *second = NULL;
  size_t bytes = 0;
  FILE *file = open_memstream(&yaml, &bytes);
  rn_options_write_yaml(config, file);
  fclose(file);
  if (CHECK_OK(&err, load_text(yaml, NULL, 0, &again))) {
    file = open_memstream(&second, &bytes);
    rn_options_write_yaml(again, file);
    fclose(file);
    CHECK(strcmp(yaml, second) == 0);
    CHECK(again->run->seed == 9007199254740993);
    CHECK(strcmp(again->run->dir, "a \"b\" c") == 0);
  }
  free(yaml);
  free(second);
  rn_options_free(&config);
  rn_options_free(&again);
}

/* Checks that texts with line breaks, special characters and letters of any script are read back
 * unchanged. */
static void every_text_reads_back(void) {
  static const char *const texts[] = {"a b",
                                      " lead",
                                      "#no: comment",
                                      "[1]",
                                      "tab\tline\nend",
                                      "\x7f",
                                      "\xc2\x85",
                                      "\xe2\x80\xa8",
                                      "\xef\xbb\xbf",
                                      "\xc3\xa9\xe6\x96\x87",
                                      "\xf0\x9f\x8c\x8d",
                                      "back\\slash \"q\"",
                                      "true",
                                      ""};
  char quoted[RN_OPTIONS_TEXT_BYTES], yaml[RN_OPTIONS_TEXT_BYTES + 32];
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    Retnet__Config *config = NULL, *again = NULL;
    CHECK_OK(&err, rn_options_create(&err, &config));
    CHECK_OK(&err, rn_options_set(&err, config, "test", "run.dir", texts[i]));
    CHECK(rn_options_text(config, "run.dir", quoted, sizeof quoted));
    snprintf(yaml, sizeof yaml, "run: {dir: %s}\n", quoted);
    if (CHECK_OK(&err, load_text(yaml, NULL, 0, &again))) {
      CHECK(strcmp(again->run->dir, texts[i]) == 0);
    }
    rn_options_free(&config);
    rn_options_free(&again);
  }
}

static void what_yaml_cannot_hold_is_refused(void) {
  static const char *const texts[] = {"a\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\x80"};
  Retnet__Config *config = NULL;
  char longest[5000];
  memset(longest, 'x', sizeof longest);
  longest[sizeof longest - 1] = '\0';
  CHECK_OK(&err, rn_options_create(&err, &config));
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    CHECK_FAILS(&err, RN_ERR_USAGE, "-s|run.dir|UTF-8",
                rn_options_set(&err, config, "-s", "run.dir", texts[i]));
  }
  CHECK_FAILS(&err, RN_ERR_USAGE, "run.dir|4096",
              rn_options_set(&err, config, "-s", "run.dir", longest));
  rn_options_free(&config);
  refuse("run: {dir: [a]}\n", "run.dir|single value");
  refuse("data: {dir: {dir: a}}\n", "data.dir|list of mappings");
  refuse("data: {dir: [{dir: a, weight: 1, weight: 1}]}\n", "data.dir|item 1: weight|twice");
  refuse("model: {dim: 3}\n---\nmodel: {dim: 4}\n", ":2|one YAML document");
}

/* null, ~ or an empty value leaves a key or a section at its default; 'null' in quotes is a
 * string. */
static void null_is_no_value(void) {
  static const char *const nulls[] = {"null", "~", "", "Null", "NULL"};
  char yaml[300];
  for (int i = 0; i < 5; i++) {
    Retnet__Config *config = NULL;
    snprintf(yaml, sizeof yaml,
             "run: {dir: %s, seed: %s}\nmodel: %s\nparallel:\n  layer_split: %s\n"
             "checkpoint: {init_from: %s, resume: %s}\ntrain: {precision: %s}\n",
             nulls[i], nulls[i], nulls[i], nulls[i], nulls[i], nulls[i], nulls[i]);
    if (!CHECK_OK(&err, load_text(yaml, NULL, 0, &config))) continue;
    CHECK(!rn_options_given(config, "run.dir") && !rn_options_given(config, "run.seed"));
    CHECK_EQUAL(config->run->seed, 1);
    CHECK_EQUAL(config->parallel->n_layer_split, 0);
    CHECK(config->checkpoint->init_from[0] == '\0' && !config->train->has_precision);
    CHECK(strcmp(config->checkpoint->resume, "auto") == 0);
    CHECK_FAILS(&err, RN_ERR_USAGE, "run.dir", rn_options_require(&err, config, "run.dir"));
    rn_options_free(&config);
  }
  Retnet__Config *config = NULL;
  if (CHECK_OK(&err, load_text("run: {dir: 'null'}\n", NULL, 0, &config))) {
    CHECK(strcmp(config->run->dir, "null") == 0);
  }
  rn_options_free(&config);
  CHECK_OK(&err, load_text("~\n", NULL, 0, &config));
  rn_options_free(&config);
  refuse("run: {seed: null, seed: 3}\n", "run.seed|twice");
  refuse("parallel: {layer_split: [1, null]}\n", "parallel.layer_split|integers");
  refuse("run: {dir: ~/runs}\n", "run.dir|not expanded");
  const char *override[] = {"run.dir=null"}, *home[] = {"data.dir=~"}, *empty[] = {"run.dir="};
  CHECK_FAILS(&err, RN_ERR_USAGE, "run.dir|./null",
              rn_options_load(&err, NULL, override, 1, &config));
  CHECK_FAILS(&err, RN_ERR_USAGE, "data.dir|not expanded",
              rn_options_load(&err, NULL, home, 1, &config));
  if (CHECK_OK(&err, rn_options_load(&err, NULL, empty, 1, &config))) {
    CHECK_FAILS(&err, RN_ERR_USAGE, "run.dir is empty",
                rn_options_require(&err, config, "run.dir"));
  }
  rn_options_free(&config);
}

/* Checks values that versions or implementations of YAML may interpret differently: they are
 * accepted only if their meaning is unambiguous. */
static void surprises_of_yaml_are_settled(void) {
  static const char *const taken[] = {
      "model: {dim: \"64\", gate: False, pre_norm: FALSE}\n",
      "model: &m {dim: &d 64, gate: false, pre_norm: false}\nrun: {leaf: *d}\n",
      "\xef\xbb\xbfmodel:\r\n  dim: 64\r\n  gate: false\r\n  pre_norm: false\r\n",
      "--- # one document\nmodel: {dim: 64, gate: false, pre_norm: !!bool false}\n...\n",
      "{\"model\": {\"dim\": 64, \"gate\": false, \"pre_norm\": false}}\n"};
  for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
    Retnet__Config *config = NULL;
    if (!CHECK_OK(&err, load_text(taken[i], NULL, 0, &config))) continue;
    CHECK_EQUAL(config->model->dim, 64);
    CHECK(!config->model->gate && !config->model->pre_norm);
    rn_options_free(&config);
  }
  refuse("model: {gate: on}\n", "model.gate|true or false");
  refuse("model: {gate: 1}\n", "model.gate|true or false");
  refuse("model: {dim: 0100}\n", "model.dim|plain decimal");
  refuse("model: {dim: 0x40}\n", "model.dim|plain decimal");
  refuse("model: {dim: 0o100}\n", "model.dim|plain decimal");
  refuse("model: {dim: 1_024}\n", "model.dim|plain decimal");
  refuse("model: {dim: 1e3}\n", "model.dim|plain decimal");
  refuse("model: {dim: ' 64'}\n", "model.dim|plain decimal");
  refuse("optimizer: {lr: 0x1p-9}\n", "optimizer.lr|plain decimal");
  refuse("optimizer: {lr: .inf}\n", "optimizer.lr|finite");
  refuse("optimizer:\n  lr: 1,5\n", ":2|optimizer.lr|plain decimal");
  refuse("parallel: {layer_split: [01, 2]}\n", "parallel.layer_split|integers");
  refuse("data: &d {seed: 1}\nrun:\n  <<: *d\n", ":1|data.seed");
  refuse("run: &d {seed: 1}\ndata:\n  <<: *d\n", ":3|merge keys");
  refuse("<<: {run: {seed: 1}}\n", ":1|merge keys");
  refuse("model: {dim: 64}\nrun: {seed: 1}\nmodel: {heads: 2}\n", ":3|model|twice");
  refuse("model:\n\tdim: 64\n", ":2|with spaces");
  refuse("model: {dim: 64}\n--- \nmodel: {dim: 64}\n", "more than one YAML document");
}

/* Checks that the origin of each key is recorded: its line in the file, or option -s, which
 * overrides the file. */
static void the_places_of_keys_are_kept(void) {
  static const char yaml[] = "run: {dir: a}\nmodel:\n  dim: 64\n  heads: null\ntrain: {steps: 3}\n";
  const char *override[] = {"train.steps=4", "run.seed=5"};
  Retnet__Config *config = NULL;
  rn_options_locations locations;
  if (!CHECK_OK(&err, rn_options_load_text(
                          &err, &(rn_options_input){"x", yaml, sizeof yaml - 1, override, 2},
                          &locations, &config))) {
    return;
  }
  CHECK_EQUAL(locations.line[rn_options_key_index("run.dir")], 1);
  CHECK_EQUAL(locations.line[rn_options_key_index("model.dim")], 3);
  CHECK_EQUAL(locations.line[rn_options_key_index("model.heads")], 0);
  CHECK_EQUAL(locations.line[rn_options_key_index("train.steps")], RN_OPTIONS_BY_S);
  CHECK_EQUAL(locations.line[rn_options_key_index("run.seed")], RN_OPTIONS_BY_S);
  CHECK_EQUAL(locations.line[rn_options_key_index("train.log_every")], 0);
  CHECK_EQUAL(rn_options_key_index("train.none"), -1);
  rn_options_free(&config);
}

/* Deep nesting and long lists must be refused quickly. */
static void a_file_made_to_hurt_is_refused(void) {
  enum { BYTES = 200000 };
  static char yaml[BYTES + 1];
  memset(yaml, '[', BYTES);
  refuse(yaml, ":1|nested too deep");
  int used = snprintf(yaml, BYTES, "parallel:\n  layer_split: [1");
  while (used < BYTES - 4) used += snprintf(yaml + used, 4, ",1");
  snprintf(yaml + used, 4, "]\n");
  refuse(yaml, ":2|nested too deep");
  refuse("parallel: {layer_split: [x]}\n", "parallel.layer_split|x");
  refuse("/dev/null: &a [*a]\n", ":1");
}

static rn_status read_file(const char *path) {
  char *text = NULL;
  size_t bytes = 0;
  const rn_status status = rn_options_read(&err, path, &text, &bytes);
  free(text);
  return status;
}

/* Only what the user can mend is an error of usage. A full descriptor table is not. */
static void errors_of_the_machine_are_not_errors_of_usage(void) {
  struct rlimit limit, none;
  CHECK_FAILS(&err, RN_ERR_USAGE, "/nowhere/run.yaml|cannot read", read_file("/nowhere/run.yaml"));
  CHECK_FAILS(&err, RN_ERR_USAGE, "/|cannot read", read_file("/"));
  if (!CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0)) return;
  none = limit;
  none.rlim_cur = 0;
  CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  CHECK_FAILS(&err, RN_ERR_IO, "/dev/null|cannot read", read_file("/dev/null"));
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* The value of a later version, as a checkpoint may contain it. */
static void a_value_without_a_word_is_a_number(void) {
  Retnet__Config *config = NULL;
  char text[RN_OPTIONS_TEXT_BYTES] = "left over";
  if (!CHECK_OK(&err, rn_options_create(&err, &config))) return;
  config->model->ffn = (Retnet__Ffn)99;
  CHECK(rn_options_text(config, "model.ffn", text, sizeof text));
  CHECK(strcmp(text, "99") == 0);
  rn_options_free(&config);
}

static void help_holds_every_key_in_narrow_lines(void) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *file = open_memstream(&text, &bytes);
  rn_options_print_help(file);
  fclose(file);
  const char *wanted[] = {"watchdog_s           600",
                          "lr                   0.0006",
                          "eq8|paper|single|none",
                          "train:",
                          "(>= 0, < 1)",
                          "reset_lanes"};
  for (int i = 0; i < 6; i++) CHECK(strstr(text, wanted[i]) != NULL);
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    if (line[0] == ' ' && line[5] == ' ') CHECK(strlen(line) <= 80);
  }
  free(text);
}

int main(void) {
  help_holds_every_key_in_narrow_lines();
  a_value_without_a_word_is_a_number();
  errors_of_the_machine_are_not_errors_of_usage();
  null_is_no_value();
  surprises_of_yaml_are_settled();
  the_places_of_keys_are_kept();
  a_file_made_to_hurt_is_refused();
  every_text_reads_back();
  what_yaml_cannot_hold_is_refused();
  what_is_wrong_is_named();
  a_list_has_commas_and_both_brackets_or_none();
  overrides_win_and_given_is_known();
  the_effective_file_loads_back();
  return check_result();
}
