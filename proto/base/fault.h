/**
 * Named places where a test may let the world fail.
 *
 * RETNET_FAULT="site:n[:kind]" strikes at the n-th pass (from 1) of that site, "site:n-m" at passes
 * n to m, "site:n-" at the n-th and all later ones. Kinds: `fail` (the default) lets the caller
 * behave as if its system call had failed with ENOSPC; EIO, EDQUOT, EROFS, EFBIG and ENOENT
 * likewise with that error; `kill` ends the process there and then, as kill -9 does; `stop`
 * suspends it; `loop` keeps the calling thread there for ever; `slow=MS` lets the pass take MS
 * milliseconds longer and succeed. Without the variable a pass costs a look into the environment.
 */
#ifndef RN_PROTO_BASE_FAULT_H
#define RN_PROTO_BASE_FAULT_H

#include <stdbool.h>

/** Whether to fail here, now; errno is then that of the kind. Any thread may ask. */
bool rn_fault_now(const char *site);

#endif
