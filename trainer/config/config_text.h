/**
 * The text of a configuration file, read once and identical on all ranks.
 *
 * The MPI thread level depends on keys, so each rank reads a regular file before MPI_Init. Only
 * rank 0 reads a pipe, after MPI_Init: other ranks may not have it, or would consume its bytes.
 */
#ifndef RN_TRAINER_CONFIG_CONFIG_TEXT_H
#define RN_TRAINER_CONFIG_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/world/world.h"

/** Zero-initialise it; destroy it with rn_config_text_free. */
typedef struct rn_config_text {
  const char *path; /* not owned */
  char *text;       /* NULL until the file is read */
  size_t bytes;
} rn_config_text;

/** Reads `path` if it is a regular file; leaves other files, and failures, to
 * rn_config_text_broadcast.
 */
void rn_config_text_peek(const char *path, rn_config_text *out);

/**
 * Reads the file on rank 0, if it is not read yet, and broadcasts its text.
 *
 * Collective: over the world.
 * Errors: RN_ERR_USAGE if rank 0 cannot read the file; RN_ERR_MISMATCH naming a rank that was
 *         started with a different file; agreed.
 */
rn_status rn_config_text_broadcast(rn_err *err, rn_world *world, rn_config_text *text);

/** Frees the text; accepts a zeroed object. */
void rn_config_text_free(rn_config_text *text);

#endif
