/**
 * Gives access to the CBLAS library of this build, which is loaded on first use. If the library is
 * OpenBLAS, ensures that it uses fast kernels for the CPU.
 *
 * On a CPU that it does not recognize, OpenBLAS uses kernels for the oldest CPUs, which are about
 * ten times slower. OpenBLAS selects kernels when it is loaded. Therefore, a child process loads
 * OpenBLAS first and reports the selection; if the selected kernels are slow, this process sets
 * OPENBLAS_CORETYPE before it loads OpenBLAS. RN_BLAS_LIBRARY is the file name of the library for
 * the dynamic linker; a build with a static BLAS cannot override the selection.
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

/** Loads the library, unless it is loaded already. Errors: RN_ERR_LIBRARY, with the name of the
 * library and the reason. */
rn_status rn_blas_load(rn_err *err);

/** Returns the loaded library. Calls rn_blas_load if necessary, and exits the process if that
 * fails. */
const rn_blas *rn_blas_table(void);

/** Returns the OpenBLAS core type in use, for example "SkylakeX"; "unknown" if the library is
 * not OpenBLAS. */
const char *rn_blas_core(void);
/** Returns the config string of OpenBLAS; "unknown" if the library is not OpenBLAS. */
const char *rn_blas_config(void);

/** How the core type was selected. AS_IS: OpenBLAS's default, which is fast. CHOSEN: by this
 * process, because the default is slow. SLOW: by OPENBLAS_CORETYPE, or by OpenBLAS if its
 * default could not be changed; the kernels are slow. rn_blas_chosen also writes a message for the
 * log of a run to `text`; the message is "" for AS_IS. */
typedef enum { RN_BLAS_AS_IS, RN_BLAS_CHOSEN, RN_BLAS_SLOW } rn_blas_choice;
rn_blas_choice rn_blas_chosen(char *text, size_t bytes);

#endif
