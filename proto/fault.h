/**
 * Named places where a test may let the world fail.
 *
 * RETNET_FAULT="site:n[:kind]" strikes at the n-th pass (from 1) of that site, once. Kinds: `fail`
 * (the default) lets the caller behave as if its system call had failed, `kill` ends the process
 * there and then, as kill -9 does. Without the variable a pass costs a look into the environment.
 */
#ifndef RN_PROTO_FAULT_H
#define RN_PROTO_FAULT_H

#include <stdbool.h>

/** Whether to fail here, now; errno is then ENOSPC. Any thread may ask. */
bool rn_fault_now(const char *site);

#endif
