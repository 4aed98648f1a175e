/*
 * Checks that golden_check fails if one value of any kind of array is slightly off, if an array has
 * the wrong name, and if a file is truncated or has no config. Checks that the error bound in
 * single precision is taken from config.tolerance or, if it is absent there, from tolerances.json.
 *
 * Arguments: the program golden_check, and a file of vectors.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/exchange/safetensors.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

typedef struct vectors {
  const char *program;
  json_t *table; /* tolerances.json */
  unsigned char *bytes;
  size_t size;
  rn_safetensors *file;
} vectors;

static void read_bytes(const char *path, vectors *v) {
  FILE *in = fopen(path, "rb");
  if (!CHECK(in != NULL)) exit(check_result());
  fseek(in, 0, SEEK_END);
  v->size = (size_t)ftell(in);
  rewind(in);
  v->bytes = malloc(v->size);
  if (v->bytes == NULL || fread(v->bytes, 1, v->size, in) != v->size) abort();
  fclose(in);
}

/* Runs the program on a file with these bytes. Returns the exit code; -1: killed by a signal.
 */
static int code_of(const vectors *v, const unsigned char *bytes, size_t size) {
  const char *path = temp_path("changed.safetensors");
  FILE *out = fopen(path, "wb");
  if (out == NULL || fwrite(bytes, 1, size, out) != size || fclose(out) != 0) abort();
  const pid_t child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "w", stdout) != NULL) execl(v->program, v->program, path, (char *)0);
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) abort();
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void fails(const vectors *v, const char *what, const unsigned char *bytes, size_t size) {
  const int code = code_of(v, bytes, size);
  if (!CHECK_EQUAL(code, 1)) fprintf(stderr, "  %s\n", what);
}

static bool ends_with(const char *name, const char *suffix) {
  const size_t all = strlen(name), part = strlen(suffix);
  return all >= part && strcmp(name + all - part, suffix) == 0;
}

/* Returns the length of the first two words of a name, which identify the kind of array. */
static size_t kind_length(const char *name) {
  const char *dot = strchr(name, '.');
  const char *second = dot != NULL ? strchr(dot + 1, '.') : NULL;
  return second != NULL ? (size_t)(second - name) : strlen(name);
}

static bool first_of_its_kind(const vectors *v, int index) {
  const char *name = rn_safetensors_at(v->file, index)->name;
  const size_t length = kind_length(name);
  for (int i = 0; i < index; i++) {
    const char *before = rn_safetensors_at(v->file, i)->name;
    if (kind_length(before) == length && strncmp(before, name, length) == 0) return false;
  }
  return true;
}

static bool is_compared(const char *name) {
  if (strncmp(name, "mid.", 4) == 0 || strncmp(name, "in.", 3) == 0) return false;
  if (strncmp(name, "buf.", 4) == 0) return false;
  return ends_with(name, ".f64") || ends_with(name, ".r32") || ends_with(name, ".tokens");
}

/* Changes the middle element by an amount that the double build must detect: 1e-9 of the largest
 * element (at least 1), 8 ulp of a float, or 1 for a token. */
static void change(const rn_safetensors_tensor *t, unsigned char *bytes) {
  unsigned char *at = bytes + t->offset;
  const int64_t middle = t->count / 2;
  double size = 1, wide;
  float narrow;
  int64_t whole;
  switch (t->type) {
    case RN_SAFETENSORS_F64:
      for (int64_t i = 0; i < t->count; i++) {
        memcpy(&wide, at + 8 * i, 8);
        size = fmax(size, fabs(wide));
      }
      memcpy(&wide, at + 8 * middle, 8);
      wide += 1e-9 * size;
      memcpy(at + 8 * middle, &wide, 8);
      break;
    case RN_SAFETENSORS_F32:
      memcpy(&narrow, at + 4 * middle, 4);
      narrow = narrow * (1 + 8 * 1.2e-7f) + 1e-30f;
      memcpy(at + 4 * middle, &narrow, 4);
      break;
    default:
      memcpy(&whole, at + 8 * middle, 8);
      whole = whole > 0 ? whole - 1 : whole + 1;
      memcpy(at + 8 * middle, &whole, 8);
  }
}

static void a_value_off_is_a_miss(const vectors *v) {
  int changed = 0;
  unsigned char *copy = malloc(v->size);
  if (copy == NULL) abort();
  for (int i = 0; i < rn_safetensors_count(v->file); i++) {
    const rn_safetensors_tensor *t = rn_safetensors_at(v->file, i);
    if (!is_compared(t->name) || !first_of_its_kind(v, i)) continue;
    memcpy(copy, v->bytes, v->size);
    change(t, copy);
    fails(v, t->name, copy, v->size);
    changed++;
  }
  CHECK(changed > 0);
  free(copy);
}

/* Replaces the first occurrence of `from` by `to`, which has the same length; the program must
 * fail. */
static void rename_in_header(const vectors *v, const char *from, const char *to) {
  unsigned char *copy = malloc(v->size), *at = NULL;
  const size_t length = strlen(from);
  if (copy == NULL) abort();
  memcpy(copy, v->bytes, v->size);
  for (size_t i = 8; at == NULL && i + length <= v->size; i++) {
    if (memcmp(copy + i, from, length) == 0) at = copy + i;
  }
  if (CHECK(at != NULL)) {
    memcpy(at, to, length);
    fails(v, to, copy, v->size);
  }
  free(copy);
}

static void another_name_is_an_error(const vectors *v) {
  const char *name = NULL;
  for (int i = 0; i < rn_safetensors_count(v->file); i++) {
    if (is_compared(rn_safetensors_at(v->file, i)->name))
      name = rn_safetensors_at(v->file, i)->name;
  }
  if (!CHECK(name != NULL)) return;
  char from[256], to[256];
  snprintf(from, sizeof from, "\"%s\"", name);
  snprintf(to, sizeof to, "\"%s\"", name);
  to[1] = '_';
  rename_in_header(v, from, to);
  snprintf(to, sizeof to, "\"%s\"", name);
  to[strlen(to) - 2] = '9';
  rename_in_header(v, from, to);
  rename_in_header(v, "\"config\"", "\"conf_g\"");
}

static void a_file_cut_short_is_an_error(const vectors *v) {
  const size_t sizes[] = {0, 4, 8, 100, v->size / 2, v->size - 1};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    fails(v, "truncated", v->bytes, sizes[i]);
  }
}

/* ---- bounds ---- */

/* Writes tolerances.json beside the changed vectors: the text `not_json` if it is not NULL, else
 * `table`. */
static void write_table(const json_t *table, const char *not_json) {
  const char *path = temp_path("tolerances.json");
  FILE *out = fopen(path, "wb");
  if (out == NULL) abort();
  if (not_json != NULL ? fputs(not_json, out) < 0 : json_dumpf(table, out, 0) != 0) abort();
  if (fclose(out) != 0) abort();
}

/* Returns a copy of the table with another bound for one array of this case. */
static json_t *table_with(const vectors *v, const char *array, json_t *bound) {
  json_t *table = json_deep_copy(v->table);
  const char *name = rn_safetensors_metadata(v->file, "case");
  json_t *bounds = json_object_get(json_object_get(table, "tolerances"), name);
  if (json_object_set_new(bounds, array, bound) != 0) abort();
  return table;
}

/* Returns an array that the table lists and that a float run does not reproduce exactly. */
static const char *inexact_array(const vectors *v) {
  const char *name = rn_safetensors_metadata(v->file, "case"), *array;
  json_t *bound, *bounds = json_object_get(json_object_get(v->table, "tolerances"), name);
  json_object_foreach(bounds, array, bound) {
    if (is_compared(array) && strcmp(array, "lr.f64") != 0) return array;
  }
  return NULL;
}

/* True if the file's config.tolerance has a bound for the array; it overrides the bound of
 * tolerances.json. */
static bool has_own_bound(const vectors *v, const char *array) {
  const char *text = rn_safetensors_metadata(v->file, "config");
  json_t *config = text != NULL ? json_loads(text, 0, NULL) : NULL;
  const bool has = json_object_get(json_object_get(config, "tolerance"), array) != NULL;
  json_decref(config);
  return has;
}

/* Returns a copy of the file's bytes with a rewritten header, in which config.tolerance contains
 * only `bound`, for `array`. */
static unsigned char *with_own_bound(const vectors *v, const char *array, json_t *bound,
                                     size_t *size) {
  uint64_t length;
  memcpy(&length, v->bytes, sizeof length);
  json_t *header = json_loadb((const char *)v->bytes + 8, length, 0, NULL);
  json_t *metadata = json_object_get(header, "__metadata__");
  json_t *config = json_loads(json_string_value(json_object_get(metadata, "config")), 0, NULL);
  json_t *bounds = json_object();
  json_object_set_new(bounds, array, bound);
  json_object_set_new(config, "tolerance", bounds);
  char *text = json_dumps(config, JSON_COMPACT);
  json_object_set_new(metadata, "config", json_string(text));
  char *head = json_dumps(header, JSON_COMPACT | JSON_PRESERVE_ORDER);
  const uint64_t used = strlen(head), padded = (used + 7) / 8 * 8;
  const size_t data = v->size - 8 - length;
  *size = 8 + padded + data;
  unsigned char *out = malloc(*size);
  if (out == NULL) abort();
  memcpy(out, &padded, 8);
  memset(out + 8, ' ', padded);
  memcpy(out + 8, head, used);
  memcpy(out + 8 + padded, v->bytes + 8 + length, data);
  free(head);
  free(text);
  json_decref(config);
  json_decref(header);
  return out;
}

static void check_own_bound(const vectors *v, const char *array, json_t *bound, int code) {
  size_t size;
  unsigned char *bytes = with_own_bound(v, array, bound, &size);
  CHECK_EQUAL(code_of(v, bytes, size), code);
  free(bytes);
}

static void check_table(const vectors *v, json_t *table, int code) {
  write_table(table, NULL);
  CHECK_EQUAL(code_of(v, v->bytes, v->size), code);
  json_decref(table);
}

/* Checks which bound is used. The error of a float run is larger than 0 and smaller than 1000,
 * so that a bound of 0 fails and a bound of 1000 passes. */
static void bounds_are_the_files(const vectors *v) {
  const char *array = inexact_array(v);
  if (!CHECK(array != NULL)) return;
  check_table(v, table_with(v, array, json_real(0)), has_own_bound(v, array) ? 0 : 1);
  check_own_bound(v, array, json_real(1000), 0); /* config.tolerance overrides the table */
  check_table(v, table_with(v, array, json_string("1")), 1);
  write_table(NULL, "{");
  fails(v, "a table that is no JSON", v->bytes, v->size);
  write_table(v->table, NULL);
  check_own_bound(v, array, json_real(0), 1);
  check_own_bound(v, array, json_real(-1), 1);
}

static void load_table(const char *file, vectors *v) {
  char path[4096];
  const char *slash = strrchr(file, '/');
  const int folder = slash == NULL ? 0 : (int)(slash - file) + 1;
  snprintf(path, sizeof path, "%.*stolerances.json", folder, file);
  v->table = json_load_file(path, 0, NULL);
  if (!CHECK(v->table != NULL)) exit(check_result());
  write_table(v->table, NULL);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  vectors v = {.program = argv[1]};
  read_bytes(argv[2], &v);
  load_table(argv[2], &v);
  CHECK_OK(err, rn_safetensors_open(err, argv[2], &v.file));
  CHECK_EQUAL(code_of(&v, v.bytes, v.size), 0);
  a_value_off_is_a_miss(&v);
  another_name_is_an_error(&v);
  a_file_cut_short_is_an_error(&v);
  bounds_are_the_files(&v);
  json_decref(v.table);
  rn_safetensors_close(&v.file);
  free(v.bytes);
  return check_result();
}
