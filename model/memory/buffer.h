/** Gives typed access to the buffers of a plan. */
#ifndef RN_MODEL_MEMORY_BUFFER_H
#define RN_MODEL_MEMORY_BUFFER_H

#include "model/base/array.h"
#include "model/memory/buffer_plan.h"

/** Calls rn_buffer_take for `count` elements of rn_real. */
static inline rn_real *rn_buffer_reals(const rn_buffer_space *space, const char *name,
                                       int64_t count, rn_buffer_use use) {
  return rn_buffer_take(space, name, (size_t)count * sizeof(rn_real), use);
}

/** Calls rn_buffer_take for `count` doubles. */
static inline double *rn_buffer_doubles(const rn_buffer_space *space, const char *name,
                                        int64_t count, rn_buffer_use use) {
  return rn_buffer_take(space, name, (size_t)count * sizeof(double), use);
}

/** Calls rn_buffer_take for an array of `count` elements of rn_real or bf16. */
static inline rn_array rn_buffer_array(const rn_buffer_space *space, const char *name,
                                       int64_t count, bool bf16, rn_buffer_use use) {
  return (rn_array){rn_buffer_take(space, name, (size_t)count * rn_element_bytes(bf16), use), bf16};
}

#endif
