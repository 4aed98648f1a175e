/** Prints text wrapped to the width of a terminal. */
#ifndef RN_PROTO_BASE_WRAP_H
#define RN_PROTO_BASE_WRAP_H

#include <stdio.h>

/**
 * Prints `text` and a newline. Breaks lines at spaces so that no line exceeds 80 columns, unless a
 * single word does. The first line starts at column `column`, up to which the caller has printed;
 * further lines are indented by `margin`. '\n' in the text ends a line; text in [brackets] is not
 * broken.
 */
void rn_wrap_print(FILE *file, const char *text, int column, int margin);

#endif
