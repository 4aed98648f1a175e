/** Reads and writes the manifest file, which is a message and a trailer with its checksum. */
#ifndef RN_DATA_CHECKPOINT_CKPT_MANIFEST_H
#define RN_DATA_CHECKPOINT_CKPT_MANIFEST_H

#include "proto/base/status.h"
#include "proto/schema/checkpoint.pb-c.h"

/** Writes the message and the trailer durably. */
rn_status rn_ckpt_manifest_write(rn_err *err, const char *path, const Retnet__Manifest *manifest);

/**
 * Reads a manifest and checks the trailer and the encoding; rn_ckpt_index_create checks the
 * content. Sections of the config that the file does not contain are added with default values.
 *
 * Ownership: retnet__manifest__free_unpacked.
 * Errors:    RN_ERR_FORMAT; RN_ERR_MISMATCH for a format from a later version.
 */
rn_status rn_ckpt_manifest_read(rn_err *err, const char *path, Retnet__Manifest **out);

#endif
