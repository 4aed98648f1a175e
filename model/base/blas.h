/**
 * The CBLAS of this build, loaded when it is first needed, OpenBLAS with kernels that fit the CPU.
 *
 * On a CPU that it does not know OpenBLAS takes kernels of the oldest ones, a tenth as fast, and it
 * decides while it is loaded. So a child process loads it first and tells what it would take; where
 * that is slow, OPENBLAS_CORETYPE is set before this process loads it. RN_BLAS_LIBRARY is its name
 * for the dynamic linker; a build that has a static one only links it, and cannot choose.
 */
#ifndef RN_MODEL_BASE_BLAS_H
#define RN_MODEL_BASE_BLAS_H

#include <cblas.h>
#include <stddef.h>

#include "proto/base/status.h"

/** The calls that are used; of OpenBLAS and BLIS alone where they are not NULL. */
typedef struct rn_blas {
  __typeof__(cblas_sgemm) *sgemm;
  __typeof__(cblas_dgemm) *dgemm;
  void (*set_threads)(int threads);       /* OpenBLAS */
  void (*set_blis_threads)(long threads); /* BLIS */
  char *(*core_name)(void);               /* OpenBLAS */
  char *(*config)(void);                  /* OpenBLAS */
} rn_blas;

/** Loads it, once a process. Errors: RN_ERR_LIBRARY naming the library and what the system says. */
rn_status rn_blas_load(rn_err *err);

/** What rn_blas_load loaded; loads it where nobody did, and ends the process where it cannot. */
const rn_blas *rn_blas_table(void);

/** Names of the OpenBLAS core type in use ("SkylakeX"), or "unknown"; its config string. */
const char *rn_blas_core(void);
const char *rn_blas_config(void);

/** A line about the choice for the start of a run, or "" where OpenBLAS chose well by itself. */
typedef enum { RN_BLAS_AS_IS, RN_BLAS_CHOSEN, RN_BLAS_SLOW } rn_blas_choice;
rn_blas_choice rn_blas_chosen(char *text, size_t bytes);

#endif
