/*
 * Checks that each key accepts exactly the range that its comment in config.proto states. A closed
 * bound is accepted and the next number outside is not; an open bound is not accepted and the next
 * number inside is. Every key refuses a number that would be rounded to 0.
 *
 * The test reads the bounds from the text of the schema, not from the table that the build
 * generates from it.
 */
#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/options/options.h"
#include "tests/support/check.h"

enum { LINE_BYTES = 512 };

static rn_err err;
static Retnet__Config *config;
static int keys, bounded, open_bounds;

/* A field: the range in the comment above it, its type and its name. */
typedef struct field {
  char range[LINE_BYTES], type[64], name[64];
  bool list;
} field;

static void expect(const char *key, const char *text, bool taken) {
  const rn_status status = rn_options_set(&err, config, "test", key, text);
  if (taken) {
    CHECK_OK(&err, status);
  } else {
    CHECK_FAILS(&err, RN_ERR_USAGE, key, status);
  }
}

static bool is_whole(const field *f) {
  return strncmp(f->type, "int", 3) == 0;
}

/* Sets the key to the bound, and then to the number next to it: the one outside the range if the
 * bound is closed, the one inside if it is open. `outside` is -1 for a lower bound and 1 for an
 * upper bound. */
static void check_bound(const field *f, const char *key, double bound, int outside, bool open) {
  char at[400], next[400];
  const double way = open ? -outside : outside;
  if (is_whole(f)) {
    snprintf(at, sizeof at, "%.0f", bound);
    snprintf(next, sizeof next, "%.0f", bound + way);
  } else {
    snprintf(at, sizeof at, "%.17g", bound);
    double beyond = nextafter(bound, way > 0 ? DBL_MAX : -DBL_MAX);
    /* programs treat floats below FLT_MIN as 0, so the number next to 0 is FLT_MIN */
    if (bound == 0) beyond = way * (double)FLT_MIN;
    snprintf(next, sizeof next, "%.17g", beyond);
  }
  expect(key, at, !open);
  expect(key, next, open);
  bounded++;
  open_bounds += open;
}

/* Checks a range in one of the forms "1 .. 64", ">= 0", "> 0", ">= 0, < 1". */
static void check_range(const field *f, const char *key) {
  const char *dots = strstr(f->range, "..");
  if (dots != NULL) {
    check_bound(f, key, strtod(f->range, NULL), -1, false);
    check_bound(f, key, strtod(dots + 2, NULL), 1, false);
    return;
  }
  for (const char *c = f->range; *c != '\0'; c++) {
    if (*c != '<' && *c != '>') continue;
    const bool open = c[1] != '=';
    check_bound(f, key, strtod(c + (open ? 1 : 2), NULL), *c == '>' ? -1 : 1, open);
  }
}

/* Checks values that no key of this type may accept. */
static void check_type(const field *f, const char *key) {
  const bool takes_zero = strncmp(f->range, " > 0", 4) != 0;
  if (!is_whole(f) && strcmp(f->type, "double") != 0) return;
  if (!f->list) expect(key, "", false); /* the empty list */
  expect(key, "x", false);
  expect(key, "1x", false);
  expect(key, "nan", false);
  expect(key, "inf", false);
  expect(key, "1e999", false);
  if (!is_whole(f)) {
    static const char *const zeros[] = {"1e-400", "0.000e-3", "1e-40", "-1e-400", "0.0004e-60"};
    for (int i = 0; i < 5; i++) expect(key, zeros[i], i == 1 && takes_zero);
    return;
  }
  expect(key, "0.5", false);
  expect(key, "9223372036854775808", false);
  expect(key, "-9223372036854775809", false);
  if (strcmp(f->type, "int32") != 0) return;
  expect(key, "2147483648", false);
  expect(key, "-2147483649", false);
  expect(key, "4294967297", false);
}

static void check_field(const field *f, const char *section) {
  char key[160];
  snprintf(key, sizeof key, "%s.%s", section, f->name);
  keys++;
  check_range(f, key);
  check_type(f, key);
}

/* Reads the fields of a message up to its closing brace. `section` is the message's name in
 * lower case. */
static void read_message(FILE *file, const char *section) {
  char line[LINE_BYTES];
  field f = {.range = ""};
  while (fgets(line, sizeof line, file) != NULL && line[0] != '}') {
    const char *range = strstr(line, "// Range: ");
    if (range == NULL) range = strstr(line, "Range: ");
    if (range != NULL) {
      snprintf(f.range, sizeof f.range, "%s", strchr(range, ':') + 1);
      continue;
    }
    f.list = strstr(line, "repeated ") != NULL;
    if (sscanf(line, " optional %63s %63s", f.type, f.name) == 2 ||
        sscanf(line, " repeated %63s %63s", f.type, f.name) == 2) {
      check_field(&f, section);
      f = (field){.range = ""};
    }
  }
}

int main(int argc, char **argv) {
  char line[LINE_BYTES], section[64];
  FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;
  if (!CHECK(file != NULL) || !CHECK_OK(&err, rn_options_create(&err, &config))) return 1;
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "message %63s", section) != 1 || strcmp(section, "Config") == 0) continue;
    for (char *c = section; *c != '\0'; c++) *c = (char)tolower((unsigned char)*c);
    read_message(file, section);
  }
  fclose(file);
  rn_options_free(&config);
  CHECK(keys >= 70 && bounded >= 50 && open_bounds >= 4);
  printf("%d keys, %d bounds, %d of them open\n", keys, bounded, open_bounds);
  return check_result();
}
