/** Finds the tensors of a model in the files of another program. */
#ifndef RN_TRAINER_EXCHANGE_IMPORT_TENSORS_H
#define RN_TRAINER_EXCHANGE_IMPORT_TENSORS_H

#include "data/exchange/tensor_files.h"
#include "model/spec/param.h"
#include "trainer/exchange/format.h"

/** The location of one of our parameters: its elements begin at element `first` of tensor
 * `tensor`. */
typedef struct rn_tensor_source {
  int tensor;
  int64_t first;
} rn_tensor_source;

/**
 * Finds every parameter of `table`, checks its shape, and checks that the files hold no tensors
 * other than these and those listed below.
 *
 * Accepts the older layout of fla's gate_proj [2 F, D], and the prefix "decoder." that fairseq adds
 * to torchscale's names. Files may also hold tensors that our checkpoints do not store:
 * torchscale's constant tables of rotation angles and decays, and a second copy of a tied embedding
 * as output projection. If they are present, their values are checked. Tensors named *.inv_freq are
 * ignored.
 *
 * Shapes: source [table->count].
 * Errors: RN_ERR_FORMAT, RN_ERR_MISMATCH, naming file and tensor.
 */
rn_status rn_import_find(rn_err *err, const rn_tensor_files *files,
                         const rn_exchange_format *format, const rn_spec *spec,
                         const rn_param_table *table, rn_tensor_source *source);

#endif
