/**
 * The CBLAS of this build, loaded on first use; OpenBLAS with kernels that fit the CPU.
 *
 * On a CPU that it does not recognize, OpenBLAS uses kernels for the oldest CPUs, a tenth as fast,
 * and it selects them while it is loaded. So a child process loads it first and reports its choice;
 * if that is slow, OPENBLAS_CORETYPE is set before this process loads it. RN_BLAS_LIBRARY is its
 * name for the dynamic linker; a build that only links a static BLAS cannot choose.
 */
#ifndef RN_MODEL_BASE_BLAS_H
#define RN_MODEL_BASE_BLAS_H

#include <cblas.h>
#include <stddef.h>

#include "proto/base/status.h"

/** The functions in use; those marked OpenBLAS or BLIS are NULL with other libraries. */
typedef struct rn_blas {
  __typeof__(cblas_sgemm) *sgemm;
  __typeof__(cblas_dgemm) *dgemm;
  void (*set_threads)(int threads);       /* OpenBLAS */
  void (*set_blis_threads)(long threads); /* BLIS */
  char *(*core_name)(void);               /* OpenBLAS */
  char *(*config)(void);                  /* OpenBLAS */
} rn_blas;

/** Loads the library once per process. Errors: RN_ERR_LIBRARY, with its name and the reason. */
rn_status rn_blas_load(rn_err *err);

/** The loaded library; calls rn_blas_load if nobody has, and exits the process if that fails. */
const rn_blas *rn_blas_table(void);

/** The OpenBLAS core type in use ("SkylakeX"), and its config string; "unknown" if not OpenBLAS. */
const char *rn_blas_core(void);
const char *rn_blas_config(void);

/** A line about the core type for the log of a run, or "" if OpenBLAS's own choice is good. */
typedef enum { RN_BLAS_AS_IS, RN_BLAS_CHOSEN, RN_BLAS_SLOW } rn_blas_choice;
rn_blas_choice rn_blas_chosen(char *text, size_t bytes);

#endif
