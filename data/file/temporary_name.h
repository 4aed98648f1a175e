/**
 * Names of temporary files and folders that contain the process that writes them. If the process is
 * killed, the next process that writes to the same path removes the files that it left.
 *
 * A name is BEGIN<place>-<process id>END. <place> is 8 hexadecimal digits that identify the host
 * since its last start (boot id) and the PID namespace, within which process ids can be compared.
 * BEGIN may contain a folder.
 */
#ifndef RN_DATA_FILE_TEMPORARY_NAME_H
#define RN_DATA_FILE_TEMPORARY_NAME_H

#include "data/file/file.h"

/** Returns the name for this process. */
rn_path rn_temporary_name(const char *begin, const char *end);

/** Removes the files and folders with such names that were left by ended processes with the same
 * <place> as this process. What cannot be removed stays. Must be called before this process creates
 * a file or folder with such a name. */
void rn_temporary_remove_left(const char *begin, const char *end);

#endif
