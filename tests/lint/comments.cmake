# Fails if a header declares a function without a comment directly above it, or above the group of
# declarations to which it belongs (without blank lines between them).
# cmake -DROOT=<source tree> -P comments.cmake
cmake_minimum_required(VERSION 3.25)

file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/proto/*.h ${ROOT}/model/*.h ${ROOT}/comm/*.h
     ${ROOT}/data/*.h ${ROOT}/trainer/*.h)
# A declaration begins in column 0 with its type. A typedef of a function type is not a declaration.
set(declaration "^[A-Za-z_][A-Za-z0-9_ ]*[ *]rn_[a-z0-9_]+\\(")

set(faults "")
set(seen 0)
foreach(file ${files})
  file(READ ${ROOT}/${file} text)
  string(REGEX REPLACE "[][;]" "@" text "${text}")
  string(REPLACE "\n" ";" lines "${text}")
  set(commented FALSE)
  foreach(line IN LISTS lines)
    if(line MATCHES "${declaration}" AND NOT line MATCHES "^(typedef|return) ")
      math(EXPR seen "${seen} + 1")
      if(NOT commented)
        string(REGEX REPLACE "\\(.*" "" name "${line}")
        string(APPEND faults "  ${file}: ${name}\n")
      endif()
    elseif(line STREQUAL "" OR line MATCHES "^}")
      set(commented FALSE)
    elseif(line MATCHES "\\*/$")
      set(commented TRUE)
    endif()
  endforeach()
endforeach()
if(seen EQUAL 0)
  message(FATAL_ERROR "no function found in the headers below ${ROOT}")
endif()
if(faults)
  message(FATAL_ERROR "functions of headers without a comment above:\n${faults}")
endif()
message(STATUS "${seen} functions of headers have a comment")
