/** Exports models to other programs and imports models from them (`retnet-ckpt export` and
 * `import`). */
#ifndef RN_TRAINER_EXCHANGE_EXCHANGE_H
#define RN_TRAINER_EXCHANGE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "data/exchange/safetensors.h"
#include "proto/base/status.h"

typedef enum { RN_EXPORT_TORCHSCALE, RN_EXPORT_HF } rn_export_format;

typedef struct rn_export_options {
  rn_export_format format;
  rn_safetensors_type dtype; /* F32, BF16 or F16 */
  int64_t shard_bytes;       /* maximum size of a file; 0: all tensors in one file */
  bool fused_gate;           /* fla: write fc1 and gate as one gate_proj [2 F, D], as fla did before
                                2025-02-09 */
} rn_export_options;

/**
 * Writes the weights of a checkpoint for another program.
 *
 * TORCHSCALE: the state dict of the official RetNetDecoder, with all tensors, both entries of a
 * tied embedding, and the buffers retnet_rel_pos.angle [K] (each theta twice) and .decay [H] (log
 * gamma). `path` is a file if it ends in .safetensors, else a folder.
 * HF: a folder with config.json and safetensors, for LlamaForCausalLM if the model is a
 * transformer, else for fla's RetNetForCausalLM, with `attn` for attention layers. If the other
 * program requires weights of the head norm and the model has none, all of them are written as 1.
 *
 * Values are exact in F32, and rounded to nearest in other types.
 * Errors: RN_ERR_MISMATCH naming a key whose value the other program does not support, or a value
 *         that is too large for the dtype; in these cases nothing remains at `path`. RN_ERR_USAGE
 *         if `path` is a file and the format is HF.
 */
rn_status rn_export(rn_err *err, const char *ckpt_path, const char *path,
                    const rn_export_options *options);

/**
 * Writes a checkpoint (weights only) from the model of another program, and prints the model's keys
 * as YAML to `out`.
 *
 * `path` is a folder with config.json and safetensors (LlamaForCausalLM, or fla's
 * RetNetForCausalLM), or a safetensors file of torchscale's RetNetDecoder, or a folder with such a
 * file. The configuration of a RetNetDecoder is the one that rn_export stored in the file, or a
 * config.json with RetNetConfig's arguments. Values are exact. Errors: RN_ERR_FORMAT,
 * RN_ERR_MISMATCH naming file and tensor or key, for a file that is damaged or holds a model that
 * our format cannot represent exactly; RN_ERR_USAGE if `ckpt_path` exists and is not an empty
 * folder.
 */
rn_status rn_import(rn_err *err, const char *path, const char *ckpt_path, FILE *out);

#endif
