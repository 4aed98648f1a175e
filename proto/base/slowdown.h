/**
 * The fault site `compute` (proto/base/fault.h) makes a phase of a layer use more CPU time than it
 * needs, as on a slower core. Tests then measure how a slow rank delays other ranks.
 */
#ifndef RN_PROTO_BASE_SLOWDOWN_H
#define RN_PROTO_BASE_SLOWDOWN_H

/** Begins a phase. Returns the CPU time of the calling thread, or 0 if the site is not set. */
double rn_slowdown_begin(void);

/**
 * Ends a phase. If the site is set, lengthens the phase by the percentage that RETNET_FAULT
 * specifies: spins for that fraction of the CPU time used since `begin_s`. Returns the added CPU
 * time in seconds.
 */
double rn_slowdown_end(double begin_s);

#endif
