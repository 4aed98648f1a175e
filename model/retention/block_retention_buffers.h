/** Creates a retention block, and declares the buffers of each layer's block. */
#ifndef RN_MODEL_RETENTION_BLOCK_RETENTION_BUFFERS_H
#define RN_MODEL_RETENTION_BLOCK_RETENTION_BUFFERS_H

#include <stddef.h>

#include "model/memory/buffer.h"
#include "model/retention/block_retention_types.h"
#include "model/spec/spec.h"
#include "proto/base/status.h"

/** Returns a block that has sizes but no tables, for units of at most `max_sequences` sequences of
 * at most `max_tokens` tokens. */
rn_block_retention rn_block_retention_shape(const rn_spec *spec, int max_sequences, int max_tokens);
/** Returns the size in bytes of the tables of a block. */
size_t rn_block_retention_bytes(const rn_block_retention *shape);

/** Creates a block with its tables, for the same units as in rn_block_retention_shape. Errors:
 * RN_ERR_MEMORY. */
rn_status rn_block_retention_create(rn_err *err, const rn_spec *spec, int max_sequences,
                                    int max_tokens, rn_block_retention *out);
void rn_block_retention_destroy(rn_block_retention *block);

/** Declares the buffers of a layer's block, or returns their addresses (see rn_buffer_take). */
rn_block_retention_activations rn_block_retention_buffers(const rn_block_retention *shape,
                                                          const rn_buffer_space *space);

#endif
