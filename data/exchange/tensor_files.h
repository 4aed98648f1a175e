/**
 * Reads and writes a model's tensors in one safetensors file, or in several with an index, as
 * Hugging Face stores them: model.safetensors, or model-00001-of-0000N.safetensors and
 * model.safetensors.index.json.
 *
 * Input is untrusted: sizes are limited before memory is allocated, and the index can name only
 * files in its folder.
 */
#ifndef RN_DATA_EXCHANGE_TENSOR_FILES_H
#define RN_DATA_EXCHANGE_TENSOR_FILES_H

#include "data/exchange/safetensors.h"
#include "data/file/file.h"

#define RN_TENSOR_FILES_SINGLE "model.safetensors"
#define RN_TENSOR_FILES_INDEX "model.safetensors.index.json"

/* ---- reading ---- */

typedef struct rn_tensor_files rn_tensor_files;

/**
 * Opens a .safetensors file or, in a folder, model.safetensors or the files that the index names.
 * Checks the headers and the index.
 *
 * Ownership: rn_tensor_files_close; names and tensors are valid until then.
 * Errors:    RN_ERR_FORMAT naming file and tensor (a tensor in two files, or not in the file that
 *            the index names); RN_ERR_NOT_FOUND, RN_ERR_IO, RN_ERR_MEMORY.
 */
rn_status rn_tensor_files_open(rn_err *err, const char *path, rn_tensor_files **out);

/** Closes and clears the pointer; accepts NULL. */
void rn_tensor_files_close(rn_tensor_files **files);

/** Return the number of tensors in all files, and the tensor at `index` in the order of names. */
int rn_tensor_files_count(const rn_tensor_files *files);
const rn_safetensors_tensor *rn_tensor_files_at(const rn_tensor_files *files, int index);

/** Returns the index of a tensor, or -1. */
int rn_tensor_files_find(const rn_tensor_files *files, const char *name);

/** Returns the path of the file that holds a tensor. */
const char *rn_tensor_files_path(const rn_tensor_files *files, int index);

/** Returns the value of `key` in the first file's __metadata__, or NULL if there is none. */
const char *rn_tensor_files_metadata(const rn_tensor_files *files, const char *key);

/** Reads elements [first, first + count) of a tensor and converts them to fp32 exactly. Errors:
 * RN_ERR_FORMAT for a type other than F32, F16 and BF16. */
rn_status rn_tensor_files_read(rn_err *err, const rn_tensor_files *files, int index, int64_t first,
                               int64_t count, float *out);

/* ---- writing ---- */

typedef struct rn_tensor_files_writer rn_tensor_files_writer;

/**
 * Starts to write tensors to `path`: a file if it ends in .safetensors, else a folder, which is
 * created if necessary.
 *
 * If `shard_bytes` is greater than 0 and the tensors have more bytes, they are written to several
 * files of at most that size and an index. A tensor that is larger gets a separate file.
 * The content of the folder does not change until rn_tensor_files_finish.
 * Ownership: `header` must stay valid until rn_tensor_files_finish or rn_tensor_files_abandon.
 * Errors:    RN_ERR_MISMATCH if the folder holds a model in the other form (one file or several),
 *            which readers could load instead of this one; RN_ERR_IO, RN_ERR_MEMORY.
 */
rn_status rn_tensor_files_create(rn_err *err, const char *path, const rn_safetensors_header *header,
                                 int64_t shard_bytes, rn_tensor_files_writer **out);

/** Appends fp32 elements of a tensor, rounded to the tensor's type. Tensors must follow the order
 * of the header. Errors: RN_ERR_MISMATCH if a finite value is too large for the type. */
rn_status rn_tensor_files_append(rn_err *err, rn_tensor_files_writer *writer, const float *values,
                                 int64_t count);

/** Returns the folder in which to write other files of the model, such as config.json, which
 * rn_tensor_files_finish then moves together with the tensors; NULL if the path of
 * rn_tensor_files_create is a single file. */
const char *rn_tensor_files_folder(const rn_tensor_files_writer *writer);

/** Renames all files, including the index if there is one, to their final names. If that fails, the
 * content of the folder is as before. All elements must have been appended. */
rn_status rn_tensor_files_finish(rn_err *err, rn_tensor_files_writer **writer);

/** Removes what was written, and leaves the folder as it was; accepts NULL. */
void rn_tensor_files_abandon(rn_tensor_files_writer **writer);

#endif
