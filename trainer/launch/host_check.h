/**
 * Compares the hosts of a job at its start: programs, CPUs, libraries and clocks. Each difference
 * is reported once, with the hosts. Where possible, all ranks then use the same kernels and
 * instructions, so that results do not depend on which rank computes what.
 */
#ifndef RN_TRAINER_LAUNCH_HOST_CHECK_H
#define RN_TRAINER_LAUNCH_HOST_CHECK_H

#include <stdbool.h>

#include "comm/world/world.h"

/**
 * Checks that all ranks run the same build, because another build may round differently or send
 * other messages. Call it first, before anything that depends on the build.
 *
 * Collective: over the world. Errors: those of rn_world_check_same.
 */
rn_status rn_host_check_program(rn_err *err, rn_world *world);

/**
 * Compares the ranks. If CPUs support different vector instructions, makes all ranks use the
 * kernels and the instructions of oneDNN that every rank has, and says so. Warns of different CPUs,
 * numbers of cores, versions of MPI and BLAS libraries, core types of OpenBLAS, and of clocks that
 * differ by more than 5 s. Each message names the hosts and what to do. Call it before the first
 * product.
 *
 * Collective: over the world; all pass the same `reproducible`.
 * Errors:     RN_ERR_MISMATCH, agreed, naming the hosts, if `reproducible` and the BLAS libraries,
 *             or the instructions that they use, differ, since results would then differ in their
 *             bits; RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_host_check(rn_err *err, rn_world *world, bool reproducible);

#endif
