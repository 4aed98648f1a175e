/** Distance of names, for suggestions after a typo. */
#ifndef RN_PROTO_OPTIONS_NEAREST_H
#define RN_PROTO_OPTIONS_NEAREST_H

/** Levenshtein distance; only the first 64 bytes of b are compared. */
int rn_nearest_distance(const char *a, const char *b);

#endif
