/**
 * OpenBLAS with kernels that fit the CPU.
 *
 * On a CPU that it does not know OpenBLAS takes kernels of the oldest ones, a tenth as fast. It
 * decides when it is loaded, so that only a program that starts anew can change its mind.
 */
#ifndef RN_TRAINER_BLAS_CARE_H
#define RN_TRAINER_BLAS_CARE_H

/**
 * Starts this program anew, with OPENBLAS_CORETYPE set, where OpenBLAS fell back to kernels without
 * AVX2 on a CPU that has it. Returns where all is well, or where the variable was set by the user.
 * To be called before MPI starts.
 */
void rn_blas_care(char **argv);

/** Tells, once, that the program was started anew, or that a core type asked for is a slow one. */
void rn_blas_tell(void);

#endif
