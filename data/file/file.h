/**
 * File operations for the rest of data/: complete reads and writes, and durable replacement.
 *
 * Every error message names the file, the system's reason and what the user can do.
 */
#ifndef RN_DATA_FILE_FILE_H
#define RN_DATA_FILE_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

enum { RN_PATH_BYTES = PATH_MAX + 64 };

/** A path, stored by value. If a path does not fit and is truncated, it is still longer than
 * PATH_MAX, so it cannot name a different file by mistake. */
typedef struct rn_path {
  char text[RN_PATH_BYTES];
} rn_path;

/** An open file and its name; zero-initialise it. `path` is NULL if the file is not open. */
typedef struct rn_file {
  int fd;
  char *path;
  int64_t size_bytes; /* size at open */
} rn_file;

/** Opens a regular file to read. Errors: RN_ERR_NOT_FOUND, RN_ERR_IO, RN_ERR_FORMAT. */
rn_status rn_file_open(rn_err *err, const char *path, rn_file *out);

/** Creates a file, or truncates an existing one. Errors: RN_ERR_NOT_FOUND (folder), RN_ERR_IO. */
rn_status rn_file_create(rn_err *err, const char *path, rn_file *out);

/** Opens an existing file to read and write. Errors: RN_ERR_NOT_FOUND, RN_ERR_IO. */
rn_status rn_file_open_to_write(rn_err *err, const char *path, rn_file *out);

/** Closes and reports errors: some file systems report a full disk only on close. */
rn_status rn_file_close(rn_err *err, rn_file *file);

/** Closes and ignores errors, for failure paths; accepts a zeroed or closed file. */
void rn_file_destroy(rn_file *file);

/** Reads exactly `bytes` at `offset`. Errors: RN_ERR_IO; RN_ERR_FORMAT if the file is shorter. */
rn_status rn_file_read(rn_err *err, const rn_file *file, int64_t offset, void *out, size_t bytes);

/** Writes all of `bytes` at `offset`. */
rn_status rn_file_write(rn_err *err, const rn_file *file, int64_t offset, const void *data,
                        size_t bytes);

/** Waits until the file's bytes are on the disk, if the file system supports that. */
rn_status rn_file_sync(rn_err *err, const rn_file *file);

/** Does the same for a descriptor; returns 0 or an errno value. Unlike the other functions, it
 * counts no progress: for threads that work while the run may hang. */
int rn_file_sync_fd(int fd);

/** True if the errno value `error` means that the file system does not support a call. */
bool rn_file_is_unsupported(int error);

/** Waits until a folder's entries (new, renamed, removed files) are on the disk. */
rn_status rn_file_sync_folder(rn_err *err, const char *folder);

/** Renames a file or folder; the new name is durable after rn_file_sync_folder of the parent. */
rn_status rn_file_rename(rn_err *err, const char *from, const char *to);

/** Makes a folder and its missing parents; an existing folder is not an error. */
rn_status rn_file_make_folder(rn_err *err, const char *folder);

/** Removes a file, or a folder with all its content (links are removed, not followed). */
rn_status rn_file_remove_tree(rn_err *err, const char *path);

/** Like rn_file_remove_tree, but does nothing if `path` does not exist. Errors: RN_ERR_IO. */
rn_status rn_file_remove_left(rn_err *err, const char *path);

/** True if `path` exists, even as a dangling link; false if it cannot be looked up. */
bool rn_file_exists(const char *path);

/** True if `path` does not exist; false if it exists or cannot be looked up. */
bool rn_file_is_missing(const char *path);

/** Sets *exists like rn_file_exists, but fails if `path` cannot be looked up. Must be used where it
 * would be wrong to treat such a file as missing. Errors: RN_ERR_IO. */
rn_status rn_file_find(rn_err *err, const char *path, bool *exists);

/** Sets *is_folder to true if `path` is a folder or a link to one; false if it does not exist or
 * leads nowhere (rn_file_leads_nowhere). Errors: RN_ERR_IO if `path` cannot be looked up. */
rn_status rn_file_find_folder(rn_err *err, const char *path, bool *is_folder);

/** Like rn_file_find_folder, for a regular file. */
rn_status rn_file_find_regular(rn_err *err, const char *path, bool *is_regular);

/** True if `error`, the errno value of stat(), means that there is no file at the path: a part of
 * the path or the target of a link is missing, or links form a loop. */
bool rn_file_leads_nowhere(int error);

/**
 * Reads a whole file.
 *
 * Ownership: the caller frees *out; a zero byte is appended, so that text is a string.
 * Errors:    RN_ERR_NOT_FOUND, RN_ERR_IO; RN_ERR_FORMAT if it has more than `max_bytes`.
 */
rn_status rn_file_load(rn_err *err, const char *path, size_t max_bytes, void **out, size_t *bytes);

/** Sets *resolved to the path of the file that a symbolic link leads to; to `path` itself if it is
 * not a link or leads nowhere. Used for output files that the user names: they are written
 * under a temporary name and then renamed, and a rename to `path` would replace the link instead of
 * the file. Errors: RN_ERR_IO if `path` cannot be looked up, RN_ERR_MEMORY. */
rn_status rn_file_resolve_symlink(rn_err *err, const char *path, rn_path *resolved);

/** Checks that a new file may be created at `path` or may replace an existing file there. Errors:
 * RN_ERR_IO if `path` is a device, pipe, socket or folder, which must not be replaced, if it cannot
 * be looked up, or if the parent folder is not writable; RN_ERR_NOT_FOUND if the parent folder does
 * not exist. */
rn_status rn_file_check_target(rn_err *err, const char *path);

/**
 * Renames `file`, which was written under a temporary name in the same folder, to `path`, durably:
 * calls fsync, closes and renames the file, and calls fsync on the folder. Always closes the file;
 * removes it on failure. Errors: RN_ERR_IO; those of rn_file_check_target.
 */
rn_status rn_file_publish(rn_err *err, rn_file *file, const char *path);

/**
 * Replaces a file's content durably: writes a temporary file, calls fsync, renames it, and calls
 * fsync on the folder. A reader, even after a crash, sees either the old or the new content.
 */
rn_status rn_file_replace(rn_err *err, const char *path, const void *data, size_t bytes);

/** Fails with the message "cannot `doing` `path`: reason; advice", where reason and advice belong
 * to the errno value `error`. */
rn_status rn_file_fail(rn_err *err, const char *doing, const char *path, int error);

/** Returns the path `folder`/`name`. */
rn_path rn_path_join(const char *folder, const char *name);

/** Returns the parent folder of a path. */
rn_path rn_path_folder(const char *path);

#endif
