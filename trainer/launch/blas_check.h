/** Reports which kernels OpenBLAS uses (model/base/blas.h). */
#ifndef RN_TRAINER_LAUNCH_BLAS_CHECK_H
#define RN_TRAINER_LAUNCH_BLAS_CHECK_H

#include "comm/world/world.h"

/**
 * Makes all ranks return the same status: RN_OK if rn_blas_load succeeded on every rank. Each rank
 * calls rn_blas_load before MPI starts; `loaded` is the status and `why` the error of that call.
 *
 * Collective: over the world. Errors: those of rn_blas_load, agreed.
 */
rn_status rn_blas_agree(rn_err *err, const rn_world *world, rn_status loaded, const rn_err *why);

/**
 * Logs that this program made OpenBLAS use other kernels than it selects by default, or warns that
 * OpenBLAS uses kernels that are slow on this CPU.
 */
void rn_blas_report(void);

#endif
