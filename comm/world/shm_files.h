/**
 * Lists the shared-memory files of this process, and removes those that ended processes left.
 *
 * A line describes a file: host, process id, start time of the process, inode, path.
 */
#ifndef RN_COMM_WORLD_SHM_FILES_H
#define RN_COMM_WORLD_SHM_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/status.h"

/** Returns true if the text [length], without newline, is a valid line that names one of the files
 * that may be removed. Not collective. Errors: none. */
bool rn_shm_line_is_valid(const char *text, size_t length);

/**
 * Writes one line for each shared-memory file of this process: those that it maps in /dev/shm and
 * in mpirun's folder for temporary files, and the one that LLVM's OpenMP library creates for it.
 *
 * Collective: no. Ownership: the caller frees *text, also after an error.
 * Errors:     RN_ERR_IO, RN_ERR_MEMORY.
 */
rn_status rn_shm_files_list(rn_err *err, const char *host, char **text, size_t *bytes);

/**
 * Removes the files of those lines whose process has ended, except files that a living process maps
 * or has on another line. `text` is a string of valid lines of this host. *kept has the lines that
 * must remain in the record.
 *
 * Collective: no. Ownership: the caller frees *kept, also after an error.
 * Errors:     RN_ERR_MEMORY.
 */
rn_status rn_shm_files_clean(rn_err *err, const char *text, char **kept, size_t *bytes);

#endif
