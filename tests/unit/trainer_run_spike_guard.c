/*
 * Checks that a step is a spike if and only if its loss or its gradient norm is above the mean of
 * the window by more than sigma standard deviations. The window must hold only the last steps. A
 * guard that is stored in a manifest and loaded again must decide like one that was not; with a
 * shorter window, it must keep the newest steps.
 */
#include "trainer/run/spike_guard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

static Retnet__Train train_of(Retnet__SpikeAction action, int window, double sigma) {
  Retnet__Train train = RETNET__TRAIN__INIT;
  train.spike_action = action;
  train.spike_window = window;
  train.spike_sigma = sigma;
  return train;
}

static const Retnet__SpikeAction skip = RETNET__SPIKE_ACTION__SPIKE_ACTION_SKIP;

/* Losses 1, 2, 3, 4 have the mean 2.5 and the standard deviation sqrt(5/3); the gradient norms are
 * twice as large. */
static void fill(rn_spike_guard *g, const Retnet__Train *train) {
  for (int i = 1; i <= 4; i++) rn_spike_guard_add(g, train, i, 2 * i);
}

static void the_limit_is_the_mean_plus_sigma_deviations(void) {
  const Retnet__Train train = train_of(skip, 4, 3);
  const double limit = 2.5 + 3 * sqrt(5. / 3);
  rn_spike_guard g = {0};
  fill(&g, &train);
  CHECK(rn_spike_find(&g, &train, limit - 1e-9, 2 * limit - 1e-9).what == NULL);
  const rn_spike loss = rn_spike_find(&g, &train, limit + 1e-9, 0);
  CHECK(loss.what != NULL && strcmp(loss.what, "loss") == 0);
  CHECK(fabs(loss.limit - limit) < 1e-12);
  const rn_spike norm = rn_spike_find(&g, &train, 0, 2 * limit + 1e-9);
  CHECK(norm.what != NULL && strcmp(norm.what, "gradient norm") == 0);
  CHECK(rn_spike_find(&g, &train, -1e30, 0).what == NULL);
}

static void no_spike_before_the_window_is_half_full(void) {
  const Retnet__Train train = train_of(skip, 9, 1), two = train_of(skip, 2, 1);
  rn_spike_guard g = {0}, small = {0};
  for (int i = 0; i < 3; i++) rn_spike_guard_add(&g, &train, 1, 1);
  CHECK(rn_spike_find(&g, &train, 1e9, 1).what == NULL);
  rn_spike_guard_add(&g, &train, 1, 1);
  CHECK(rn_spike_find(&g, &train, 1e9, 1).what != NULL);
  rn_spike_guard_add(&small, &two, 1, 1);
  CHECK(rn_spike_find(&small, &two, 1e9, 1).what == NULL);
}

/* The mean of equal numbers may be off by one rounding. */
static void rounding_is_no_spike(void) {
  const Retnet__Train train = train_of(skip, 100, 1);
  rn_spike_guard g = {0};
  for (int i = 0; i < 100; i++) rn_spike_guard_add(&g, &train, 0.1, 0.1);
  CHECK(rn_spike_find(&g, &train, nextafter(0.1, 1), nextafter(0.1, 1)).what == NULL);
}

static void off_neither_records_nor_finds(void) {
  const Retnet__Train on = train_of(skip, 4, 3),
                      off = train_of(RETNET__SPIKE_ACTION__SPIKE_ACTION_OFF, 4, 3);
  rn_spike_guard g = {0};
  fill(&g, &off);
  CHECK_EQUAL(g.count, 0);
  fill(&g, &on);
  CHECK(rn_spike_find(&g, &off, 1e9, 1e9).what == NULL);
}

static bool same(const rn_spike_guard *a, const rn_spike_guard *b) {
  const size_t bytes = (size_t)a->count * sizeof *a->loss;
  return a->count == b->count && a->rollbacks == b->rollbacks &&
         memcmp(a->loss, b->loss, bytes) == 0 && memcmp(a->grad_norm, b->grad_norm, bytes) == 0;
}

/* Packs the guard as a checkpoint does, and loads it from the bytes. */
static void store_and_load(rn_spike_guard *g) {
  Retnet__SpikeGuard stored;
  rn_spike_guard_store(g, &stored);
  uint8_t *bytes = malloc(retnet__spike_guard__get_packed_size(&stored));
  if (bytes == NULL) abort();
  const size_t size = retnet__spike_guard__pack(&stored, bytes);
  Retnet__SpikeGuard *read = retnet__spike_guard__unpack(NULL, size, bytes);
  if (CHECK(read != NULL)) rn_spike_guard_load(g, read);
  retnet__spike_guard__free_unpacked(read, NULL);
  free(bytes);
}

static void a_stored_guard_decides_as_one_that_never_stopped(void) {
  const Retnet__Train train = train_of(skip, 7, 3);
  rn_spike_guard straight = {.rollbacks = 2}, resumed = {.rollbacks = 2};
  for (int i = 0; i < 40; i++) {
    const double loss = 3 + sin(i), norm = 1 / (1. + i);
    rn_spike_guard_add(&straight, &train, loss, norm);
    rn_spike_guard_add(&resumed, &train, loss, norm);
    store_and_load(&resumed);
    CHECK(same(&straight, &resumed));
  }
  CHECK_EQUAL(resumed.count, 7);
  /* A shorter window keeps the newest steps. */
  const Retnet__Train shorter = train_of(skip, 3, 3);
  const rn_spike found = rn_spike_find(&resumed, &shorter, 1e9, 0);
  rn_spike_guard newest = {0};
  for (int i = 37; i < 40; i++) rn_spike_guard_add(&newest, &shorter, 3 + sin(i), 1);
  CHECK_EQUAL(found.steps, 3);
  CHECK(found.limit == rn_spike_find(&newest, &shorter, 1e9, 0).limit);
  rn_spike_guard_add(&resumed, &shorter, 9, 9);
  CHECK_EQUAL(resumed.count, 3);
  CHECK(resumed.loss[0] == 3 + sin(38) && resumed.loss[2] == 9);
}

static void damaged_lists_are_cut(void) {
  static double many[2 * RN_SPIKE_WINDOW_MAX];
  Retnet__SpikeGuard stored = RETNET__SPIKE_GUARD__INIT;
  rn_spike_guard g = {0};
  many[2 * RN_SPIKE_WINDOW_MAX - 1] = 5;
  stored.loss = stored.grad_norm = many;
  stored.n_loss = stored.n_grad_norm = 2 * RN_SPIKE_WINDOW_MAX;
  rn_spike_guard_load(&g, &stored);
  CHECK_EQUAL(g.count, RN_SPIKE_WINDOW_MAX);
  CHECK(g.loss[RN_SPIKE_WINDOW_MAX - 1] == 5);
  stored.n_grad_norm = 3;
  rn_spike_guard_load(&g, &stored);
  CHECK_EQUAL(g.count, 3);
  rn_spike_guard_load(&g, NULL);
  CHECK_EQUAL(g.count, 0);
}

int main(void) {
  the_limit_is_the_mean_plus_sigma_deviations();
  no_spike_before_the_window_is_half_full();
  rounding_is_no_spike();
  off_neither_records_nor_finds();
  a_stored_guard_decides_as_one_that_never_stopped();
  damaged_lists_are_cut();
  return check_result();
}
