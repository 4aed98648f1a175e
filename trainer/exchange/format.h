/**
 * Describes the formats in which other programs store models: tensor names, configuration, limits.
 *
 * A format is one rn_exchange_format; export.c and import.c work from it. The tensors of our
 * checkpoints have the names of torchscale's RetNetDecoder, whose format therefore needs no table
 * of names.
 */
#ifndef RN_TRAINER_EXCHANGE_FORMAT_H
#define RN_TRAINER_EXCHANGE_FORMAT_H

#include <jansson.h>

#include "data/exchange/safetensors.h"
#include "model/spec/spec.h"
#include "proto/base/status.h"
#include "trainer/exchange/json_fields.h"

/** Our name of a tensor and the other program's name; `older` is an older name that import also
 * accepts, or NULL. The names of a layer's tensors omit the prefix "layers.N." */
typedef struct rn_tensor_name {
  const char *ours, *theirs, *older;
} rn_tensor_name;

/** Names of all tensors of a model. In the other program, a layer's tensor names begin with
 * `layers` and the layer's number. */
typedef struct rn_tensor_names {
  const char *layers;
  const rn_tensor_name *name; /* [count] */
  int count;
} rn_tensor_names;

/** Name of the tokenizer of an imported model that does not name its tokenizer. */
#define RN_EXCHANGE_UNKNOWN_TOKENIZER "unknown"

/** The properties of a model that are stored besides its weights. */
typedef struct rn_exchange_model {
  rn_spec spec;
  int sequence_length;
  int document_token; /* id of the token between documents; -1: unknown */
  int begin_token;    /* id of the token with which texts begin; -1: unknown */
} rn_exchange_model;

typedef struct rn_exchange_format {
  const char *program;          /* for messages: "the <program> model" */
  const rn_tensor_names *names; /* NULL: the names are those of our checkpoints */
  bool has_buffers; /* the file also holds torchscale's tables of rotation angles and decays, and a
                       second copy of a tied embedding */
  bool writes_config; /* write the configuration to config.json; false: into the metadata of the
                         safetensors file */
  bool fuses_gate;    /* some versions store fc1 and gate in one tensor, fc1 first */

  /** Checks that the other program supports the model. Errors: RN_ERR_MISMATCH naming a key whose
   * value is not supported. */
  rn_status (*check)(rn_err *err, const rn_spec *spec);
  /** Returns the configuration with the other program's keys; NULL: out of memory. `dtype` is the
   * name of the number format of the weights. */
  json_t *(*describe)(const rn_exchange_model *model, const char *dtype);
  /** Sets the keys of our model section, and the sequence length. Errors: RN_ERR_FORMAT,
   * RN_ERR_MISMATCH, naming file and key. */
  rn_status (*read)(rn_err *err, const rn_json_fields *config, Retnet__Config *out);
} rn_exchange_format;

extern const rn_exchange_format rn_format_torchscale; /* torchscale RetNetDecoder */
extern const rn_exchange_format rn_format_fla;        /* fla RetNetForCausalLM */
extern const rn_exchange_format rn_format_llama;      /* transformers LlamaForCausalLM */

/** A key for which another program, or this program, supports only the values `supported`. */
typedef struct rn_format_limit {
  bool fits;
  const char *key, *supported;
} rn_format_limit;

/** Both functions fail if a limit has `fits` false, and name the first such key. rn_format_check
 * names a key of our model section, which `program` does not support; rn_format_check_config names
 * a key of the other program's configuration, which we do not support. Errors: RN_ERR_MISMATCH. */
rn_status rn_format_check(rn_err *err, const char *program, const rn_format_limit *limit,
                          int count);
rn_status rn_format_check_config(rn_err *err, const rn_json_fields *config,
                                 const rn_format_limit *limit, int count);

/** Sets a key of our model section. */
#define RN_FORMAT_SET(model, key, value) ((model)->has_##key = true, (model)->key = (value))

/** Limit of the width of the feed-forward block. */
enum { RN_FORMAT_MAX_FFN_DIM = 1 << 22 };

/** What differs between the configurations of Hugging Face's models: the names of two keys, and the
 * defaults for keys that are absent. */
typedef struct rn_format_hf_keys {
  const char *heads, *norm_eps;
  int dim_default, layers_default, heads_default;
} rn_format_hf_keys;

/** Reads the keys that the configurations of Hugging Face's models share: width, layers, heads,
 * vocabulary, tied embeddings, epsilon of the norms, and the sequence length. Refuses quantized
 * models. Errors: RN_ERR_FORMAT, RN_ERR_MISMATCH, naming file and key. */
rn_status rn_format_read_hf(rn_err *err, const rn_json_fields *config,
                            const rn_format_hf_keys *keys, Retnet__Config *out);

/** Sets bos_token_id of a configuration to the begin token of the model, and eos_token_id to the
 * document token; an unknown token (-1) becomes null. Returns `config`; if out of memory, frees it
 * and returns NULL. */
json_t *rn_format_give_document(json_t *config, const rn_exchange_model *model);

/** Writes the other program's name of a tensor to `name`; returns false if there is none. `older`
 * selects the older name. */
bool rn_format_name(const rn_exchange_format *format, const char *ours, bool older, char *name,
                    size_t bytes);

#endif
