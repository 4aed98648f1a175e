/* Checks that either all staged files replace those of a folder, or none of them does. */
#include "data/file/staged_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

static void write_text(const char *folder, const char *name, const char *text) {
  CHECK_OK(err, rn_file_replace(err, rn_path_join(folder, name).text, text, strlen(text)));
}

/* Checks the contents of a file; if `want` is NULL, the file must not exist. */
static void check_text(const char *folder, const char *name, const char *want) {
  const rn_path path = rn_path_join(folder, name);
  void *text = NULL;
  size_t bytes;
  if (want == NULL) {
    CHECK(!rn_file_exists(path.text));
    return;
  }
  CHECK_OK(err, rn_file_load(err, path.text, 100, &text, &bytes));
  CHECK(text != NULL && strcmp(text, want) == 0);
  free(text);
}

static void stage(const char *folder, rn_staged_folder *staged) {
  CHECK_OK(err, rn_staged_folder_create(err, folder, staged));
  write_text(staged->staged.text, "a", "new a");
  write_text(staged->staged.text, "b", "new b");
  write_text(staged->staged.text, "c", "new c");
}

static void a_new_folder_is_made_or_left_out(void) {
  rn_staged_folder staged = {0};
  const char *folder = temp_path("new");
  stage(folder, &staged);
  rn_staged_folder_abandon(&staged);
  CHECK(!rn_file_exists(folder));
  stage(folder, &staged);
  CHECK_OK(err, rn_staged_folder_publish(err, &staged));
  rn_staged_folder_abandon(&staged);
  check_text(folder, "a", "new a");
  check_text(folder, "c", "new c");
  CHECK(!rn_file_exists(staged.staged.text));
}

static void no_rename_that_fails_leaves_a_mixture(void) {
  rn_staged_folder staged = {0};
  const char *folder = temp_path("old");
  CHECK_OK(err, rn_file_make_folder(err, folder));
  write_text(folder, "a", "old a");
  write_text(folder, "c", "old c");
  write_text(folder, "d", "old d");
  for (int failing = 1; failing <= 3; failing++) {
    char fault[32];
    stage(folder, &staged);
    snprintf(fault, sizeof fault, "file.rename:%d:EIO", failing);
    setenv("RETNET_FAULT", fault, 1);
    CHECK_FAILS(err, RN_ERR_IO, "rename", rn_staged_folder_publish(err, &staged));
    unsetenv("RETNET_FAULT");
    rn_staged_folder_abandon(&staged);
    check_text(folder, "a", "old a");
    check_text(folder, "b", NULL);
    check_text(folder, "c", "old c");
    CHECK(!rn_file_exists(staged.staged.text));
  }
  stage(folder, &staged);
  setenv("RETNET_FAULT", "file.sync_folder:1:EIO", 1);
  CHECK_FAILS(err, RN_ERR_IO, "fsync", rn_staged_folder_publish(err, &staged));
  unsetenv("RETNET_FAULT");
  CHECK(rn_file_exists(staged.staged.text));
  rn_staged_folder_abandon(&staged);
  check_text(folder, "a", "old a");
  check_text(folder, "b", NULL);
  stage(folder, &staged);
  CHECK_OK(err, rn_staged_folder_publish(err, &staged));
  check_text(folder, "b", "new b");
  check_text(folder, "c", "new c");
  check_text(folder, "d", "old d");
}

static void what_a_killed_process_left_is_removed(void) {
  rn_staged_folder killed = {0}, staged = {0};
  const char *folder = temp_path("killed");
  stage(folder, &killed);
  write_text(killed.staged.text, "z", "left");
  stage(folder, &staged);
  CHECK_OK(err, rn_staged_folder_publish(err, &staged));
  check_text(folder, "a", "new a");
  check_text(folder, "z", NULL);
}

static void a_folder_is_never_replaced_by_a_file(void) {
  rn_staged_folder staged = {0};
  const char *folder = temp_path("folder");
  CHECK_OK(err, rn_file_make_folder(err, temp_path("folder/b")));
  write_text(temp_path("folder/b"), "content", "kept");
  stage(folder, &staged);
  CHECK_FAILS(err, RN_ERR_IO, "folder/b", rn_staged_folder_publish(err, &staged));
  rn_staged_folder_abandon(&staged);
  check_text(folder, "a", NULL);
  check_text(temp_path("folder/b"), "content", "kept");
}

int main(void) {
  a_new_folder_is_made_or_left_out();
  no_rename_that_fails_leaves_a_mixture();
  what_a_killed_process_left_is_removed();
  a_folder_is_never_replaced_by_a_file();
  return check_result();
}
