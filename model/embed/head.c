#include "model/embed/head.h"

#include <string.h>

#include "model/kernel/kernels.h"
#include "model/memory/buffer.h"
#include "model/ops/matmul.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"

/* Rows per block: few enough that the logits take at most some tens of MB, and enough that the
 * products occupy all threads. */
enum { LARGE_VOCAB = 4096, SMALL_VOCAB_ROWS = 1024, LARGE_VOCAB_ROWS = 256 };

rn_head rn_head_make(const rn_spec *spec, const rn_param_table *table) {
  return (rn_head){.dim = spec->dim,
                   .vocab = spec->vocab,
                   .block = spec->vocab > LARGE_VOCAB ? LARGE_VOCAB_ROWS : SMALL_VOCAB_ROWS,
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
  rn_kernels_table()->round_bf16(rows * head->dim, y, rn_array_bf16s(work->normed));
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

/* Computes the gradients of a block of rows from the gradient of the logits in `work`. */
static void backward_block(const rn_head *head, const rn_real *params, const rn_head_work *work,
                           rn_array normed, rn_loss block, rn_grad_accumulator *accumulator) {
  const int dim = head->dim, vocab = head->vocab;
  const int64_t ld = head->bf16 ? (int64_t)vocab * 2 : vocab;
  const rn_array d_logits = {work->logits, head->bf16};
  const rn_rows together = rn_rows_together(block.rows);
  rn_real *d_normed = head->has_norm ? work->d_normed : block.dy;
  rn_grad_accumulator_product(accumulator, (rn_weight){head->projection, vocab, dim}, together,
                              (rn_matrix){d_logits, ld}, (rn_matrix){normed, dim});
  rn_matmul_nn(together, dim, vocab, d_logits, ld,
               rn_array_of_weights(head->weights, params, head->projection), dim, 0,
               rn_reals(d_normed), dim);
  if (head->has_norm) {
    const rn_norm_grads grads = {.x = block.y, .stat = work->stat, .dy = d_normed, .dx = block.dy};
    rn_norm_backward(&head->norm, params, together, &grads, accumulator);
  }
}

/* Returns the loss computation restricted to the block of rows that begins at `from`. */
static rn_loss block_of(const rn_head *head, const rn_loss *loss, int64_t from) {
  rn_loss block = *loss;
  block.rows = block_rows(head, loss->rows - from);
  block.y += from * head->dim;
  block.target += from;
  if (loss->dy != NULL) block.dy += from * head->dim;
  if (loss->token_loss != NULL) block.token_loss += from;
  return block;
}

/* Stores the losses of a block's rows in `work`, and replaces the logits by their gradients. */
static void cross_entropies(const rn_head *head, rn_head_work *work, rn_loss block) {
  const int vocab = head->vocab;
  const rn_kernels *kernels = rn_kernels_table();
  const bool round = head->bf16 && block.dy != NULL;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < block.rows; r++) {
    rn_real *logits = work->logits + r * vocab;
    work->row_loss[r] =
        kernels->cross_entropy(vocab, logits, block.target[r], block.dy != NULL, block.scale);
    if (round) round_in_place(vocab, logits);
  }
}

void rn_head_loss(const rn_head *head, const rn_real *params, rn_head_work *work, rn_loss *loss,
                  rn_grad_accumulator *accumulator) {
  loss->sum = 0;
  for (int64_t from = 0; from < loss->rows; from += head->block) {
    const rn_loss block = block_of(head, loss, from);
    rn_span_phase("head");
    const rn_array normed = projected_rows(head, params, block.rows, block.y, work);
    project(head, params, block.rows, normed, work->logits);
    rn_span_phase("softmax and loss");
    cross_entropies(head, work, block);
    for (int64_t r = 0; r < block.rows; r++) {
      loss->sum += work->row_loss[r];
      if (block.token_loss != NULL) block.token_loss[r] = (rn_real)work->row_loss[r];
    }
    rn_span_phase("head");
    if (block.dy != NULL) backward_block(head, params, work, normed, block, accumulator);
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
