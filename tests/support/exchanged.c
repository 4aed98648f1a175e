#include "tests/support/exchanged.h"

#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"
#include "trainer/tools/ckpt_tool.h"

static rn_err *err = &(rn_err){0};

static void same_bytes(const char *a, const char *b) {
  enum { MAX_BYTES = 1 << 20 };
  void *left = NULL, *right = NULL;
  size_t left_bytes = 0, right_bytes = 1;
  CHECK_OK(err, rn_file_load(err, a, MAX_BYTES, &left, &left_bytes));
  CHECK_OK(err, rn_file_load(err, b, MAX_BYTES, &right, &right_bytes));
  if (!CHECK(left_bytes == right_bytes && memcmp(left, right, left_bytes) == 0)) {
    fprintf(stderr, "%s differs from %s\n", a, b);
  }
  free(left);
  free(right);
}

rn_status exchanged_import(rn_err *error, const char *path, const char *ckpt) {
  FILE *out = fopen("/dev/null", "w");
  const rn_status status = rn_import(error, path, ckpt, out);
  fclose(out);
  return status;
}

static const char *path_of(const char *name, const char *what, int number) {
  char text[64];
  snprintf(text, sizeof text, "%s.%s%d", name, what, number);
  return temp_path(text);
}

/* Checks that folder `a` contains `count` files, and that the files in `b` have the same bytes. */
static void same_folders(const char *a, const char *b, int count) {
  DIR *folder = opendir(a);
  const struct dirent *item;
  while (CHECK(folder != NULL) && (item = readdir(folder)) != NULL) {
    if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
    same_bytes(rn_path_join(a, item->d_name).text, rn_path_join(b, item->d_name).text);
    count--;
  }
  closedir(folder);
  CHECK_EQUAL(count, 0);
}

void exchanged_returns(const char *name, const char *run, rn_export_options options, int count) {
  const char *ckpt = path_of(name, "imported", 0);
  const char *first = path_of(name, "export", 1), *second = path_of(name, "export", 2);
  CHECK_OK(err, rn_export(err, run, first, &options));
  CHECK_OK(err, exchanged_import(err, first, ckpt));
  CHECK_OK(err, rn_ckpt_tool_verify(err, ckpt, stdout));
  CHECK_OK(err, rn_export(err, ckpt, second, &options));
  same_folders(first, second, count);
}

static void refuses(const char *folder, const exchanged_config *c) {
  const rn_path path = rn_path_join(folder, "config.json");
  const char *ckpt = temp_path("refused");
  json_t *config = json_load_file(path.text, 0, NULL);
  json_t *old = json_incref(json_object_get(config, c->key));
  json_object_set_new(config, c->key, json_loads(c->value, JSON_DECODE_ANY, NULL));
  CHECK_EQUAL(json_dump_file(config, path.text, 0), 0);
  CHECK_FAILS(err, c->status, c->words, exchanged_import(err, folder, ckpt));
  CHECK(!rn_file_exists(ckpt) && !rn_file_exists(temp_path("refused.tmp")));
  if (old == NULL) {
    json_object_del(config, c->key);
  } else {
    json_object_set_new(config, c->key, old);
  }
  CHECK_EQUAL(json_dump_file(config, path.text, 0), 0);
  json_decref(config);
}

void exchanged_refuses(const char *name, const exchanged_config *config, int count) {
  const char *folder = path_of(name, "export", 1);
  for (int i = 0; i < count; i++) refuses(folder, &config[i]);
}
