/**
 * Implements the decoder calls of rn_stage_ops for the guarded stage
 * (tests/support/guarded_stage.h). Between two steps, the states of the decoder are in protected
 * pages.
 */
#ifndef RN_TESTS_SUPPORT_GUARDED_DECODER_H
#define RN_TESTS_SUPPORT_GUARDED_DECODER_H

#include "model/stage/stage.h"

rn_status guarded_decoder_create(rn_err *err, rn_stage *base, rn_decoder_shape shape,
                                 rn_stage_decoder **out);
void guarded_decoder_destroy(rn_stage *base, rn_stage_decoder *handle);
void guarded_decoder_reset(rn_stage *base, rn_stage_decoder *handle, int sequence);
rn_status guarded_decoder_prefill(rn_err *err, rn_stage *base, rn_stage_slot *slot,
                                  rn_stage_decoder *handle, rn_decoder_prompt prompt);
size_t guarded_decoder_saved_bytes(rn_stage *base, rn_stage_decoder *handle, int sequence);
rn_status guarded_decoder_save(rn_err *err, rn_stage *base, rn_stage_decoder *handle, int sequence,
                               void *to);
rn_status guarded_decoder_load(rn_err *err, rn_stage *base, rn_stage_decoder *handle, int sequence,
                               const void *from, size_t bytes);
rn_status guarded_decoder_step(rn_err *err, rn_stage *base, rn_stage_decoder *handle,
                               rn_decoder_tokens tokens);

#endif
