/* Defines the function that libFuzzer calls for each input. */
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  (void)target_run(data, bytes);
  return 0;
}
