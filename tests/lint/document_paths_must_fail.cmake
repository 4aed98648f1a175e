# The lint of paths in documents passes names that exist and reports each kind that does not.
# cmake -DLINT=document_paths.cmake -DWORK=<scratch folder> -P document_paths_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

function(lint_one readme)
  file(REMOVE_RECURSE ${WORK})
  file(WRITE ${WORK}/README.md "${readme}\n")
  file(WRITE ${WORK}/ARCHITECTURE.md "See [model/a.c](model/a.c).\n")
  file(WRITE ${WORK}/model/a.c "")
  file(WRITE ${WORK}/LICENSE "")
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${WORK} -P ${LINT}
                  RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE text)
  set(result ${result} PARENT_SCOPE)
  set(text "${text}" PARENT_SCOPE)
endfunction()

function(must_pass readme)
  lint_one("${readme}")
  if(NOT result EQUAL 0)
    message(SEND_ERROR "refused, but right: ${readme}\n${text}")
  endif()
endfunction()

function(must_fail readme name)
  lint_one("${readme}")
  string(FIND "${text}" "${name}" named)
  if(result EQUAL 0 OR named EQUAL -1)
    message(SEND_ERROR "passed or not named, but wrong: ${readme}\n${text}")
  endif()
endfunction()

must_pass("In `model/a.c`, model/a.c. See model/ and [the license](LICENSE) and https://x.org/data/b.")
must_pass("All of `model/*.c`.")
must_fail("In `model/b.c`." model/b.c)
must_fail("See [it](comm/a.h)." comm/a.h)
must_fail("See [it](COPYING)." COPYING)
must_fail("The room data/file." data/file)
must_fail("All of `model/*.h`." "model/*.h")
