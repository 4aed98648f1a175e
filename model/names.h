/** The public functions of model/ that are built in two precisions, each under its own name. */
#ifndef RN_MODEL_NAMES_H
#define RN_MODEL_NAMES_H

#include "proto/real.h"

#define rn_param_init_values RN_NAME(rn_param_init_values)
#define rn_carry_create RN_NAME(rn_carry_create)
#define rn_carry_destroy RN_NAME(rn_carry_destroy)
#define rn_carry_reset RN_NAME(rn_carry_reset)
#define rn_carry_port RN_NAME(rn_carry_port)
#define rn_carry_state RN_NAME(rn_carry_state)
#define rn_stage_create RN_NAME(rn_stage_create)
#define rn_stage_destroy RN_NAME(rn_stage_destroy)
#define rn_stage_params RN_NAME(rn_stage_params)
#define rn_stage_forward RN_NAME(rn_stage_forward)
#define rn_stage_loss RN_NAME(rn_stage_loss)
#define rn_stage_logits RN_NAME(rn_stage_logits)
#define rn_stage_backward_input RN_NAME(rn_stage_backward_input)
#define rn_stage_backward_weight RN_NAME(rn_stage_backward_weight)
#define rn_stage_hidden RN_NAME(rn_stage_hidden)
#define rn_tape_create RN_NAME(rn_tape_create)
#define rn_tape_destroy RN_NAME(rn_tape_destroy)
#define rn_sink_start RN_NAME(rn_sink_start)
#define rn_sink_product RN_NAME(rn_sink_product)
#define rn_sink_vector RN_NAME(rn_sink_vector)
#define rn_matmul_nt RN_NAME(rn_matmul_nt)
#define rn_matmul_nn RN_NAME(rn_matmul_nn)
#define rn_matmul_tn RN_NAME(rn_matmul_tn)

#endif
