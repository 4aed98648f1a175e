#include "model/kernel/ref/ref.h"

void rn_kernels_ref(rn_kernels *table) {
  *table = (rn_kernels){
      .name = "ref",
      .chunk_own = rn_chunk_own_ref,
      .chunk_inner = rn_chunk_inner_ref,
      .chunk_cross = rn_chunk_cross_ref,
      .chunk_own_backward = rn_chunk_own_backward_ref,
      .chunk_inner_backward = rn_chunk_inner_backward_ref,
      .chunk_cross_backward = rn_chunk_cross_backward_ref,
      .rotate = rn_rotate_ref,
      .head_norm = rn_head_norm_ref,
      .head_norm_backward = rn_head_norm_backward_ref,
      .gate = rn_gate_ref,
      .gate_backward = rn_gate_backward_ref,
  };
}
