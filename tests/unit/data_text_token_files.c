/* Checks that token files of other programs give the tokens that those programs read from them, and
 * that damaged files are refused with a message that names the file. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/batch/split.h"
#include "data/text/build.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { MAX_FILES = 4, MAX_BYTES = 1 << 14, GPT2 = 50257 };

static rn_err err;
static const char *golden;

static rn_path fresh_folder(void) {
  static int folders;
  char name[32];
  snprintf(name, sizeof name, "%d", folders++);
  const rn_path folder = rn_path_join(temp_folder(), name);
  CHECK_OK(&err, rn_file_make_folder(&err, folder.text));
  return folder;
}

static void write_hex(const char *path, const char *hex) {
  static unsigned char bytes[MAX_BYTES];
  size_t count = 0;
  unsigned value = 0;
  for (; sscanf(hex + 2 * count, "%2x", &value) == 1; count++) bytes[count] = (unsigned char)value;
  CHECK_OK(&err, rn_file_replace(&err, path, bytes, count));
}

/* Writes the files of a test case, stores their paths in `path`, and returns the number of files.
 */
static int write_files(const json_t *one, const char *folder, rn_path *path) {
  const char *name;
  json_t *hex;
  int count = 0;
  json_object_foreach(json_object_get(one, "files"), name, hex) {
    path[count] = rn_path_join(folder, name);
    write_hex(path[count++].text, json_string_value(hex));
  }
  return count;
}

static rn_status build(const rn_build_options *how, const char *folder, const rn_path *path,
                       int count, rn_build_report *report) {
  const char *input[MAX_FILES];
  rn_build_options options = *how;
  const rn_path out = rn_path_join(folder, "out");
  for (int i = 0; i < count; i++) input[i] = path[i].text;
  options.out = out.text;
  options.input = input;
  options.inputs = count;
  return rn_build(&err, &options, report);
}

/* Checks that the split contains the token `document` before each document and at the end, and the
 * expected token ids in between. */
static void check_tokens(const char *folder, const json_t *one, int32_t document) {
  rn_split split;
  int64_t at = 0;
  size_t i;
  json_t *range;
  if (!CHECK_OK(&err, rn_split_open(&err, rn_path_join(folder, "out").text, "train", &split))) {
    return;
  }
  int32_t *id = malloc((size_t)split.tokens * sizeof *id);
  CHECK_OK(&err, rn_split_read(&err, &split, 0, split.tokens, id));
  CHECK_EQUAL(rn_split_header(&split)->document_token, document);
  bool equal = true;
  json_array_foreach(json_object_get(one, "documents"), i, range) {
    const int64_t from = json_integer_value(json_array_get(range, 0));
    const int64_t count = json_integer_value(json_array_get(range, 1)) - from;
    equal = equal && at + 1 + count < split.tokens && id[at++] == document;
    for (int64_t t = 0; equal && t < count; t++) {
      const json_t *want = json_array_get(json_object_get(one, "ids"), (size_t)(from + t));
      equal = id[at++] == json_integer_value(want);
    }
  }
  CHECK(equal && at == split.tokens - 1 && id[at] == document);
  free(id);
  rn_split_close(&split);
}

static void is_read(const json_t *one) {
  const rn_path folder = fresh_folder();
  rn_path path[MAX_FILES];
  rn_build_report report;
  const int count = write_files(one, folder.text, path);
  const int vocabulary = (int)json_integer_value(json_object_get(one, "vocabulary"));
  const int separator = (int)json_integer_value(json_object_get(one, "separator"));
  const rn_build_options how = {.vocab_size = vocabulary, .separator = separator};
  if (!CHECK_OK(&err, build(&how, folder.text, path, count, &report))) return;
  CHECK_EQUAL(report.documents, json_array_size(json_object_get(one, "documents")));
  check_tokens(folder.text, one, separator >= 0 ? separator : vocabulary);
}

static void is_refused(const json_t *one) {
  const rn_path folder = fresh_folder();
  rn_path path[MAX_FILES];
  rn_build_report report;
  const int count = write_files(one, folder.text, path);
  const rn_build_options how = {.vocab_size = GPT2, .separator = GPT2 - 1};
  const rn_status status = build(&how, folder.text, path, count, &report);
  if (!CHECK(status == RN_ERR_FORMAT)) {
    fprintf(stderr, "%s: %s\n", path[0].text, json_string_value(json_object_get(one, "refuse")));
  }
  CHECK(strncmp(err.text, path[0].text, strlen(path[0].text) - strlen(".bin")) == 0);
  CHECK(!rn_file_exists(rn_path_join(folder.text, "out").text));
  rn_err_clear(&err);
}

static void all_cases(void) {
  FILE *lines = fopen(rn_path_join(golden, "token_files.jsonl").text, "rb");
  char *line = NULL;
  size_t capacity = 0;
  int read = 0, refused = 0;
  while (lines != NULL && getline(&line, &capacity, lines) > 0) {
    json_t *one = json_loads(line, 0, NULL);
    const bool refuse = json_object_get(one, "refuse") != NULL;
    (refuse ? is_refused : is_read)(one);
    refused += refuse;
    read += !refuse;
    json_decref(one);
  }
  CHECK_EQUAL(read, 14);
  CHECK_EQUAL(refused, 23);
  free(line);
  if (lines != NULL) fclose(lines);
}

/* A .bin file without a header may contain tokens or text. With the byte tokenizer it is read as
 * text, and the report counts the file. */
static void headerless_is_text_for_bytes(void) {
  const rn_path folder = fresh_folder(), path = rn_path_join(folder.text, "any.bin");
  const rn_build_options how = {.separator = -1};
  rn_build_report report;
  CHECK_OK(&err, rn_file_replace(&err, path.text, "\1\0\2\0\3", 5));
  CHECK_OK(&err, build(&how, folder.text, &path, 1, &report));
  CHECK_EQUAL(report.train_tokens, 7);
  CHECK_EQUAL(report.passed_by.headerless, 1);
}

/* Writes an llm.c file with the tokens 50256, 7 and 50256, and returns its path. */
static rn_path write_llmc(const char *folder) {
  const rn_path path = rn_path_join(folder, "a.bin");
  unsigned char file[1024 + 6] = {0x88, 0xd8, 0x34, 0x01, 1, 0, 0, 0, 3};
  const unsigned char ids[6] = {0x50, 0xc4, 7, 0, 0x50, 0xc4};
  memcpy(file + 1024, ids, sizeof ids);
  CHECK_OK(&err, rn_file_replace(&err, path.text, file, sizeof file));
  return path;
}

/* The header of an llm.c file determines its vocabulary, so that no option is needed. */
static void llmc_needs_no_option(void) {
  const rn_path folder = fresh_folder(), path = write_llmc(folder.text);
  const rn_build_options how = {.separator = -1};
  rn_build_report report;
  CHECK_OK(&err, build(&how, folder.text, &path, 1, &report));
  CHECK_EQUAL(report.documents, 2);
  CHECK_EQUAL(report.train_tokens, 4);
}

/* Whichever read fails while a file's format is determined and its tokens are read, the build must
 * fail: a file that could not be read must not be taken for a file of another format. */
static void a_failed_read_is_no_other_format(rn_path folder, rn_path input) {
  enum { MAX_READS = 40 };
  const rn_build_options how = {.separator = -1};
  rn_build_report report;
  rn_status status = RN_ERR_IO;
  int failed = 0;
  for (; status == RN_ERR_IO && failed < MAX_READS; failed++) {
    char fault[32];
    snprintf(fault, sizeof fault, "file.read:%d:EIO", failed + 1);
    setenv("RETNET_FAULT", fault, 1);
    status = build(&how, folder.text, &input, 1, &report);
    unsetenv("RETNET_FAULT");
    if (status != RN_ERR_IO) break;
    CHECK(strstr(err.text, folder.text) != NULL && strstr(err.text, "cannot read") != NULL);
    rn_err_clear(&err);
  }
  CHECK_OK(&err, status);
  CHECK(failed >= 4);
}

/* The input is the file, and then its folder. */
static void failed_reads_are_no_other_format(void) {
  const rn_path file = fresh_folder(), folder = fresh_folder();
  a_failed_read_is_no_other_format(file, write_llmc(file.text));
  (void)write_llmc(folder.text);
  a_failed_read_is_no_other_format(folder, folder);
}

/* If a link found in a folder or by a pattern cannot be looked up, the build must fail, except for
 * missing permission. A link that leads nowhere is left out. */
static void failed_lookups_are_not_left_out(void) {
  const rn_path folder = fresh_folder(), nowhere = rn_path_join(folder.text, "nowhere.txt"),
                loop = rn_path_join(folder.text, "loop.txt"),
                link = rn_path_join(folder.text, "link.txt"),
                text = rn_path_join(folder.text, "text.txt"),
                pattern = rn_path_join(folder.text, "*.txt");
  const rn_build_options how = {.separator = -1};
  rn_build_report report;
  char name[512];
  CHECK_OK(&err, rn_file_replace(&err, text.text, "text", 4));
  CHECK(symlink("nothing", nowhere.text) == 0 && symlink("loop.txt", loop.text) == 0);
  CHECK_OK(&err, build(&how, folder.text, &pattern, 1, &report));
  CHECK_EQUAL(report.passed_by.left_out, 2);
  CHECK_OK(&err, rn_file_remove_tree(&err, rn_path_join(folder.text, "out").text));
  memset(name, 'x', sizeof name);
  name[sizeof name - 1] = '\0'; /* longer than the name of a file may be */
  CHECK(symlink(name, link.text) == 0);
  CHECK_FAILS(&err, RN_ERR_IO, "link.txt|look up", build(&how, folder.text, &pattern, 1, &report));
  CHECK_FAILS(&err, RN_ERR_IO, "link.txt|look up", build(&how, folder.text, &folder, 1, &report));
}

int main(int argc, char **argv) {
  golden = argc > 1 ? argv[1] : ".";
  all_cases();
  headerless_is_text_for_bytes();
  llmc_needs_no_option();
  failed_reads_are_no_other_format();
  failed_lookups_are_not_left_out();
  return check_result();
}
