#include "trainer/launch/host_check.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm/world/mpi_version.h"
#include "model/base/blas.h"
#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "proto/base/arena.h"
#include "proto/base/fault.h"
#include "proto/base/log.h"
#include "proto/cli/version.h"

enum { VALUE_BYTES = 200, HOST_BYTES = 64, TEXT_BYTES = 1400 };
static const double max_skew_s = 5;

/* ---- properties of a host ---- */

enum { CPU, MPI_LIBRARY, BLAS_LIBRARY, BLAS_CORE, PROPERTIES };

/* The properties that are compared. `site` names an injected fault (proto/base/fault.h), with which
 * tests change the value of the property on one rank. */
static const struct {
  const char *name, *site, *advice;
  bool changes_bits; /* true if a difference is an error in reproducible mode */
} properties[PROPERTIES] = {
    [CPU] = {"CPU", "host.cpu", "every step waits for the slowest host", false},
    [MPI_LIBRARY] = {"MPI library", "host.mpi", "install the same version on all hosts", false},
    [BLAS_LIBRARY] = {"BLAS library", "host.blas",
                      "results depend on it: install the same version on all hosts", true},
    [BLAS_CORE] =
        {"core type of OpenBLAS", "host.blas_core",
         "results depend on it: set OPENBLAS_CORETYPE to the oldest of these types on all "
         "hosts (mpirun -x OPENBLAS_CORETYPE=...)",
         true},
};

/* The properties of one rank's host. */
typedef struct facts {
  char host[HOST_BYTES];
  char value[PROPERTIES][VALUE_BYTES];
} facts;

/* Writes the model of the CPU and the number of cores. */
static void describe_cpu(char *text, size_t bytes) {
  char line[256], model[160] = "unknown model";
  FILE *file = fopen("/proc/cpuinfo", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "model name : %159[^\n]", model) == 1) break;
  }
  if (file != NULL) fclose(file);
  snprintf(text, bytes, "%s, %ld cores", model, sysconf(_SC_NPROCESSORS_ONLN));
}

static void collect(const rn_world *world, facts *out) {
  memset(out, 0, sizeof *out);
  snprintf(out->host, sizeof out->host, "%.63s", rn_world_host(world));
  describe_cpu(out->value[CPU], VALUE_BYTES);
  rn_mpi_version_line(out->value[MPI_LIBRARY], VALUE_BYTES);
  snprintf(out->value[BLAS_LIBRARY], VALUE_BYTES, "%.199s", rn_blas_config());
  snprintf(out->value[BLAS_CORE], VALUE_BYTES, "%.199s", rn_blas_core());
  for (int p = 0; p < PROPERTIES; p++) {
    if (rn_fault_now(properties[p].site)) snprintf(out->value[p], VALUE_BYTES, "another one");
  }
}

/* ---- comparison on rank 0 ---- */

/* Appends to text [TEXT_BYTES], which is cut off if it is full. */
__attribute__((format(printf, 2, 3))) static void append(char *text, const char *format, ...) {
  const size_t used = strlen(text);
  va_list args;
  va_start(args, format);
  vsnprintf(text + used, TEXT_BYTES - used, format, args);
  va_end(args);
}

/* True if an earlier rank has the same value of property `p`. */
static bool is_repeated(const facts *all, int rank, int p) {
  for (int r = 0; r < rank; r++) {
    if (strcmp(all[r].value[p], all[rank].value[p]) == 0) return true;
  }
  return false;
}

/* Appends the value of `first` and the hosts that have it, which are usually consecutive. */
static void append_value(const facts *all, int ranks, int first, int p, char *text) {
  const char *last = all[first].host;
  append(text, "%s%s on %s (from rank %d)", first == 0 ? "" : "; ", all[first].value[p], last,
         first);
  for (int r = first + 1, hosts = 1; r < ranks; r++) {
    if (strcmp(all[r].value[p], all[first].value[p]) != 0 || strcmp(all[r].host, last) == 0)
      continue;
    last = all[r].host;
    if (++hosts <= 8) append(text, ", %s", last);
    if (hosts == 9) append(text, ", ...");
  }
}

/* Reports the differences in one property; see rn_host_check. */
static rn_status compare(rn_err *err, const facts *all, int ranks, int p, bool reproducible) {
  char text[TEXT_BYTES] = "";
  int values = 0;
  for (int r = 0; r < ranks; r++) {
    if (is_repeated(all, r, p)) continue;
    append_value(all, ranks, r, p, text);
    if (++values == 8) break;
  }
  if (values < 2) return RN_OK;
  if (reproducible && properties[p].changes_bits) {
    return rn_fail(err, RN_ERR_MISMATCH, "run.reproducible: hosts differ in %s: %s; %s",
                   properties[p].name, text, properties[p].advice);
  }
  rn_log_warn("hosts differ in %s: %s; %s", properties[p].name, text, properties[p].advice);
  return RN_OK;
}

static rn_status compare_properties(rn_err *err, rn_world *world, bool reproducible) {
  facts mine, *all = NULL;
  char *bytes = NULL;
  size_t *sizes = NULL;
  collect(world, &mine);
  RN_TRY(err, rn_world_gather_bytes(err, world, &mine, sizeof mine, &bytes, &sizes));
  rn_status status = RN_OK;
  if (rn_world_rank(world) == 0) {
    all = (facts *)(void *)bytes;
    for (int p = 0; p < PROPERTIES && status == RN_OK; p++) {
      status = compare(err, all, rn_world_size(world), p, reproducible);
    }
  }
  free(bytes);
  free(sizes);
  return rn_agree(err, world, status);
}

/* ---- vector instructions ---- */

/* Writes "rank R on HOST: WHAT" to `named` on all ranks, where R is the first rank for which `mine`
 * is true. */
static rn_status name_rank(rn_err *err, rn_world *world, bool mine, const char *what,
                           rn_err *named) {
  rn_status status = mine ? rn_fail(named, RN_ERR_MISMATCH, "%s", what) : RN_OK;
  status = rn_agree(named, world, status);
  return status == RN_ERR_MPI ? rn_fail(err, status, "%s", named->text) : RN_OK;
}

/* Writes "rank R on HOST" to `named` on all ranks, where R is the first rank for which `mine` is
 * true. */
static rn_status name_oldest(rn_err *err, rn_world *world, bool mine, rn_err *named) {
  RN_TRY(err, name_rank(err, world, mine, "the oldest CPU", named));
  char *what = strrchr(named->text, ':');
  if (what != NULL) *what = '\0';
  return RN_OK;
}

/* Makes all ranks use the kernels with the widest vectors that every rank has. */
static rn_status agree_kernels(rn_err *err, rn_world *world) {
  const int index = rn_kernels_index();
  int64_t ends[2] = {index, -index};
  RN_TRY(err, rn_world_max(err, world, ends, 2));
  if (ends[0] == -ends[1]) return RN_OK;
  const int common = (int)-ends[1];
  rn_err named = {0};
  RN_TRY(err, name_oldest(err, world, index == common, &named));
  const bool has = rn_kernels_use(common);
  assert(has); /* a CPU with wide vectors also supports narrower ones */
  (void)has;
  rn_log_warn(
      "CPUs differ (the oldest: %s): all ranks now use the %s kernels, because results depend on "
      "them",
      named.text, rn_kernels_table()->name);
  return RN_OK;
}

/* Makes all ranks compute in fp32 if oneDNN cannot multiply in bf16 with the instructions that all
 * ranks have. The reason for this names `oldest`, the rank with the oldest CPU. */
static void agree_bf16(const rn_err *oldest) {
  char lack[sizeof oldest->text + 32];
  if (rn_gemm_bf16_lack() == NULL) return;
  snprintf(lack, sizeof lack, "%s has no bf16 instructions", oldest->text);
  rn_gemm_bf16_disable(lack);
}

/* Makes oneDNN use only the instructions that every rank has. */
static rn_status agree_instructions(rn_err *err, rn_world *world) {
  const int level = rn_gemm_vector_level();
  int64_t ends[2] = {level, -level};
  RN_TRY(err, rn_world_max(err, world, ends, 2));
  if (ends[0] == -ends[1]) return RN_OK;
  rn_status status = RN_OK;
  if (!rn_gemm_limit_vectors((int)-ends[1])) {
    status = rn_fail(
        err, RN_ERR_MISMATCH,
        "CPUs differ, and oneDNN cannot be limited to the instructions that all of them have: "
        "set ONEDNN_MAX_CPU_ISA=AVX2 on all ranks");
  }
  RN_TRY(err, rn_agree(err, world, status));
  rn_err named = {0};
  RN_TRY(err, name_oldest(err, world, level == -ends[1], &named));
  rn_log_warn("CPUs differ: oneDNN is limited to the instructions of the oldest (%s)", named.text);
  agree_bf16(&named);
  return RN_OK;
}

/* ---- clocks ---- */

static double clock_now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const double fault_s = rn_fault_names("host.clock") ? 3600 : 0;
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9 + fault_s;
}

/*
 * Every rank reads its clock before and after a barrier. The time at which the last rank enters the
 * barrier lies between the two on each rank, so clocks differ at least by the gap between two such
 * intervals. A delayed rank only makes its interval longer.
 */
static rn_status compare_clocks(rn_err *err, rn_world *world, double *before, double *after) {
  const double begin_s = clock_now_s();
  RN_TRY(err, rn_world_barrier(err, world));
  const double end_s = clock_now_s();
  RN_TRY(err, rn_world_all_gather_double(err, world, begin_s, before));
  RN_TRY(err, rn_world_all_gather_double(err, world, end_s, after));
  double skew_s = 0;
  int worst = 0;
  for (int r = 1; r < rn_world_size(world); r++) {
    const double ahead_s = before[r] - after[0], behind_s = before[0] - after[r];
    const double gap_s = ahead_s > 0 ? ahead_s : behind_s > 0 ? -behind_s : 0;
    if (fabs(gap_s) > fabs(skew_s)) {
      skew_s = gap_s;
      worst = r;
    }
  }
  if (fabs(skew_s) <= max_skew_s) return RN_OK;
  rn_err named = {0};
  RN_TRY(err, name_rank(err, world, rn_world_rank(world) == worst, "its clock", &named));
  rn_log_warn(
      "clocks differ: %s is %.0f s %s that of rank 0; times in logs and of files differ, too; "
      "synchronize the clocks (NTP)",
      named.text, fabs(skew_s), skew_s > 0 ? "ahead of" : "behind");
  return RN_OK;
}

static rn_status check_clocks(rn_err *err, rn_world *world) {
  const size_t ranks = (size_t)rn_world_size(world);
  double *times;
  rn_status status = rn_alloc(err, "clocks", 2 * ranks, sizeof *times, &times);
  if ((status = rn_agree(err, world, status)) == RN_OK) {
    status = compare_clocks(err, world, times, times + ranks);
  }
  free(times);
  return status;
}

rn_status rn_host_check_program(rn_err *err, rn_world *world) {
  const char *build = rn_fault_now("host.program") ? "another one" : rn_version_build_id();
  return rn_world_check_same(err, world, "the program", build, strlen(build));
}

rn_status rn_host_check(rn_err *err, rn_world *world, bool reproducible) {
  if (rn_world_size(world) == 1) return RN_OK;
  RN_TRY(err, compare_properties(err, world, reproducible));
  RN_TRY(err, agree_kernels(err, world));
  RN_TRY(err, agree_instructions(err, world));
  return check_clocks(err, world);
}
