#include "comm/world/watchdog_silence.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "comm/world/watchdog_table.h"

enum { LIST_BYTES = 200, MORE_BYTES = 32 /* space for one rank and " and N more" */ };

/* True if a warning about the rank's host should list the rank. Ranks of a host report at different
 * times, so half the limit is enough. */
static bool is_silent(const rn_rank_report *report, double limit_s) {
  return report->silent_s > limit_s / 2;
}

/* Writes to `text` the ranks of `host` that have become silent since the last warning, for example
 * " 4 5", and marks them as warned about. */
static void list_newly_silent(const rn_rank_reports *reports, const char *host, int ranks,
                              double limit_s, bool *warned, char text[LIST_BYTES]) {
  size_t used = 0;
  int more = 0;
  for (int rank = 1; rank < ranks; rank++) {
    const rn_rank_report report = rn_rank_reports_get(reports, rank);
    if (warned[rank] || !is_silent(&report, limit_s) || strcmp(report.host, host) != 0) continue;
    warned[rank] = true;
    if (used + MORE_BYTES < LIST_BYTES) {
      used += (size_t)snprintf(text + used, LIST_BYTES - used, " %d", rank);
    } else {
      more++;
    }
  }
  if (more > 0) snprintf(text + used, LIST_BYTES - used, " and %d more", more);
}

/* True if a line can be written to stderr without waiting. */
static bool can_write(void) {
  struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
  return poll(&out, 1, 0) > 0;
}

void rn_watchdog_silence_warn(const rn_rank_reports *reports, int ranks, double limit_s,
                              bool *warned) {
  for (int rank = 1; rank < ranks; rank++) {
    const rn_rank_report report = rn_rank_reports_get(reports, rank);
    char list[LIST_BYTES], line[480];
    warned[rank] = warned[rank] && is_silent(&report, limit_s);
    if (report.silent_s <= limit_s || warned[rank] || !can_write()) continue;
    list_newly_silent(reports, report.host, ranks, limit_s, warned, list);
    const int used =
        snprintf(line, sizeof line,
                 "warning: no report for %.1f s from host %s, rank%s: the processes are stopped or "
                 "dead, or the host is cut off from the network\n",
                 report.silent_s, report.host, list);
    rn_watchdog_write(line, (size_t)used);
  }
}
