/* The activations of one layer, and the workspace that activations share. */
#include "model/stage/layer.h"

static size_t row_bytes(const rn_layer *layer, int64_t rows, bool bf16) {
  return rn_arena_round((size_t)(rows * layer->retention_norm.width) * rn_element_bytes(bf16));
}

static size_t stat_bytes(int64_t rows) {
  return rn_arena_round((size_t)(2 * rows) * sizeof(rn_real));
}

/* False if the block reads the residual input directly: post-norm in rn_real. */
static bool has_own_input(const rn_layer *layer) {
  return layer->pre_norm || layer->bf16;
}

/* The shared buffers beside in1, in the order in which they are placed. */
enum { INNER, PRODUCT, INPUT, LENT };

/* Which of them are in the spare memory of the retention block, and the bytes of the others. */
typedef struct lending {
  size_t bytes[LENT];
  bool in_spare[LENT];
  size_t own_bytes;
} lending;

static lending lend(const rn_layer *layer, int64_t rows, bool inner) {
  lending l = {.bytes = {inner ? rn_ffn_inner_bytes(&layer->ffn, rows) : 0,
                         rn_ffn_product_bytes(&layer->ffn, rows),
                         has_own_input(layer) ? row_bytes(layer, rows, layer->bf16) : 0}};
  size_t left = rn_block_retention_spare_bytes(layer->retention);
  for (int i = 0; i < LENT; i++) {
    l.in_spare[i] = l.bytes[i] <= left;
    if (l.in_spare[i]) left -= l.bytes[i];
    if (!l.in_spare[i]) l.own_bytes += l.bytes[i];
  }
  return l;
}

size_t rn_layer_workspace_bytes(const rn_layer *layer, int64_t rows, bool inner) {
  return lend(layer, rows, inner).own_bytes;
}

rn_layer_workspace rn_layer_workspace_take(const rn_layer *layer, int64_t rows, bool inner,
                                           rn_arena *arena) {
  const lending l = lend(layer, rows, inner);
  char *spare = rn_block_retention_spare(layer->retention);
  rn_array at[LENT] = {{0}};
  for (int i = 0; i < LENT; i++) {
    if (l.bytes[i] == 0) continue;
    at[i] = (rn_array){l.in_spare[i] ? spare : rn_arena_take(arena, l.bytes[i]), layer->bf16};
    if (l.in_spare[i]) spare += l.bytes[i];
  }
  return (rn_layer_workspace){.in1 = rn_block_retention_lent_input(layer->retention),
                              .in2 = at[INPUT],
                              .ffn = {.inner = at[INNER], .product = at[PRODUCT]}};
}

size_t rn_layer_activations_bytes(const rn_layer *layer, int64_t rows, bool lent, bool inner) {
  const size_t norms = (layer->pre_norm ? 1 : 2) * row_bytes(layer, rows, false);
  const size_t past = layer->pre_norm ? 0 : row_bytes(layer, rows, false);
  const size_t inputs = has_own_input(layer) && !lent ? 2 * row_bytes(layer, rows, layer->bf16) : 0;
  return norms + past + inputs + 2 * stat_bytes(rows) +
         rn_block_retention_activations_bytes(layer->retention, lent) +
         rn_ffn_activations_bytes(&layer->ffn, rows, lent) -
         (inner ? rn_ffn_inner_bytes(&layer->ffn, rows) : 0);
}

static rn_real *take_rows(const rn_layer *layer, int64_t rows, rn_arena *arena) {
  return rn_arena_take(arena, row_bytes(layer, rows, false));
}

static rn_array take_input(const rn_layer *layer, int64_t rows, rn_arena *arena) {
  return (rn_array){rn_arena_take(arena, row_bytes(layer, rows, layer->bf16)), layer->bf16};
}

rn_layer_activations rn_layer_activations_take(const rn_layer *layer, int64_t rows,
                                               const rn_layer_workspace *workspace,
                                               rn_arena *arena) {
  rn_layer_activations t = {.lent = workspace != NULL};
  if (!layer->pre_norm) t.norm_in1 = take_rows(layer, rows, arena);
  t.norm_in2 = take_rows(layer, rows, arena);
  t.past2 = layer->pre_norm ? t.norm_in2 : take_rows(layer, rows, arena);
  if (!has_own_input(layer)) {
    t.in2 = rn_reals(t.past2);
  } else {
    t.in1 = t.lent ? workspace->in1 : take_input(layer, rows, arena);
    t.in2 = t.lent ? workspace->in2 : take_input(layer, rows, arena);
  }
  t.stat1 = rn_arena_take(arena, stat_bytes(rows));
  t.stat2 = rn_arena_take(arena, stat_bytes(rows));
  t.retention = rn_block_retention_activations_take(layer->retention, t.lent, arena);
  t.ffn = rn_ffn_activations_take(&layer->ffn, rows, t.lent ? &workspace->ffn : NULL, arena);
  return t;
}

void rn_layer_activations_keep_at(const rn_layer *layer, rn_layer_activations *activations,
                                  rn_real *input) {
  activations->past1 = input;
  if (layer->pre_norm) activations->norm_in1 = input;
  if (!has_own_input(layer)) activations->in1 = rn_reals(input);
}
