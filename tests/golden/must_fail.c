/*
 * golden_check notices: one value a little off in any kind of array, an array of another name, a
 * file cut short or without its config. Arguments: the program, a file of golden vectors.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/safetensors.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

typedef struct vectors {
  const char *program;
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

/* Exit code of the program on these bytes; -1 when it was killed. */
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

/* The first two words of a name: the kind of array. */
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

/* Changes the middle element by what the double build must see: 1e-9 of the size, 8 ulp, 1 token.
 */
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

/* Overwrites the first place of `from` with `to`, as long. */
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
    fails(v, "cut short", v->bytes, sizes[i]);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  vectors v = {.program = argv[1]};
  read_bytes(argv[2], &v);
  CHECK_OK(err, rn_safetensors_open(err, argv[2], &v.file));
  CHECK_EQUAL(code_of(&v, v.bytes, v.size), 0);
  a_value_off_is_a_miss(&v);
  another_name_is_an_error(&v);
  a_file_cut_short_is_an_error(&v);
  rn_safetensors_close(&v.file);
  free(v.bytes);
  return check_result();
}
