# The lint of the stage interface passes a tree that keeps the rule and names each kind of breach.
# cmake -DLINT=stage_interface.cmake -DWORK=<scratch folder> -P stage_interface_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

function(lint_one file line)
  file(REMOVE_RECURSE ${WORK})
  file(WRITE ${WORK}/${file} "${line}\n")
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

function(must_fail file line)
  lint_one(${file} "${line}")
  string(FIND "${text}" "${file}" named)
  if(result EQUAL 0 OR named EQUAL -1)
    message(SEND_ERROR "passed or not named, but wrong: ${file}: ${line}\n${text}")
  endif()
endfunction()

must_pass(trainer/parallel/a.c "#include \"model/stage/stage.h\"")
must_pass(trainer/parallel/a.c "  rn_stage_decoder_step(err, stage, decoder, tokens)\;")
must_pass(trainer/bench/bench_decode.c "#include \"model/decode/decode.h\"")
must_fail(trainer/parallel/a.c "#include \"model/stage/layer_stack.h\"")
must_fail(trainer/run/a.h "#include \"model/stage/activations.h\"")
must_fail(trainer/generate/a.c "#include \"model/decode/decode.h\"")
must_fail(trainer/parallel/a.c "  float *rows = rn_activations_rows(slot)\;")
