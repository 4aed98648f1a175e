/** Private to data/checkpoint: locates every element of every tensor of a checkpoint. */
#ifndef RN_DATA_CHECKPOINT_CKPT_INDEX_H
#define RN_DATA_CHECKPOINT_CKPT_INDEX_H

#include <stdint.h>

#include "data/checkpoint/ckpt.h"

enum { RN_CKPT_FORMAT = 1 };

/** One slice and the file that holds it. */
typedef struct rn_ckpt_extent {
  const Retnet__Slice *slice;
  int file; /* index into the manifest's files */
} rn_ckpt_extent;

/** All slices, ordered by tensor and first element. */
typedef struct rn_ckpt_index {
  rn_ckpt_extent *extent;
  int64_t count;
} rn_ckpt_index;

/** Compares tensors by their order in a manifest: kind, then name. */
int rn_ckpt_tensor_order(const Retnet__Tensor *a, const Retnet__Tensor *b);

/** Returns the index of the tensor in the manifest, or -1. */
int64_t rn_ckpt_tensor_index(const Retnet__Manifest *manifest, Retnet__TensorKind kind,
                             const char *name);

/**
 * Checks a manifest and sorts its slices.
 *
 * `status` is the error for an invalid manifest: RN_ERR_FORMAT if it was read, RN_ERR_MISMATCH if
 * it is about to be written.
 * Ownership: extents point into the manifest; rn_ckpt_index_destroy.
 * Errors:    `status`, naming `where` and the tensor or file, unless the table of tensors is
 *            sorted, slices fill every file without gaps, and every tensor is covered exactly once.
 */
rn_status rn_ckpt_index_create(rn_err *err, const char *where, rn_status status,
                               const Retnet__Manifest *manifest, rn_ckpt_index *out);
void rn_ckpt_index_destroy(rn_ckpt_index *index);

/** Returns the index of the extent that holds `element`, which must be within the tensor. */
int64_t rn_ckpt_index_find(const rn_ckpt_index *index, int64_t tensor, int64_t element);

#endif
