#include "model/base/blas.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "proto/base/fault.h"

static const char core_key[] = "OPENBLAS_CORETYPE";

enum { NAME_BYTES = 64 };

static rn_blas table;
static char own_choice[NAME_BYTES]; /* core type that OpenBLAS selects by default, if that is slow;
                                       else "" */
static bool overridden;             /* true if OPENBLAS_CORETYPE was set to override own_choice */

/* ---- the core type ---- */

/* Returns the OpenBLAS core type for the widest vectors of this CPU; NULL without AVX2. */
static const char *fitting_core(void) {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return "SKYLAKEX";
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "HASWELL";
#endif
  return NULL;
}

/* True if the core type's kernels do not use AVX2 (call only if the CPU has AVX2). */
static bool is_slow(const char *core) {
  static const char *const fast[] = {
      "haswell", "zen", "excavator", "skylakex", "cooperlake", "sapphirerapids", "unknown"};
  for (size_t i = 0; i < sizeof fast / sizeof fast[0]; i++) {
    if (strcasecmp(core, fast[i]) == 0) return false;
  }
  return true;
}

#ifdef RN_BLAS_LIBRARY
static const char threads_key[] = "OPENBLAS_NUM_THREADS";

/* Opens the library, by name through the dynamic linker, or, if that fails, by the path found at
 * build time. */
static void *open_library(void) {
  void *library = dlopen(RN_BLAS_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  return library != NULL ? library : dlopen(RN_BLAS_PATH, RTLD_NOW | RTLD_LOCAL);
}

/* Stores the address of a function in *where. Uses memcpy because ISO C has no cast from an
 * object pointer to a function pointer. */
static void find(void *library, const char *name, void *where) {
  void *found = library != NULL ? dlsym(library, name) : NULL;
  memcpy(where, &found, sizeof found);
}

/* Runs in the child process: writes the name of the core type that OpenBLAS selects to `pipe`. */
static _Noreturn void report_core(int pipe) {
  char *(*core_name)(void) = NULL;
  setenv(threads_key, "1", 1);
  find(open_library(), "openblas_get_corename", &core_name);
  const char *name = core_name != NULL ? core_name() : "unknown";
  _exit(write(pipe, name, strlen(name)) > 0 ? 0 : 1);
}

static size_t read_name(int pipe, char *name) {
  size_t used = 0;
  for (;;) {
    const ssize_t got = read(pipe, name + used, NAME_BYTES - 1 - used);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return used;
    used += (size_t)got;
  }
}

/* Starts a child process without OPENBLAS_CORETYPE, and sets `name` to the core type that OpenBLAS
 * selects there; to "unknown" if no child can be started. */
static void ask_child(char *name) {
  int ends[2];
  snprintf(name, NAME_BYTES, "unknown");
  if (pipe(ends) != 0) return;
  const pid_t child = fork();
  if (child == 0) report_core(ends[1]);
  close(ends[1]);
  if (child > 0) {
    const size_t used = read_name(ends[0], name);
    if (used > 0) name[used] = '\0';
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
  }
  close(ends[0]);
}

static void choose_core(void) {
  char name[NAME_BYTES];
  if (fitting_core() == NULL || getenv(core_key) != NULL) return;
  ask_child(name);
  overridden = rn_fault_now("blas.core") || is_slow(name);
  if (!overridden) return;
  snprintf(own_choice, sizeof own_choice, "%s", name);
  setenv(core_key, fitting_core(), 1);
}

/* Loads the library with OPENBLAS_NUM_THREADS set to 1, so that OpenBLAS starts no threads while it
 * is loaded. */
static void *load_single_threaded(void) {
  const char *given = getenv(threads_key);
  char *saved = given != NULL ? strdup(given) : NULL;
  setenv(threads_key, "1", 1);
  void *library = open_library();
  if (saved != NULL) {
    setenv(threads_key, saved, 1);
  } else {
    unsetenv(threads_key);
  }
  free(saved);
  if (overridden) unsetenv(core_key);
  return library;
}

static void find_symbols(void *library) {
  find(library, "cblas_sgemm", &table.sgemm);
  find(library, "cblas_dgemm", &table.dgemm);
  find(library, "openblas_set_num_threads", &table.set_threads);
  find(library, "bli_thread_set_num_threads", &table.set_blis_threads);
  find(library, "openblas_get_corename", &table.core_name);
  find(library, "openblas_get_config", &table.config);
}

static const char *reason; /* reason why the library cannot be used */

static void load(void) {
  choose_core();
  void *library = load_single_threaded();
  if (library == NULL) reason = dlerror();
  find_symbols(library);
  if (library != NULL && (table.sgemm == NULL || table.dgemm == NULL))
    reason = "it does not define the CBLAS functions";
}

#else
/* Only OpenBLAS and BLIS define these symbols. */
extern void openblas_set_num_threads(int threads) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));
extern char *openblas_get_config(void) __attribute__((weak));
extern void bli_thread_set_num_threads(long threads) __attribute__((weak));

#define RN_BLAS_LIBRARY "CBLAS"
static const char *reason;

static void load(void) {
  table = (rn_blas){.sgemm = cblas_sgemm,
                    .dgemm = cblas_dgemm,
                    .set_threads = openblas_set_num_threads,
                    .set_blis_threads = bli_thread_set_num_threads,
                    .core_name = openblas_get_corename,
                    .config = openblas_get_config};
}
#endif

/* ---- the table ---- */

rn_status rn_blas_load(rn_err *err) {
  static once_flag loaded = ONCE_FLAG_INIT;
  call_once(&loaded, load);
  if (table.sgemm != NULL && table.dgemm != NULL) return RN_OK;
  return rn_fail(err, RN_ERR_LIBRARY, "cannot load %s: %s", RN_BLAS_LIBRARY,
                 reason != NULL ? reason : "unknown reason");
}

const rn_blas *rn_blas_table(void) {
  rn_err err = {0};
  if (rn_blas_load(&err) == RN_OK) return &table;
  fprintf(stderr, "error: %s\n", err.text);
  exit(1);
}

const char *rn_blas_core(void) {
  const rn_blas *blas = rn_blas_table();
  return blas->core_name != NULL ? blas->core_name() : "unknown";
}

const char *rn_blas_config(void) {
  const rn_blas *blas = rn_blas_table();
  return blas->config != NULL ? blas->config() : "unknown";
}

rn_blas_choice rn_blas_chosen(char *text, size_t bytes) {
  const char *core = rn_blas_core();
  if (bytes > 0) text[0] = '\0';
  if (overridden) {
    snprintf(text, bytes,
             "OpenBLAS uses %s kernels instead of the %s kernels that it selects by default", core,
             own_choice);
    return RN_BLAS_CHOSEN;
  }
  if (fitting_core() == NULL || !is_slow(core)) return RN_BLAS_AS_IS;
  char advice[2 * NAME_BYTES] = "unset OPENBLAS_CORETYPE";
  if (getenv(core_key) == NULL)
    snprintf(advice, sizeof advice, "set %s=%s", core_key, fitting_core());
  snprintf(text, bytes, "OpenBLAS uses %s kernels, but this CPU supports %s kernels: %s", core,
           fitting_core(), advice);
  return RN_BLAS_SLOW;
}
