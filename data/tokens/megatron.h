/**
 * Reads token files of Megatron-LM. NAME.bin holds the tokens, NAME.idx the lengths and the
 * documents.
 *
 *   .idx   "MMIDIDX\0\0", u64 version 1, u8 type code, u64 S sequences, u64 D = documents + 1;
 *          S x i32 lengths; S x i64 byte offsets in .bin; D x i64: document k consists of sequences
 *          [d[k], d[k+1]); and for multimodal sets S x i8 modes, which are ignored.
 *   codes  1 u8, 2 i8, 3 i16, 4 i32, 5 i64, 8 u16; 9 u32 and 10 u64 in fairseq; 6 and 7 are floats.
 *
 * The index of fairseq has the same magic, but neither D nor the array of documents; each sequence
 * is a document. The index is read in pieces, so memory does not grow with it.
 *
 * Source: NVIDIA/Megatron-LM, megatron/core/datasets/indexed_dataset.py.
 */
#ifndef RN_DATA_TOKENS_MEGATRON_H
#define RN_DATA_TOKENS_MEGATRON_H

#include "data/tokens/token_reader.h"

/** Sets *is_index to true if the file begins like an index, even of another version or of the older
 * format. Errors: RN_ERR_IO. */
rn_status rn_megatron_detect(rn_err *err, const rn_file *file, bool *is_index);

/**
 * Visits the documents of the open data file, which is divided into documents by its index. A
 * separator at the end of a document is dropped.
 * Errors: RN_ERR_FORMAT naming file and field for an index that is damaged or does not belong to
 *         the data; those of the reader.
 */
rn_status rn_megatron_read(rn_err *err, const rn_file *index, const rn_file *data,
                           rn_token_reader *reader);

#endif
