/**
 * Finds loss spikes: steps whose loss or gradient norm is far above those of the last steps
 * (train.spike_action).
 *
 * A step is a spike if its loss or its gradient norm is above
 *
 *   mean + sigma * max(deviation, |mean| / 1000)
 *
 * over the window, which holds the last train.spike_window steps whose update was applied; sigma is
 * train.spike_sigma, and `deviation` is the standard deviation of the sample. The second operand of
 * max keeps rounding errors from being spikes while the loss is constant. No step is a spike before
 * the window is half full.
 *
 * All ranks have the same window and therefore make the same decision. A checkpoint stores the
 * guard, so a resumed run makes the same decisions as an uninterrupted one.
 */
#ifndef RN_TRAINER_RUN_SPIKE_GUARD_H
#define RN_TRAINER_RUN_SPIKE_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/schema/checkpoint.pb-c.h"

enum { RN_SPIKE_WINDOW_MAX = 1024 };

typedef struct rn_spike_guard {
  int count; /* number of steps in the window */
  double loss[RN_SPIKE_WINDOW_MAX], grad_norm[RN_SPIKE_WINDOW_MAX]; /* [count] oldest first */
  int rollbacks; /* number of rollbacks since the run began */
} rn_spike_guard;

/** The result of a check. */
typedef struct rn_spike {
  const char *what; /* "loss" or "gradient norm"; NULL: the step is not a spike */
  double value, limit;
  int steps; /* number of steps from which the limit was computed */
} rn_spike;

/** Checks a step. Never finds a spike if train.spike_action is off. */
rn_spike rn_spike_find(const rn_spike_guard *guard, const Retnet__Train *train, double loss,
                       double grad_norm);

/** Adds a step whose update was applied to the window, unless train.spike_action is off. */
void rn_spike_guard_add(rn_spike_guard *guard, const Retnet__Train *train, double loss,
                        double grad_norm);

/** Fills the message of a manifest, whose arrays point into `guard`. */
void rn_spike_guard_store(const rn_spike_guard *guard, Retnet__SpikeGuard *out);

/** Restores the guard from a manifest's message; NULL: an empty guard. */
void rn_spike_guard_load(rn_spike_guard *guard, const Retnet__SpikeGuard *stored);

#endif
