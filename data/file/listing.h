/** Lists the files below a folder, in the byte order of their paths. */
#ifndef RN_DATA_FILE_LISTING_H
#define RN_DATA_FILE_LISTING_H

#include <sys/stat.h>

#include "data/file/file.h"

/** Identity of a folder, independent of the path and of links in it. */
typedef struct rn_folder_id {
  dev_t device;
  ino_t inode;
} rn_folder_id;

typedef struct rn_listing {
  char **path; /* [count] */
  size_t count, capacity;
  int64_t left_out; /* number of entries left out: folders listed before, links that lead nowhere or
                       to where this user may not look, sockets, pipes, devices */
} rn_listing;

/** Returns the identity of the folder that stat() described. */
static inline rn_folder_id rn_folder_id_of(const struct stat *info) {
  return (rn_folder_id){info->st_dev, info->st_ino};
}

/**
 * Lists all files below `folder`, recursively. Links to files count as files. Each folder is listed
 * once: under its own path if it is below `folder`, else under the first link to it in byte order.
 * A link to an ancestor of `folder` is not followed, so there are no loops.
 * The folders in `excluded` [excluded_count] are skipped, even `folder` itself.
 * Errors: RN_ERR_IO naming the folder or link; RN_ERR_MEMORY.
 */
rn_status rn_listing_make(rn_err *err, const char *folder, const rn_folder_id *excluded,
                          int excluded_count, rn_listing *out);
void rn_listing_free(rn_listing *listing);

#endif
