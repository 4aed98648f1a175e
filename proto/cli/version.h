/** Which build this is: for --version, for checkpoints, and to notice ranks that run another. */
#ifndef RN_PROTO_CLI_VERSION_H
#define RN_PROTO_CLI_VERSION_H

#include <stdio.h>

/** The commit this was built from; "unknown" when it was not built from a repository. */
const char *rn_version_git_id(void);

/**
 * Text that is equal in all processes of one binary and differs between binaries: the linker's
 * build id in hexadecimal, or commit and compiler where there is none.
 */
const char *rn_version_build_id(void);

/** Program, commit, compiler, flags, libraries of proto/, and one line for each of `lines`. */
void rn_version_print(FILE *file, const char *program, const char *const *lines, int count);

#endif
