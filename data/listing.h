/** The regular files below a folder, in the byte order of their paths. */
#ifndef RN_DATA_LISTING_H
#define RN_DATA_LISTING_H

#include "data/file.h"

typedef struct rn_listing {
  char **path; /* [count] */
  size_t count, room;
} rn_listing;

/**
 * All files below `folder`, however deep. Links to files count as files; links to folders are not
 * followed, so that nothing is listed twice. Errors: RN_ERR_IO naming the folder; RN_ERR_MEMORY.
 */
rn_status rn_listing_make(rn_err *err, const char *folder, rn_listing *out);
void rn_listing_free(rn_listing *listing);

#endif
