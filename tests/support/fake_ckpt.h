/** Defines a small synthetic model for checkpoint tests: a few tensors whose values depend on a
 * seed. */
#ifndef RN_TESTS_SUPPORT_FAKE_CKPT_H
#define RN_TESTS_SUPPORT_FAKE_CKPT_H

#include <stdint.h>

#include "data/checkpoint/ckpt.h"

enum { FAKE_TENSORS = 6, FAKE_KINDS = 3, FAKE_MAX_PARTS = 8 };

typedef struct fake_tensor {
  const char *name;
  int dims;
  int64_t shape[RN_CKPT_DIMS];
} fake_tensor;

extern const fake_tensor fake_tensors[FAKE_TENSORS];

int64_t fake_elements(const fake_tensor *tensor);

/** Returns element `index` of a tensor of the model with this seed. */
float fake_value(uint64_t seed, int kind, int tensor, int64_t index);

/** Returns a manifest without tensors and files. Ownership: it points to static data. */
Retnet__Manifest fake_head(int64_t step);

/**
 * Creates a staging directory, writes a checkpoint to it with `parts` writers, and commits it.
 * `cut` is the random seed that determines how tensors are cut into slices and which writer gets
 * each slice. If `cut` is odd, some writers append to the file of the previous writer, and the
 * reports are passed in reverse order.
 */
rn_status fake_save(rn_err *err, const char *run_dir, int64_t step, uint64_t seed, int parts,
                    uint64_t cut);

/** Returns whether a checkpoint contains exactly the model with this seed. */
bool fake_is(rn_ckpt *ckpt, uint64_t seed);

#endif
