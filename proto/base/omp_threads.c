#include "proto/base/omp_threads.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const char variable[] = "OMP_NUM_THREADS";

static const char *after_spaces(const char *text) {
  while (isspace((unsigned char)*text)) text++;
  return text;
}

int rn_omp_threads(void) {
  const char *given = getenv(variable);
  if (given == NULL) return 0;
  const char *text = after_spaces(given);
  char *end;
  if (!isdigit((unsigned char)*text)) return 0;
  const long number = strtol(text, &end, 10);
  const char *rest = after_spaces(end);
  if (*rest != '\0' && *rest != ',') return 0;
  return number >= 1 && number <= RN_OMP_THREADS_MAX ? (int)number : 0;
}

bool rn_omp_threads_refused(int used, char *text, size_t bytes) {
  const char *given = getenv(variable);
  if (given == NULL || *after_spaces(given) == '\0' || rn_omp_threads() > 0) return false;
  snprintf(text, bytes, "%s=%.40s is not a number of threads from 1 to %d: using %d thread%s",
           variable, given, RN_OMP_THREADS_MAX, used, used == 1 ? "" : "s");
  return true;
}
