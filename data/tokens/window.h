/** Reads an open file through a buffer of fixed size. */
#ifndef RN_DATA_TOKENS_WINDOW_H
#define RN_DATA_TOKENS_WINDOW_H

#include "data/file/file.h"

enum { RN_WINDOW_BYTES = 1 << 18 };

/** The part of a file that was read last. Zero-initialise. */
typedef struct rn_window {
  const rn_file *file;
  unsigned char *bytes; /* [RN_WINDOW_BYTES] */
  int64_t offset;       /* offset of bytes[0] in the file */
  size_t count;
} rn_window;

/** Creates a window. Ownership: the file must outlive the window. Errors: RN_ERR_MEMORY. */
rn_status rn_window_create(rn_err *err, const rn_file *file, rn_window *out);
/** Frees the buffer and zeroes the object. */
void rn_window_destroy(rn_window *window);

/**
 * Sets *out to the `bytes` bytes of the file at `offset`; `bytes` is at most RN_WINDOW_BYTES. *out
 * is valid until the next call. The caller must have checked that the bytes are inside the file.
 * Errors: RN_ERR_IO; RN_ERR_FORMAT if the file became shorter.
 */
rn_status rn_window_get(rn_err *err, rn_window *window, int64_t offset, size_t bytes,
                        const unsigned char **out);

#endif
