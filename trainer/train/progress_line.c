#include "trainer/train/progress_line.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The line so far. `limit` is its maximum number of characters. `full` becomes true when a value
 * does not fit; all later values are then omitted too. */
typedef struct line {
  char *text;
  size_t used, limit;
  bool full;
} line;

/* Appends a value, separated by blanks from the previous one. */
__attribute__((format(printf, 2, 3))) static void append(line *l, const char *format, ...) {
  char value[64];
  va_list args;
  va_start(args, format);
  vsnprintf(value, sizeof value, format, args);
  va_end(args);
  const char *gap = l->used > 0 ? "  " : "";
  l->full = l->full || l->used + strlen(gap) + strlen(value) > l->limit;
  if (l->full) return;
  l->used += (size_t)snprintf(l->text + l->used, l->limit + 1 - l->used, "%s%s", gap, value);
}

static void append_time(line *l, double left_s) {
  const long long s = left_s < 1e9 ? llround(left_s) : 0;
  if (!(left_s < 1e9)) return;
  if (s < 3600) {
    append(l, "ETA %lld:%02lld", s / 60, s % 60);
  } else {
    append(l, "ETA %lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  }
}

static void append_bar(line *l, double done) {
  enum { MIN_WIDTH = 8, MAX_WIDTH = 30, FRAME = 4 };
  char bar[MAX_WIDTH + 1];
  const size_t left = l->limit - l->used;
  const int width = left > MAX_WIDTH + FRAME ? MAX_WIDTH : (int)left - FRAME;
  if (width < MIN_WIDTH) return;
  for (int i = 0; i < width; i++) bar[i] = i < (int)(done * width) ? '#' : '.';
  bar[width] = '\0';
  append(l, "[%s]", bar);
}

void rn_progress_line(const rn_progress_values *v, int columns, char *text, size_t bytes) {
  const size_t limit = columns > 1 ? (size_t)columns - 1 : 0;
  const double done = (double)v->step / (double)v->steps;
  line l = {text, 0, limit < bytes ? limit : bytes - 1, false};
  text[0] = '\0';
  append(&l, "step %lld/%lld", (long long)v->step, (long long)v->steps);
  if (!isnan(v->loss)) append(&l, "loss %.4f", v->loss);
  append_time(&l, v->left_s);
  append(&l, "%d %%", (int)(100 * done));
  if (!isnan(v->tokens_per_s)) append(&l, "%.0f tokens/s", v->tokens_per_s);
  if (!isnan(v->val_loss)) append(&l, "val_loss %.4f", v->val_loss);
  if (!isnan(v->lr)) append(&l, "lr %.2e", v->lr);
  if (!isnan(v->grad_norm)) append(&l, "norm %.3f", v->grad_norm);
  append_bar(&l, done);
}
