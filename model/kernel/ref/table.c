/* Fills the table of the kernels that are compiled for one vector instruction set. */
#include "model/kernel/ref/set.h"

#define RN_TEXT_OF(set) #set
#define RN_TEXT(set) RN_TEXT_OF(set)

void RN_SET(rn_kernels)(rn_kernels *table) {
  *table = (rn_kernels){.name = RN_TEXT(RN_KERNEL_SET)};
  RN_SET(rn_enter_chunk_forward)(table);
  RN_SET(rn_enter_chunk_backward)(table);
  RN_SET(rn_enter_states)(table);
  RN_SET(rn_enter_recurrence)(table);
  RN_SET(rn_enter_skinny_gemm)(table);
  RN_SET(rn_enter_rotate)(table);
  RN_SET(rn_enter_head_norm)(table);
  RN_SET(rn_enter_norm)(table);
  RN_SET(rn_enter_activation)(table);
  RN_SET(rn_enter_softmax)(table);
  RN_SET(rn_enter_attention)(table);
  RN_SET(rn_enter_cached_product)(table);
  RN_SET(rn_enter_round)(table);
}
