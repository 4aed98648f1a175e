/** Identity of this build, for --version, checkpoints and the check that all ranks are equal. */
#ifndef RN_PROTO_CLI_VERSION_H
#define RN_PROTO_CLI_VERSION_H

#include <stdio.h>

/** Version, commit and compiler; the commit is "unknown" if the source is not a repository. */
const char *rn_version_text(void);

/**
 * A text that is equal in all processes of one binary and differs between binaries: the linker's
 * build id in hexadecimal, or commit and compiler if there is none.
 */
const char *rn_version_build_id(void);

/**
 * Prints program, commit, compiler, flags, the libraries of proto/, then each of `lines`. Prints
 * only the first word of `program`: "retnet-data" for "retnet-data build".
 */
void rn_version_print(FILE *file, const char *program, const char *const *lines, int count);

#endif
