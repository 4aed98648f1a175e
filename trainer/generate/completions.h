/**
 * Holds prompts and their completions, and prints them as bytes or as JSON.
 *
 *   one prompt        {"prompt", "text", "tokens", "stop"}
 *   several prompts   {"results": [an object as above for each prompt, in order]}
 *
 * A JSON string cannot hold arbitrary bytes: if a completion is not valid UTF-8, "text" contains
 * U+FFFD for each ill-formed subsequence, and "text_hex" contains the bytes themselves; the same
 * applies to "prompt" and "prompt_hex".
 */
#ifndef RN_TRAINER_GENERATE_COMPLETIONS_H
#define RN_TRAINER_GENERATE_COMPLETIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

typedef struct rn_bytes {
  unsigned char *byte; /* [count] */
  size_t count, capacity;
} rn_bytes;

typedef struct rn_completion {
  rn_bytes prompt, text;
  int64_t tokens; /* number of tokens sampled after the prompt */
  bool ended;     /* true: an end-of-document token ended it; false: the length limit did */
} rn_completion;

/** Zero-initialize; free with rn_completions_destroy. */
typedef struct rn_completions {
  rn_completion *text; /* [count] */
  int count, capacity;
} rn_completions;

/** Adds a prompt with a copy of the bytes. Errors: RN_ERR_MEMORY. */
rn_status rn_completions_add(rn_err *err, rn_completions *completions, const void *prompt,
                             size_t bytes);

/** Adds the bytes of a file as one prompt. Errors: those of rn_stream_load, RN_ERR_MEMORY. */
rn_status rn_completions_add_file(rn_err *err, rn_completions *completions, const char *path);

/**
 * Adds every non-empty line of a file as a prompt, without its line ending.
 * Errors: those of rn_stream_load, RN_ERR_MEMORY.
 */
rn_status rn_completions_add_lines(rn_err *err, rn_completions *completions, const char *path);

/** Frees all prompts and texts. */
void rn_completions_destroy(rn_completions *completions);

/** Appends bytes; returns false if memory runs out. */
bool rn_bytes_add(rn_bytes *bytes, const void *from, size_t count);

/** Prints the JSON object above in one line on stdout. */
void rn_completions_print_json(const rn_completions *completions);

/** Prints each prompt and its completion on stdout, under a numbered header, "==> 1 <==". */
void rn_completions_print(const rn_completions *completions);

#endif
