/** Identifies this build, for --version, for checkpoints, and to check that all ranks run the same
 * build. */
#ifndef RN_PROTO_CLI_VERSION_H
#define RN_PROTO_CLI_VERSION_H

#include <stdio.h>

/** Returns version, commit and compiler. The commit is "unknown" if the source is not a git
 * repository. */
const char *rn_version_text(void);

/**
 * Returns a text that is the same in all processes that run the same binary, and differs between
 * binaries: the linker's build id in hexadecimal, or commit and compiler if there is no build id.
 */
const char *rn_version_build_id(void);

/**
 * Prints program, commit, compiler, flags, the libraries that proto/ uses, then each of `lines`.
 * Prints only the first word of `program`: "retnet-data" for "retnet-data build".
 */
void rn_version_print(FILE *file, const char *program, const char *const *lines, int count);

#endif
