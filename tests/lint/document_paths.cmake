# Fails if README.md, ARCHITECTURE.md or another page of the root or of jobs/ names a path that does not
# exist. Paths are links, and names that begin with a folder of the source tree. A `*` in a name is a
# pattern that must match a file.
# cmake -DROOT=<source folder> -P document_paths.cmake
cmake_minimum_required(VERSION 3.25)
file(GLOB others RELATIVE ${ROOT} ${ROOT}/*.md ${ROOT}/jobs/*.md)
list(REMOVE_ITEM others README.md ARCHITECTURE.md)
foreach(document README.md ARCHITECTURE.md ${others})
  if(NOT EXISTS ${ROOT}/${document})
    message(SEND_ERROR "${document} is missing")
    continue()
  endif()
  file(READ ${ROOT}/${document} text)
  string(REGEX REPLACE "https?://[^ )]*" "" text "${text}")
  # In a CMake list, brackets would group elements, and semicolons would separate them.
  string(REPLACE "](" "@(" text "${text}")
  string(REGEX REPLACE "[][;]" " " text "${text}")
  string(REGEX MATCHALL "(^|[^A-Za-z0-9_./-])(proto|model|comm|data|trainer|tests|jobs)/[A-Za-z0-9_./*-]+"
         names "${text}")
  string(REGEX MATCHALL "@\\([^)#]+\\)" links "${text}")
  foreach(name IN LISTS names links)
    string(REGEX REPLACE "^[^A-Za-z0-9]+" "" name "${name}")
    string(REGEX REPLACE "[.)/]+$" "" name "${name}")
    file(GLOB found ${ROOT}/${name})
    if("${found}" STREQUAL "" AND NOT "${name}" STREQUAL "")
      message(SEND_ERROR "${document} names ${name}, which does not exist")
    endif()
  endforeach()
endforeach()
