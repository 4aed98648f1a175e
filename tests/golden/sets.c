/* Compiled in single precision only: in double there is one kernel set and one GEMM backend. */
#include "tests/support/sets.h"

#include "tests/golden/golden.h"

void golden_use_sets(void) {
  test_use_sets();
}
