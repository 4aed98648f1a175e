/** Finds the strings that end a completion, even if a string spans several tokens. */
#ifndef RN_TRAINER_GENERATE_STOP_STRINGS_H
#define RN_TRAINER_GENERATE_STOP_STRINGS_H

#include <stddef.h>

/** Strings that are not empty. */
typedef struct rn_stop_strings {
  const char *const *string; /* [count] */
  int count;
} rn_stop_strings;

/** Returns where the first stop string in text [count] begins, at `from` or later; `count` if there
 * is none. */
size_t rn_stop_strings_find(rn_stop_strings stops, const char *text, size_t count, size_t from);

/** Returns the length of the longest suffix of text [count] that is a prefix of a stop string. The
 * suffix must not be printed until more of the text is known. */
size_t rn_stop_strings_open_end(rn_stop_strings stops, const char *text, size_t count);

/** Returns the length of the longest string; 0 if there are none. */
size_t rn_stop_strings_longest(rn_stop_strings stops);

#endif
