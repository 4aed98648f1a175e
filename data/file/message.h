/** Unpacks messages of protobuf-c. */
#ifndef RN_DATA_FILE_MESSAGE_H
#define RN_DATA_FILE_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "data/file/blob.h"
#include "proto/base/status.h"

/**
 * Unpacks a message. Reports a lack of memory differently from damage, because callers rename a
 * damaged checkpoint and skip damaged blocks. `out` is the address of a pointer to the message,
 * which becomes NULL on failure; `fault` is the error text for a message that cannot be parsed.
 *
 * Ownership: the caller frees the message with protobuf_c_message_free_unpacked(message, NULL).
 * Errors:    RN_ERR_FORMAT, "WHERE: FAULT"; RN_ERR_MEMORY, naming `where`.
 */
rn_status rn_message_unpack(rn_err *err, const char *where, const char *fault,
                            const ProtobufCMessageDescriptor *type, rn_bytes packed, void *out);

#endif
