# The lint of waits passes marked calls and names a call that is not.
# cmake -DLINT=mpi_waits.cmake -DWORK=<scratch folder> -P mpi_waits_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

function(lint_one file text)
  file(REMOVE_RECURSE ${WORK})
  file(WRITE ${WORK}/comm/world/good.c "  RN_MPI_WAIT(err, MPI_Barrier(comm));\n")
  file(WRITE ${WORK}/${file} "${text}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${WORK} -P ${LINT}
                  RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE output)
  set(result ${result} PARENT_SCOPE)
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(must_pass file text)
  lint_one(${file} "${text}")
  if(NOT result EQUAL 0)
    message(SEND_ERROR "refused, but right: ${file}: ${text}\n${output}")
  endif()
endfunction()

function(must_fail file text)
  lint_one(${file} "${text}")
  string(FIND "${output}" "${file}" named)
  if(result EQUAL 0 OR named EQUAL -1)
    message(SEND_ERROR "passed or not named, but wrong: ${file}: ${text}\n${output}")
  endif()
endfunction()

must_pass(comm/scan/a.c "  RN_MPI_WAIT(err, MPI_Sendrecv(a, n, t, to, 0, b, n, t, from, 0, c, s));")
must_pass(comm/scan/a.c "  status = RN_MPI_WAIT_STATUS(\n      err, MPI_Exscan(a, b, n, t, op, c));")
must_pass(comm/scan/a.c "  RN_MPI(err, MPI_Isend(a, n, t, to, 0, c, &request[0]));")
must_pass(comm/scan/scan_cost.c "  RN_MPI(err, MPI_Sendrecv(a, n, t, to, 0, b, n, t, from, 0, c, s));")
must_fail(comm/scan/a.c "  RN_MPI(err, MPI_Barrier(comm));")
must_fail(comm/world/a.c "  MPI_Comm_free(&comm);")
must_fail(comm/world/a.c "  RN_MPI_WAIT(err, MPI_Barrier(c));\n  RN_MPI(err, MPI_Comm_dup(c, &d));")
must_fail(comm/optimizer/a.c "  rn_status s = RN_MPI_STATUS(\n      err, MPI_Allreduce(a, b, n, t, op, c));")
must_fail(comm/world/a.h "  MPI_Wait(&request[0], MPI_STATUS_IGNORE);")
