/** The lines of shared-memory.txt (shm_files.h), with one line for each file of a host. */
#ifndef RN_COMM_WORLD_SHM_TABLE_H
#define RN_COMM_WORLD_SHM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/base/status.h"

/** A valid line, which ends with a newline. */
typedef struct rn_shm_row {
  const char *text, *file; /* `file` is the part from the inode on */
  size_t bytes, host_bytes;
  bool repeated; /* a later row describes the same file */
  bool selected; /* rn_shm_table_select_host has selected the row */
} rn_shm_row;

typedef struct rn_shm_table {
  rn_shm_row *rows; /* [count] in the order of the text, from old to new */
  rn_shm_row **sorted;
  size_t count;
} rn_shm_table;

/**
 * Finds the valid lines of a string, which outlives the table; other lines are left out.
 *
 * Collective: no. Errors: RN_ERR_MEMORY.
 */
rn_status rn_shm_table_create(rn_err *err, const char *text, rn_shm_table *out);
/** Frees the table; accepts a zeroed one. Not collective. Errors: none. */
void rn_shm_table_destroy(rn_shm_table *table);

/** Selects the rows of a host, and prints those that are not repeated. Not collective. Errors:
 * none, but see ferror(out). */
void rn_shm_table_select_host(rn_shm_table *table, const char *host, size_t host_bytes, FILE *out);

/** Prints the newest `max` rows that are neither repeated nor selected. Not collective. Errors:
 * none, but see ferror(out). */
void rn_shm_table_print_rest(const rn_shm_table *table, size_t max, FILE *out);

#endif
