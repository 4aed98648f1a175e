/** Prints the version of a program; --version shows the same lines for every program. */
#ifndef RN_TRAINER_MACHINE_PROGRAM_VERSION_H
#define RN_TRAINER_MACHINE_PROGRAM_VERSION_H

/**
 * Prints program, commit, compiler, flags, MPI, BLAS with its core type, zstd, protobuf-c and
 * libyaml to stdout. Loads the BLAS library, but does not start MPI.
 */
void rn_program_version(const char *program);

#endif
