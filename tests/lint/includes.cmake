# Fails on an include between folders that rooms.cmake does not allow, on an include that is not
# written from the root, and on <mpi.h> outside comm/.
# cmake -DROOT=<source tree> [-DROOMS=<declarations>] -P includes.cmake
cmake_minimum_required(VERSION 3.25)

set(folders proto model comm data trainer jobs tests)
# Besides comm/, tests that run on several ranks may call MPI.
set(mpi_places "^(comm|tests/mpi|tests/e2e|tests/support)/")
# Headers that are generated in the build folder.
set(generated "^google/protobuf/")

set(faults "")
set(lines_seen 0)
set(rooms "")

# room(<folder> [MAY <folder> ...]): the folders after MAY must have been declared before.
macro(room name)
  cmake_parse_arguments(ROOM "" "" "MAY" ${ARGN})
  foreach(other ${ROOM_MAY})
    if(NOT other IN_LIST rooms)
      string(APPEND faults "  ${name} may include ${other}, which is not declared above it\n")
    endif()
  endforeach()
  list(APPEND rooms ${name})
  set(may_${name} ${name} ${ROOM_MAY})
endmacro()

if(NOT ROOMS)
  set(ROOMS ${CMAKE_CURRENT_LIST_DIR}/rooms.cmake)
endif()
include(${ROOMS})

# Returns the folder of a file or include, as in rooms.cmake: two levels, or one if there is only one.
function(room_of path out)
  if(path MATCHES "^([^/]+/[^/]+)/")
    set(${out} ${CMAKE_MATCH_1} PARENT_SCOPE)
  else()
    string(REGEX REPLACE "/.*" "" folder ${path})
    set(${out} ${folder} PARENT_SCOPE)
  endif()
endfunction()

function(check_line file line)
  room_of(${file} from)
  string(REGEX REPLACE "/.*" "" folder ${file})
  if(line MATCHES "[<\"]mpi\\.h[>\"]" AND NOT file MATCHES "${mpi_places}")
    set(fault "${file}: <mpi.h> is for comm/ only")
  elseif(line MATCHES "[<\"]([A-Za-z0-9_]+)/([^>\"]*)[>\"]")
    set(top ${CMAKE_MATCH_1})
    room_of(${top}/${CMAKE_MATCH_2} to)
    if(top IN_LIST folders)
      if(NOT folder STREQUAL tests AND NOT to IN_LIST may_${from})
        set(fault "${file}: no arrow from ${from} to ${to}: ${line}")
      endif()
    elseif(line MATCHES "\"(.*)\"" AND NOT CMAKE_MATCH_1 MATCHES "${generated}")
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
      check_line(${file} "${line}")
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
