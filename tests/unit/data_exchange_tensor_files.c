/* Checks that weights in one or several files are read back exactly, in fp32, bf16 and fp16. An
 * index that contradicts the files or names a file outside its folder is rejected. */
#include "data/exchange/tensor_files.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/exchange/float_types.h"
#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

/* ---- number formats ---- */

static bool is_nan_of(rn_safetensors_type type, uint16_t element) {
  const uint16_t infinity = type == RN_SAFETENSORS_F16 ? 0x7c00 : 0x7f80;
  return (element & 0x7fff) > infinity;
}

/* Converts all 16-bit values to fp32 and back: they must be unchanged, and a NaN must remain a
 * NaN. */
static void all_elements_come_back(rn_safetensors_type type) {
  int wrong = 0;
  for (int i = 0; i < 65536; i++) {
    const uint16_t element = (uint16_t)i;
    uint16_t back;
    float value;
    rn_floats_from(type, &element, 1, &value);
    const int64_t too_large = rn_floats_to(type, &value, 1, &back);
    wrong += is_nan_of(type, element) ? !isnan(value) || !is_nan_of(type, back)
                                      : back != element || too_large != 0;
  }
  CHECK_EQUAL(wrong, 0);
}

/* Checks that a value between two 16-bit values is rounded to the nearer one, and a tie to the
 * even one. */
static void values_go_to_the_nearest(rn_safetensors_type type, int last) {
  int wrong = 0;
  for (int i = 0; i < last; i++) {
    const uint16_t pair[2] = {(uint16_t)i, (uint16_t)(i + 1)};
    float value[2];
    rn_floats_from(type, pair, 2, value);
    const float middle = (float)(((double)value[0] + (double)value[1]) / 2);
    const float tried[3] = {nextafterf(middle, value[0]), middle, nextafterf(middle, value[1])};
    uint16_t got[3];
    rn_floats_to(type, tried, 3, got);
    wrong += got[0] != pair[0] || got[1] != pair[i % 2] || got[2] != pair[1];
  }
  CHECK_EQUAL(wrong, 0);
}

static void what_is_too_large_is_counted(void) {
  const float values[] = {65519.9f, 65520, -1e6f, 3.4e38f, INFINITY, NAN};
  uint16_t stored[6];
  CHECK_EQUAL(rn_floats_to(RN_SAFETENSORS_F16, values, 6, stored), 3);
  CHECK_EQUAL(stored[0], 0x7bff);
  CHECK_EQUAL(stored[2], 0xfc00);
  CHECK_EQUAL(rn_floats_to(RN_SAFETENSORS_BF16, values, 6, stored), 1);
}

/* ---- files ---- */

enum { TENSORS = 4, ELEMENTS = 100 };

static const char *const tensor_name[TENSORS] = {"d", "c", "b", "a"};

/* Added to all values that write_files() writes, to distinguish one export from another. */
static float shift;

static float value_of(int tensor, int i) {
  return (float)(tensor * 1000 + i);
}

static rn_status write_files(const char *path, int64_t shard_bytes) {
  rn_safetensors_tensor tensors[TENSORS];
  const rn_safetensors_note note = {"format", "pt"};
  const rn_safetensors_header header = {tensors, TENSORS, &note, 1};
  rn_tensor_files_writer *writer = NULL;
  for (int t = 0; t < TENSORS; t++) {
    tensors[t] = (rn_safetensors_tensor){.name = tensor_name[t],
                                         .type = RN_SAFETENSORS_F32,
                                         .dims = 1,
                                         .shape = {ELEMENTS},
                                         .count = ELEMENTS};
  }
  rn_status status = rn_tensor_files_create(err, path, &header, shard_bytes, &writer);
  for (int t = 0; status == RN_OK && t < TENSORS; t++) {
    float values[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) values[i] = value_of(t, i) + shift;
    status = rn_tensor_files_append(err, writer, values, 60);
    if (status != RN_OK) break;
    status = rn_tensor_files_append(err, writer, values + 60, ELEMENTS - 60);
  }
  if (status == RN_OK) status = rn_tensor_files_finish(err, &writer);
  rn_tensor_files_abandon(&writer);
  return status;
}

static void check_content(const char *path) {
  rn_tensor_files *files = NULL;
  if (!CHECK_OK(err, rn_tensor_files_open(err, path, &files))) return;
  CHECK_EQUAL(rn_tensor_files_count(files), TENSORS);
  CHECK(strcmp(rn_tensor_files_metadata(files, "format"), "pt") == 0);
  for (int t = 0; t < TENSORS; t++) {
    float values[2];
    const int found = rn_tensor_files_find(files, tensor_name[t]);
    CHECK_EQUAL(found, TENSORS - 1 - t);
    CHECK_OK(err, rn_tensor_files_read(err, files, found, 58, 2, values));
    CHECK(values[0] == value_of(t, 58) && values[1] == value_of(t, 59));
  }
  CHECK_EQUAL(rn_tensor_files_find(files, "e"), -1);
  rn_tensor_files_close(&files);
}

static void models_come_back_from_any_number_of_files(void) {
  CHECK_OK(err, write_files(temp_path("one"), 0));
  CHECK_OK(err, write_files(temp_path("two"), 2 * ELEMENTS * 4));
  CHECK_OK(err, write_files(temp_path("four"), 10)); /* every tensor is larger than the limit */
  CHECK_OK(err, write_files(temp_path("alone.safetensors"), 10));
  CHECK(rn_file_exists(temp_path("one/model.safetensors")));
  CHECK(rn_file_exists(temp_path("two/model-00002-of-00002.safetensors")));
  CHECK(rn_file_exists(temp_path("four/model-00004-of-00004.safetensors")));
  check_content(temp_path("one"));
  check_content(temp_path("two"));
  check_content(temp_path("four"));
  check_content(temp_path("alone.safetensors"));
  /* An export must not add an index to a folder with model.safetensors, or the reverse: a reader
   * could load the older model. */
  CHECK_FAILS(err, RN_ERR_MISMATCH, "one/model.safetensors", write_files(temp_path("one"), 10));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "index.json", write_files(temp_path("two"), 0));
}

/* Exports over an older export, and makes each write and rename fail in turn. The older export must
 * remain complete. */
static void an_export_that_fails_leaves_the_older_one(void) {
  static const char *const sites[] = {"file.write", "file.rename"};
  int failed = 0;
  for (int s = 0; s < 2; s++) {
    rn_status status = RN_ERR_IO;
    for (int pass = 1; status != RN_OK; pass++) {
      char fault[32];
      shift = 0.5f;
      snprintf(fault, sizeof fault, "%s:%d", sites[s], pass);
      setenv("RETNET_FAULT", fault, 1);
      status = write_files(temp_path("two"), 2 * ELEMENTS * 4);
      unsetenv("RETNET_FAULT");
      *err = (rn_err){0};
      shift = 0;
      if (status == RN_OK) break;
      check_content(temp_path("two"));
      CHECK(!rn_file_exists(temp_path("two/.retnet-export")));
      failed++;
    }
    CHECK_OK(err, write_files(temp_path("two"), 2 * ELEMENTS * 4));
  }
  /* An export consists of two files, each with two writes of the header and four of tensors, and an
   * index with one write. Each of these three files is renamed twice. */
  CHECK_EQUAL(failed, 2 * 6 + 1 + 3 * 2);
  setenv("RETNET_FAULT", "file.write:5", 1);
  CHECK(write_files(temp_path("nothing"), 2 * ELEMENTS * 4) == RN_ERR_IO);
  unsetenv("RETNET_FAULT");
  *err = (rn_err){0};
  CHECK(!rn_file_exists(temp_path("nothing")));
}

/* ---- the index ---- */

static void index_fails(const char *text, rn_status status, const char *words) {
  rn_tensor_files *files = NULL;
  const char *path = temp_path("two/model.safetensors.index.json");
  CHECK_OK(err, rn_file_replace(err, path, text, strlen(text)));
  CHECK_FAILS(err, status, words, rn_tensor_files_open(err, temp_path("two"), &files));
  CHECK(files == NULL);
}

#define FIRST "model-00001-of-00002.safetensors"
#define SECOND "model-00002-of-00002.safetensors"

static void an_index_that_lies_is_rejected(void) {
  static const char *const outside[] = {
      "../one/model.safetensors", "/etc/passwd", "..", ".hidden", "", "a/b"};
  for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
    char text[256];
    snprintf(text, sizeof text, "{\"weight_map\": {\"a\": \"%s\"}}", outside[i]);
    index_fails(text, RN_ERR_FORMAT, "index.json|\"a\"|not the name of a file");
  }
  index_fails("{\"weight_map\": {\"a\": 3}}", RN_ERR_FORMAT, "\"a\"");
  index_fails("{\"weight_map\": {\"a\": \"nowhere\"}}", RN_ERR_NOT_FOUND, "nowhere");
  index_fails("{\"weight_map\": {}}", RN_ERR_FORMAT, "weight_map");
  index_fails("{\"weight_map\": [1]}", RN_ERR_FORMAT, "weight_map");
  index_fails("{\"weight_map\"", RN_ERR_FORMAT, "weight_map");
  index_fails("", RN_ERR_FORMAT, "weight_map");
  index_fails("{\"weight_map\": {\"a\": \"" SECOND "\", \"b\": \"" SECOND
              "\"}, "
              "\"weight_map\": {}}",
              RN_ERR_FORMAT, "index.json");
  index_fails("{\"weight_map\": {\"a\": \"" SECOND "\"}}", RN_ERR_FORMAT, "lists 1|hold 2");
  index_fails("{\"weight_map\": {\"a\": \"" FIRST "\", \"b\": \"" SECOND "\"}}", RN_ERR_FORMAT,
              "\"a\" is not in|" FIRST);
  index_fails("{\"weight_map\": {\"z\": \"" SECOND "\", \"b\": \"" SECOND "\"}}", RN_ERR_FORMAT,
              "\"z\"");
}

static void a_tensor_in_two_files_is_rejected(void) {
  const char *path = temp_path("two/" SECOND);
  void *bytes = NULL;
  size_t size = 0;
  CHECK_OK(err, rn_file_load(err, temp_path("two/" FIRST), 1 << 20, &bytes, &size));
  CHECK_OK(err, rn_file_replace(err, path, bytes, size));
  free(bytes);
  index_fails("{\"weight_map\": {\"c\": \"" FIRST "\", \"d\": \"" SECOND "\"}}", RN_ERR_FORMAT,
              "is also in");
}

int main(void) {
  all_elements_come_back(RN_SAFETENSORS_F16);
  all_elements_come_back(RN_SAFETENSORS_BF16);
  values_go_to_the_nearest(RN_SAFETENSORS_F16, 0x7bff);
  values_go_to_the_nearest(RN_SAFETENSORS_BF16, 0x7f7f);
  what_is_too_large_is_counted();
  models_come_back_from_any_number_of_files();
  an_export_that_fails_leaves_the_older_one();
  an_index_that_lies_is_rejected();
  a_tensor_in_two_files_is_rejected();
  return check_result();
}
