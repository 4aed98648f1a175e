/**
 * Warns during a run about hosts of which ranks no longer report, because the launcher may end the
 * job before the watchdog does, without naming the host.
 */
#ifndef RN_COMM_WORLD_WATCHDOG_SILENCE_H
#define RN_COMM_WORLD_WATCHDOG_SILENCE_H

#include <stdbool.h>

#include "comm/world/rank_reports.h"

/**
 * Writes a line to stderr for each host of which a rank has not reported for `limit_s` seconds. A
 * rank is reported once, and again if it is silent again after it has recovered. warned[ranks] is
 * the memory of this function between its calls, false at first. Never waits for the reader of
 * stderr: if a pipe is full, the next call warns. For rank 0.
 * Not collective. Errors: none.
 */
void rn_watchdog_silence_warn(const rn_rank_reports *reports, int ranks, double limit_s,
                              bool *warned);

#endif
