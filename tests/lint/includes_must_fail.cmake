# Tests includes.cmake: it accepts a tree that follows the rules and reports each kind of violation.
# cmake -DLINT=includes.cmake -DWORK=<scratch folder> -P includes_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

include(${CMAKE_CURRENT_LIST_DIR}/must_fail.cmake)
set(BEFORE "/* One file. */\n#include <stdio.h>\n")
set(AFTER "int x;\n")

must_pass(model/stage/a.c "#include \"model/stage/a.h\"")
must_pass(model/kernel/ref/a.c "#include \"proto/base/status.h\"")
must_pass(comm/world/a.h "#include <mpi.h>")
must_pass(tests/mpi/a.c "#include <mpi.h>")
must_pass(trainer/run/a.c "#include \"comm/world/grid.h\"")
must_pass(data/file/a.c "#include <sys/stat.h>")
# Between top-level folders.
must_fail(model/ops/a.c "#include \"comm/world/grid.h\"")
must_fail(data/file/a.c "#  include \"model/spec/spec.h\"")
must_fail(comm/scan/a.c "#include <data/shard/shard.h>")
must_fail(proto/base/a.h "#include \"trainer/run/step.h\"")
must_fail(trainer/run/a.c "#include \"tests/support/check.h\"")
must_fail(jobs/a.c "#include \"proto/base/status.h\"")
# Between subfolders: upwards, and on the same level.
must_fail(model/ops/a.c "#include \"model/stage/layer_stack.h\"")
must_fail(comm/world/a.c "#include \"comm/scan/scan.h\"")
must_fail(comm/scan/a.c "#include \"comm/pipeline/pipeline_p2p.h\"")
must_fail(trainer/run/a.c "#include \"trainer/train/train.h\"")
# MPI, and includes that are not written from the root.
must_fail(trainer/run/a.c "#include <mpi.h>")
must_fail(model/ops/a.c "#include \"mpi.h\"")
must_fail(model/ops/a.c "#include \"a.h\"")
must_fail(model/ops/a.c "#include \"../comm/world/grid.h\"")
must_fail(model/ops/a.c "#include \"kernel/ref/a.h\"")

# A declaration that allows an include from a folder that is declared later must be refused.
file(WRITE ${WORK}/rooms.cmake "room(model/a MAY model/b)\nroom(model/b)\n")
file(WRITE ${WORK}/model/a/a.c "#include \"model/b/b.h\"\n")
execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${WORK} -DROOMS=${WORK}/rooms.cmake -P ${LINT}
                RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE text)
if(result EQUAL 0 OR NOT text MATCHES "not declared above")
  message(SEND_ERROR "an arrow that runs back was declared and passed\n${text}")
endif()
