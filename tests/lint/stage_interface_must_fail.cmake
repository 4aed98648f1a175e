# Tests stage_interface.cmake: it accepts a tree that follows the rule and reports each kind of
# violation.
# cmake -DLINT=stage_interface.cmake -DWORK=<scratch folder> -P stage_interface_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

include(${CMAKE_CURRENT_LIST_DIR}/must_fail.cmake)

must_pass(trainer/parallel/a.c "#include \"model/stage/stage.h\"")
must_pass(trainer/parallel/a.c "  rn_stage_decoder_step(err, stage, decoder, tokens)\;")
must_pass(trainer/bench/bench_decode.c "#include \"model/decode/decode.h\"")
must_fail(trainer/parallel/a.c "#include \"model/stage/layer_stack.h\"")
must_fail(trainer/run/a.h "#include \"model/stage/activations.h\"")
must_fail(trainer/generate/a.c "#include \"model/decode/decode.h\"")
must_fail(trainer/parallel/a.c "  float *rows = rn_activations_rows(slot)\;")
