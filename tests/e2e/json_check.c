/* Exits with 0 if standard input contains exactly one JSON object or, with --lines, one JSON object
 * per line, and nothing else. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check(const char *text, size_t bytes) {
  json_error_t reason;
  json_t *object = json_loadb(text, bytes, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &reason);
  const int is_object = json_is_object(object);
  json_decref(object);
  if (!is_object) {
    printf("%s: %.60s\n", object == NULL ? reason.text : "no object", text);
  }
  return is_object;
}

int main(int argc, char **argv) {
  char *line = NULL;
  size_t room = 0;
  ssize_t bytes;
  int good = 1, objects = 0;
  const int lines = argc > 1 && strcmp(argv[1], "--lines") == 0;
  while (good && (bytes = getdelim(&line, &room, lines ? '\n' : EOF, stdin)) > 0) {
    good = check(line, (size_t)bytes);
    objects++;
  }
  free(line);
  if (objects == 0) printf("nothing\n");
  return !(good && objects > 0);
}
