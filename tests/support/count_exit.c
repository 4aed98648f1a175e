/*
 * In builds that count executed lines (RN_COVERAGE), the linker replaces _exit and MPI_Abort by
 * these functions (--wrap), which write the counts first. Otherwise, the counts of processes that
 * the watchdog ends, or that fail alone, would be lost.
 */
#include <gcov.h>
#include <mpi.h>

void __real__exit(int code) __attribute__((noreturn));
void __wrap__exit(int code) __attribute__((noreturn));
/* Weak, because not all programs are linked to MPI. */
int __real_MPI_Abort(MPI_Comm comm, int code) __attribute__((weak));
int __wrap_MPI_Abort(MPI_Comm comm, int code);

void __wrap__exit(int code) {
  __gcov_dump();
  __real__exit(code);
}

int __wrap_MPI_Abort(MPI_Comm comm, int code) {
  __gcov_dump();
  return __real_MPI_Abort(comm, code);
}
