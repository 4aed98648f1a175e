/**
 * Reads requests of an evaluation harness for the log-likelihoods of continuations.
 *
 *   {"context": "...", "continuation": "..."}    a request; "context" may be absent
 *   {"text": "..."}                              the same as a continuation without context
 *
 * As in lm-evaluation-harness, white space at the end of the context belongs to the continuation,
 * and the two are encoded as one text. If the context alone has n tokens, the continuation consists
 * of all tokens of this text after the first n. The document token precedes the context.
 */
#ifndef RN_TRAINER_EVALUATE_REQUESTS_H
#define RN_TRAINER_EVALUATE_REQUESTS_H

#include "data/tokenizer/tokenizer.h"

typedef struct rn_request {
  int64_t first; /* index of the request's first token, the document token, in rn_requests.tokens */
  int64_t tokens;        /* number of inputs, which are all tokens but the last */
  int64_t counted;       /* number of tokens of the continuation */
  double log_likelihood; /* result, on rank 0: sum over the continuation */
  bool is_greedy;        /* result: each token of the continuation is the most likely one */
} rn_request;

/** Zero-initialise; free with rn_requests_free. */
typedef struct rn_requests {
  rn_tokens tokens;
  rn_request *request; /* [count] */
  int64_t count;
  size_t capacity;
} rn_requests;

/**
 * Reads requests, one JSON object per line, from a file or a pipe. Each text begins with the token
 * `begin`.
 * Errors: those of rn_stream_load with a limit of 1 GiB; RN_ERR_FORMAT naming file and line;
 * RN_ERR_MEMORY.
 */
rn_status rn_requests_load(rn_err *err, const char *path, const rn_tokenizer *tokenizer,
                           int32_t begin, rn_requests *out);
void rn_requests_free(rn_requests *requests);

#endif
