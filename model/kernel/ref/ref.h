/** The plain C kernels by name; kernels.h says what each one does. */
#ifndef RN_MODEL_KERNEL_REF_REF_H
#define RN_MODEL_KERNEL_REF_REF_H

#include "model/kernel/kernels.h"

#define rn_chunk_own_ref RN_NAME(rn_chunk_own_ref)
#define rn_chunk_inner_ref RN_NAME(rn_chunk_inner_ref)
#define rn_chunk_cross_ref RN_NAME(rn_chunk_cross_ref)
#define rn_chunk_own_backward_ref RN_NAME(rn_chunk_own_backward_ref)
#define rn_chunk_inner_backward_ref RN_NAME(rn_chunk_inner_backward_ref)
#define rn_chunk_cross_backward_ref RN_NAME(rn_chunk_cross_backward_ref)
#define rn_rotate_ref RN_NAME(rn_rotate_ref)
#define rn_head_norm_ref RN_NAME(rn_head_norm_ref)
#define rn_head_norm_backward_ref RN_NAME(rn_head_norm_backward_ref)
#define rn_gate_ref RN_NAME(rn_gate_ref)
#define rn_gate_backward_ref RN_NAME(rn_gate_backward_ref)

void rn_chunk_own_ref(const rn_chunk *c, const rn_real *k, const rn_real *v, rn_real *work,
                      rn_real *own);
void rn_chunk_inner_ref(const rn_chunk *c, const rn_real *q, const rn_real *k, const rn_real *v,
                        rn_real *work, rn_real *o, rn_real *abs_sum, int64_t ld_sum);
void rn_chunk_cross_ref(const rn_chunk *c, const rn_real *q, const rn_real *state, rn_real *work,
                        rn_real *o);
void rn_chunk_own_backward_ref(const rn_chunk *c, const rn_real *q, const rn_real *dout,
                               rn_real *work, rn_real *own);
void rn_chunk_inner_backward_ref(const rn_chunk *c, const rn_real *q, const rn_real *k,
                                 const rn_real *v, const rn_real *dout, rn_real *work,
                                 const rn_chunk_grads *grads);
void rn_chunk_cross_backward_ref(const rn_chunk *c, const rn_real *k, const rn_real *v,
                                 const rn_real *dout, const rn_real *state, const rn_real *adjoint,
                                 rn_real *work, const rn_chunk_grads *grads);
void rn_rotate_ref(rn_rotary rotary, int heads, int key_width, const rn_real *cosine,
                   const rn_real *sine, rn_real turn, rn_real scale, rn_real *x);
rn_real rn_head_norm_ref(rn_head_norm kind, int n, double eps, rn_real alpha, rn_real *x);
void rn_head_norm_backward_ref(rn_head_norm kind, int n, const rn_real *y, rn_real factor,
                               rn_real *dy);
void rn_gate_ref(int n, const rn_real *y, const rn_real *w, const rn_real *g, rn_real *z);
void rn_gate_backward_ref(int n, const rn_real *y, const rn_real *w, rn_real *g, rn_real *dz);

#endif
