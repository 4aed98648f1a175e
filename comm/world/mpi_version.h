/** Names the MPI library. */
#ifndef RN_COMM_WORLD_MPI_VERSION_H
#define RN_COMM_WORLD_MPI_VERSION_H

#include <stddef.h>

/**
 * Writes "MPI: <library and version>", for --version; may be called before MPI_Init. In a program
 * that does not use MPI, and so is not linked with it, this is the library of the build. Not
 * collective. Errors: none.
 */
void rn_mpi_version_line(char *line, size_t bytes);

#endif
