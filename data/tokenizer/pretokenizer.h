/** Splits a text into pieces by a pattern. The concatenation of the pieces is the text. */
#ifndef RN_DATA_TOKENIZER_PRETOKENIZER_H
#define RN_DATA_TOKENIZER_PRETOKENIZER_H

#include "data/tokenizer/tokenizer.h"

/** A compiled pattern; read-only, shared by threads. */
typedef struct rn_pretokenizer rn_pretokenizer;

/** Compiles a pattern. Errors: RN_ERR_FORMAT with PCRE2's message; RN_ERR_MEMORY. */
rn_status rn_pretokenizer_create(rn_err *err, const char *pattern, rn_pretokenizer **out);
void rn_pretokenizer_destroy(rn_pretokenizer **pretokenizer);

/** Like rn_tokenizer_cut; returns 0 for a pattern that is not known to allow cuts. */
size_t rn_pretokenizer_cut(const rn_pretokenizer *pretokenizer, const char *text, size_t count);

/** The workspace of one thread. */
typedef struct rn_pretokenizer_work rn_pretokenizer_work;
rn_status rn_pretokenizer_work_create(rn_err *err, const rn_pretokenizer *pretokenizer,
                                      rn_pretokenizer_work **out);
void rn_pretokenizer_work_destroy(rn_pretokenizer_work **work);

typedef rn_status rn_piece_visit(void *self, rn_err *err, const unsigned char *piece, size_t count);

/**
 * Calls `visit` with every piece, in order. A byte that is not part of a well-formed UTF-8 sequence
 * is matched as if it were U+FFFD; the pieces have the original bytes. Text that the pattern does
 * not match also becomes a piece.
 * Errors: RN_ERR_LIBRARY with PCRE2's message; RN_ERR_MEMORY; those of `visit`.
 */
rn_status rn_pretokenizer_split(rn_err *err, rn_pretokenizer_work *work, const char *text,
                                size_t count, rn_piece_visit *visit, void *self);

#endif
