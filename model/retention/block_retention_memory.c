/* Memory of a retention block: its scratch, and the activations that forward saves. */
#include "model/retention/block_retention.h"

#include "model/kernel/gemm.h"

static int64_t state_count(const rn_block_retention *b) {
  return (int64_t)b->max_sequences * b->heads * b->key_width * b->value_width;
}

static int64_t rows_of(const rn_block_retention *b) {
  return (int64_t)b->max_sequences * b->max_tokens;
}

static size_t reals(int64_t count) {
  return rn_arena_round((size_t)count * sizeof(rn_real));
}

static rn_real *take(rn_arena *arena, int64_t count) {
  return rn_arena_take(arena, (size_t)count * sizeof(rn_real));
}

/* Bytes of `count` elements of the block's type. */
static size_t kept(const rn_block_retention *b, int64_t count) {
  return rn_arena_round((size_t)count * rn_element_bytes(b->bf16));
}

static rn_array take_kept(const rn_block_retention *b, rn_arena *arena, int64_t count) {
  return (rn_array){rn_arena_take(arena, kept(b, count)), b->bf16};
}

static int64_t all_states(const rn_block_retention *b) {
  const int chunks = rn_retention_chunks(&b->core, b->max_tokens);
  return state_count(b) * (chunks > 0 ? chunks : 1);
}

rn_block_retention rn_block_retention_shape(const rn_spec *spec, int max_sequences,
                                            int max_tokens) {
  const bool bf16 = rn_gemm_takes_bf16();
  return (rn_block_retention){.dim = spec->dim,
                              .value_dim = spec->value_dim,
                              .heads = spec->heads,
                              .key_width = rn_spec_key_width(spec),
                              .value_width = rn_spec_value_width(spec),
                              .ld_gated = rn_input_distance(spec->value_dim, bf16),
                              .max_sequences = max_sequences,
                              .max_tokens = max_tokens,
                              .gate = spec->gate,
                              .bf16 = bf16,
                              .pair = spec->dim + spec->value_dim,
                              .ld_pair = rn_row_distance(spec->dim + spec->value_dim, bf16),
                              .head_norm = spec->head_norm,
                              .eps = spec->norm_eps,
                              .core = rn_retention_shape(spec, max_tokens)};
}

static size_t decays_bytes(const rn_block_retention *b) {
  return (size_t)b->max_sequences * (size_t)b->heads * sizeof(double);
}

static size_t larger(size_t a, size_t b) {
  return a > b ? a : b;
}

/* `values` may also hold x, and d_kv may also hold gated. */
static size_t values_bytes(const rn_block_retention *b) {
  return larger(reals(rows_of(b) * b->value_dim), kept(b, rows_of(b) * b->dim));
}

static size_t d_kv_bytes(const rn_block_retention *b) {
  return larger(reals(rows_of(b) * b->ld_pair), kept(b, rows_of(b) * b->ld_gated));
}

/* The contiguous arrays from `parts` to `d_kv`. */
size_t rn_block_retention_spare_bytes(const rn_block_retention *b) {
  return reals(all_states(b)) + (b->bf16 ? kept(b, all_states(b)) : 0) + values_bytes(b) +
         d_kv_bytes(b);
}

static size_t arena_bytes(const rn_block_retention *b) {
  return 3 * reals(state_count(b)) + rn_block_retention_spare_bytes(b) +
         rn_arena_round(decays_bytes(b)) + rn_arena_round((size_t)b->dim * sizeof(double));
}

size_t rn_block_retention_bytes(const rn_block_retention *b) {
  return arena_bytes(b) + rn_retention_bytes(&b->core) +
         rn_rotary_bytes(b->key_width, b->max_tokens);
}

rn_status rn_block_retention_create(rn_err *err, const rn_spec *spec, int max_sequences,
                                    int max_tokens, rn_block_retention *out) {
  *out = rn_block_retention_shape(spec, max_sequences, max_tokens);
  rn_status status = rn_retention_create(err, spec, max_tokens, &out->core);
  if (status == RN_OK) {
    status = rn_rotary_create(err, spec->rotary, out->key_width, max_tokens, &out->rotary);
  }
  if (status == RN_OK) status = rn_arena_create(err, arena_bytes(out), &out->arena);
  if (status != RN_OK) {
    rn_block_retention_destroy(out);
    return status;
  }
  out->own = take(&out->arena, state_count(out));
  out->state = take(&out->arena, state_count(out));
  out->received = take(&out->arena, state_count(out));
  out->parts = take(&out->arena, all_states(out));
  out->adjoints = rn_reals(out->parts);
  if (out->bf16) out->adjoints = take_kept(out, &out->arena, all_states(out));
  out->values = rn_arena_take(&out->arena, values_bytes(out));
  out->d_kv = rn_arena_take(&out->arena, d_kv_bytes(out));
  out->log_decay = rn_arena_take(&out->arena, decays_bytes(out));
  out->wide_row = rn_arena_take(&out->arena, (size_t)out->dim * sizeof(double));
  return RN_OK;
}

void rn_block_retention_destroy(rn_block_retention *block) {
  rn_retention_destroy(&block->core);
  rn_rotary_destroy(&block->rotary);
  rn_arena_destroy(&block->arena);
}

size_t rn_block_retention_activations_bytes(const rn_block_retention *b, bool lent) {
  const int64_t rows = rows_of(b);
  return 2 * kept(b, rows * b->ld_pair) + kept(b, rows * b->value_dim) +
         (lent ? 0 : kept(b, rows * b->ld_gated)) + 2 * reals(rows * b->heads) +
         kept(b, all_states(b));
}

rn_block_retention_activations rn_block_retention_activations_take(const rn_block_retention *b,
                                                                   bool lent, rn_arena *arena) {
  const int64_t rows = rows_of(b);
  rn_block_retention_activations t = {.kv = take_kept(b, arena, rows * b->ld_pair),
                                      .qg = take_kept(b, arena, rows * b->ld_pair),
                                      .normed = take_kept(b, arena, rows * b->value_dim),
                                      .alpha = take(arena, rows * b->heads),
                                      .factor = take(arena, rows * b->heads),
                                      .states = take_kept(b, arena, all_states(b))};
  t.gated = lent ? (rn_array){b->d_kv, b->bf16} : take_kept(b, arena, rows * b->ld_gated);
  return t;
}

rn_array rn_block_retention_lent_input(const rn_block_retention *b) {
  return (rn_array){b->values, b->bf16};
}
