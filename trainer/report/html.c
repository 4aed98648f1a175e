#include "trainer/report/html.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Returns a copy of the text in valid UTF-8, or NULL if memory runs out. The caller frees it. */
static char *valid_copy(const char *text) {
  const size_t bytes = strlen(text);
  char *copy = malloc(3 * bytes + 1);
  if (copy == NULL) return NULL;
  copy[rn_utf8_replace_invalid((const unsigned char *)text, bytes, (unsigned char *)copy)] = '\0';
  return copy;
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
  char *valid = valid_copy(text);
  for (const char *c = valid != NULL ? valid : ""; *c != '\0'; c++) put_character(file, *c);
  free(valid);
}

void rn_html_json_string(FILE *file, const char *text) {
  char *valid = valid_copy(text);
  fputc('"', file);
  for (const char *c = valid != NULL ? valid : ""; *c != '\0'; c++) {
    const bool plain = (unsigned char)*c >= ' ' && strchr("<>&\"\\\x7f", *c) == NULL;
    fprintf(file, plain ? "%c" : "\\u%04x", plain ? *c : (unsigned char)*c);
  }
  fputc('"', file);
  free(valid);
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
