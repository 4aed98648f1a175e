/* Checks that slices of any shape in any number of files are read back bit for bit, for any
 * range. */
#include "data/checkpoint/ckpt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/random.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

static bool any_range_reads_back(rn_ckpt *ckpt, uint64_t seed, rn_random_key key) {
  static float values[4096];
  for (uint64_t i = 0; i < 200; i++) {
    int tensor = (int)(rn_random_bits(key, 4 * i) % FAKE_TENSORS);
    int kind = (int)(rn_random_bits(key, 4 * i + 1) % FAKE_KINDS);
    uint64_t elements = (uint64_t)fake_elements(&fake_tensors[tensor]);
    int64_t first = (int64_t)(rn_random_bits(key, 4 * i + 2) % (elements + 1));
    int64_t count = (int64_t)(rn_random_bits(key, 4 * i + 3) % (elements - (uint64_t)first + 1));
    rn_status status = rn_ckpt_read(err, ckpt, (Retnet__TensorKind)kind, fake_tensors[tensor].name,
                                    (rn_range){first, first + count}, values);
    if (!CHECK_OK(err, status)) return false;
    for (int64_t k = 0; k < count; k++) {
      if (values[k] != fake_value(seed, kind, tensor, first + k)) return false;
    }
  }
  return true;
}

static void any_cut_over_any_parts_comes_back(void) {
  const char *run = temp_path("run");
  for (uint64_t cut = 0; cut < 24; cut++) {
    int parts = 1 + (int)(cut % FAKE_MAX_PARTS);
    rn_ckpt *ckpt = NULL;
    CHECK_OK(err, fake_save(err, run, (int64_t)cut, cut, parts, cut));
    rn_path path = rn_path_join(run, "checkpoints");
    char name[32];
    snprintf(name, sizeof name, "step-%08d", (int)cut);
    path = rn_path_join(path.text, name);
    if (!CHECK_OK(err, rn_ckpt_open(err, path.text, &ckpt))) continue;
    CHECK_EQUAL(rn_ckpt_manifest(ckpt)->step, cut);
    CHECK_OK(err, rn_ckpt_verify(err, ckpt));
    CHECK(fake_is(ckpt, cut) && !fake_is(ckpt, cut + 1));
    CHECK(any_range_reads_back(ckpt, cut, rn_random_key_named(RN_RANDOM_TEST, cut, "ranges")));
    rn_ckpt_close(&ckpt);
  }
}

static void what_a_checkpoint_lacks_is_named(void) {
  rn_ckpt *ckpt = NULL;
  float value[8];
  CHECK_OK(err, fake_save(err, temp_path("lack"), 1, 1, 2, 1));
  if (!CHECK_OK(err, rn_ckpt_find(err, temp_path("lack"), false, NULL, &ckpt))) return;
  CHECK(rn_ckpt_tensor(ckpt, RETNET__TENSOR_KIND__KIND_STATE, "scalar") == NULL);
  CHECK(rn_ckpt_tensor(ckpt, RETNET__TENSOR_KIND__KIND_EXP_AVG, "scalar") != NULL);
  CHECK_FAILS(
      err, RN_ERR_MISMATCH, "lack|nosuch",
      rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, "nosuch", (rn_range){0, 1}, value));
  CHECK_FAILS(
      err, RN_ERR_MISMATCH, "scalar",
      rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, "scalar", (rn_range){0, 2}, value));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "scalar",
              rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, "scalar",
                           (rn_range){2, 2 + 0}, value));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "scalar",
              rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, "scalar",
                           (rn_range){-1, -1 + 1}, value));
  rn_ckpt_close(&ckpt);
}

/* Saves one tensor of several frames, with values that compress and values that do not. */
static void a_tensor_longer_than_a_frame_comes_back(void) {
  int64_t elements = 2 * (int64_t)RN_CKPT_FRAME_ELEMENTS + 12345;
  const char *run = temp_path("long");
  float *values = malloc((size_t)elements * sizeof *values);
  float *back = malloc((size_t)elements * sizeof *back);
  for (int64_t i = 0; i < elements; i++) {
    uint32_t bits = (uint32_t)i * 2654435761u;
    memcpy(&values[i], &bits, 4);
    if (i < RN_CKPT_FRAME_ELEMENTS) values[i] = 0;
  }
  rn_ckpt_slice slice = {
      RETNET__TENSOR_KIND__KIND_WEIGHT, "long", 1, {elements}, 0, elements, values};
  rn_ckpt_report report = {0};
  Retnet__Manifest head = fake_head(7);
  rn_ckpt *ckpt = NULL;
  CHECK_OK(err, rn_ckpt_stage_dir(err, run, 7));
  CHECK_OK(err, rn_ckpt_write_file(err, (rn_ckpt_output){rn_ckpt_stage_path(run, 7).text, 0, 0, 1},
                                   &slice, 1, &report));
  CHECK_OK(err, rn_ckpt_commit(err, run, &head, &report, 1));
  CHECK_OK(err, rn_ckpt_find(err, run, false, NULL, &ckpt));
  CHECK_EQUAL(rn_ckpt_manifest(ckpt)->file[0]->n_slice, 3);
  CHECK_OK(err, rn_ckpt_read(err, ckpt, slice.kind, "long", (rn_range){0, elements}, back));
  CHECK(memcmp(values, back, (size_t)elements * sizeof *back) == 0);
  CHECK_OK(err, rn_ckpt_read(err, ckpt, slice.kind, "long",
                             (rn_range){RN_CKPT_FRAME_ELEMENTS - 3, RN_CKPT_FRAME_ELEMENTS - 3 + 6},
                             back));
  CHECK(memcmp(values + RN_CKPT_FRAME_ELEMENTS - 3, back, 6 * sizeof *back) == 0);
  rn_ckpt_close(&ckpt);
  free(report.bytes);
  free(values);
  free(back);
}

/* Saves a tensor of 10 elements in two files: elements [first0, first0 + count0) and [first1,
 * first1 + count1). The second file declares that the tensor has `size1` elements; `expect_more`
 * adds a tensor to the manifest that no file contains. */
static rn_status save_two(int64_t first0, int64_t count0, int64_t first1, int64_t count1,
                          int64_t size1, bool expect_more) {
  static const float values[10] = {0};
  static Retnet__Tensor other = RETNET__TENSOR__INIT;
  static Retnet__Tensor *expected[] = {&other};
  const char *run = temp_path("cover");
  rn_ckpt_slice slices[2] = {
      {RETNET__TENSOR_KIND__KIND_WEIGHT, "w", 1, {10}, first0, count0, values},
      {RETNET__TENSOR_KIND__KIND_WEIGHT, "w", 1, {size1}, first1, count1, values}};
  rn_ckpt_report reports[2] = {{.bytes = NULL}};
  Retnet__Manifest head = fake_head(1);
  other.name = "other";
  head.n_tensor = expect_more ? 1 : 0;
  head.tensor = expected;
  CHECK_OK(err, rn_ckpt_stage_dir(err, run, 1));
  for (int i = 0; i < 2; i++) {
    rn_path stage = rn_ckpt_stage_path(run, 1);
    CHECK_OK(err, rn_ckpt_write_file(err, (rn_ckpt_output){stage.text, i, 0, 1}, &slices[i], 1,
                                     &reports[i]));
  }
  rn_status status = rn_ckpt_commit(err, run, &head, reports, 2);
  for (int i = 0; i < 2; i++) free(reports[i].bytes);
  return status;
}

static void slices_that_do_not_cover_are_refused(void) {
  CHECK_OK(err, save_two(0, 4, 4, 6, 10, false));
  CHECK_OK(err, save_two(0, 10, 10, 0, 10, false));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "\"w\"|missing", save_two(0, 4, 5, 5, 10, false));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "\"w\"|missing", save_two(1, 3, 4, 6, 10, false));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "\"w\"|missing", save_two(0, 4, 4, 5, 10, false));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "\"w\"|duplicated", save_two(0, 5, 4, 6, 10, false));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "\"w\"|duplicated", save_two(0, 10, 0, 10, 10, false));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "part-00001|invalid position", save_two(0, 4, 4, 7, 10, false));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "\"w\"|shape", save_two(0, 4, 4, 6, 11, false));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "\"other\"", save_two(0, 4, 4, 6, 10, true));
}

/* A writer must not append to a file whose size differs from the offset at which the writer begins.
 */
static void a_writer_begins_where_the_last_one_ended(void) {
  static const float values[10] = {0};
  const rn_ckpt_slice slice = {RETNET__TENSOR_KIND__KIND_WEIGHT, "w", 1, {10}, 0, 10, values};
  const char *run = temp_path("turns");
  rn_path stage = rn_ckpt_stage_path(run, 1);
  rn_ckpt_report report = {0}, none = {0};
  CHECK_OK(err, rn_ckpt_stage_dir(err, run, 1));
  CHECK_OK(err, rn_ckpt_write_file(err, (rn_ckpt_output){stage.text, 0, 0, 1}, &slice, 1, &report));
  const int64_t end = report.stored_bytes;
  free(report.bytes);
  for (int64_t at = end - 1; at <= end + 1; at += 2) {
    CHECK_FAILS(err, RN_ERR_MISMATCH, "part-00000",
                rn_ckpt_write_file(err, (rn_ckpt_output){stage.text, 0, at, 1}, &slice, 1, &none));
  }
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "part-00001",
              rn_ckpt_write_file(err, (rn_ckpt_output){stage.text, 1, end, 1}, &slice, 1, &none));
}

/* A file must have exactly the size that its writer reported. */
static void a_part_of_another_size_is_refused(void) {
  static const float values[10] = {0};
  const rn_ckpt_slice slice = {RETNET__TENSOR_KIND__KIND_WEIGHT, "w", 1, {10}, 0, 10, values};
  for (int off = -1; off <= 1; off++) {
    const char *run = temp_path("size");
    rn_path stage = rn_ckpt_stage_path(run, 1);
    rn_ckpt_report report = {0};
    Retnet__Manifest head = fake_head(1);
    CHECK_OK(err, rn_ckpt_stage_dir(err, run, 1));
    CHECK_OK(err,
             rn_ckpt_write_file(err, (rn_ckpt_output){stage.text, 0, 0, 1}, &slice, 1, &report));
    const rn_path part = rn_path_join(stage.text, "part-00000.zst");
    CHECK(truncate(part.text, report.stored_bytes + off) == 0);
    const rn_status status = rn_ckpt_commit(err, run, &head, &report, 1);
    if (off == 0) {
      CHECK_OK(err, status);
    } else {
      CHECK_FAILS(err, RN_ERR_MISMATCH, "part-00000|its writer wrote", status);
    }
    free(report.bytes);
  }
}

int main(void) {
  a_part_of_another_size_is_refused();
  any_cut_over_any_parts_comes_back();
  what_a_checkpoint_lacks_is_named();
  a_tensor_longer_than_a_frame_comes_back();
  slices_that_do_not_cover_are_refused();
  a_writer_begins_where_the_last_one_ended();
  return check_result();
}
