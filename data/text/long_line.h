/**
 * Reads a line of a JSONL file that is too long to be held in memory, piece by piece.
 *
 * Strings are decoded and checked here, because a JSON library returns a string only as a whole.
 * The value of the member "text" of the outermost object is passed on in pieces. The line without
 * the content of its strings, the outline, is kept in memory; the JSON library parses it when the
 * line is complete.
 */
#ifndef RN_DATA_TEXT_LONG_LINE_H
#define RN_DATA_TEXT_LONG_LINE_H

#include "data/file/stream.h"
#include "data/tokenizer/tokenizer.h"

typedef struct rn_long_line rn_long_line;

/**
 * Begins a line. `name` is for messages; `take` receives the value of "text" in pieces of at most
 * 64 KiB, each of complete characters. The line is known to be valid only after
 * rn_long_line_finish and after its outline is parsed.
 *
 * Ownership: `name` must outlive the object. Errors: RN_ERR_MEMORY.
 */
rn_status rn_long_line_create(rn_err *err, const char *name, rn_stream_take *take, void *self,
                              rn_long_line **out);
void rn_long_line_destroy(rn_long_line **line);

/**
 * Adds the next bytes of the line.
 *
 * Errors: RN_ERR_FORMAT naming the line: a string with invalid UTF-8, an invalid escape or a
 *         control character; a second string "text", because the first is already passed on; an
 *         outline of more than 64 MiB. RN_ERR_MEMORY; those of `take`.
 */
rn_status rn_long_line_add(rn_err *err, rn_long_line *line, const char *bytes, size_t count);

/**
 * Ends the line. *outline is the line with these changes: each sequence of blanks becomes one
 * blank, or is removed at the start of the line; each string becomes "", except the keys "text" of
 * the outermost object. A string with \u0000, other than the value of "text", becomes "\u0000", so
 * that the JSON library rejects it if it is a key. The outline is valid until the object is
 * destroyed.
 *
 * Errors: RN_ERR_FORMAT if a string is not closed.
 */
rn_status rn_long_line_finish(rn_err *err, rn_long_line *line, const rn_text **outline);

#endif
