#include "comm/world/mpi_version.h"

#include <mpi.h>
#include <stdio.h>
#include <string.h>

/* A weak reference does not make the linker add the library, whose start can take 0.15 s: programs
 * without other MPI calls start without it. */
#pragma weak MPI_Get_library_version

static void name_of_build(char *line, size_t bytes) {
#if defined OMPI_MAJOR_VERSION
  snprintf(line, bytes, "MPI: Open MPI v%d.%d.%d", OMPI_MAJOR_VERSION, OMPI_MINOR_VERSION,
           OMPI_RELEASE_VERSION);
#elif defined MPICH_VERSION
  snprintf(line, bytes, "MPI: MPICH %s", MPICH_VERSION);
#else
  snprintf(line, bytes, "MPI: a library of the standard %d.%d", MPI_VERSION, MPI_SUBVERSION);
#endif
}

void rn_mpi_version_line(char *line, size_t bytes) {
  if (MPI_Get_library_version == NULL) {
    name_of_build(line, bytes);
    return;
  }
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  snprintf(line, bytes, "MPI: %.*s", (int)strcspn(text, ",\n"), text);
}
