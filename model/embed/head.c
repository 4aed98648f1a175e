#include "model/embed/head.h"

#include <assert.h>
#include <string.h>

#include "model/kernel/kernels.h"
#include "model/memory/buffer.h"
#include "model/ops/matmul.h"
#include "model/ops/tile_steps.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"

/* Sizes of a block of rows. Blocks are small enough that the logits take at most some tens of MB,
 * and large enough that the products occupy all threads. With a large vocabulary, blocks have too
 * few rows to occupy all threads; therefore, the sums over the vocabulary are also cut into pieces,
 * which threads compute separately. */
enum {
  SMALL_VOCAB = 1024,
  LARGE_VOCAB = 4096,
  SMALL_VOCAB_ROWS = 2048,
  ROWS = 1024,
  LARGE_VOCAB_ROWS = 256,
  PIECES = 16
};

rn_head rn_head_make(const rn_spec *spec, const rn_param_table *table) {
  return (rn_head){.dim = spec->dim,
                   .vocab = spec->vocab,
                   .block = spec->vocab > LARGE_VOCAB    ? LARGE_VOCAB_ROWS
                            : spec->vocab <= SMALL_VOCAB ? SMALL_VOCAB_ROWS
                                                         : ROWS,
                   .pieces = spec->vocab > LARGE_VOCAB ? PIECES : 1,
                   .projection = table->output,
                   .has_norm = spec->pre_norm,
                   .norm = rn_norm_make(spec, table->final_norm, table->final_norm_bias)};
}

static int64_t block_rows(const rn_head *head, int64_t rows) {
  return rows < head->block ? rows : head->block;
}

rn_head_work rn_head_buffers(const rn_head *head, int64_t rows, const rn_buffer_space *space) {
  const int64_t block = block_rows(head, rows);
  const rn_buffer_use use = rn_use_in_forward(RN_UNIT_PHASE_HEAD, RN_UNIT_PHASE_HEAD);
  rn_head_work work = {
      .logits = rn_buffer_reals(space, "logits", block * head->vocab, use),
      .normed = rn_buffer_array(space, "final norm", block * head->dim, head->bf16, use),
      .stat = rn_buffer_reals(space, "final norm statistics", block * 2, use),
      .row_loss = rn_buffer_doubles(space, "row losses", block, use)};
  if (head->has_norm) {
    work.d_normed = rn_buffer_reals(space, "d final norm", block * head->dim, use);
  }
  if (head->pieces > 1) {
    work.partial =
        rn_buffer_reals(space, "d final norm, pieces", head->pieces * block * head->dim, use);
  }
  return work;
}

/* Returns the input of the projection: normed rows, or y itself if there is no norm. */
static rn_array projected_rows(const rn_head *head, const rn_real *params, int64_t rows,
                               const rn_real *y, rn_head_work *work) {
  if (head->has_norm) {
    rn_norm_forward(&head->norm, params, rows, y, work->normed, work->stat);
    return work->normed;
  }
  if (!head->bf16) return rn_reals(y);
  const int64_t dim = head->dim;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; r++) {
    rn_kernels_table()->round_bf16(dim, y + r * dim, rn_array_bf16s(work->normed) + r * dim);
  }
  return work->normed;
}

static void project(const rn_head *head, const rn_real *params, int64_t rows, rn_array normed,
                    rn_real *logits) {
  const int dim = head->dim, vocab = head->vocab;
  rn_matmul_nt(rn_rows_together(rows), vocab, dim, normed, dim,
               rn_array_of_weights(head->weights, params, head->projection), dim, 0,
               rn_reals(logits), vocab);
}

/* Rounds a row to bf16 in place; the result is stored at the start of the row's memory. */
static void round_in_place(int n, rn_real *row) {
  enum { SLICE = 256 };
  const rn_kernels *kernels = rn_kernels_table();
  rn_real slice[SLICE];
  for (int from = 0; from < n; from += SLICE) {
    const int count = n - from < SLICE ? n - from : SLICE;
    memcpy(slice, row + from, (size_t)count * sizeof *slice);
    kernels->round_bf16(count, slice, (rn_bf16 *)(void *)row + from);
  }
}

/* Returns the arguments of the loss computation for the block of rows that begins at `from`. */
static rn_loss block_of(const rn_head *head, const rn_loss *loss, int64_t from) {
  rn_loss block = *loss;
  block.rows = block_rows(head, loss->rows - from);
  block.y += from * head->dim;
  block.target += from;
  if (loss->dy != NULL) block.dy += from * head->dim;
  if (loss->token_loss != NULL) block.token_loss += from;
  return block;
}

/* ---- the steps of one block of rows ---- */

/* The arguments of the functions that compute one tile. */
typedef struct block_work {
  const rn_head *head;
  const rn_head_work *work;
  rn_array projection, normed;
  rn_real *d_normed;
  const rn_loss *loss;
} block_work;

static rn_matrix projection_of(const block_work *p) {
  return (rn_matrix){p->projection, p->head->dim};
}

/* Returns the gradient of the logits. */
static rn_matrix d_logits_of(const block_work *p) {
  const int64_t vocab = p->head->vocab;
  const rn_array logits = {p->work->logits, p->head->bf16};
  return (rn_matrix){logits, p->head->bf16 ? 2 * vocab : vocab};
}

static void logits_tile(const void *self, const rn_step_tile *tile) {
  const block_work *p = self;
  rn_tile_nt(tile, &(rn_tile_product){.sum = p->head->dim,
                                      .x = {p->normed, p->head->dim},
                                      .w = projection_of(p),
                                      .y = rn_matrix_of_reals(p->work->logits, p->head->vocab)});
}

/* Stores the losses of rows in `work` and, if gradients are wanted, replaces the logits by their
 * gradients. */
static void cross_entropies(const void *self, const rn_step_tile *tile) {
  const block_work *p = self;
  const int vocab = p->head->vocab;
  const bool gradient = p->loss->dy != NULL;
  for (int64_t r = tile->rows.begin; r < tile->rows.end; r++) {
    rn_real *logits = p->work->logits + r * vocab;
    p->work->row_loss[r] = rn_kernels_table()->cross_entropy(vocab, logits, p->loss->target[r],
                                                             gradient, p->loss->scale);
    if (gradient && p->head->bf16) round_in_place(vocab, logits);
  }
}

static void d_normed_tile(const void *self, const rn_step_tile *tile) {
  const block_work *p = self;
  rn_tile_nn(tile, &(rn_tile_product){.sum = p->head->vocab,
                                      .x = d_logits_of(p),
                                      .w = projection_of(p),
                                      .y = rn_matrix_of_reals(p->d_normed, p->head->dim)});
}

static rn_real *piece_at(const block_work *p, int64_t piece) {
  return p->work->partial + piece * p->loss->rows * p->head->dim;
}

/* Computes some pieces of the sums over the vocabulary, for whole rows. In the output of this step,
 * piece i has the columns i D .. (i + 1) D - 1. In a narrow model, a tile contains several
 * pieces. */
static void d_normed_pieces(const void *self, const rn_step_tile *tile) {
  const block_work *p = self;
  const int D = p->head->dim;
  const rn_step_tile whole = {.rows = tile->rows, .cols = {0, D}};
  assert(tile->cols.begin % D == 0 && tile->cols.end % D == 0);
  for (int64_t piece = tile->cols.begin / D; piece < tile->cols.end / D; piece++) {
    const rn_range sum = rn_cut(p->head->vocab, p->head->pieces, piece);
    rn_tile_nn(&whole, &(rn_tile_product){.sum = (int)rn_range_count(sum),
                                          .x = rn_matrix_from(d_logits_of(p), 0, sum.begin),
                                          .w = rn_matrix_from(projection_of(p), sum.begin, 0),
                                          .y = rn_matrix_of_reals(piece_at(p, piece), D)});
  }
}

/* Adds the pieces of the sums, in order. */
static void add_pieces(const void *self, const rn_step_tile *tile) {
  const block_work *p = self;
  const int64_t begin = tile->rows.begin * p->head->dim, end = tile->rows.end * p->head->dim;
  rn_real *sum = p->d_normed;
  memcpy(sum + begin, piece_at(p, 0) + begin, (size_t)(end - begin) * sizeof *sum);
  for (int piece = 1; piece < p->head->pieces; piece++) {
    const rn_real *summand = piece_at(p, piece);
    for (int64_t i = begin; i < end; i++) sum[i] += summand[i];
  }
}

/* Returns the rows of a block. The reduction block is set to the size of a full block, so that
 * tiles have the same shapes in a block with fewer rows; bits therefore do not depend on how rows
 * are distributed over ranks. */
static rn_rows rows_of(const block_work *p) {
  return (rn_rows){p->loss->rows, (int)p->loss->rows, p->head->block};
}

/* The weights of the projection are not packed, because each of them is used for few rows. With a
 * large vocabulary, blocks have few rows, and tile boundaries are at multiples of WIDE columns. */
rn_step_shape rn_head_logits_shape(const rn_head *head) {
  enum { WIDE = 400 };
  return (rn_step_shape){head->vocab, head->pieces > 1 ? WIDE : 1, head->dim};
}

/* Computes the losses of a block of rows and, if gradients are wanted, the gradients of the
 * logits. */
static void run_loss(const block_work *p) {
  const rn_tile_step steps[] = {{logits_tile, rn_head_logits_shape(p->head)},
                                {cross_entropies, {p->head->vocab, 1, 0}}};
  rn_tile_steps_run(rows_of(p), NULL, steps, 2, p);
}

/* Computes the gradient of the normed rows. */
static void run_d_normed(const block_work *p) {
  const int dim = p->head->dim, vocab = p->head->vocab, pieces = p->head->pieces;
  const rn_tile_step whole = {d_normed_tile, {dim, 1, vocab}},
                     in_pieces[] = {{d_normed_pieces, {pieces * dim, dim, vocab / pieces}},
                                    {add_pieces, {dim, 1, 0}}};
  if (pieces > 1) {
    rn_tile_steps_run(rn_rows_together(p->loss->rows), NULL, in_pieces, 2, p);
  } else {
    rn_tile_steps_run(rows_of(p), NULL, &whole, 1, p);
  }
}

/* Accumulates the weight gradients of a block of rows, and computes the gradient of y. The weight
 * gradient comes first because, without a norm, d_normed may overwrite the normed rows. */
static void backward_block(const block_work *p, const rn_real *params,
                           rn_grad_accumulator *accumulator) {
  const rn_head *head = p->head;
  const rn_rows together = rn_rows_together(p->loss->rows);
  rn_grad_accumulator_product(accumulator, (rn_weight){head->projection, head->vocab, head->dim},
                              together, d_logits_of(p), (rn_matrix){p->normed, head->dim});
  run_d_normed(p);
  if (!head->has_norm) return;
  const rn_norm_grads grads = {
      .x = p->loss->y, .stat = p->work->stat, .dy = p->d_normed, .dx = p->loss->dy};
  rn_norm_backward(&head->norm, params, together, &grads, accumulator);
}

void rn_head_loss(const rn_head *head, const rn_real *params, rn_head_work *work, rn_loss *loss,
                  rn_grad_accumulator *accumulator) {
  loss->sum = 0;
  rn_span_phase("head");
  for (int64_t from = 0; from < loss->rows; from += head->block) {
    const rn_loss block = block_of(head, loss, from);
    const block_work p = {
        .head = head,
        .work = work,
        .projection = rn_array_of_weights(head->weights, params, head->projection),
        .normed = projected_rows(head, params, block.rows, block.y, work),
        .d_normed = head->has_norm ? work->d_normed : block.dy,
        .loss = &block};
    run_loss(&p);
    for (int64_t r = 0; r < block.rows; r++) {
      loss->sum += work->row_loss[r];
      if (block.token_loss != NULL) block.token_loss[r] = (rn_real)work->row_loss[r];
    }
    if (block.dy != NULL) backward_block(&p, params, accumulator);
    rn_progress_unit();
  }
}

void rn_head_logits(const rn_head *head, const rn_real *params, int64_t rows, const rn_real *y,
                    rn_head_work *work, rn_real *logits) {
  int dim = head->dim, vocab = head->vocab;
  for (int64_t from = 0; from < rows; from += head->block) {
    int64_t count = block_rows(head, rows - from);
    const rn_array normed = projected_rows(head, params, count, y + from * dim, work);
    project(head, params, count, normed, logits + from * vocab);
  }
}
