# Fails on an include that crosses an arrow which is not declared here, on one that is not written
# from the root, and on <mpi.h> outside comm/.
# cmake -DROOT=<source tree> -P includes.cmake
cmake_minimum_required(VERSION 3.25)

set(folders proto model comm data trainer jobs tests)
set(may_proto proto)
set(may_model model proto)
set(may_comm comm proto)
set(may_data data proto)
set(may_trainer trainer model comm data proto)
set(may_jobs)
set(may_tests tests trainer model comm data proto)
# Besides comm/, the tests that run on several ranks may call MPI themselves.
set(mpi_places "^(comm|tests/mpi|tests/e2e|tests/support)/")
# Headers that the build makes in a folder of its own.
set(generated "^google/protobuf/")

set(faults "")
set(lines_seen 0)

function(check_line folder file line)
  if(line MATCHES "[<\"]mpi\\.h[>\"]" AND NOT file MATCHES "${mpi_places}")
    set(fault "${file}: <mpi.h> is for comm/ only")
  elseif(line MATCHES "[<\"]([A-Za-z0-9_]+)/[^>\"]*[>\"]")
    set(to ${CMAKE_MATCH_1})
    if(to IN_LIST folders AND NOT to IN_LIST may_${folder})
      set(fault "${file}: no arrow from ${folder} to ${to}: ${line}")
    elseif(NOT to IN_LIST folders AND line MATCHES "\"(.*)\"" AND
           NOT CMAKE_MATCH_1 MATCHES "${generated}")
      set(fault "${file}: not a folder of the project: ${line}")
    endif()
  elseif(line MATCHES "\"")
    set(fault "${file}: not written from the root: ${line}")
  endif()
  if(DEFINED fault)
    set(faults "${faults}  ${fault}\n" PARENT_SCOPE)
  endif()
endfunction()

foreach(folder ${folders})
  file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/${folder}/*.[ch] ${ROOT}/${folder}/*.cpp
       ${ROOT}/${folder}/*.cc ${ROOT}/${folder}/*.hpp ${ROOT}/${folder}/*.inc)
  foreach(file ${files})
    file(STRINGS ${ROOT}/${file} lines REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]")
    foreach(line ${lines})
      math(EXPR lines_seen "${lines_seen} + 1")
      check_line(${folder} ${file} "${line}")
    endforeach()
  endforeach()
endforeach()

if(lines_seen EQUAL 0)
  message(FATAL_ERROR "no include found below ${ROOT}")
endif()
if(faults)
  message(FATAL_ERROR "includes that must not be:\n${faults}")
endif()
message(STATUS "${lines_seen} includes follow the arrows")
