/* If the splits cannot be moved into place, the build leaves nothing there and removes nothing of
 * another process. */
#include "data/text/build_target.h"

#include <string.h>

#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err err;

static rn_path file_in(const char *folder, const char *split) {
  return rn_path_join(rn_path_join(folder, split).text, "00000.rtd");
}

static void write_split(const char *folder, const char *split) {
  CHECK_OK(&err, rn_file_make_folder(&err, rn_path_join(folder, split).text));
  CHECK_OK(&err, rn_file_replace(&err, file_in(folder, split).text, "tokens", 6));
}

/* Another process puts its `split` into the empty folder while this one builds. */
static void another_split_stays(const char *split) {
  const rn_path out = rn_path_join(temp_path("out"), split);
  rn_build_target target = {.nevers = 0};
  CHECK_OK(&err, rn_file_make_folder(&err, out.text));
  if (!CHECK_OK(&err, rn_build_target_open(&err, out.text, &target))) return;
  write_split(target.work.text, "val");
  write_split(target.work.text, "train");
  write_split(out.text, split);
  CHECK(rn_build_target_publish(&err, &target) != RN_OK);
  CHECK(strstr(err.text, split) != NULL);
  rn_err_clear(&err);
  rn_build_target_abandon(&target);
  CHECK_EQUAL(rn_file_exists(file_in(out.text, "val").text), strcmp(split, "val") == 0);
  CHECK_EQUAL(rn_file_exists(file_in(out.text, "train").text), strcmp(split, "train") == 0);
}

static void splits_get_their_places(void) {
  const rn_path out = rn_path_join(temp_path("out"), "empty");
  rn_build_target target = {.nevers = 0};
  CHECK_OK(&err, rn_file_make_folder(&err, out.text));
  if (!CHECK_OK(&err, rn_build_target_open(&err, out.text, &target))) return;
  write_split(target.work.text, "val");
  write_split(target.work.text, "train");
  CHECK_OK(&err, rn_build_target_publish(&err, &target));
  CHECK(rn_file_exists(file_in(out.text, "val").text));
  CHECK(rn_file_exists(file_in(out.text, "train").text));
}

int main(void) {
  another_split_stays("val");
  another_split_stays("train");
  splits_get_their_places();
  return check_result();
}
