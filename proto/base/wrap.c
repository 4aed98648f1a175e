#include "proto/base/wrap.h"

#include <stdbool.h>

enum { WIDTH = 80 };

/* Returns the number of bytes of the next word; text in [brackets] is one word. */
static int word_length(const char *text) {
  int depth = 0, i = 0;
  for (; text[i] != '\0' && text[i] != '\n' && (text[i] != ' ' || depth > 0); i++) {
    depth += (text[i] == '[') - (text[i] == ']');
  }
  return i;
}

void rn_wrap_print(FILE *file, const char *text, int column, int margin) {
  bool at_start = true; /* true if the line has no word yet */
  for (const char *at = text; *at != '\0';) {
    const int length = word_length(at);
    const bool full = !at_start && length > 0 && column + 1 + length > WIDTH;
    if (*at == '\n' || full) {
      fputc('\n', file);
      at_start = true;
      column = 0;
    }
    if (length == 0) {
      at++;
      continue;
    }
    if (at_start && column < margin) column += fprintf(file, "%*s", margin - column, "");
    column += fprintf(file, "%s%.*s", at_start ? "" : " ", length, at);
    at_start = false;
    at += length;
  }
  fputc('\n', file);
}
