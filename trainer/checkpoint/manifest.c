#include "trainer/checkpoint/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "model/spec/param.h"
#include "proto/base/arena.h"
#include "proto/cli/version.h"
#include "trainer/checkpoint/checkpoint_streams.h"
#include "trainer/layout/layer_split.h"

enum { MANIFEST_FORMAT = 1, KINDS = RETNET__TENSOR_KIND__KIND_EXP_AVG_SQ + 1, DIMS = 2 };

/* ---- the expected tensors ---- */

typedef struct expected {
  rn_param_table *table; /* parameters of the whole model; owns the names */
  char (*state_name)[RN_STATE_NAME_BYTES];
  int64_t (*shape)[DIMS];
  Retnet__Tensor *tensor, **list;
  size_t count;
} expected;

static void destroy(expected *e) {
  rn_param_table_destroy(&e->table);
  free(e->state_name);
  free(e->shape);
  free(e->tensor);
  free(e->list);
}

static void add(expected *e, Retnet__TensorKind kind, char *name, int dims, int64_t rows,
                int64_t cols) {
  Retnet__Tensor *tensor = &e->tensor[e->count];
  retnet__tensor__init(tensor);
  e->shape[e->count][0] = rows;
  e->shape[e->count][1] = cols;
  tensor->kind = kind;
  tensor->name = name;
  tensor->type = RETNET__TENSOR_TYPE__TYPE_F32;
  tensor->n_shape = (size_t)dims;
  tensor->shape = e->shape[e->count];
  e->list[e->count++] = tensor;
}

static rn_status allocate(rn_err *err, size_t layers, expected *e) {
  const size_t tensors = KINDS * (size_t)e->table->count + layers;
  RN_TRY(err, rn_alloc(err, "state names", layers, sizeof *e->state_name, &e->state_name));
  RN_TRY(err, rn_alloc(err, "shapes", tensors, sizeof *e->shape, &e->shape));
  RN_TRY(err, rn_alloc(err, "tensors", tensors, sizeof *e->tensor, &e->tensor));
  return rn_alloc(err, "tensors", tensors, sizeof *e->list, &e->list);
}

/* Lists the weights and moments of the whole model, and the states of all layers. */
static rn_status expect(rn_err *err, const rn_manifest_run *run, expected *e) {
  const rn_spec *spec = &run->settings->spec;
  const int layers = run->settings->config->data->carry_state ? spec->layers : 0;
  RN_TRY(err, rn_param_table_create(err, spec, 0, spec->layers, &e->table));
  RN_TRY(err, allocate(err, (size_t)layers, e));
  for (int i = 0; i < e->table->count; i++) {
    rn_param *p = &e->table->param[i];
    for (int kind = 0; kind < KINDS; kind++) {
      add(e, (Retnet__TensorKind)kind, p->name, p->matrix ? 2 : 1, p->rows, p->cols);
    }
  }
  for (int i = 0; i < layers; i++) {
    snprintf(e->state_name[i], RN_STATE_NAME_BYTES, "layers.%d.state", i);
    add(e, RETNET__TENSOR_KIND__KIND_STATE, e->state_name[i], 2,
        run->settings->config->data->batch_sequences,
        (int64_t)spec->dim * rn_spec_value_width(spec));
  }
  return RN_OK;
}

/* ---- the manifest ---- */

static Retnet__Layout layout_of(const rn_manifest_run *run) {
  const rn_layout *l = &run->settings->plan.layout;
  Retnet__Layout layout = RETNET__LAYOUT__INIT;
  layout.has_data = layout.has_pipeline = layout.has_sequence = layout.has_segments = 1;
  layout.has_microbatch = layout.has_threads = 1;
  layout.data = l->data;
  layout.pipeline = l->pipeline;
  layout.sequence = l->sequence;
  layout.segments = l->segments;
  layout.microbatch = l->microbatch;
  layout.threads = run->settings->machine.threads;
  return layout;
}

static Retnet__Choices choices_of(const rn_manifest_run *run) {
  Retnet__Choices choices = RETNET__CHOICES__INIT;
  choices.scan = (char *)rn_scan_name(run->scan);
  choices.has_chunk = 1;
  choices.chunk = run->settings->spec.chunk;
  choices.products = (char *)rn_gemm_backend_in_use()->name;
  choices.kernels = (char *)rn_kernels_table()->name;
  return choices;
}

static Retnet__Vocabulary vocabulary_of(const rn_manifest_run *run) {
  const Retnet__ShardHeader *header = rn_split_header(&run->datasets->train[0].split);
  Retnet__Vocabulary vocabulary = RETNET__VOCABULARY__INIT;
  vocabulary.size = run->settings->spec.vocab;
  vocabulary.tokenizer = header->tokenizer;
  vocabulary.has_tokenizer_sum = 1;
  vocabulary.tokenizer_sum = header->tokenizer_hash;
  const rn_split *train = &run->datasets->train[0].split;
  vocabulary.has_tokenizer_file = train->tokenizer_file != NULL;
  vocabulary.tokenizer_file =
      (ProtobufCBinaryData){train->tokenizer_file_bytes, train->tokenizer_file};
  vocabulary.has_document_token = 1;
  vocabulary.document_token = (int32_t)header->document_token;
  return vocabulary;
}

static Retnet__Split split_of(const rn_manifest_run *run) {
  Retnet__Split split = RETNET__SPLIT__INIT;
  split.has_content_sum = split.has_tokens = 1;
  split.has_sequence_length = split.has_batch_sequences = 1;
  split.content_sum = run->datasets->content;
  split.tokens = run->datasets->tokens;
  split.sequence_length = run->settings->config->data->sequence_length;
  split.batch_sequences = run->settings->config->data->batch_sequences;
  return split;
}

static void put_state(const rn_manifest_run *run, const rn_step_counters *c,
                      Retnet__Manifest *head) {
  head->format = MANIFEST_FORMAT;
  head->step = c->step;
  head->tokens = c->tokens;
  head->next_sequence = c->next_sequence;
  head->seed = run->settings->config->run->seed;
  head->has_updates = head->has_bad_steps = 1;
  head->updates = c->updates;
  head->bad_steps = c->bad_steps;
  head->config = (Retnet__Config *)run->settings->given; /* packing does not change the config */
  head->effective = (Retnet__Config *)run->settings->config;
  head->build = (char *)rn_version_text();
  head->has_saved_unix_s = 1;
  head->saved_unix_s = (int64_t)time(NULL);
}

/* Stores the number of layers of each stage in layout->layer_split. */
static rn_status count_layers(rn_err *err, const rn_manifest_run *run, Retnet__Layout *layout) {
  const int stages = run->settings->plan.layout.pipeline;
  int *first;
  int32_t *count = NULL;
  RN_TRY(err, rn_alloc(err, "layers by stage", (size_t)stages + 1, sizeof *first, &first));
  rn_status status =
      rn_layer_split(err, &run->settings->spec, run->settings->config->parallel, stages, first);
  if (status == RN_OK) {
    status = rn_alloc(err, "layers by stage", (size_t)stages, sizeof *count, &count);
  }
  for (int s = 0; status == RN_OK && s < stages; s++) count[s] = first[s + 1] - first[s];
  layout->layer_split = count;
  layout->n_layer_split = status == RN_OK ? (size_t)stages : 0;
  free(first);
  return status;
}

static rn_status commit(rn_err *err, const rn_manifest_run *run, const rn_saved_state *state,
                        const expected *e, const rn_ckpt_report *reports, int count) {
  Retnet__Layout layout = layout_of(run);
  Retnet__Choices choices = choices_of(run);
  Retnet__Vocabulary vocabulary = vocabulary_of(run);
  Retnet__Split split = split_of(run);
  Retnet__Manifest head = RETNET__MANIFEST__INIT;
  Retnet__SpikeGuard spikes;
  put_state(run, &state->counters, &head);
  rn_spike_guard_store(&state->spikes, &spikes);
  if (run->settings->config->train->spike_action != RETNET__SPIKE_ACTION__SPIKE_ACTION_OFF) {
    head.spike_guard = &spikes;
  }
  head.layout = &layout;
  head.choices = &choices;
  head.vocabulary = &vocabulary;
  head.split = &split;
  head.n_tensor = e->count;
  head.tensor = e->list;
  head.n_stream = state->stream != NULL ? (size_t)run->settings->config->data->batch_sequences : 0;
  RN_TRY(err, rn_alloc(err, "streams", head.n_stream, sizeof *head.stream, &head.stream));
  for (size_t b = 0; b < head.n_stream; b++) head.stream[b] = &state->stream[b];
  rn_status status = count_layers(err, run, &layout);
  if (status == RN_OK) {
    status = rn_ckpt_commit(err, run->settings->config->run->dir, &head, reports, count);
  }
  free(head.stream);
  free(layout.layer_split);
  return status;
}

rn_status rn_manifest_commit(rn_err *err, const rn_manifest_run *run, const rn_saved_state *state,
                             const rn_ckpt_report *reports, int count) {
  expected e = {0};
  rn_status status = expect(err, run, &e);
  if (status == RN_OK) status = commit(err, run, state, &e, reports, count);
  destroy(&e);
  return status;
}

rn_step_counters rn_manifest_counters(const Retnet__Manifest *m) {
  return (rn_step_counters){.step = m->step,
                            .tokens = m->tokens,
                            .next_sequence = m->next_sequence,
                            .updates = m->updates,
                            .bad_steps = m->bad_steps};
}
