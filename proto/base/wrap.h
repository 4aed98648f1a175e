/** Text for people, wrapped to the width of a terminal. */
#ifndef RN_PROTO_BASE_WRAP_H
#define RN_PROTO_BASE_WRAP_H

#include <stdio.h>

/**
 * Prints `text`, broken at spaces so that no line exceeds 80 columns (longer words do), and a
 * newline. The first line starts at column `column`, where the caller has printed to; following
 * lines are indented by `margin`. '\n' in the text ends a line; text in [brackets] is not broken.
 */
void rn_wrap_print(FILE *file, const char *text, int column, int margin);

#endif
