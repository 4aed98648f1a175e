/* In single precision only: double has one set and one gemm backend, the references. */
#include "tests/support/sets.h"

#include "tests/golden/golden.h"

void golden_use_sets(void) {
  test_use_sets();
}
