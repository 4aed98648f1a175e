/** Defines the decoder object, with tables of the model, states of the sequences, and the rows of a
 * step. */
#ifndef RN_MODEL_DECODE_DECODER_H
#define RN_MODEL_DECODE_DECODER_H

#include "model/decode/attention_cache.h"
#include "model/decode/barrier.h"
#include "model/decode/decode.h"
#include "model/retention/retention.h"
#include "model/spec/param.h"
#include "proto/base/arena.h"

struct rn_decoder {
  rn_spec spec;
  int slots, key_width, value_width, half_dim; /* number of slots; K; V; K/2 */
  int64_t max_tokens;                          /* length of the longest sequence */
  int retaining;                               /* number of retention layers */
  int retention_width; /* total columns of k, v, q and g of a retention layer */
  int kvqg_width;      /* row stride of kvqg; total columns of the widest layer */
  int inner;           /* columns of the first product of the feed-forward block */
  rn_param_table *table;
  rn_retention core; /* decays and row scales */
  double *theta;     /* [K/2] */
  int64_t *position; /* [slots]: position of the next token */
  rn_arena arena;
  rn_bf16 *bf16_weights; /* [total]: matrices in bf16, or NULL */
  rn_real *states;       /* [retention layers, slots, H, K, V] */
  rn_attention_cache cache;
  int rope_half_dim;  /* half the width of a head of attention layers; 0 without attention layers */
  double *rope_theta; /* [rope_half_dim] */
  /* the rows of a step; each array is [slots, ...], and the comments give the other dimensions */
  rn_real *stream;     /* [D] */
  double *normed_fp64; /* [D]: input of the retention block, in double, for a row at position 0 */
  rn_real *kvqg, *o, *gated;        /* [kvqg_width], [H V], [H V] */
  rn_real *ffn, *product;           /* [inner], [F] */
  rn_real *cosine, *sine;           /* [K/2] */
  rn_real *rope_cosine, *rope_sine; /* [rope_half_dim] */
  rn_real *partial;                 /* [attention heads, blocks, K + 2]: see attention_cache.h */
  rn_real *alpha;                   /* [core.tables, slots, H] */
  int32_t *doc_position;
  rn_real *normed;            /* [threads, slots, D]: normed rows, one copy per thread */
  rn_real *attention_scratch; /* [threads, rn_decoder_attention_scratch()]: queries and scores */
  int threads;                /* number of threads of a step */
  rn_thread_barrier barrier;
};

/** Returns the number of elements of a thread's scratch memory: queries and scores of one key
 * head. */
static inline int64_t rn_decoder_attention_scratch(const rn_decoder *d) {
  const rn_attention_cache *c = &d->cache;
  if (c->layers == 0) return 0;
  return (int64_t)(c->heads / c->kv_heads) * (c->width + c->block);
}

#endif
