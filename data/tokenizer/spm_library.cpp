// No exception leaves this file: its callers are C.
#include "data/tokenizer/spm_library.h"

#include <sentencepiece_processor.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

struct rn_spm_model {
  sentencepiece::SentencePieceProcessor processor;
};

rn_spm_model *rn_spm_model_load(const void *bytes, size_t count, char *reason,
                                size_t reason_bytes) try {
  rn_spm_model *model = new rn_spm_model;
  const auto status = model->processor.LoadFromSerializedProto(
      absl::string_view(static_cast<const char *>(bytes), count));
  if (status.ok() && model->processor.GetPieceSize() > 0) return model;
  std::snprintf(reason, reason_bytes, "%s", status.ToString().c_str());
  delete model;
  return nullptr;
} catch (const std::exception &e) {
  std::snprintf(reason, reason_bytes, "%s", e.what());
  return nullptr;
}

void rn_spm_model_destroy(rn_spm_model *model) {
  delete model;
}

int rn_spm_model_pieces(const rn_spm_model *model) {
  return model->processor.GetPieceSize();
}

int rn_spm_model_eos(const rn_spm_model *model) {
  return model->processor.eos_id();
}

rn_spm_kind rn_spm_model_piece(const rn_spm_model *model, int id, const char **text,
                               size_t *count) {
  const std::string &piece = model->processor.IdToPiece(id);
  *text = piece.data();
  *count = piece.size();
  if (model->processor.IsControl(id)) return RN_SPM_CONTROL;
  if (model->processor.IsUnknown(id)) return RN_SPM_UNKNOWN;
  return model->processor.IsByte(id) ? RN_SPM_BYTE : RN_SPM_NORMAL;
}

bool rn_spm_model_encode(const rn_spm_model *model, const char *text, size_t count,
                         rn_spm_visit *visit, void *self) try {
  sentencepiece::ImmutableSentencePieceText pieces;
  const auto status =
      model->processor.Encode(absl::string_view(text, count), pieces.mutable_proto());
  if (!status.ok()) return false;
  const size_t size = pieces.pieces_size();
  for (size_t i = 0; i < size; i++) {
    const auto piece = pieces.pieces(static_cast<int>(i));
    const size_t bytes = piece.end() - piece.begin();
    if (!visit(self, static_cast<int>(piece.id()), bytes)) return false;
  }
  return true;
} catch (const std::exception &) {
  return false;
}

bool rn_spm_model_decode(const rn_spm_model *model, const int *id, size_t count,
                         bool (*take)(void *self, const char *text, size_t count),
                         void *self) try {
  std::string text;
  if (!model->processor.Decode(std::vector<int>(id, id + count), &text).ok()) return false;
  return take(self, text.data(), text.size());
} catch (const std::exception &) {
  return false;
}
