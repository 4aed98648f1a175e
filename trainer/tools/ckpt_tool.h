/** The commands of retnet-ckpt, each on one or two checkpoints at rest. */
#ifndef RN_TRAINER_TOOLS_CKPT_TOOL_H
#define RN_TRAINER_TOOLS_CKPT_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "data/checkpoint/ckpt.h"
#include "model/spec/spec.h"
#include "proto/base/status.h"

/** Opens the checkpoint at a step folder or run directory; damaged ones are told on stderr. */
rn_status rn_ckpt_tool_open(rn_err *err, const char *path, rn_ckpt **out);

/** The model that a checkpoint holds. Errors: RN_ERR_FORMAT when its config describes none. */
rn_status rn_ckpt_tool_spec(rn_err *err, const rn_ckpt *ckpt, rn_spec *out);

/** "weight", "exp_avg", "exp_avg_sq", "state". */
const char *rn_ckpt_tool_kind(Retnet__TensorKind kind);

/** One line for every folder of a run's checkpoints. */
rn_status rn_ckpt_tool_list(rn_err *err, const char *run_dir, FILE *out);

/** All that a manifest says, the tensors' names and shapes with it. */
rn_status rn_ckpt_tool_show(rn_err *err, const char *path, FILE *out);

/**
 * Every byte of a step folder, or of every step of a run directory that is not set aside.
 *
 * Errors: RN_ERR_FORMAT, naming file and place, for any difference.
 */
rn_status rn_ckpt_tool_verify(rn_err *err, const char *path, FILE *out);

/**
 * Compares the logical content of two checkpoints, whatever layout wrote them: the model's keys
 * (not dropout, chunk, products), step, tokens, data position, every tensor bit for bit.
 *
 * Prints "identical", or one line for each difference. `weights_only`: the weights' bits alone.
 */
rn_status rn_ckpt_tool_diff(rn_err *err, const char *a, const char *b, bool weights_only, FILE *out,
                            bool *identical);

/**
 * Removes old checkpoints of a run. A rule that is negative is taken from the newest one's config.
 * Errors: RN_ERR_NOT_FOUND when no checkpoint is good, RN_ERR_BUSY when a job trains in the run;
 *         nothing is removed then.
 */
rn_status rn_ckpt_tool_prune(rn_err *err, const char *run_dir, int64_t keep_last,
                             int64_t keep_every);

/**
 * Writes the weights as one safetensors file with the official RetNet decoder's names and shapes.
 *
 * `path` names a file if it ends in .safetensors, else a folder that gets model.safetensors.
 * Source: torchscale's RetNetDecoder state dict: tensors, both entries of a tied embedding, and the
 *         buffers retnet_rel_pos.angle [K] (each theta twice) and .decay [H] (log gamma).
 * Errors: RN_ERR_MISMATCH naming the key that the official model has no word for.
 */
rn_status rn_ckpt_tool_export(rn_err *err, const char *ckpt_path, const char *path);

#endif
