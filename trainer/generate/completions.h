/**
 * Prompts and the texts that grow behind them, and how they are told: as bytes, or as JSON.
 *
 *   one       {"prompt", "text", "tokens", "stop"}
 *   several   {"results": [an object as above for each prompt, in order]}
 *
 * JSON holds text alone: of bytes that are no UTF-8 "text" has U+FFFD for each piece that is none,
 * and "text_hex" beside it the bytes themselves; likewise "prompt" and "prompt_hex".
 */
#ifndef RN_TRAINER_GENERATE_COMPLETIONS_H
#define RN_TRAINER_GENERATE_COMPLETIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

typedef struct rn_bytes {
  unsigned char *byte; /* [count] */
  size_t count, room;
} rn_bytes;

typedef struct rn_completion {
  rn_bytes prompt, text;
  int64_t tokens; /* drawn behind the prompt */
  bool ended;     /* by a document's end, not by its length */
} rn_completion;

/** Zero-initialise, rn_completions_destroy. */
typedef struct rn_completions {
  rn_completion *text; /* [count] */
  int count, room;
} rn_completions;

/** One prompt more, with a copy of the bytes. Errors: RN_ERR_MEMORY. */
rn_status rn_completions_add(rn_err *err, rn_completions *texts, const void *prompt, size_t bytes);

/** The bytes of a file as one prompt. Errors: those of files. */
rn_status rn_completions_add_file(rn_err *err, rn_completions *texts, const char *path);

/** Every line of a file that is not empty, without its end. Errors: those of files. */
rn_status rn_completions_add_lines(rn_err *err, rn_completions *texts, const char *path);

void rn_completions_destroy(rn_completions *texts);

/** One byte more; false where memory lacks. */
bool rn_bytes_add(rn_bytes *bytes, unsigned char byte);

/** The object as above, in one line on stdout. */
void rn_completions_print_json(const rn_completions *texts);

/** Each prompt and text under a line that counts them, "==> 1 <==". */
void rn_completions_print(const rn_completions *texts);

#endif
