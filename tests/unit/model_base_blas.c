/*
 * Checks that OpenBLAS uses kernels that fit the CPU. The kernels are chosen in this process before
 * OpenBLAS is loaded; this must change neither the environment nor the number of threads. Also
 * checks that a core type that the user sets is kept, and that any CBLAS library can be the
 * backend.
 */
#include "model/base/blas.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"

enum { SKIPPED = 77, MAX_STRINGS = 4 };

static rn_err err;

static void it_multiplies(void) {
  const float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8};
  const double wide_a[] = {1, 2, 3, 4}, wide_b[] = {5, 6, 7, 8};
  float c[4] = {0};
  double wide_c[4] = {0};
  const rn_blas *blas = rn_blas_table();
  blas->sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, 2, 2, 2, 1, a, 2, b, 2, 0, c, 2);
  CHECK(c[0] == 19 && c[1] == 22 && c[2] == 43 && c[3] == 50);
  blas->dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, 2, 2, 2, 1, wide_a, 2, wide_b, 2, 0, wide_c,
              2);
  CHECK(wide_c[0] == 17 && wide_c[1] == 23 && wide_c[2] == 39 && wide_c[3] == 53);
}

static int threads_here(void) {
  int count = 0;
  DIR *tasks = opendir("/proc/self/task");
  for (struct dirent *d; tasks != NULL && (d = readdir(tasks)) != NULL;)
    count += d->d_name[0] != '.';
  if (tasks != NULL) closedir(tasks);
  return count;
}

static bool is_set(const char *name, const char *want) {
  const char *value = getenv(name);
  return want == NULL ? value == NULL : value != NULL && strcmp(value, want) == 0;
}

/* Runs as the child: argv[1] is the expected choice, argv[2] the expected core type ("" for
 * any). */
static int be_child(char **argv) {
  char text[200];
  const int before = threads_here();
  const char *given = getenv("OPENBLAS_CORETYPE");
  CHECK_OK(&err, rn_blas_load(&err));
  CHECK_EQUAL(threads_here(), before);
  CHECK(is_set("OPENBLAS_CORETYPE", given) && is_set("OPENBLAS_NUM_THREADS", "3"));
  CHECK_EQUAL(rn_blas_chosen(text, sizeof text), atoi(argv[1]));
  if (!CHECK(argv[2][0] == '\0' || strcasecmp(rn_blas_core(), argv[2]) == 0)) {
    fprintf(stderr, "  %s, not %s: %s\n", rn_blas_core(), argv[2], text);
  }
  CHECK((text[0] == '\0') == (rn_blas_chosen(text, sizeof text) == RN_BLAS_AS_IS));
  it_multiplies();
  return check_result();
}

static void check_child(const char *self, rn_blas_choice choice, const char *core,
                        const char *variable, const char *value) {
  char number[8];
  snprintf(number, sizeof number, "%d", (int)choice);
  const pid_t child = fork();
  if (child == 0) {
    setenv("OPENBLAS_NUM_THREADS", "3", 1);
    unsetenv("OPENBLAS_CORETYPE");
    if (variable != NULL) setenv(variable, value, 1);
    execl(self, self, number, core, (char *)NULL);
    _exit(127);
  }
  int status = 0;
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
  if (argc == 3) return be_child(argv);
  const char *asked = getenv("OPENBLAS_CORETYPE");
  it_multiplies();
  CHECK(strlen(rn_blas_core()) > 0 && strlen(rn_blas_config()) > 0);
  if (strcmp(rn_blas_core(), "unknown") == 0) {
    printf("skipped: this CBLAS is no OpenBLAS, whose kernels are chosen\n");
    return check_failures() > 0 ? check_result() : SKIPPED;
  }
#ifdef __x86_64__
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    check_child(argv[0], RN_BLAS_CHOSEN, wide ? "SkylakeX" : "Haswell", "RETNET_FAULT",
                "blas.core:1");
    check_child(argv[0], RN_BLAS_AS_IS, "Haswell", "OPENBLAS_CORETYPE", "HASWELL");
    check_child(argv[0], RN_BLAS_SLOW, "Prescott", "OPENBLAS_CORETYPE", "PRESCOTT");
  }
#endif
  char text[200];
  if (asked == NULL) {
    check_child(argv[0], rn_blas_chosen(text, sizeof text), rn_blas_core(), NULL, NULL);
  }
  return check_result();
}
