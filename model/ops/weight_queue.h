/**
 * Implements a queue of deferred weight gradients. Threads that would otherwise wait, for example
 * for a message, compute them.
 *
 *   dw [n, k] = dy [R, n]^T x [R, k] + beta dw
 *
 * The output of a product is cut into tiles, and the sum over the rows into pieces of fixed size. A
 * task adds one piece to one tile. The tasks of a tile run in the order of the pieces, one at a
 * time; tasks of different tiles run in any order. The shapes of tasks depend only on the shapes of
 * the product. The bits of the results therefore depend neither on which threads run the tasks nor
 * on when they run them, and work on the queue may stop after any task and continue later.
 *
 * Threads: only rn_weight_queue_run_one may be called inside a parallel region.
 */
#ifndef RN_MODEL_OPS_WEIGHT_QUEUE_H
#define RN_MODEL_OPS_WEIGHT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/ops/tiling.h"
#include "model/pass/rows.h"
#include "proto/base/real.h"
#include "proto/base/status.h"
#include "proto/ports/scan_port.h"

/** The product of one weight gradient, cut into tasks. Plain data; operands are not owned. */
typedef struct rn_weight_sum rn_weight_sum;
struct rn_weight_sum {
  /** Adds one piece of the sum to one tile, on the calling thread. */
  void (*add_piece)(const rn_weight_sum *sum, int64_t tile, int piece);
  int64_t tiles;
  int pieces;
  rn_rows rows;
  int n, k;
  rn_matrix dy, x, dw; /* dw: unused for exact sums */
  rn_real beta;
  rn_tiling tiling;                        /* unused for exact sums */
  struct rn_grad_accumulator *accumulator; /* owner of exact sums; NULL for plain sums */
  int64_t offset;                          /* exact sums: offset of the weight in the sums */
};

/** Capacity of a queue: the number of products, and the total number of their tiles. The products
 * of a layer of 4096 channels fit with tiles of 64 x 256 elements. Products that do not fit are
 * computed immediately. */
enum { RN_WEIGHT_QUEUE_PRODUCTS = 8, RN_WEIGHT_QUEUE_TILES = 1 << 15 };

typedef struct rn_weight_queue rn_weight_queue;

/** Computes `count` products now, with all threads, which share the tasks of all products. A thread
 * that finds no task that can begin runs tasks of `queue`, which may be NULL. */
void rn_weight_sums_run(const rn_weight_sum *sums, int count, rn_weight_queue *queue);

/** Creates an empty queue. Errors: RN_ERR_MEMORY. */
rn_status rn_weight_queue_create(rn_err *err, rn_weight_queue **out);
/** Frees a queue without computing the products in it. Accepts NULL. */
void rn_weight_queue_destroy(rn_weight_queue **queue);
/** Returns the size in bytes of a queue. */
size_t rn_weight_queue_bytes(void);

/**
 * Adds a product. If the queue is full, first computes the products in it. A product with more than
 * RN_WEIGHT_QUEUE_TILES tiles is computed immediately.
 *
 * Ownership: the operands and dw must stay valid, and the caller must not change them, until the
 *            product has been computed.
 */
void rn_weight_queue_add(rn_weight_queue *queue, const rn_weight_sum *sum);

/** The function to call when products are complete. */
typedef struct rn_weight_queue_event {
  void *self;
  int index;
  void (*complete)(void *self, int index);
} rn_weight_queue_event;

/** Arranges a call of event.complete when all products that are now in the queue are complete. The
 * call is made immediately if they are complete already, otherwise within the next
 * rn_weight_queue_notify, _add, _run or _finish that finds them complete. */
void rn_weight_queue_notify(rn_weight_queue *queue, rn_weight_queue_event event);

/** True if every task in the queue has begun. */
bool rn_weight_queue_is_empty(const rn_weight_queue *queue);

/** Runs one task on the calling thread. Takes it from the oldest product that has a task that can
 * begin. Returns false if no product has one; other threads are then adding pieces to all remaining
 * tiles. */
bool rn_weight_queue_run_one(rn_weight_queue *queue);

/** A source of further products: `add` adds products to the queue, or returns false if there are
 * none.
 */
typedef struct rn_weight_queue_source {
  void *self;
  bool (*add)(void *self);
} rn_weight_queue_source;

/** Sets the source from which rn_weight_queue_run takes products when the queue is empty. */
void rn_weight_queue_set_source(rn_weight_queue *queue, rn_weight_queue_source source);

/** A condition that ends the work on a queue. The first thread polls it before the work and between
 * the tasks that it runs. */
typedef struct rn_weight_queue_until {
  void *self;
  bool (*reached)(void *self);
} rn_weight_queue_until;

/**
 * Runs tasks with all threads. Stops when until.reached() returns true, or when neither the queue
 * nor its source has tasks left. On return, every task that has begun is complete.
 */
void rn_weight_queue_run(rn_weight_queue *queue, rn_weight_queue_until until);

/** Computes all products in the queue, with all threads. Unless `port` is NULL, the first thread
 * polls it between the tasks that it runs. */
void rn_weight_queue_finish(rn_weight_queue *queue, const rn_scan_port *port);

#endif
