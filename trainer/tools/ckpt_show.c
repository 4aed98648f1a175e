/* Prints human-readable lists and descriptions of checkpoints. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/options/options.h"
#include "trainer/tools/ckpt_tool.h"

static int64_t stored_bytes(const Retnet__Manifest *manifest) {
  int64_t bytes = 0;
  for (size_t i = 0; i < manifest->n_file; i++) bytes += manifest->file[i]->bytes;
  return bytes;
}

static int64_t raw_bytes(const Retnet__Manifest *manifest) {
  int64_t elements = 0;
  for (size_t i = 0; i < manifest->n_tensor; i++) {
    elements += rn_ckpt_elements(manifest->tensor[i]);
  }
  return elements * (int64_t)sizeof(float);
}

static void list_entry(const rn_ckpt_entry *entry, FILE *out) {
  static const char *const words[] = {"", "set aside as damaged", "unfinished", "replaced"};
  rn_err why = {0};
  rn_ckpt *ckpt = NULL;
  fprintf(out, "%12" PRId64 "  ", entry->step);
  if (entry->state != RN_CKPT_WHOLE) {
    fprintf(out, "%12s  %9s  %s: %s\n", "", "", entry->path.text, words[entry->state]);
    return;
  }
  rn_status status = rn_ckpt_open(&why, entry->path.text, &ckpt);
  if (status == RN_OK) status = rn_ckpt_check_sizes(&why, ckpt);
  if (status == RN_OK) {
    const Retnet__Manifest *manifest = rn_ckpt_manifest(ckpt);
    fprintf(out, "%12" PRId64 "  %9.3f  %s\n", manifest->tokens,
            (double)stored_bytes(manifest) / 1e6, entry->path.text);
  } else {
    fprintf(out, "%12s  %9s  %s: %s: %s\n", "", "", entry->path.text, rn_ckpt_fault(status),
            why.text);
  }
  rn_ckpt_close(&ckpt);
}

rn_status rn_ckpt_tool_list(rn_err *err, const char *run_dir, FILE *out) {
  rn_ckpt_entry *entries = NULL;
  int count = 0;
  RN_TRY(err, rn_ckpt_list(err, run_dir, &entries, &count));
  if (count > 0) fprintf(out, "%12s  %12s  %9s  %s\n", "step", "tokens", "MB", "checkpoint");
  for (int i = 0; i < count; i++) list_entry(&entries[i], out);
  free(entries);
  if (count > 0) return RN_OK;
  return rn_ckpt_none(err, run_dir);
}

static void show_position(const Retnet__Manifest *m, FILE *out) {
  fprintf(out, "step           %" PRId64 "\n", m->step);
  if (m->has_updates) fprintf(out, "updates        %" PRId64 "\n", m->updates);
  fprintf(out, "tokens         %" PRId64 "\n", m->tokens);
  fprintf(out, "next sequence  %" PRId64 "\n", m->next_sequence);
  fprintf(out, "seed           %" PRId64 "\n", m->seed);
  if (m->n_stream > 0) fprintf(out, "streams        %zu\n", m->n_stream);
}

static void show_data(const Retnet__Manifest *m, FILE *out) {
  const Retnet__Vocabulary *v = m->vocabulary;
  fprintf(out, "vocabulary     %d tokens", v->size);
  if (v->tokenizer != NULL) fprintf(out, ", tokenizer %s", v->tokenizer);
  if (v->has_tokenizer_sum) fprintf(out, " %016" PRIx64, v->tokenizer_sum);
  fprintf(out, "\n");
  if (m->split == NULL) return;
  fprintf(out, "data           %" PRId64 " tokens, content %016" PRIx64 "\n", m->split->tokens,
          m->split->content_sum);
}

static void show_layers(const Retnet__Layout *layout, FILE *out) {
  if (layout->n_layer_split == 0) return;
  fprintf(out, "layers         ");
  for (size_t s = 0; s < layout->n_layer_split; s++) {
    fprintf(out, s > 0 ? ", %d" : "%d", layout->layer_split[s]);
  }
  fprintf(out, " (of each pipeline stage)\n");
}

static void show_layout(const Retnet__Manifest *m, FILE *out) {
  if (m->layout != NULL) {
    fprintf(out,
            "layout         data %d, pipeline %d, sequence %d, segments %d, microbatch %d, "
            "threads %d\n",
            m->layout->data, m->layout->pipeline, m->layout->sequence, m->layout->segments,
            m->layout->microbatch, m->layout->threads);
    show_layers(m->layout, out);
  }
  if (m->choices != NULL) {
    const Retnet__Choices *c = m->choices;
    fprintf(out, "choices        scan %s, chunk %d, products %s, kernels %s\n",
            c->scan != NULL ? c->scan : "-", c->chunk, c->products != NULL ? c->products : "-",
            c->kernels != NULL ? c->kernels : "-");
  }
}

static void show_origin(const Retnet__Manifest *m, FILE *out) {
  time_t saved = (time_t)m->saved_unix_s;
  struct tm parts;
  char text[64];
  if (m->build != NULL) fprintf(out, "build          %s\n", m->build);
  if (m->has_saved_unix_s && gmtime_r(&saved, &parts) != NULL) {
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
    fprintf(out, "saved          %s\n", text);
  }
  double stored = (double)stored_bytes(m), raw = (double)raw_bytes(m);
  fprintf(out, "size           %.3f MB in %zu files, %.3f MB uncompressed (ratio %.2f)\n",
          stored / 1e6, m->n_file, raw / 1e6, stored > 0 ? raw / stored : 1.0);
}

typedef struct key_printer {
  const Retnet__Config *config;
  FILE *out;
} key_printer;

static void print_key(void *self, const char *key) {
  enum { TEXT_BYTES = 8192 };
  const key_printer *printer = self;
  char text[TEXT_BYTES] = "";
  if (!rn_options_given(printer->config, key)) return;
  if (!rn_options_text(printer->config, key, text, sizeof text)) return;
  fprintf(printer->out, "  %s: %s\n", key, text);
}

/* Prints one line per tensor name, with all kinds of tensor that have this name. */
static void show_tensors(const rn_ckpt *ckpt, FILE *out) {
  const Retnet__Manifest *m = rn_ckpt_manifest(ckpt);
  for (size_t i = 0; i < m->n_tensor; i++) {
    const Retnet__Tensor *tensor = m->tensor[i];
    bool first = true;
    for (int kind = 0; kind < (int)tensor->kind; kind++) {
      first &= rn_ckpt_tensor(ckpt, (Retnet__TensorKind)kind, tensor->name) == NULL;
    }
    if (!first) continue;
    fprintf(out, "  %s [", tensor->name);
    for (size_t d = 0; d < tensor->n_shape; d++) {
      fprintf(out, d > 0 ? ", %" PRId64 : "%" PRId64, tensor->shape[d]);
    }
    fprintf(out, "]");
    for (int kind = (int)tensor->kind; kind <= RETNET__TENSOR_KIND__KIND_STATE; kind++) {
      if (rn_ckpt_tensor(ckpt, (Retnet__TensorKind)kind, tensor->name) == NULL) continue;
      fprintf(out, " %s", rn_ckpt_tool_kind((Retnet__TensorKind)kind));
    }
    fprintf(out, "\n");
  }
}

rn_status rn_ckpt_tool_show(rn_err *err, const char *path, FILE *out) {
  rn_ckpt *ckpt = NULL;
  RN_TRY(err, rn_ckpt_tool_open(err, path, &ckpt));
  const Retnet__Manifest *manifest = rn_ckpt_manifest(ckpt);
  key_printer printer = {manifest->config, out};
  fprintf(out, "checkpoint     %s\n", rn_ckpt_path(ckpt));
  show_position(manifest, out);
  show_data(manifest, out);
  show_layout(manifest, out);
  show_origin(manifest, out);
  fprintf(out, "explicitly set keys\n");
  rn_options_each(print_key, &printer);
  fprintf(out, "tensors\n");
  show_tensors(ckpt, out);
  rn_ckpt_close(&ckpt);
  return RN_OK;
}
