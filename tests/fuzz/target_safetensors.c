/* Fuzzes the reader of safetensors files: reads the header and the last elements of each tensor. */
#include "data/exchange/safetensors.h"
#include "tests/fuzz/target.h"

bool target_run(const uint8_t *data, size_t bytes) {
  rn_err err = {0};
  rn_safetensors *file = NULL;
  if (!target_is_ok(rn_safetensors_open(&err, target_file(data, bytes), &file), &err)) return false;
  for (int i = 0; i < rn_safetensors_count(file); i++) {
    const rn_safetensors_tensor *tensor = rn_safetensors_at(file, i);
    const int64_t count = tensor->count < 8 ? tensor->count : 8;
    double values[8];
    rn_err_clear(&err);
    target_is_ok(rn_safetensors_read_f64(&err, file, tensor, tensor->count - count, count, values),
                 &err);
    target_require(rn_safetensors_find(file, tensor->name) == tensor, "each tensor is found");
  }
  rn_safetensors_metadata(file, "config");
  rn_safetensors_close(&file);
  return true;
}
