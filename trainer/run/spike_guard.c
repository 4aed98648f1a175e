#include "trainer/run/spike_guard.h"

#include <math.h>
#include <string.h>

static bool is_off(const Retnet__Train *train) {
  return train->spike_action == RETNET__SPIKE_ACTION__SPIKE_ACTION_OFF;
}

/* Returns the limit above which the next value is a spike, given the previous values [count]. */
static double limit_of(const double *values, int count, double sigma) {
  double sum = 0, squares = 0;
  for (int i = 0; i < count; i++) sum += values[i];
  const double mean = sum / count;
  for (int i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
  return mean + sigma * fmax(sqrt(squares / (count - 1)), fabs(mean) / 1000);
}

rn_spike rn_spike_find(const rn_spike_guard *g, const Retnet__Train *train, double loss,
                       double grad_norm) {
  const rn_spike none = {.what = NULL};
  /* The guard was loaded from a checkpoint whose run may have had a larger train.spike_window. */
  const int steps = g->count < train->spike_window ? g->count : train->spike_window;
  const int first = g->count - steps;
  if (is_off(train) || steps < 2 || steps < train->spike_window / 2) return none;
  const double loss_limit = limit_of(g->loss + first, steps, train->spike_sigma);
  if (loss > loss_limit) return (rn_spike){"loss", loss, loss_limit, steps};
  const double norm_limit = limit_of(g->grad_norm + first, steps, train->spike_sigma);
  if (grad_norm > norm_limit) return (rn_spike){"gradient norm", grad_norm, norm_limit, steps};
  return none;
}

/* Removes the oldest steps until at most `most` are left. */
static void shorten(rn_spike_guard *g, int most) {
  const int excess = g->count - most;
  if (excess <= 0) return;
  memmove(g->loss, g->loss + excess, (size_t)most * sizeof *g->loss);
  memmove(g->grad_norm, g->grad_norm + excess, (size_t)most * sizeof *g->grad_norm);
  g->count = most;
}

void rn_spike_guard_add(rn_spike_guard *g, const Retnet__Train *train, double loss,
                        double grad_norm) {
  if (is_off(train)) return;
  shorten(g, train->spike_window - 1);
  g->loss[g->count] = loss;
  g->grad_norm[g->count++] = grad_norm;
}

void rn_spike_guard_store(const rn_spike_guard *g, Retnet__SpikeGuard *out) {
  retnet__spike_guard__init(out);
  out->n_loss = out->n_grad_norm = (size_t)g->count;
  out->loss = (double *)g->loss; /* not const in protobuf-c, which only reads it */
  out->grad_norm = (double *)g->grad_norm;
  out->has_rollbacks = 1;
  out->rollbacks = g->rollbacks;
}

void rn_spike_guard_load(rn_spike_guard *g, const Retnet__SpikeGuard *stored) {
  memset(g, 0, sizeof *g);
  if (stored == NULL) return;
  g->rollbacks = stored->rollbacks;
  const size_t steps = stored->n_loss < stored->n_grad_norm ? stored->n_loss : stored->n_grad_norm;
  const size_t kept = steps < RN_SPIKE_WINDOW_MAX ? steps : RN_SPIKE_WINDOW_MAX;
  for (size_t i = 0; i < kept; i++) {
    g->loss[i] = stored->loss[steps - kept + i];
    g->grad_norm[i] = stored->grad_norm[steps - kept + i];
  }
  g->count = (int)kept;
}
