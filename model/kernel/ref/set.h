/**
 * Names the functions of a kernel set. The sources of the kernels are plain C. They are compiled
 * once without extra flags (the set `ref`) and once more for each vector instruction set.
 * RN_KERNEL_SET is the name of the set that is being compiled.
 *
 * Each source file exports one function, which enters the file's kernels into the table.
 */
#ifndef RN_MODEL_KERNEL_REF_SET_H
#define RN_MODEL_KERNEL_REF_SET_H

#include "model/kernel/kernels.h"

#ifndef RN_KERNEL_SET
#define RN_KERNEL_SET ref
#endif

#define RN_SET_JOIN(name, set) RN_NAME(name##_##set)
#define RN_SET_OF(name, set) RN_SET_JOIN(name, set)

/** The name that a function has in this set. */
#define RN_SET(name) RN_SET_OF(name, RN_KERNEL_SET)

void RN_SET(rn_enter_chunk_forward)(rn_kernels *table);
void RN_SET(rn_enter_chunk_backward)(rn_kernels *table);
void RN_SET(rn_enter_states)(rn_kernels *table);
void RN_SET(rn_enter_recurrence)(rn_kernels *table);
void RN_SET(rn_enter_skinny_gemm)(rn_kernels *table);
void RN_SET(rn_enter_rotate)(rn_kernels *table);
void RN_SET(rn_enter_head_norm)(rn_kernels *table);
void RN_SET(rn_enter_norm)(rn_kernels *table);
void RN_SET(rn_enter_activation)(rn_kernels *table);
void RN_SET(rn_enter_softmax)(rn_kernels *table);
void RN_SET(rn_enter_attention)(rn_kernels *table);
void RN_SET(rn_enter_cached_product)(rn_kernels *table);
void RN_SET(rn_enter_round)(rn_kernels *table);

/** Enters all kernels of this set into the table. */
void RN_SET(rn_kernels)(rn_kernels *table);

#endif
