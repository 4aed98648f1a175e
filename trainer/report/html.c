#include "trainer/report/html.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "proto/base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Calls `put` with each byte of the text in valid UTF-8. Allocates no memory, so that no text is
 * lost if memory runs out: a block that does not end the text is cut before an incomplete
 * character. */
static void each_byte(FILE *file, const char *text, void (*put)(FILE *file, char c)) {
  enum { BLOCK = 256 };
  unsigned char valid[3 * BLOCK];
  const unsigned char *at = (const unsigned char *)text;
  for (size_t left = strlen(text), count; left > 0; left -= count, at += count) {
    count = left <= BLOCK ? left : BLOCK - rn_utf8_open_end(at, BLOCK);
    const size_t bytes = rn_utf8_replace_invalid(at, count, valid);
    for (size_t i = 0; i < bytes; i++) put(file, (char)valid[i]);
  }
}

static void put_character(FILE *file, char c) {
  switch (c) {
    case '&':
      fputs("&amp;", file);
      break;
    case '<':
      fputs("&lt;", file);
      break;
    case '>':
      fputs("&gt;", file);
      break;
    case '"':
      fputs("&quot;", file);
      break;
    case '\'':
      fputs("&#39;", file);
      break;
    default:
      if (((unsigned char)c < ' ' && c != '\n' && c != '\t') || c == 0x7f) {
        fputs(REPLACEMENT, file);
      } else {
        fputc(c, file);
      }
  }
}

void rn_html_text(FILE *file, const char *text) {
  each_byte(file, text, put_character);
}

static void put_json_character(FILE *file, char c) {
  const bool plain = (unsigned char)c >= ' ' && strchr("<>&\"\\\x7f", c) == NULL;
  fprintf(file, plain ? "%c" : "\\u%04x", plain ? c : (unsigned char)c);
}

void rn_html_json_string(FILE *file, const char *text) {
  fputc('"', file);
  each_byte(file, text, put_json_character);
  fputc('"', file);
}

/* Chooses the unit of a value. If *value is at least `limit`, divides it by `base` until it is
 * below `base` or the largest unit is reached. Returns the index of the unit. */
static int scale(double *value, double base, double limit, int units) {
  int unit = 0;
  while (fabs(*value) >= limit && unit + 1 < units) {
    *value /= base;
    limit = base;
    unit++;
  }
  return unit;
}

void rn_html_value(FILE *file, double value) {
  static const char *const units[] = {"", "k", "M", "G", "T", "P"};
  if (isnan(value)) {
    fputc('-', file);
    return;
  }
  const int unit = scale(&value, 1000, 10000, 6);
  fprintf(file, unit == 0 && value == nearbyint(value) ? "%.0f%s" : "%.4g%s", value, units[unit]);
}

void rn_html_bytes(FILE *file, double bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  if (isnan(bytes)) {
    fputc('-', file);
    return;
  }
  const int unit = scale(&bytes, 1024, 1024, 5);
  fprintf(file, unit == 0 ? "%.0f %s" : "%.4g %s", bytes, units[unit]);
}

void rn_html_duration(FILE *file, double seconds) {
  if (!(seconds >= 0 && seconds < 1e12)) {
    fputc('-', file);
    return;
  }
  const long long s = llround(seconds);
  if (s < 60) {
    fprintf(file, "%.3g s", seconds);
  } else {
    fprintf(file, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  }
}
