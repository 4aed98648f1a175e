/**
 * Files as the rest of data/ wants them: whole reads, whole writes, durable replacement.
 *
 * Every failure names the file, the system's reason and what to do about it.
 */
#ifndef RN_DATA_FILE_FILE_H
#define RN_DATA_FILE_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

enum { RN_PATH_BYTES = PATH_MAX + 64 };

/** A path in place; one cut short is longer than the system takes, so never another file's. */
typedef struct rn_path {
  char text[RN_PATH_BYTES];
} rn_path;

/** An open file that knows its name; zero-initialise it. `path` is NULL when it is not open. */
typedef struct rn_file {
  int fd;
  char *path;
  int64_t size_bytes; /* when it was opened */
} rn_file;

/** Opens a regular file to read. Errors: RN_ERR_NOT_FOUND, RN_ERR_IO. */
rn_status rn_file_open(rn_err *err, const char *path, rn_file *out);

/** Creates a file to write, emptying one that is there. Errors: RN_ERR_IO. */
rn_status rn_file_create(rn_err *err, const char *path, rn_file *out);

/** Opens a file that is there to write more of it. Errors: RN_ERR_NOT_FOUND, RN_ERR_IO. */
rn_status rn_file_open_to_write(rn_err *err, const char *path, rn_file *out);

/** Closes; an error counts, for some file systems report a full disk only here. */
rn_status rn_file_close(rn_err *err, rn_file *file);

/** Closes and forgets, on the way out of a failure; takes a zeroed or closed file too. */
void rn_file_destroy(rn_file *file);

/** Reads exactly `bytes` at `offset`. Errors: RN_ERR_FORMAT when the file ends before. */
rn_status rn_file_read(rn_err *err, const rn_file *file, int64_t offset, void *out, size_t bytes);

/** Writes all of `bytes` at `offset`. */
rn_status rn_file_write(rn_err *err, const rn_file *file, int64_t offset, const void *data,
                        size_t bytes);

/** Waits until the file's bytes are on the disk. */
rn_status rn_file_sync(rn_err *err, const rn_file *file);

/** Waits until a folder's entries (new, renamed, removed files) are on the disk. */
rn_status rn_file_sync_folder(rn_err *err, const char *folder);

/** Renames; durable after rn_file_sync_folder of the parent. */
rn_status rn_file_rename(rn_err *err, const char *from, const char *to);

/** Makes a folder and its missing parents; one that is there is fine. */
rn_status rn_file_make_folder(rn_err *err, const char *folder);

/** Removes a file, or a folder with all that is in it (links are removed, not followed). */
rn_status rn_file_remove_tree(rn_err *err, const char *path);

/** Whether something of that name exists. */
bool rn_file_exists(const char *path);

/**
 * The whole of a file.
 *
 * Ownership: the caller frees *out; a zero byte follows the last one, so text is a string.
 * Errors:    RN_ERR_FORMAT when it holds more than `most_bytes`.
 */
rn_status rn_file_load(rn_err *err, const char *path, size_t most_bytes, void **out, size_t *bytes);

/**
 * Gives a file that was written under a temporary name (beside `path`) its own name, durably:
 * fsync, close, rename, fsync of the folder. Closes it, and removes it when it fails.
 */
rn_status rn_file_publish(rn_err *err, rn_file *file, const char *path);

/**
 * Replaces a file's content durably: temporary file, fsync, rename, fsync of the folder.
 * A reader, or a crash, sees the old content or the new, never a part.
 */
rn_status rn_file_replace(rn_err *err, const char *path, const void *data, size_t bytes);

/** Records "cannot `doing` `path`: reason; what to do", from an errno value. */
rn_status rn_file_fail(rn_err *err, const char *doing, const char *path, int error);

/** `folder`/`name`. */
rn_path rn_path_join(const char *folder, const char *name);

/** The folder that a path lies in. */
rn_path rn_path_folder(const char *path);

#endif
