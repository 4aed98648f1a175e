#include "comm/world/watchdog_table.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINES = 64, LINE_BYTES = 384, WRITE_MS = 1000 };

static bool is_silent(const rn_rank_state *s) {
  return s->silent_s > 0;
}

/* True if other ranks may be waiting for this rank. */
static bool may_delay_others(const rn_rank_state *s) {
  return is_silent(s) || !s->waits;
}

int rn_watchdog_table_slowest(const rn_rank_state *ranks, int count) {
  int slowest = 0;
  for (int i = 1; i < count; i++) {
    const bool delays = may_delay_others(&ranks[i]), best = may_delay_others(&ranks[slowest]);
    const bool older = ranks[i].idle_s > ranks[slowest].idle_s;
    if (delays != best ? delays : older) slowest = i;
  }
  return slowest;
}

/* Writes to `text` why the rank makes no progress; nothing if the reason is unknown. */
static void describe(const rn_rank_state *s, char *text, size_t bytes) {
  if (is_silent(s) && s->host != NULL) {
    snprintf(
        text, bytes,
        "; no report from it for %.1f s: the process is stopped or dead, or its host is cut off",
        s->silent_s);
  } else {
    snprintf(text, bytes, "%s",
             is_silent(s) ? "; the process is suspended (SIGSTOP, debugger) or dead"
             : s->waits   ? "; it is waiting for other ranks"
                          : "");
  }
}

static int format_line(const rn_rank_state *s, bool late, char *line, size_t bytes) {
  char where[128] = "", what[160] = "", why[160];
  if (s->host != NULL) snprintf(where, sizeof where, " on %.64s", s->host);
  if (s->operation[0] != '\0') {
    snprintf(what, sizeof what, " has been in \"%s\" of step %lld for %.1f s", s->operation,
             (long long)s->step, s->idle_s);
  }
  describe(s, why, sizeof why);
  return snprintf(line, bytes, "  rank %d%s%s%s%s\n", s->rank, where, what, why,
                  late ? " <- late" : "");
}

/* Returns the group of a rank; groups are printed in this order: 0 late, 1 may delay others, 2
 * waits for others. */
static int group_of(const rn_rank_state *ranks, int i, int slowest) {
  const bool late = is_silent(&ranks[i]) || (i == slowest && !is_silent(&ranks[slowest]));
  return late ? 0 : may_delay_others(&ranks[i]) ? 1 : 2;
}

/* A pipe for which poll() returns POLLOUT takes PIPE_BUF bytes at once. */
void rn_watchdog_write(const char *text, size_t bytes) {
  struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
  for (size_t at = 0; at < bytes;) {
    if (poll(&out, 1, WRITE_MS) <= 0) return;
    const size_t left = bytes - at;
    const ssize_t wrote = write(STDERR_FILENO, text + at, left < PIPE_BUF ? left : PIPE_BUF);
    if (wrote <= 0) return;
    at += (size_t)wrote;
  }
}

/* Appends the lines of a table to text [bytes]; returns the number of bytes. */
static size_t format_lines(const rn_rank_state *ranks, int count, char *text, size_t bytes) {
  const int slowest = rn_watchdog_table_slowest(ranks, count), groups = count > MAX_LINES ? 3 : 1;
  size_t used = 0;
  int lines = 0;
  for (int group = 0; group < groups; group++) {
    for (int i = 0; i < count && lines < MAX_LINES; i++) {
      const int own = group_of(ranks, i, slowest);
      if (groups > 1 && own != group) continue;
      used += (size_t)format_line(&ranks[i], own == 0, text + used, bytes - used);
      lines++;
    }
  }
  if (lines < count)
    used += (size_t)snprintf(text + used, bytes - used, "  and %d more ranks\n", count - lines);
  return used;
}

void rn_watchdog_table_print(const char *title, const rn_rank_state *ranks, int count) {
  static char text[(MAX_LINES + 3) * LINE_BYTES];
  const int used = snprintf(text, 2 * LINE_BYTES, "%s", title);
  const size_t start = used < 2 * LINE_BYTES ? (size_t)used : 2 * LINE_BYTES - 1;
  rn_watchdog_write(text, start + format_lines(ranks, count, text + start, sizeof text - start));
}
