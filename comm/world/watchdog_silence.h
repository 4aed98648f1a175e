/**
 * Warns about hosts whose ranks no longer report. The warning is printed during the run, because
 * the launcher may end the job before the watchdog does, and may not name the host.
 */
#ifndef RN_COMM_WORLD_WATCHDOG_SILENCE_H
#define RN_COMM_WORLD_WATCHDOG_SILENCE_H

#include <stdbool.h>

#include "comm/world/rank_reports.h"

/**
 * Writes a line to stderr for each host with a rank that has not reported for `limit_s` seconds.
 * Names each such rank once, and again only if it has reported in between. warned [ranks] tells
 * which ranks have been named; the caller sets it to false before the first call. Never blocks: if
 * stderr is a full pipe, a later call writes the line. For rank 0. Not collective. Errors: none.
 */
void rn_watchdog_silence_warn(const rn_rank_reports *reports, int ranks, double limit_s,
                              bool *warned);

#endif
