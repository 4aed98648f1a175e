/** What a run tells of the kernels that OpenBLAS works with (model/base/blas.h). */
#ifndef RN_TRAINER_MACHINE_BLAS_CHECK_H
#define RN_TRAINER_MACHINE_BLAS_CHECK_H

#include "comm/world/world.h"

/**
 * Agrees on what rn_blas_load gave on every rank before MPI was started (`loaded`, with its reason
 * `why`): it is printed once. Collective: over the world.
 */
rn_status rn_blas_agree(rn_err *err, const rn_world *world, rn_status loaded, const rn_err *why);

/** Tells, once, that other kernels were chosen, or that a core type asked for is a slow one. */
void rn_blas_report(void);

#endif
