/** Finds the tensors of a model in the files of another program. */
#ifndef RN_TRAINER_EXCHANGE_IMPORT_TENSORS_H
#define RN_TRAINER_EXCHANGE_IMPORT_TENSORS_H

#include "data/exchange/tensor_files.h"
#include "model/spec/param.h"
#include "trainer/exchange/format.h"

/** Where the elements of one of our parameters are: from element `first` of a tensor on. */
typedef struct rn_tensor_source {
  int tensor;
  int64_t first;
} rn_tensor_source;

/**
 * Finds every parameter of the table, and checks its shape and that the files hold nothing else.
 *
 * Accepts the older layout of fla's gate_proj [2 F, D], and a prefix "decoder." of torchscale's
 * names, as fairseq writes them. Compares tables and tied embeddings, which our checkpoints do not
 * store, with ours.
 * Shapes: source [table->count].
 * Errors: RN_ERR_FORMAT, RN_ERR_MISMATCH, naming file and tensor.
 */
rn_status rn_import_find(rn_err *err, const rn_tensor_files *files,
                         const rn_exchange_format *format, const rn_spec *spec,
                         const rn_param_table *table, rn_tensor_source *source);

#endif
