/**
 * Named sites where a test can inject faults.
 *
 * RETNET_FAULT="site:n[:kind]" triggers at the n-th pass (from 1) through that site, "site:n-m" at
 * passes n to m, "site:n-" at the n-th and all later ones. Kinds: `fail` (the default) makes the
 * caller behave as if its system call had failed with ENOSPC; EIO, EDQUOT, EROFS, EFBIG and ENOENT
 * do the same with that error; `kill` ends the process at once, as kill -9 does; `stop` suspends
 * it; `loop` blocks the calling thread forever; `slow=MS` delays the pass by MS milliseconds and
 * lets it succeed. If the variable is not set, a pass costs one getenv().
 */
#ifndef RN_PROTO_BASE_FAULT_H
#define RN_PROTO_BASE_FAULT_H

#include <stdbool.h>

/** True if the caller must fail now; errno is then set by the kind. Thread-safe. */
bool rn_fault_now(const char *site);

#endif
