/** The files below a folder, in the byte order of their paths. */
#ifndef RN_DATA_FILE_LISTING_H
#define RN_DATA_FILE_LISTING_H

#include <sys/stat.h>

#include "data/file/file.h"

/** Which folder a path leads to, whatever links lie on the way. */
typedef struct rn_folder_id {
  dev_t device;
  ino_t inode;
} rn_folder_id;

typedef struct rn_listing {
  char **path; /* [count] */
  size_t count, room;
  int64_t left_out; /* folders listed already, links to nothing, sockets, pipes and devices */
} rn_listing;

static inline rn_folder_id rn_folder_id_of(const struct stat *info) {
  return (rn_folder_id){info->st_dev, info->st_ino};
}

/**
 * All files below `folder`, however deep. Links to files count as files. A folder is listed once:
 * under its own path if it lies below, else under the first link to it in byte order; a link to a
 * folder that `folder` lies in is not followed. So loops end.
 * The folders `never` [nevers] are passed by, `folder` itself included.
 * Errors: RN_ERR_IO naming the folder; RN_ERR_MEMORY.
 */
rn_status rn_listing_make(rn_err *err, const char *folder, const rn_folder_id *never, int nevers,
                          rn_listing *out);
void rn_listing_free(rn_listing *listing);

#endif
