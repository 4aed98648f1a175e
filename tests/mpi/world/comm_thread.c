/*
 * Checks that only one thread of a rank is inside MPI at a time: the communication thread polls
 * only while MPI is released, and never after it is acquired. The thread sleeps if nothing is in
 * flight, and has the floating-point mode of the thread that started it. Its start must fail if MPI
 * was not started with MPI_THREAD_SERIALIZED.
 */
#include "comm/world/comm_thread.h"

#include <fenv.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "tests/support/check.h"

enum { ROUNDS = 200 };

static rn_err err;
static rn_comm_thread_wait wait; /* mode of the thread under test */

/* A fake message that is complete after `left` polls. main_inside is set while the main thread owns
 * MPI. */
typedef struct fake {
  atomic_int main_inside, overlaps, polls, left;
  float sum;
} fake;

static rn_progress_state poll_fake(void *self) {
  fake *f = self;
  volatile float one = 1, little = 1e-10f;
  if (atomic_load(&f->main_inside)) atomic_fetch_add(&f->overlaps, 1);
  for (int i = 0; i < 20; i++) sched_yield();
  if (atomic_load(&f->main_inside)) atomic_fetch_add(&f->overlaps, 1);
  f->sum = one + little;
  atomic_fetch_add(&f->polls, 1);
  if (atomic_load(&f->left) == 0) return RN_PROGRESS_DONE;
  return atomic_fetch_sub(&f->left, 1) % 2 == 0 ? RN_PROGRESS_WAITS : RN_PROGRESS_MOVED;
}

static void sleep_us(long us) {
  nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void one_thread_is_inside_at_a_time(const rn_world *world) {
  fake f = {.left = 1 << 30};
  rn_comm_thread *thread = NULL;
  atomic_store(&f.main_inside, 1);
  if (!CHECK_OK(&err, rn_comm_thread_start(&err, world, wait, &thread))) return;
  rn_comm_thread_add(thread, (rn_progress_callback){&f, poll_fake});
  CHECK(!rn_comm_thread_acquire(thread));
  for (int i = 0; i < ROUNDS; i++) {
    atomic_store(&f.main_inside, 0);
    rn_comm_thread_release(thread);
    sleep_us(i % 7 == 0 ? 300 : 1);
    CHECK(rn_comm_thread_acquire(thread));
    atomic_store(&f.main_inside, 1);
    for (int k = 0; k < 20; k++) sched_yield();
  }
  CHECK_EQUAL(atomic_load(&f.overlaps), 0);
  CHECK(atomic_load(&f.polls) > 0);
  rn_comm_thread_stop(&thread);
  CHECK(thread == NULL);
}

static void an_idle_thread_does_not_poll(const rn_world *world) {
  fake f = {.left = 5};
  rn_comm_thread *thread = NULL;
  if (!CHECK_OK(&err, rn_comm_thread_start(&err, world, wait, &thread))) return;
  rn_comm_thread_add(thread, (rn_progress_callback){&f, poll_fake});
  for (int i = 1; i <= 3; i++) {
    rn_comm_thread_release(thread);
    for (int k = 0; k < 1000 && atomic_load(&f.polls) < 5 + i; k++) sleep_us(5000);
    sleep_us(20000);
    /* After the message is complete, each release must cause exactly one poll. */
    CHECK_EQUAL(atomic_load(&f.polls), 5 + i);
    CHECK(rn_comm_thread_acquire(thread));
  }
  rn_comm_thread_stop(&thread);
}

static void the_thread_inherits_the_rounding_mode(const rn_world *world) {
  fake f = {0};
  rn_comm_thread *thread = NULL;
  CHECK_EQUAL(fesetround(FE_UPWARD), 0);
  const bool started = CHECK_OK(&err, rn_comm_thread_start(&err, world, wait, &thread));
  fesetround(FE_TONEAREST);
  if (!started) return;
  rn_comm_thread_add(thread, (rn_progress_callback){&f, poll_fake});
  rn_comm_thread_release(thread);
  for (int k = 0; k < 1000 && atomic_load(&f.polls) == 0; k++) sleep_us(5000);
  CHECK(rn_comm_thread_acquire(thread));
  CHECK(f.sum > 1);
  rn_comm_thread_stop(&thread);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_comm_thread *thread = NULL;
  const bool serialized = argc < 2 || strcmp(argv[1], "funneled") != 0;
  rn_status status = serialized ? rn_world_start_serialized(&err, &argc, &argv, &world)
                                : rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  if (serialized) {
    for (wait = RN_COMM_THREAD_OWN_CORE; wait <= RN_COMM_THREAD_PERIODIC; wait++) {
      one_thread_is_inside_at_a_time(world);
      an_idle_thread_does_not_poll(world);
      the_thread_inherits_the_rounding_mode(world);
    }
  } else {
    CHECK_FAILS(&err, RN_ERR_LIBRARY, "parallel.comm_thread|MPI_THREAD_FUNNELED|off",
                rn_comm_thread_start(&err, world, wait, &thread));
    CHECK(thread == NULL);
  }
  const int result = check_result();
  return rn_world_finish(&world, RN_OK, &err) + result;
}
