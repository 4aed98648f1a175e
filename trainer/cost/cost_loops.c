#include "trainer/cost/cost_loops.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/ops/tiling.h"

void rn_cost_phase(rn_cost_sum *s, rn_cost_kind kind, const char *name) {
  rn_step_cost *cost = s->cost;
  for (int i = 0; i < cost->count; i++) {
    s->phase = &cost->phase[i];
    if (s->phase->kind == kind && strcmp(s->phase->name, name) == 0) return;
  }
  assert(cost->count < RN_COST_PHASES);
  s->phase = &cost->phase[cost->count++];
  *s->phase = (rn_phase_cost){.kind = kind, .name = name};
}

/* Adds the simulated loop to the phase. */
static void end_loop(rn_cost_sum *s) {
  rn_phase_cost *phase = s->phase;
  const double times = (double)s->times;
  phase->tasks += s->times * s->loop.tasks;
  phase->work_s += times * s->loop.work_s;
  phase->longest_s = fmax(phase->longest_s, s->loop.longest_s);
  phase->time_s += times * (rn_loop_time_end(&s->loop) + s->rates.loop_s * log2(s->cost->threads));
}

static double product_s(const rn_cost_sum *s, double m, double n, double k) {
  return s->rates.flop_s * 2 * m * n * k + s->rates.element_s * (m * k + n * k + m * n);
}

void rn_cost_static(rn_cost_sum *s, int64_t tasks, double bytes) {
  rn_loop_time_start(&s->loop, s->cost->threads);
  rn_loop_time_add_static(&s->loop, tasks, s->rates.byte_s * bytes);
  end_loop(s);
}

void rn_cost_items(rn_cost_sum *s, int64_t items, double bytes) {
  const int64_t each = (items + s->cost->threads - 1) / s->cost->threads;
  rn_loop_time_start(&s->loop, s->cost->threads);
  for (int64_t at = 0; at < items; at += each) {
    rn_loop_time_add(&s->loop, s->rates.byte_s * bytes * (double)rn_smaller(each, items - at), -1,
                     -1);
  }
  end_loop(s);
}

/* ---- tiles of steps ---- */

static void add_tiles(rn_cost_sum *s, const rn_steps_tiling *tiling, const rn_cost_step *step,
                      int index, int64_t block) {
  const int64_t tiles = rn_steps_tiling_count(tiling, index, block);
  const int groups = RN_LOOP_GROUPS / tiling->count, group = (int)(block % groups);
  for (int64_t i = 0; i < tiles; i++) {
    const rn_step_tile tile = rn_steps_tiling_tile(tiling, index, block, i);
    const double rows = (double)rn_range_count(tile.rows), cols = (double)rn_range_count(tile.cols);
    double task_s = s->rates.byte_s * step->bytes * rows * cols;
    if (step->shape.sum > 0) task_s += product_s(s, rows, cols, step->shape.sum);
    rn_loop_time_add(&s->loop, task_s, index * groups + group,
                     index > 0 ? (index - 1) * groups + group : -1);
  }
}

/* Adds the tiles in the order in which rn_tile_steps_run assigns them to threads. */
void rn_cost_tiles(rn_cost_sum *s, const rn_cost_step *steps, int count) {
  rn_step_shape shapes[RN_TILE_STEPS_MAX] = {{0}};
  for (int i = 0; i < count; i++) shapes[i] = steps[i].shape;
  const rn_steps_tiling tiling = rn_steps_tiling_of(s->rows, shapes, count);
  const int64_t lag = rn_steps_tiling_lag(&tiling, s->cost->threads);
  rn_loop_time_start(&s->loop, s->cost->threads);
  for (int64_t wave = 0; wave < tiling.blocks + (count - 1) * lag; wave++) {
    for (int i = 0; i < count; i++) {
      const int64_t block = wave - i * lag;
      if (block >= 0 && block < tiling.blocks) add_tiles(s, &tiling, &steps[i], i, block);
    }
  }
  end_loop(s);
}

/* ---- weights ---- */

void rn_cost_pack(rn_cost_sum *s, const rn_packed_weight *weights, int count) {
  int64_t pieces = 0;
  double elements = 0;
  for (int i = 0; i < count; i++) {
    rn_packed_weight w = weights[i];
    if (rn_pack_weights_bytes(&w, 1) == 0) continue;
    /* Nothing is packed here, so the address does not matter as long as it is not NULL. */
    w.packed.at = s;
    pieces += rn_gemm_pack_pieces(&w);
    elements += (double)w.n * w.k;
  }
  if (pieces > 0) rn_cost_static(s, pieces, 2 * sizeof(float) * elements / (double)pieces);
}

static void add_pieces(rn_cost_sum *s, const rn_tiling *tiling, int64_t rows, int first_group,
                       bool is_shared) {
  for (int64_t i = 0; i < tiling->tiles; i++) {
    const rn_tile tile = rn_tiling_tile(tiling, i);
    const int group = is_shared ? first_group + (int)i : -1;
    rn_loop_time_add(&s->loop, product_s(s, tile.rows, tile.cols, (double)rows), group, group);
  }
}

/* If there are many tiles, each task computes one tile. If there are few, the rows over which a
 * tile sums are divided among several tasks, and each of them waits for the previous task of the
 * same tile. */
void rn_cost_weights(rn_cost_sum *s, int64_t rows, const int (*weights)[2], int count) {
  int64_t tiles = 0;
  rn_tiling tiling[8];
  assert(count <= (int)(sizeof tiling / sizeof tiling[0]));
  for (int i = 0; i < count; i++) {
    tiling[i] = rn_tiling_of_weight(weights[i][0], weights[i][1]);
    tiles += tiling[i].tiles;
  }
  const bool is_shared = tiles <= RN_LOOP_GROUPS;
  const int64_t each = is_shared ? RN_TILING_SUM_ROWS : rows;
  rn_loop_time_start(&s->loop, s->cost->threads);
  for (int64_t at = 0; at < rows; at += each) {
    int first_group = 0;
    for (int i = 0; i < count; first_group += (int)tiling[i++].tiles) {
      add_pieces(s, &tiling[i], rn_smaller(each, rows - at), first_group, is_shared);
    }
  }
  end_loop(s);
}

/* ---- chunks ---- */

void rn_cost_chunks(rn_cost_sum *s, const rn_retention *r, double flops) {
  const int chunks = rn_retention_chunks(r, s->unit->tokens);
  rn_loop_time_start(&s->loop, s->cost->threads);
  for (int i = 0; i < chunks; i++) {
    const int left = s->unit->tokens - i * r->chunk, tokens = left < r->chunk ? left : r->chunk;
    for (int head = 0; head < s->unit->sequences * r->heads; head++) {
      rn_loop_time_add(&s->loop, s->rates.flop_s * flops * tokens / r->chunk, -1, -1);
    }
  }
  end_loop(s);
}

/* ---- attention ---- */

/* Cost of attention outside of matrix products: the number of bytes that a row-wise operation reads
 * and writes in the same time. SOFTMAX is per score; DELTA is per element of the output, for the
 * row sums of o * do in backward. */
enum { SOFTMAX = 9, SOFTMAX_BACKWARD = 9, DELTA = 8 };

/* Returns the number of keys of a sequence. */
static int keys_of(const rn_cost_unit *unit) {
  return unit->before + unit->tokens;
}

/* Returns the position at which the first block of queries begins. */
static int first_block(const rn_cost_unit *unit) {
  return unit->before / RN_ATTENTION_QUERIES * RN_ATTENTION_QUERIES;
}

/* Returns the number of scores of the blocks of queries and of keys that begin at positions
 * `queries` and `keys`. */
static double scores_of(const rn_cost_sum *s, const rn_attention *a, int queries, int keys) {
  const int64_t end = rn_smaller(queries + RN_ATTENTION_QUERIES, keys_of(s->unit));
  const int64_t begin = queries > s->unit->before ? queries : s->unit->before;
  const int64_t from = a->window > 0 && begin >= a->window ? begin - a->window + 1 : 0;
  const int64_t first = from > keys ? from : keys;
  const int64_t last = rn_smaller(keys + RN_ATTENTION_KEYS, end);
  return last > first ? (double)(end - begin) * (double)(last - first) : 0;
}

/* Adds the tasks that compute `scores` scores for every head: in forward, one task per sequence and
 * query head; in backward, one per sequence and key/value head. */
static void add_scores(rn_cost_sum *s, const rn_attention *a, double scores, bool backward) {
  const int heads = backward ? a->kv_heads : a->heads, group = a->heads / heads;
  const double products = backward ? 5 : 2, softmax = backward ? SOFTMAX_BACKWARD : SOFTMAX;
  const double score_s = s->rates.flop_s * products * 2 * a->width + s->rates.byte_s * softmax;
  for (int64_t i = 0; i < (int64_t)s->unit->sequences * heads; i++) {
    rn_loop_time_add(&s->loop, group * scores * score_s, -1, -1);
  }
}

static void add_queries(rn_cost_sum *s, const rn_attention *a) {
  const int first = first_block(s->unit);
  const int last = (keys_of(s->unit) - 1) / RN_ATTENTION_QUERIES * RN_ATTENTION_QUERIES;
  for (int queries = last; queries >= first; queries -= RN_ATTENTION_QUERIES) {
    double scores = 0;
    for (int keys = 0; keys < queries + RN_ATTENTION_QUERIES; keys += RN_ATTENTION_KEYS) {
      scores += scores_of(s, a, queries, keys);
    }
    add_scores(s, a, scores, false);
  }
}

static void add_keys(rn_cost_sum *s, const rn_attention *a) {
  const int first = first_block(s->unit), end = keys_of(s->unit);
  for (int keys = 0; keys < end; keys += RN_ATTENTION_KEYS) {
    double scores = 0;
    for (int queries = keys > first ? keys : first; queries < end;
         queries += RN_ATTENTION_QUERIES) {
      scores += scores_of(s, a, queries, keys);
    }
    add_scores(s, a, scores, true);
  }
}

void rn_cost_attention(rn_cost_sum *s, const rn_attention *a, bool backward) {
  if (backward) rn_cost_items(s, s->rows.count, (double)DELTA * a->heads * a->width);
  rn_loop_time_start(&s->loop, s->cost->threads);
  if (backward) {
    add_keys(s, a);
  } else {
    add_queries(s, a);
  }
  end_loop(s);
}
