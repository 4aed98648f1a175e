/** Implements the commands of retnet-ckpt, which work on checkpoints on disk. */
#ifndef RN_TRAINER_TOOLS_CKPT_TOOL_H
#define RN_TRAINER_TOOLS_CKPT_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "data/checkpoint/ckpt.h"
#include "model/spec/spec.h"
#include "proto/base/status.h"

/** Opens a step folder, or the newest good checkpoint of a run directory; prints a warning on
 * stderr for each damaged checkpoint. Errors: those of rn_ckpt_find. */
rn_status rn_ckpt_tool_open(rn_err *err, const char *path, rn_ckpt **out);

/** Derives the spec of a checkpoint's model. Errors: RN_ERR_FORMAT if its config is not valid.
 */
rn_status rn_ckpt_tool_spec(rn_err *err, const rn_ckpt *ckpt, rn_spec *out);

/** Returns the name of a kind: "weight", "exp_avg", "exp_avg_sq" or "state". */
const char *rn_ckpt_tool_kind(Retnet__TensorKind kind);

/** Prints one line for every checkpoint folder of a run. */
rn_status rn_ckpt_tool_list(rn_err *err, const char *run_dir, FILE *out);

/** Prints the manifest, with the keys that the user gave and the names and shapes of the tensors.
 */
rn_status rn_ckpt_tool_show(rn_err *err, const char *path, FILE *out);

/**
 * Verifies every byte of a step folder, or of every step folder of a run directory except those
 * set aside as damaged.
 *
 * Errors: RN_ERR_FORMAT naming file and position; RN_ERR_NOT_FOUND for a missing file, or if there
 *         is no checkpoint.
 */
rn_status rn_ckpt_tool_verify(rn_err *err, const char *path, FILE *out);

/**
 * Compares the logical content of two checkpoints, which may come from runs with different layouts:
 * the model keys (except dropout, chunk, products), step, tokens, data position, and the bits of
 * every tensor.
 *
 * Prints "identical", or one line per difference. `weights_only` compares the weights only.
 */
rn_status rn_ckpt_tool_diff(rn_err *err, const char *a, const char *b, bool weights_only, FILE *out,
                            bool *identical);

/**
 * Removes old checkpoints of a run. A negative `keep_last` or `keep_every` is replaced by the value
 * in the config of the newest good checkpoint.
 *
 * Errors: RN_ERR_NOT_FOUND if there is no checkpoint, RN_ERR_FORMAT if none is good, RN_ERR_BUSY if
 *         a job owns the run directory. On failure nothing is removed.
 */
rn_status rn_ckpt_tool_prune(rn_err *err, const char *run_dir, int64_t keep_last,
                             int64_t keep_every);

#endif
