/**
 * Access to the CBLAS library of this build, which is loaded on first use. If it is OpenBLAS, makes
 * sure that its kernels fit the CPU.
 *
 * On a CPU that it does not recognize, OpenBLAS uses kernels for the oldest CPUs, which are a tenth
 * as fast. It selects the kernels while it is loaded. So a child process loads OpenBLAS first and
 * reports the selection; if those kernels are slow, OPENBLAS_CORETYPE is set before this process
 * loads OpenBLAS. RN_BLAS_LIBRARY is the library's name for the dynamic linker; a build with a
 * static BLAS cannot override the selection.
 */
#ifndef RN_MODEL_BASE_BLAS_H
#define RN_MODEL_BASE_BLAS_H

#include <cblas.h>
#include <stddef.h>

#include "proto/base/status.h"

/** The functions of the loaded library. A function marked OpenBLAS or BLIS is NULL with any
 * other library. */
typedef struct rn_blas {
  __typeof__(cblas_sgemm) *sgemm;
  __typeof__(cblas_dgemm) *dgemm;
  void (*set_threads)(int threads);       /* OpenBLAS */
  void (*set_blis_threads)(long threads); /* BLIS */
  char *(*core_name)(void);               /* OpenBLAS */
  char *(*config)(void);                  /* OpenBLAS */
} rn_blas;

/** Loads the library once per process. Errors: RN_ERR_LIBRARY, with the library's name and the
 * reason. */
rn_status rn_blas_load(rn_err *err);

/** Returns the loaded library. Calls rn_blas_load if necessary, and exits the process if that
 * fails. */
const rn_blas *rn_blas_table(void);

/** Returns the OpenBLAS core type in use, for example "SkylakeX"; "unknown" if the library is
 * not OpenBLAS. */
const char *rn_blas_core(void);
/** Returns the config string of OpenBLAS; "unknown" if the library is not OpenBLAS. */
const char *rn_blas_config(void);

/** A line about the core type for the log of a run, or "" if OpenBLAS's own choice is good. */
typedef enum { RN_BLAS_AS_IS, RN_BLAS_CHOSEN, RN_BLAS_SLOW } rn_blas_choice;
rn_blas_choice rn_blas_chosen(char *text, size_t bytes);

#endif
