/** One GEMM backend on all ranks, although AUTO depends on the CPU, the build and the BLAS. */
#ifndef RN_TRAINER_LAUNCH_GEMM_AGREE_H
#define RN_TRAINER_LAUNCH_GEMM_AGREE_H

#include "comm/world/world.h"
#include "proto/schema/config.pb-c.h"

/**
 * If the ranks use different fp32 backends, makes all of them use the one that every rank has, the
 * first of openblas, onednn+openblas and onednn that is in use on any rank, and warns once, naming
 * the rank and both backends. Changes nothing if a rank multiplies in bf16, or if all ranks use the
 * same. Call it after rn_gemm_backend_use and before the first product.
 *
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_gemm_agree(rn_err *err, rn_world *world);

/**
 * If some ranks cannot multiply in bf16 and others can, disables it on all (rn_gemm_bf16_disable),
 * with a reason that names the rank and its host. Does nothing for fp32. Call it before
 * rn_gemm_backend_use; all ranks pass the same precision.
 *
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_gemm_bf16_agree(rn_err *err, rn_world *world, Retnet__Precision precision);

#endif
