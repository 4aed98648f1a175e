# Functions for tests of a lint: must_pass and must_fail run it on a tree with one file. The caller
# defines LINT, the script, and WORK, a scratch folder. It may set BEFORE and AFTER, the text around
# the tested line; BESIDE and BESIDE_TEXT, a second file; and EMPTY, a list of empty files.

function(lint_one file line)
  file(REMOVE_RECURSE ${WORK})
  file(WRITE ${WORK}/${file} "${BEFORE}${line}\n${AFTER}")
  if(BESIDE)
    file(WRITE ${WORK}/${BESIDE} "${BESIDE_TEXT}")
  endif()
  foreach(empty ${EMPTY})
    file(WRITE ${WORK}/${empty} "")
  endforeach()
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${WORK} -P ${LINT}
                  RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE text)
  set(result ${result} PARENT_SCOPE)
  set(text "${text}" PARENT_SCOPE)
endfunction()

function(must_pass file line)
  lint_one(${file} "${line}")
  if(NOT result EQUAL 0)
    message(SEND_ERROR "refused, but right: ${file}: ${line}\n${text}")
  endif()
endfunction()

# must_fail(file line [words]): the lint must fail with a message that contains the words (default:
# the name of the file).
function(must_fail file line)
  set(words ${file} ${ARGN})
  list(GET words -1 words)
  lint_one(${file} "${line}")
  string(FIND "${text}" "${words}" named)
  if(result EQUAL 0 OR named EQUAL -1)
    message(SEND_ERROR "passed, or \"${words}\" not named: ${file}: ${line}\n${text}")
  endif()
endfunction()
