/**
 * The fault site `compute` (proto/base/fault.h): a phase of a layer uses more CPU time than it
 * needs, as on a slower core, so that tests see what a slow rank costs the others.
 */
#ifndef RN_PROTO_BASE_SLOWDOWN_H
#define RN_PROTO_BASE_SLOWDOWN_H

/** Begins a phase. Returns the CPU time of the calling thread, or 0 if the site is not set. */
double rn_slowdown_begin(void);

/**
 * Ends a phase: if the site is set, spins until the CPU time used since `begin_s` has grown by its
 * percentage. Returns the seconds of CPU time added.
 */
double rn_slowdown_end(double begin_s);

#endif
