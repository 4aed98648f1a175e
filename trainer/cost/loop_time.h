/**
 * The time of a parallel loop on a number of threads, by simulation.
 *
 * Threads take tasks in the order in which these are added: the thread that is free first takes the
 * next task, as with schedule(dynamic) or a shared counter. A task may have to wait for others; the
 * thread that has taken it is idle until then. All threads are equally fast, and nobody disturbs
 * them, so the time is a lower bound.
 */
#ifndef RN_TRAINER_COST_LOOP_TIME_H
#define RN_TRAINER_COST_LOOP_TIME_H

#include <stdint.h>

enum { RN_LOOP_THREADS = 1024, RN_LOOP_GROUPS = 4096 };

/** A loop under way. */
typedef struct rn_loop_time {
  int threads;
  int64_t tasks;
  double work_s, longest_s;       /* time of all tasks, and of the longest */
  double free_s[RN_LOOP_THREADS]; /* [threads], a heap: when each thread is free */
  double group_s[RN_LOOP_GROUPS]; /* when the last task of each group ends */
} rn_loop_time;

/** Starts a loop without tasks. More than RN_LOOP_THREADS threads count as that many. */
void rn_loop_time_start(rn_loop_time *loop, int threads);

/**
 * Adds a task that takes `s`. It begins after all tasks that were added to group `after` so far
 * (-1: at once), and belongs to group `group` (-1: none). Groups are numbered below RN_LOOP_GROUPS.
 */
void rn_loop_time_add(rn_loop_time *loop, double s, int group, int after);

/** Adds `tasks` equal tasks of `s` each, split evenly: as many for each thread, or one more, as
 * with schedule(static). Only for a loop without other tasks. */
void rn_loop_time_add_static(rn_loop_time *loop, int64_t tasks, double s);

/** Returns the time at which the last thread ends. */
double rn_loop_time_end(const rn_loop_time *loop);

#endif
