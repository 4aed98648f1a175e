/**
 * Reads the text of a configuration file once and distributes it to all ranks.
 *
 * The MPI thread level depends on keys, so each rank reads a regular file before MPI_Init. A pipe
 * is read after MPI_Init and only by rank 0, since other ranks may not have the pipe, or would
 * consume its bytes.
 */
#ifndef RN_TRAINER_CONFIG_CONFIG_TEXT_H
#define RN_TRAINER_CONFIG_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/world/world.h"

/** A configuration file and its text. Must be zero-initialised; rn_config_text_free frees it. */
typedef struct rn_config_text {
  const char *path; /* not owned */
  char *text;       /* NULL until the file has been read */
  size_t bytes;
} rn_config_text;

/**
 * Reads `path` if it is a regular file. Other files are read, and failures are reported, by
 * rn_config_text_broadcast.
 */
void rn_config_text_peek(const char *path, rn_config_text *out);

/**
 * Reads the file on rank 0, if this has not been done yet, and broadcasts the text.
 *
 * Collective: over the world.
 * Errors: RN_ERR_USAGE if rank 0 cannot read the file; RN_ERR_MISMATCH naming a rank that was
 *         started with a different file; agreed.
 */
rn_status rn_config_text_broadcast(rn_err *err, rn_world *world, rn_config_text *text);

/** Frees the text; accepts a zeroed object. */
void rn_config_text_free(rn_config_text *text);

#endif
