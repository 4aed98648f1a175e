/*
 * golden_check FILE...: compares this program's numerics, in both precisions, with golden vectors.
 *
 * Exit code 0: every array was compared, or is listed as not compared, and all errors are within
 * their tolerance.
 */
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "model/base/threads.h"
#include "tests/golden/golden.h"
#include "tests/golden/run.h"

typedef rn_status (*run_fn)(rn_err *err, golden_case *c);

/* Functions that check a case in each precision. The rows are in the order of golden_kind. */
static const run_fn runs[][GOLDEN_PRECISIONS] = {
#define RUN_ROW(kind) {golden_run_##kind##_f32, golden_run_##kind##_f64},
    GOLDEN_RUNS(RUN_ROW)
#undef RUN_ROW
};

static void print_error(const rn_err *err) {
  printf("  ERROR: %s (%s)\n", err->text, rn_status_text(err->status));
}

static int unknown_names(const golden_case *c) {
  int unknown = 0;
  for (int i = 0; i < rn_safetensors_count(c->file); i++) {
    const char *name = rn_safetensors_at(c->file, i)->name;
    if (golden_meaning_of(c->kind, name).role != GOLDEN_UNKNOWN) continue;
    printf("  ERROR: %s: %s: no %s case has an array of this name\n", c->path, name,
           golden_kind_name(c->kind));
    unknown++;
  }
  return unknown;
}

/* Counts arrays that should have been compared in both precisions but were not. */
static int unreached(const golden_case *c) {
  int missed = 0;
  for (int i = 0; i < rn_safetensors_count(c->file); i++) {
    const char *name = rn_safetensors_at(c->file, i)->name;
    if (golden_meaning_of(c->kind, name).role != GOLDEN_COMPARED) continue;
    if (c->reached[GOLDEN_F32][i] && c->reached[GOLDEN_F64][i]) continue;
    printf("  ERROR: %s: %s: the program has no such quantity: not compared  FAIL\n", c->path,
           name);
    missed++;
  }
  return missed;
}

static void list_the_rest(const golden_case *c) {
  int listed = 0;
  for (int i = 0; i < rn_safetensors_count(c->file); i++) {
    const char *name = rn_safetensors_at(c->file, i)->name;
    const golden_role role = golden_meaning_of(c->kind, name).role;
    const bool reached = c->reached[GOLDEN_F32][i] || c->reached[GOLDEN_F64][i];
    if (role == GOLDEN_UNKNOWN || role == GOLDEN_COMPARED || reached) continue;
    printf("%s %s", listed++ == 0 ? "  not compared:" : ",", name);
  }
  if (listed > 0) printf("\n");
}

static bool check_case(rn_err *err, golden_case *c) {
  printf("%s: %s\n", c->path, golden_kind_name(c->kind));
  int errors = unknown_names(c);
  for (int p = 0; p < GOLDEN_PRECISIONS; p++) {
    if (runs[c->kind][p](err, c) == RN_OK) continue;
    print_error(err);
    rn_err_clear(err);
    errors++;
  }
  errors += unreached(c);
  list_the_rest(c);
  const bool good = errors == 0 && c->misses == 0 && c->lines > 0;
  printf("%s: %d comparisons, %d misses, %d errors: %s\n", c->path, c->lines, c->misses, errors,
         good ? "ok" : "FAIL");
  return good;
}

static bool check_file(const char *path) {
  rn_err err = {0};
  golden_case c;
  bool good = false;
  if (golden_open(&err, path, &c) == RN_OK) {
    good = check_case(&err, &c);
  } else {
    printf("%s\n", path);
    print_error(&err);
    printf("%s: FAIL\n", path);
  }
  golden_close(&c);
  return good;
}

int main(int argc, char **argv) {
  if (argc < 2 || strcmp(argv[1], "--help") == 0) {
    fprintf(argc < 2 ? stderr : stdout,
            "usage: golden_check FILE...\nCompares the numerics with golden vectors "
            "(.safetensors), in float and in double.\n");
    return argc < 2 ? 2 : 0;
  }
  golden_use_sets();
  rn_threads_start(omp_get_max_threads());
  int bad = 0;
  for (int i = 1; i < argc; i++) {
    if (!check_file(argv[i])) bad++;
  }
  printf("%d of %d files ok\n", argc - 1 - bad, argc - 1);
  return bad == 0 ? 0 : 1;
}
