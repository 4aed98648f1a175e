/* Compares the content of two checkpoints, independently of how it is distributed over files. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/tools/ckpt_tool.h"

enum { FRAME = RN_CKPT_FRAME_ELEMENTS };

/* State of a comparison. */
typedef struct comparison {
  rn_ckpt *a, *b;
  bool weights_only;
  FILE *out;
  float *left, *right; /* [FRAME] each */
  int64_t differences; /* number of lines printed */
} comparison;

static void compare_number(comparison *c, const char *what, int64_t a, int64_t b) {
  if (a == b) return;
  c->differences++;
  fprintf(c->out, "%s: %" PRId64 " and %" PRId64 "\n", what, a, b);
}

static void compare_real(comparison *c, const char *what, double a, double b) {
  if (a == b) return;
  c->differences++;
  fprintf(c->out, "%s: %g and %g\n", what, a, b);
}

static const char *kind_of_layer(const rn_spec *spec, int layer) {
  return rn_spec_attends(spec, layer) ? "attention" : "retention";
}

static rn_status compare_models(rn_err *err, comparison *c) {
  rn_spec a, b;
  RN_TRY(err, rn_ckpt_tool_spec(err, c->a, &a));
  RN_TRY(err, rn_ckpt_tool_spec(err, c->b, &b));
#define COMPARE(key) compare_number(c, "model." #key, (int64_t)a.key, (int64_t)b.key)
  COMPARE(layers);
  COMPARE(dim);
  COMPARE(value_dim);
  COMPARE(ffn_dim);
  COMPARE(heads);
  COMPARE(vocab);
  COMPARE(arch);
  COMPARE(attention_heads);
  COMPARE(kv_heads);
  COMPARE(attention_window);
  COMPARE(decay);
  COMPARE(rotary);
  COMPARE(head_norm);
  COMPARE(block_norm);
  COMPARE(ffn);
  COMPARE(activation);
  COMPARE(retention_scale);
  COMPARE(init);
  COMPARE(gate);
  COMPARE(pre_norm);
  COMPARE(deepnorm);
  COMPARE(embedding_norm);
  COMPARE(tie_embeddings);
  COMPARE(scale_embedding);
#undef COMPARE
  compare_real(c, "model.norm_eps", a.norm_eps, b.norm_eps);
  compare_real(c, "model.rope_theta", a.rope_theta, b.rope_theta);
  for (int layer = 0; layer < a.layers && layer < b.layers; layer++) {
    if (rn_spec_attends(&a, layer) == rn_spec_attends(&b, layer)) continue;
    c->differences++;
    fprintf(c->out, "layer %d: %s and %s\n", layer, kind_of_layer(&a, layer),
            kind_of_layer(&b, layer));
  }
  return RN_OK;
}

static void compare_positions(comparison *c) {
  const Retnet__Manifest *a = rn_ckpt_manifest(c->a), *b = rn_ckpt_manifest(c->b);
  compare_number(c, "step", a->step, b->step);
  compare_number(c, "tokens", a->tokens, b->tokens);
  compare_number(c, "next sequence", a->next_sequence, b->next_sequence);
  compare_number(c, "streams", (int64_t)a->n_stream, (int64_t)b->n_stream);
  for (size_t i = 0; i < a->n_stream && i < b->n_stream; i++) {
    compare_number(c, "next sequence of a stream", a->stream[i]->next_sequence,
                   b->stream[i]->next_sequence);
    compare_number(c, "position of a stream", a->stream[i]->position, b->stream[i]->position);
    compare_number(c, "document position of a stream", a->stream[i]->since, b->stream[i]->since);
  }
}

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* Counts the elements whose bits differ; *max_difference is the largest difference, or NaN if any
 * difference is NaN. */
static void compare_frames(const float *left, const float *right, int64_t count, int64_t *differ,
                           double *max_difference) {
  if (memcmp(left, right, (size_t)count * sizeof *left) == 0) return;
  for (int64_t i = 0; i < count; i++) {
    if (bits_of(left[i]) == bits_of(right[i])) continue;
    double distance = fabs((double)left[i] - (double)right[i]);
    (*differ)++;
    if (!(distance <= *max_difference) && !isnan(*max_difference)) *max_difference = distance;
  }
}

static rn_status compare_values(rn_err *err, comparison *c, const Retnet__Tensor *tensor) {
  int64_t elements = rn_ckpt_elements(tensor), differ = 0;
  double max_difference = 0;
  for (int64_t first = 0; first < elements; first += FRAME) {
    int64_t count = elements - first < FRAME ? elements - first : FRAME;
    RN_TRY(err, rn_ckpt_read(err, c->a, tensor->kind, tensor->name,
                             (rn_range){first, first + count}, c->left));
    RN_TRY(err, rn_ckpt_read(err, c->b, tensor->kind, tensor->name,
                             (rn_range){first, first + count}, c->right));
    compare_frames(c->left, c->right, count, &differ, &max_difference);
  }
  if (differ == 0) return RN_OK;
  c->differences++;
  fprintf(c->out, "%s %s: %" PRId64 " of %" PRId64 " elements differ, by at most %g\n",
          rn_ckpt_tool_kind(tensor->kind), tensor->name, differ, elements, max_difference);
  return RN_OK;
}

static void report_absent(comparison *c, const Retnet__Tensor *tensor, const rn_ckpt *here) {
  c->differences++;
  fprintf(c->out, "%s %s: only in %s\n", rn_ckpt_tool_kind(tensor->kind), tensor->name,
          rn_ckpt_path(here));
}

static bool same_shape(const Retnet__Tensor *a, const Retnet__Tensor *b) {
  return a->n_shape == b->n_shape &&
         (a->n_shape == 0 || memcmp(a->shape, b->shape, a->n_shape * sizeof *a->shape) == 0);
}

static bool is_compared(const comparison *c, const Retnet__Tensor *tensor) {
  return !c->weights_only || tensor->kind == RETNET__TENSOR_KIND__KIND_WEIGHT;
}

static rn_status compare_tensors(rn_err *err, comparison *c) {
  const Retnet__Manifest *a = rn_ckpt_manifest(c->a), *b = rn_ckpt_manifest(c->b);
  for (size_t i = 0; i < a->n_tensor; i++) {
    const Retnet__Tensor *tensor = a->tensor[i];
    if (!is_compared(c, tensor)) continue;
    const Retnet__Tensor *other = rn_ckpt_tensor(c->b, tensor->kind, tensor->name);
    if (other == NULL) {
      report_absent(c, tensor, c->a);
    } else if (!same_shape(tensor, other)) {
      c->differences++;
      fprintf(c->out, "%s %s: shapes differ\n", rn_ckpt_tool_kind(tensor->kind), tensor->name);
    } else {
      RN_TRY(err, compare_values(err, c, tensor));
    }
  }
  for (size_t i = 0; i < b->n_tensor; i++) {
    const Retnet__Tensor *tensor = b->tensor[i];
    bool absent = rn_ckpt_tensor(c->a, tensor->kind, tensor->name) == NULL;
    if (absent && is_compared(c, tensor)) report_absent(c, tensor, c->b);
  }
  return RN_OK;
}

rn_status rn_ckpt_tool_diff(rn_err *err, const char *a, const char *b, bool weights_only, FILE *out,
                            bool *identical) {
  comparison c = {.weights_only = weights_only, .out = out};
  rn_status status = rn_ckpt_tool_open(err, a, &c.a);
  if (status == RN_OK) status = rn_ckpt_tool_open(err, b, &c.b);
  if (status != RN_OK) goto done;
  c.left = malloc(FRAME * sizeof *c.left);
  c.right = malloc(FRAME * sizeof *c.right);
  if (c.left == NULL || c.right == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while comparing checkpoints");
    goto done;
  }
  if (!weights_only) {
    if ((status = compare_models(err, &c)) != RN_OK) goto done;
    compare_positions(&c);
  }
  if ((status = compare_tensors(err, &c)) != RN_OK) goto done;
  *identical = c.differences == 0;
  if (*identical) fprintf(out, "identical\n");
done:
  free(c.left);
  free(c.right);
  rn_ckpt_close(&c.a);
  rn_ckpt_close(&c.b);
  return status;
}
