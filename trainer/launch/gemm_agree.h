/** Makes all ranks use one GEMM backend, although the choice of AUTO depends on the CPU, the build
 * and the BLAS library of each rank. */
#ifndef RN_TRAINER_LAUNCH_GEMM_AGREE_H
#define RN_TRAINER_LAUNCH_GEMM_AGREE_H

#include "comm/world/world.h"
#include "proto/schema/config.pb-c.h"

/**
 * If the ranks use different fp32 backends, makes all of them use a backend that every rank has:
 * the first of openblas, onednn+openblas and onednn that any rank uses. Then warns once, naming the
 * rank and both backends. Changes nothing if a rank multiplies in bf16, or if all ranks use the
 * same backend. Call it after rn_gemm_backend_use and before the first product.
 *
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_gemm_agree(rn_err *err, rn_world *world);

/**
 * If some ranks cannot multiply in bf16 and others can, disables bf16 on all ranks
 * (rn_gemm_bf16_disable), with a reason that names the rank and its host. Does nothing for fp32.
 * Call it before rn_gemm_backend_use; all ranks pass the same precision.
 *
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_gemm_bf16_agree(rn_err *err, rn_world *world, Retnet__Precision precision);

#endif
