/** Declares a C interface to the sentencepiece library. Texts are arbitrary bytes with a length.
 * Functions that return a bool return false if the library fails. */
#ifndef RN_DATA_TOKENIZER_SPM_LIBRARY_H
#define RN_DATA_TOKENIZER_SPM_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rn_spm_model rn_spm_model;

/** Loads a serialized ModelProto. If the bytes are not a valid ModelProto, returns NULL and writes
 * the reason. */
rn_spm_model *rn_spm_model_load(const void *bytes, size_t count, char *reason, size_t reason_bytes);
/** Destroys the model; accepts NULL. */
void rn_spm_model_destroy(rn_spm_model *model);

/** Return the number of pieces, and the id of </s> (-1 if the model has none). */
int rn_spm_model_pieces(const rn_spm_model *model);
int rn_spm_model_eos(const rn_spm_model *model);

typedef enum { RN_SPM_NORMAL, RN_SPM_BYTE, RN_SPM_CONTROL, RN_SPM_UNKNOWN } rn_spm_kind;

/** Returns the kind of a piece; sets *text to its text, which belongs to the model. */
rn_spm_kind rn_spm_model_piece(const rn_spm_model *model, int id, const char **text, size_t *count);

/** Called with each id and the number of text bytes that it encodes; returns false to stop. */
typedef bool rn_spm_visit(void *self, int id, size_t text_bytes);

/** Encodes a text; calls `visit` with each id. */
bool rn_spm_model_encode(const rn_spm_model *model, const char *text, size_t count,
                         rn_spm_visit *visit, void *self);

/** Decodes ids; calls `take` once with the text. */
bool rn_spm_model_decode(const rn_spm_model *model, const int *id, size_t count,
                         bool (*take)(void *self, const char *text, size_t count), void *self);

#ifdef __cplusplus
}
#endif
#endif
