# Tests mpi_waits.cmake: it accepts marked calls and reports a call without a mark.
# cmake -DLINT=mpi_waits.cmake -DWORK=<scratch folder> -P mpi_waits_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

include(${CMAKE_CURRENT_LIST_DIR}/must_fail.cmake)
set(BESIDE comm/world/good.c)
set(BESIDE_TEXT "  RN_MPI_WAIT(err, MPI_Barrier(comm));\n")

must_pass(comm/scan/a.c "  RN_MPI_WAIT(err, MPI_Sendrecv(a, n, t, to, 0, b, n, t, from, 0, c, s));")
must_pass(comm/scan/a.c "  status = RN_MPI_WAIT_STATUS(\n      err, MPI_Exscan(a, b, n, t, op, c));")
must_pass(comm/scan/a.c "  RN_MPI(err, MPI_Isend(a, n, t, to, 0, c, &request[0]));")
must_pass(comm/scan/scan_cost.c "  RN_MPI(err, MPI_Sendrecv(a, n, t, to, 0, b, n, t, from, 0, c, s));")
must_fail(comm/scan/a.c "  RN_MPI(err, MPI_Barrier(comm));")
must_fail(comm/world/a.c "  MPI_Comm_free(&comm);")
must_fail(comm/world/a.c "  RN_MPI_WAIT(err, MPI_Barrier(c));\n  RN_MPI(err, MPI_Comm_dup(c, &d));")
must_fail(comm/optimizer/a.c "  rn_status s = RN_MPI_STATUS(\n      err, MPI_Allreduce(a, b, n, t, op, c));")
must_fail(comm/world/a.h "  MPI_Wait(&request[0], MPI_STATUS_IGNORE);")
