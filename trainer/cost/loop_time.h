/**
 * Computes the time of a parallel loop on a number of threads by simulation.
 *
 * Threads take tasks in the order in which the tasks are added: the thread that becomes free first
 * takes the next task, as with schedule(dynamic) or a shared counter. A task may have to wait for
 * other tasks; the thread that has taken it is idle meanwhile. The simulation assumes that all
 * threads are equally fast and undisturbed, so the time is a lower bound.
 */
#ifndef RN_TRAINER_COST_LOOP_TIME_H
#define RN_TRAINER_COST_LOOP_TIME_H

#include <stdint.h>

enum { RN_LOOP_THREADS = 1024, RN_LOOP_GROUPS = 4096 };

/** State of the simulation of one loop. */
typedef struct rn_loop_time {
  int threads;
  int64_t tasks;
  double work_s, longest_s;       /* total time of all tasks, and time of the longest task */
  double free_s[RN_LOOP_THREADS]; /* [threads] heap of the times at which threads become free */
  double group_s[RN_LOOP_GROUPS]; /* time at which the last task of each group ends */
} rn_loop_time;

/** Starts a loop without tasks. At most RN_LOOP_THREADS threads are simulated. */
void rn_loop_time_start(rn_loop_time *loop, int threads);

/**
 * Adds a task that takes `s` seconds and belongs to group `group` (-1: none). The task begins only
 * when all tasks that were added earlier to group `after` have ended (-1: it does not wait). Groups
 * are numbered below RN_LOOP_GROUPS.
 */
void rn_loop_time_add(rn_loop_time *loop, double s, int group, int after);

/** Adds `tasks` equal tasks of `s` seconds each, split evenly among the threads as with
 * schedule(static). The loop must have no other tasks. */
void rn_loop_time_add_static(rn_loop_time *loop, int64_t tasks, double s);

/** Returns the time at which the last thread ends. */
double rn_loop_time_end(const rn_loop_time *loop);

#endif
