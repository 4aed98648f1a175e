/**
 * The fault site `compute` (proto/base/fault.h): a phase of a layer uses more CPU time than it
 * needs, as on a slower core, so that tests see what a slow rank costs the others.
 */
#ifndef RN_PROTO_BASE_SLOWDOWN_H
#define RN_PROTO_BASE_SLOWDOWN_H

/** Begins a phase; 0 unless the site is set. Returns the CPU time of the calling thread. */
double rn_slowdown_begin(void);

/**
 * Ends a phase: if the site is set, computes for its percentage of the CPU time used since
 * `begin_s`. Returns the seconds of CPU time that it was to add.
 */
double rn_slowdown_end(double begin_s);

#endif
