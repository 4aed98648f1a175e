# Function for lints that search for lines in files.

# find_lines(<out> PATTERN <regex> [EXEMPT <regex>] [SKIP <regex>] [KEEP <regex>] FILES <file>...):
# sets <out> to the lines of the files below ROOT that match PATTERN, each as "  file: line\n". Omits
# files that match EXEMPT, and lines that match SKIP but not KEEP. Fails if no file is given.
function(find_lines out)
  cmake_parse_arguments(L "" "PATTERN;EXEMPT;SKIP;KEEP" "FILES" ${ARGN})
  if(NOT L_FILES)
    message(FATAL_ERROR "no source found below ${ROOT}")
  endif()
  set(found "")
  foreach(file ${L_FILES})
    if(L_EXEMPT AND file MATCHES "${L_EXEMPT}")
      continue()
    endif()
    file(STRINGS ${ROOT}/${file} lines REGEX "${L_PATTERN}")
    foreach(line ${lines})
      if(L_SKIP AND line MATCHES "${L_SKIP}" AND NOT line MATCHES "${L_KEEP}")
        continue()
      endif()
      string(APPEND found "  ${file}: ${line}\n")
    endforeach()
  endforeach()
  set(${out} "${found}" PARENT_SCOPE)
endfunction()
