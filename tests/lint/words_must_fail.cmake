# Tests words.cmake: it accepts usual names and reports each kind of violation.
# cmake -DLINT=words.cmake -DWORK=<scratch folder> -P words_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

include(${CMAKE_CURRENT_LIST_DIR}/must_fail.cmake)

must_pass(comm/pipeline/pipeline_p2p.h "/** Sends. */\nvoid rn_pipeline_p2p_send(int to)\;")
must_pass(model/ops/remote.h "typedef struct rn_placement rn_placement\;\nextern int rn_chaining\;")
must_pass(model/pass/rows.h "rn_range rn_rows_part(rn_rows rows, int64_t index)\;")
must_pass(data/file/a.c "static int rn_private_number(void)\;")
must_fail(comm/pipeline/relay.c "int x\;")
must_fail(tests/unit/model_sink.c "int x\;")
must_fail(tests/e2e/carry.sh "exit")
must_fail(trainer/run/a.h "void rn_saver_tell(int x)\;")
must_fail(model/ops/a.h "typedef struct rn_tape rn_tape\;")
must_fail(data/batch/a.h "#define rn_least_of(x) x")
