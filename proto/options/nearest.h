/** Computes the distance between names, to suggest a name after a typo. */
#ifndef RN_PROTO_OPTIONS_NEAREST_H
#define RN_PROTO_OPTIONS_NEAREST_H

/** Returns the Levenshtein distance; only the first 64 bytes of b are compared. */
int rn_nearest_distance(const char *a, const char *b);

#endif
