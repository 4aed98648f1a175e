/** The known name that a mistyped one was probably meant to be. */
#ifndef RN_PROTO_OPTIONS_NEAREST_H
#define RN_PROTO_OPTIONS_NEAREST_H

/** Levenshtein's distance of two names; of b only the first 64 bytes count. */
int rn_nearest_distance(const char *a, const char *b);

#endif
