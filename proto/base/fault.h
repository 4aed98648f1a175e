/**
 * Injects faults at named sites, for tests.
 *
 * A site is a named place in the code; each execution of this place is a pass.
 * RETNET_FAULT="site:n[:kind]" injects a fault at the n-th pass through that site (n starts at 1),
 * "site:n-m" at passes n to m, "site:n-" at the n-th and all later passes. Kinds: `fail` (the
 * default) makes the caller behave as if its system call had failed with ENOSPC; `EIO`, `EDQUOT`,
 * `EROFS`, `EFBIG` and `ENOENT` do the same with the error of that name; `kill` ends the process
 * immediately, as kill -9 does; `stop` suspends it; `loop` blocks the calling thread forever;
 * `slow=MS` delays the pass by MS milliseconds, after which it succeeds. If the variable is not
 * set, a pass costs one getenv().
 *
 * Two sites simulate a machine on which ranks are not equally fast. Only these sites have the kinds
 * `busy` and `late`:
 *
 *   compute:n-:busy=P     each phase (forward, backward, weight) of a layer uses P % more CPU time
 *   compute:n-:busy=P~S   the same, with a random percentage in [0, 2 P) for each pass (seed S)
 *   scan.message:n-:late=MS  a message of the pipelined scan arrives MS milliseconds later
 */
#ifndef RN_PROTO_BASE_FAULT_H
#define RN_PROTO_BASE_FAULT_H

#include <stdbool.h>

/** Counts a pass through `site`. If the caller must fail, sets errno according to the kind and
 * returns true. Thread-safe. */
bool rn_fault_now(const char *site);

/** Counts a pass through `site`. Returns the fraction by which a fault of kind `busy` lengthens
 * this pass; 0 if there is no such fault. */
double rn_fault_busy(const char *site);

/** Counts a pass through `site`. Returns the seconds by which a fault of kind `late` delays the
 * message of this pass; 0 if there is no such fault. */
double rn_fault_late_s(const char *site);

/** True if RETNET_FAULT names the site. Does not count a pass. */
bool rn_fault_names(const char *site);

/** Returns the number of passes through the site that RETNET_FAULT names, since RETNET_FAULT got
 * its current value. For tests.
 */
long rn_fault_passes(void);

#endif
