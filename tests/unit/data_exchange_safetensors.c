/* Checks that tensors are read back by name, and that a header that does not match its tensors
 * is rejected. */
#include "data/exchange/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

static void tensors_come_back_by_name(void) {
  static const float matrix[6] = {1.5f, -2, 3, 4e-30f, 5, 6};
  static const double wide[2] = {0.1, -1e300};
  static const int64_t whole[1] = {-7};
  static const int32_t small[2] = {3, -4};
  const rn_safetensors_tensor tensors[] = {
      {.name = "b.matrix", .type = RN_SAFETENSORS_F32, .dims = 2, .shape = {2, 3}},
      {.name = "empty", .type = RN_SAFETENSORS_F32, .dims = 2, .shape = {0, 3}},
      {.name = "a \"wide\"", .type = RN_SAFETENSORS_F64, .dims = 1, .shape = {2}},
      {.name = "whole", .type = RN_SAFETENSORS_I64, .dims = 0},
      {.name = "small", .type = RN_SAFETENSORS_I32, .dims = 1, .shape = {2}}};
  const rn_safetensors_note notes[] = {{"format", "pt"}, {"config", "{\"dim\": 4}"}};
  const char *path = temp_path("round.safetensors");
  rn_safetensors_writer *writer = NULL;
  CHECK_OK(err, rn_safetensors_create(err, path, &(rn_safetensors_header){tensors, 5, notes, 2},
                                      &writer));
  CHECK_OK(err, rn_safetensors_append(err, writer, matrix, sizeof matrix));
  CHECK_OK(err, rn_safetensors_append(err, writer, wide, sizeof wide));
  CHECK_OK(err, rn_safetensors_append(err, writer, whole, sizeof whole));
  CHECK_OK(err, rn_safetensors_append(err, writer, small, sizeof small));
  CHECK(!rn_file_exists(path));
  CHECK_OK(err, rn_safetensors_finish(err, &writer));
  CHECK(writer == NULL && rn_file_exists(path));

  rn_safetensors *file = NULL;
  double values[6];
  if (!CHECK_OK(err, rn_safetensors_open(err, path, &file))) return;
  CHECK_EQUAL(rn_safetensors_count(file), 5);
  CHECK(strcmp(rn_safetensors_at(file, 0)->name, "a \"wide\"") == 0);
  const rn_safetensors_tensor *found = rn_safetensors_find(file, "b.matrix");
  CHECK(found != NULL && found->dims == 2 && found->shape[0] == 2 && found->shape[1] == 3);
  CHECK(found->offset % 8 == 0);
  CHECK_OK(err, rn_safetensors_read_f64(err, file, found, 0, 6, values));
  for (int i = 0; i < 6; i++) CHECK(values[i] == (double)matrix[i]);
  float part[2];
  CHECK_OK(err, rn_safetensors_read(err, file, found, 3, 2, part));
  CHECK(memcmp(part, matrix + 3, sizeof part) == 0);
  found = rn_safetensors_find(file, "a \"wide\"");
  CHECK_OK(err, rn_safetensors_read_f64(err, file, found, 0, 2, values));
  CHECK(memcmp(values, wide, sizeof wide) == 0);
  found = rn_safetensors_find(file, "whole");
  CHECK(found->count == 1 && found->dims == 0);
  CHECK_OK(err, rn_safetensors_read_f64(err, file, found, 0, 1, values));
  CHECK(values[0] == -7);
  CHECK_OK(err,
           rn_safetensors_read_f64(err, file, rn_safetensors_find(file, "small"), 1, 1, values));
  CHECK(values[0] == -4);
  CHECK(rn_safetensors_find(file, "c") == NULL);
  CHECK(strcmp(rn_safetensors_metadata(file, "config"), "{\"dim\": 4}") == 0);
  CHECK(rn_safetensors_metadata(file, "other") == NULL);
  rn_safetensors_close(&file);
}

static void an_abandoned_file_leaves_nothing(void) {
  const rn_safetensors_tensor tensor = {
      .name = "x", .type = RN_SAFETENSORS_F32, .dims = 1, .shape = {2}};
  rn_safetensors_writer *writer = NULL;
  CHECK_OK(err, rn_safetensors_create(err, temp_path("gone"),
                                      &(rn_safetensors_header){&tensor, 1, NULL, 0}, &writer));
  rn_safetensors_abandon(&writer);
  CHECK(!rn_file_exists(temp_path("gone")) && !rn_file_exists(temp_path("gone.new")));
}

static void refuse(const char *words, const char *header, size_t data_bytes) {
  static char content[4096];
  size_t length = strlen(header);
  const char *path = temp_path("bad.safetensors");
  rn_safetensors *file = NULL;
  memset(content, 0, sizeof content);
  memcpy(content, &(uint64_t){length}, 8);
  memcpy(content + 8, header, length);
  CHECK_OK(err, rn_file_replace(err, path, content, 8 + length + data_bytes));
  CHECK_FAILS(err, RN_ERR_FORMAT, words, rn_safetensors_open(err, path, &file));
}

static void headers_that_lie_are_refused(void) {
  refuse("bad.safetensors|JSON", "", 0);
  refuse("bad.safetensors|JSON", "[]", 0);
  refuse("bad.safetensors|JSON", "{\"a\":", 0);
  refuse("bad.safetensors|duplicate",
         "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4);
  refuse("\"a\"|object", "{\"a\":3}", 0);
  refuse("\"a\"|dtype", "{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
  refuse("\"a\"|dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
  refuse("\"a\"|shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4);
  refuse("\"a\"|shape", "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4);
  refuse("\"a\"|shape", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4);
  refuse("\"a\"|8 dimensions",
         "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4);
  refuse("\"a\"|invalid dimension",
         "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0);
  refuse("\"a\"|do not match", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",
         4);
  refuse("\"a\"|truncated", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7);
  refuse("\"a\"|outside", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8);
  refuse("\"a\"|outside", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8);
  refuse("\"a\"|two numbers", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]}}", 8);
  refuse("\"a\"|gap", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8);
  refuse("belong to no tensor", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         8);
  refuse("overlap",
         "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8);
  refuse("not a string", "{\"__metadata__\":{\"a\":1}}", 0);
}

static void lengths_that_cannot_be_are_refused(void) {
  const char *path = temp_path("short.safetensors");
  rn_safetensors *file = NULL;
  CHECK_OK(err, rn_file_replace(err, path, "1234567", 7));
  CHECK_FAILS(err, RN_ERR_FORMAT, "short|truncated", rn_safetensors_open(err, path, &file));
  static const uint64_t lengths[] = {3, UINT64_MAX, INT64_MAX, UINT64_C(1) << 63, 100000001};
  for (int i = 0; i < 5; i++) {
    char content[10] = "........{}";
    memcpy(content, &lengths[i], 8);
    CHECK_OK(err, rn_file_replace(err, path, content, 10));
    CHECK_FAILS(err, RN_ERR_FORMAT, "short|header", rn_safetensors_open(err, path, &file));
  }
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "absent",
              rn_safetensors_open(err, temp_path("absent"), &file));
}

int main(void) {
  tensors_come_back_by_name();
  an_abandoned_file_leaves_nothing();
  headers_that_lie_are_refused();
  lengths_that_cannot_be_are_refused();
  return check_result();
}
