/* Checks that a command line is parsed according to its table, and that an error names the
 * invalid argument. */
#include "proto/cli/args.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

enum { WORDS = 32 };

static rn_err err;
static bool json;
static const char *out_folder, *state;
static rn_words overrides;
static int64_t tokens;
static double heat;

static const rn_arg options[] = {
    {'s', NULL, "key=value", "set a key", RN_ARG_LIST, &overrides, 0, 0},
    {0, "json", NULL, "one JSON object", RN_ARG_SWITCH, &json, 0, 0},
    {'o', "out", "DIR", "where to", RN_ARG_TEXT, &out_folder, 0, 0},
    {0, "state", "FILE", "what to keep", RN_ARG_PATH, &state, 0, 0},
    {0, "tokens", "N", "how many", RN_ARG_INTEGER, &tokens, 1, 1 << 24},
    {0, "temperature", "X", "how wild", RN_ARG_NUMBER, &heat, 0, 0},
};
static const rn_args args = {.program = "retnet-test",
                             .form = "FILE [-s key=value]...",
                             .about = "Tests.",
                             .example = "retnet-test a.yaml --json",
                             .options = options,
                             .count = sizeof options / sizeof options[0],
                             .min_words = 1,
                             .max_words = 2};

/* Parses a line whose words are separated by single spaces. */
static rn_status parse(const char *line, char buffer[256], rn_args_found *found) {
  char *argv[WORDS] = {(char[]){"program"}};
  int argc = 1;
  snprintf(buffer, 256, "%s", line);
  for (char *word = strtok(buffer, " "); word != NULL; word = strtok(NULL, " ")) {
    argv[argc++] = word;
  }
  json = false;
  rn_words_free(&overrides);
  *found = (rn_args_found){0};
  return rn_args_parse(&err, &args, argc, argv, found);
}

static void every_way_of_writing_is_read(void) {
  char buffer[256];
  rn_args_found found;
  CHECK_OK(&err, parse("a.yaml -s model.dim=3 --json -sx=1 --out=here --tokens 7 --temperature "
                       "-0.5 -- --b",
                       buffer, &found));
  CHECK(json && strcmp(out_folder, "here") == 0);
  CHECK_EQUAL(tokens, 7);
  CHECK(heat == -0.5);
  if (CHECK(overrides.count == 2)) {
    CHECK(strcmp(overrides.word[0], "model.dim=3") == 0 && strcmp(overrides.word[1], "x=1") == 0);
  }
  if (CHECK(found.words.count == 2)) {
    CHECK(strcmp(found.words.word[0], "a.yaml") == 0 && strcmp(found.words.word[1], "--b") == 0);
  }
  rn_words_free(&found.words);
  CHECK_OK(&err, parse("- -o there", buffer, &found));
  CHECK(found.words.count == 1 && strcmp(found.words.word[0], "-") == 0);
  rn_words_free(&found.words);
}

static void refuse(const char *line, const char *words) {
  char buffer[256];
  rn_args_found found;
  CHECK_FAILS(&err, RN_ERR_USAGE, words, parse(line, buffer, &found));
  rn_words_free(&found.words);
}

static void what_does_not_fit_is_named(void) {
  refuse("a --jsn", "--jsn|--json?");
  refuse("a --temprature 1", "--temprature|--temperature?");
  refuse("a --tokens=0", "--tokens|0|1 .. 16777216");
  refuse("a --tokens 3x", "--tokens|3x|integer");
  refuse("a --tokens 99999999999999999999", "--tokens");
  refuse("a --temperature nan", "--temperature|nan");
  refuse("a --temperature 1e-400", "--temperature|1e-400|rounded to 0");
  refuse("a --json=yes", "--json|no value");
  refuse("a --out", "--out|DIR");
  refuse("a --state -", "--state -|standard input or output");
  refuse("a -x", "-x");
  refuse("a b c", "c|unexpected");
  refuse("--json", "too few|FILE");
}

static const char *versioned;

static void print_version(const char *program) {
  versioned = program;
}

static void help_and_version_come_before_complaints(void) {
  char buffer[256], *text = NULL;
  size_t bytes = 0;
  rn_args_found found;
  CHECK_OK(&err, parse("--help --nonsense", buffer, &found));
  CHECK(found.help && !found.version);
  CHECK_OK(&err, parse("-h", buffer, &found));
  CHECK(found.help);
  CHECK_OK(&err, parse("help", buffer, &found));
  CHECK(found.help);
  CHECK_OK(&err, parse("help me", buffer, &found)); /* two file names */
  CHECK(!found.help && found.words.count == 2);
  rn_words_free(&found.words);
  CHECK_OK(&err, parse("--version", buffer, &found));
  CHECK(found.version && !found.help);
  CHECK(rn_args_answer(&args, &found, print_version));
  CHECK(strcmp(versioned, args.program) == 0);
  CHECK(!rn_args_answer(&args, &(rn_args_found){.help = false}, print_version));
  FILE *file = open_memstream(&text, &bytes);
  rn_args_print_help(&args, file);
  fclose(file);
  const char *wanted[] = {"usage: retnet-test FILE",
                          "Tests.",
                          "retnet-test a.yaml --json",
                          "-s key=value",
                          "-o, --out DIR",
                          "--tokens N",
                          "--help",
                          "--version"};
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
    CHECK(strstr(text, wanted[i]) != NULL);
  free(text);
}

static void a_choice_is_found_or_lists_the_others(void) {
  const char *const forms[] = {"chunkwise", "parallel", "recurrent"};
  int which = -1;
  CHECK_OK(&err, rn_args_choose(&err, "--form", "parallel", forms, 3, &which));
  CHECK_EQUAL(which, 1);
  CHECK_FAILS(&err, RN_ERR_USAGE, "--form|paralel|chunkwise|recurrent",
              rn_args_choose(&err, "--form", "paralel", forms, 3, &which));
}

int main(void) {
  every_way_of_writing_is_read();
  what_does_not_fit_is_named();
  help_and_version_come_before_complaints();
  a_choice_is_found_or_lists_the_others();
  rn_words_free(&overrides);
  return check_result();
}
