/**
 * Holds prompts and their completions, and prints them as bytes or as JSON.
 *
 * With --json, `stop` says why a completion ended: "document" (the model drew the document token),
 * "string" (a stop string), "length" (the limit of tokens), "signal" (a signal stopped the
 * program).
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

#include "data/tokenizer/tokenizer.h"
#include "proto/base/status.h"
#include "trainer/generate/stop_strings.h"

/** Limit for a file of prompts, and for a line of the interactive mode. */
enum { RN_MAX_PROMPT_BYTES = 1 << 28 };

/** Why a completion ended. */
typedef enum { RN_STOP_LENGTH, RN_STOP_DOCUMENT, RN_STOP_STRING, RN_STOP_SIGNAL } rn_stop;

typedef struct rn_completion {
  rn_text prompt;
  rn_text text;   /* generated text that rn_completions_stream has not printed yet */
  int64_t tokens; /* number of drawn tokens */
  rn_stop stop;
  bool complete;
} rn_completion;

/** Zero-initialize; free with rn_completions_destroy. */
typedef struct rn_completions {
  rn_completion *text; /* [count] */
  int count;
  size_t capacity;
} rn_completions;

/** Adds a prompt with a copy of the bytes. Errors: RN_ERR_MEMORY. */
rn_status rn_completions_add(rn_err *err, rn_completions *completions, const void *prompt,
                             size_t bytes);

/** Adds the bytes of a file as one prompt. Errors: those of rn_stream_load with
 * RN_MAX_PROMPT_BYTES, RN_ERR_MEMORY. */
rn_status rn_completions_add_file(rn_err *err, rn_completions *completions, const char *path);

/**
 * Adds every non-empty line of a file as a prompt, without its line ending.
 * Errors: those of rn_stream_load with RN_MAX_PROMPT_BYTES, RN_ERR_MEMORY.
 */
rn_status rn_completions_add_lines(rn_err *err, rn_completions *completions, const char *path);

/** Frees all prompts and texts. */
void rn_completions_destroy(rn_completions *completions);

/**
 * Appends the text of a token. If that completes a stop string, the text ends before the string,
 * and the completion is marked as complete. Errors: RN_ERR_MEMORY.
 */
rn_status rn_completion_append(rn_err *err, rn_completion *completion, rn_stop_strings stops,
                               const void *bytes, size_t count);

/** Prints the JSON object above in one line on stdout. Errors: RN_ERR_MEMORY. */
rn_status rn_completions_print_json(rn_err *err, const rn_completions *completions);

/** Progress of rn_completions_stream; zero-initialise. */
typedef struct rn_completions_printed {
  int completion; /* index of the completion that is being printed */
  bool begun;     /* true if the prompt of that completion has been printed */
} rn_completions_printed;

/**
 * Prints the texts on stdout, in order, as far as they are final, and flushes stdout. Complete
 * characters are final if they cannot be part of a stop string. The first text that is not complete
 * delays the texts after it. If there are several texts, each has a header, "==> 1 <==", and the
 * last one ends with a line feed. Returns false if writing to stdout fails.
 *
 * Printed bytes are removed from the texts.
 */
bool rn_completions_stream(rn_completions *completions, rn_stop_strings stops,
                           rn_completions_printed *printed);

#endif
