/**
 * The text of a configuration file, read exactly once, and the same on all ranks.
 *
 * MPI's thread level depends on keys, so a regular file is read before MPI starts, by each rank.
 * A pipe is read by rank 0 alone, behind the start: other ranks may not have it, or would take its
 * bytes away.
 */
#ifndef RN_TRAINER_CONFIG_CONFIG_TEXT_H
#define RN_TRAINER_CONFIG_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/world/world.h"

/** Zero-initialise it; rn_config_text_free. */
typedef struct rn_config_text {
  const char *path; /* not owned */
  char *text;       /* NULL until it is read */
  size_t bytes;
} rn_config_text;

/** Reads a regular file; what is none, or cannot be read, is left to rn_config_text_share. */
void rn_config_text_peek(const char *path, rn_config_text *out);

/**
 * Gives rank 0's text to all.
 *
 * Collective: over the world.
 * Errors: RN_ERR_USAGE when rank 0 cannot read the file; RN_ERR_MISMATCH naming the rank that was
 *         started with another one; agreed.
 */
rn_status rn_config_text_share(rn_err *err, rn_world *world, rn_config_text *text);

void rn_config_text_free(rn_config_text *text);

#endif
