/**
 * The decoder of the guarded stage. Between two steps its states are in protected pages. The
 * functions implement those of rn_stage_ops.
 */
#ifndef RN_TESTS_SUPPORT_GUARDED_DECODER_H
#define RN_TESTS_SUPPORT_GUARDED_DECODER_H

#include "model/stage/stage.h"

rn_status guarded_decoder_create(rn_err *err, rn_stage *base, int sequences, bool bf16,
                                 rn_stage_decoder **out);
void guarded_decoder_destroy(rn_stage *base, rn_stage_decoder *handle);
rn_status guarded_decoder_write_state(rn_err *err, rn_stage *base, rn_stage_decoder *handle,
                                      int sequence, int layer, const float *state);
void guarded_decoder_set_position(rn_stage *base, rn_stage_decoder *handle, int sequence,
                                  int64_t position);
rn_status guarded_decoder_step(rn_err *err, rn_stage *base, rn_stage_decoder *handle,
                               rn_decoder_tokens tokens);

#endif
