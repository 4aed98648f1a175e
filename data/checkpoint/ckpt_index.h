/** Where every element of every tensor of a checkpoint lies; for the files of data/ckpt only. */
#ifndef RN_DATA_CHECKPOINT_CKPT_INDEX_H
#define RN_DATA_CHECKPOINT_CKPT_INDEX_H

#include <stdint.h>

#include "data/checkpoint/ckpt.h"

enum { RN_CKPT_FORMAT = 1 };

/** One slice and the part that holds it. */
typedef struct rn_ckpt_extent {
  const Retnet__Slice *slice;
  int part; /* index into the manifest's parts */
} rn_ckpt_extent;

/** All slices, by tensor and first element. */
typedef struct rn_ckpt_index {
  rn_ckpt_extent *extent;
  int64_t count;
} rn_ckpt_index;

/** The order of tensors in a manifest: kind, then name. */
int rn_ckpt_tensor_order(const Retnet__Tensor *a, const Retnet__Tensor *b);

/** The tensor's number in the manifest, or -1. */
int64_t rn_ckpt_tensor_number(const Retnet__Manifest *manifest, Retnet__TensorKind kind,
                              const char *name);

/**
 * Checks a manifest and orders its slices.
 *
 * `status` is what a fault in it means: RN_ERR_FORMAT when read, RN_ERR_MISMATCH when made.
 * Ownership: extents point into the manifest; rn_ckpt_index_destroy.
 * Errors:    `status`, naming `where` and tensor or part, unless the table of tensors is ordered,
 *            every part is filled by its slices without gaps, and every tensor is covered once.
 */
rn_status rn_ckpt_index_create(rn_err *err, const char *where, rn_status status,
                               const Retnet__Manifest *manifest, rn_ckpt_index *out);
void rn_ckpt_index_destroy(rn_ckpt_index *index);

/** The number of the extent that holds an element of a tensor that has it. */
int64_t rn_ckpt_index_find(const rn_ckpt_index *index, int64_t tensor, int64_t element);

#endif
