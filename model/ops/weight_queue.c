#include "model/ops/weight_queue.h"

#include <assert.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/span.h"

/* The state of a tile: twice the number of pieces (weight_queue.h) that have been added to it, plus
 * 1 while a thread adds the next piece. */
typedef atomic_int tile_state;

/* A product, its progress, and the event whose function is called when this product and all older
 * products are complete. */
typedef struct entry {
  rn_weight_sum sum;
  tile_state *tile;       /* [tiles] */
  atomic_llong unclaimed; /* tasks that no thread has begun */
  atomic_llong next;      /* index of the tile that the next thread tries first */
  rn_weight_queue_event event;
} entry;

static void start(entry *e, const rn_weight_sum *sum, tile_state *tile) {
  e->sum = *sum;
  e->tile = tile;
  e->event = (rn_weight_queue_event){0};
  atomic_init(&e->unclaimed, sum->tiles * sum->pieces);
  atomic_init(&e->next, 0);
  for (int64_t i = 0; i < sum->tiles; i++) atomic_init(&tile[i], 0);
}

static int64_t unclaimed(const entry *e) {
  return atomic_load_explicit(&e->unclaimed, memory_order_relaxed);
}

/* Claims the next piece of a tile for the calling thread. Returns false if another thread is adding
 * a piece to the tile, or if no piece is left. */
static bool claim(const entry *e, int64_t tile, int *piece) {
  int state = atomic_load_explicit(&e->tile[tile], memory_order_relaxed);
  *piece = state / 2;
  return state % 2 == 0 && *piece < e->sum.pieces &&
         atomic_compare_exchange_strong_explicit(&e->tile[tile], &state, state + 1,
                                                 memory_order_acquire, memory_order_relaxed);
}

/* Runs one task of a product: adds the next piece of the sum to one tile. Each call tries a
 * different tile first, so that usually every tile gets its first piece before any tile gets its
 * second. Returns false if no task can begin now. */
static bool run_task(entry *e) {
  if (unclaimed(e) == 0) return false;
  const int64_t first = atomic_fetch_add_explicit(&e->next, 1, memory_order_relaxed);
  for (int64_t i = 0; i < e->sum.tiles; i++) {
    const int64_t tile = (first + i) % e->sum.tiles;
    int piece;
    if (!claim(e, tile, &piece)) continue;
    atomic_fetch_sub_explicit(&e->unclaimed, 1, memory_order_relaxed);
    const double begin_s = rn_span_task_begin();
    e->sum.add_piece(&e->sum, tile, piece);
    rn_span_task_end(begin_s);
    atomic_store_explicit(&e->tile[tile], 2 * (piece + 1), memory_order_release);
    return true;
  }
  return false;
}

/* Runs one task of the oldest product that has a task that can begin now. */
static bool run_one(entry *all, int count) {
  for (int i = 0; i < count; i++) {
    if (run_task(&all[i])) return true;
  }
  return false;
}

static bool any_unclaimed(const entry *all, int count) {
  for (int i = 0; i < count; i++) {
    if (unclaimed(&all[i]) > 0) return true;
  }
  return false;
}

/* Waits briefly for a tile to which another thread adds a piece. Yields the core after some calls,
 * because the system may have suspended that thread. */
static void wait_for_tile(int *spins) {
  enum { SPINS = 1000 };
  if (++*spins > SPINS) sched_yield();
}

/* Runs tasks on the calling thread until every task has begun. While no task can begin, because
 * other threads are adding pieces to all remaining tiles, runs tasks of `filler`. */
static void run_until_claimed(entry *all, int count, rn_weight_queue *filler) {
  for (int spins = 0; any_unclaimed(all, count);) {
    if (run_one(all, count) || (filler != NULL && rn_weight_queue_run_one(filler))) {
      spins = 0;
    } else {
      wait_for_tile(&spins);
    }
  }
}

/* ---- products that are computed now ---- */

/* MAX_SHARED_TILES: maximum number of tiles whose pieces are distributed over threads. With more
 * tiles, each thread computes whole tiles. */
enum { MAX_SHARED_TILES = 1024, MAX_SUMS = 8 };

static int64_t count_tiles(const rn_weight_sum *sums, int count) {
  int64_t tiles = 0;
  for (int i = 0; i < count; i++) tiles += sums[i].tiles;
  return tiles;
}

static void run_whole_tiles(const rn_weight_sum *sums, int64_t tiles) {
#pragma omp parallel for schedule(dynamic)
  for (int64_t at = 0; at < tiles; at++) {
    const rn_weight_sum *sum = sums;
    int64_t tile = at;
    while (tile >= sum->tiles) tile -= sum++->tiles;
    const double begin_s = rn_span_task_begin();
    for (int piece = 0; piece < sum->pieces; piece++) sum->add_piece(sum, tile, piece);
    rn_span_task_end(begin_s);
  }
}

void rn_weight_sums_run(const rn_weight_sum *sums, int count, rn_weight_queue *queue) {
  const int64_t tiles = count_tiles(sums, count);
  tile_state state[MAX_SHARED_TILES];
  entry all[MAX_SUMS];
  assert(count <= MAX_SUMS);
  if (tiles > MAX_SHARED_TILES) {
    run_whole_tiles(sums, tiles);
    return;
  }
  for (int i = 0, first = 0; i < count; first += (int)sums[i++].tiles) {
    start(&all[i], &sums[i], &state[first]);
  }
#pragma omp parallel
  run_until_claimed(all, count, queue);
}

/* ---- the queue of deferred products ---- */

struct rn_weight_queue {
  rn_weight_queue_source source;
  int count;                             /* number of products in the queue */
  entry entry[RN_WEIGHT_QUEUE_PRODUCTS]; /* [count] */
  tile_state tile[RN_WEIGHT_QUEUE_TILES];
};

size_t rn_weight_queue_bytes(void) {
  return sizeof(rn_weight_queue);
}

rn_status rn_weight_queue_create(rn_err *err, rn_weight_queue **out) {
  return rn_alloc(err, "queue of weight gradients", 1, sizeof **out, out);
}

void rn_weight_queue_destroy(rn_weight_queue **queue) {
  free(*queue);
  *queue = NULL;
}

void rn_weight_queue_set_source(rn_weight_queue *q, rn_weight_queue_source source) {
  q->source = source;
}

bool rn_weight_queue_is_empty(const rn_weight_queue *q) {
  return !any_unclaimed(q->entry, q->count);
}

/* Copies an entry and its tile states to the same or an earlier position. */
static void move(entry *to, tile_state *tile, const entry *from) {
  const int64_t left = unclaimed(from), next = atomic_load(&from->next);
  for (int64_t i = 0; i < from->sum.tiles; i++) atomic_init(&tile[i], atomic_load(&from->tile[i]));
  to->sum = from->sum;
  to->tile = tile;
  to->event = from->event;
  atomic_init(&to->unclaimed, left);
  atomic_init(&to->next, next);
}

static int64_t count_waiting_tiles(const rn_weight_queue *q) {
  int64_t tiles = 0;
  for (int i = 0; i < q->count; i++) tiles += q->entry[i].sum.tiles;
  return tiles;
}

/* Removes complete products, from the oldest up to the first incomplete product, and calls the
 * events of the removed products. */
static void remove_complete(rn_weight_queue *q) {
  rn_weight_queue_event event[RN_WEIGHT_QUEUE_PRODUCTS];
  int complete = 0;
  while (complete < q->count && unclaimed(&q->entry[complete]) == 0) {
    event[complete] = q->entry[complete].event;
    complete++;
  }
  if (complete == 0) return;
  int64_t tiles = 0;
  q->count -= complete;
  for (int i = 0; i < q->count; i++) {
    move(&q->entry[i], &q->tile[tiles], &q->entry[i + complete]);
    tiles += q->entry[i].sum.tiles;
  }
  for (int i = 0; i < complete; i++) {
    if (event[i].complete != NULL) event[i].complete(event[i].self, event[i].index);
  }
}

void rn_weight_queue_notify(rn_weight_queue *q, rn_weight_queue_event event) {
  remove_complete(q);
  if (q->count > 0 && q->entry[q->count - 1].event.complete != NULL)
    rn_weight_queue_finish(q, NULL);
  if (q->count == 0) {
    event.complete(event.self, event.index);
  } else {
    q->entry[q->count - 1].event = event;
  }
}

void rn_weight_queue_add(rn_weight_queue *q, const rn_weight_sum *sum) {
  assert(!omp_in_parallel());
  remove_complete(q);
  if (q->count == RN_WEIGHT_QUEUE_PRODUCTS ||
      count_waiting_tiles(q) + sum->tiles > RN_WEIGHT_QUEUE_TILES) {
    rn_weight_queue_finish(q, NULL);
  }
  if (sum->tiles > RN_WEIGHT_QUEUE_TILES) {
    rn_weight_sums_run(sum, 1, NULL);
    return;
  }
  const int64_t first = count_waiting_tiles(q);
  start(&q->entry[q->count++], sum, &q->tile[first]);
}

bool rn_weight_queue_run_one(rn_weight_queue *q) {
  return run_one(q->entry, q->count);
}

/* Runs tasks of the products in the queue until every task has begun or until.reached() returns
 * true. Returns true in the second case. */
static bool run_until(rn_weight_queue *q, rn_weight_queue_until until) {
  atomic_bool stop = until.reached(until.self);
  if (!stop && !rn_weight_queue_is_empty(q)) {
#pragma omp parallel
    {
      const bool polls = omp_get_thread_num() == 0;
      for (int spins = 0; !atomic_load(&stop) && any_unclaimed(q->entry, q->count);) {
        if (run_one(q->entry, q->count)) {
          spins = 0;
        } else {
          wait_for_tile(&spins);
        }
        if (polls && until.reached(until.self)) atomic_store(&stop, true);
      }
    }
  }
  remove_complete(q);
  return stop;
}

void rn_weight_queue_run(rn_weight_queue *q, rn_weight_queue_until until) {
  while (!run_until(q, until) && q->source.add != NULL && q->source.add(q->source.self)) continue;
}

/* Polls a port. Returns false, so that the work on the queue continues. */
static bool poll_only(void *self) {
  const rn_scan_port *port = self;
  if (port != NULL) port->poll(port->self);
  return false;
}

void rn_weight_queue_finish(rn_weight_queue *q, const rn_scan_port *port) {
  run_until(q, (rn_weight_queue_until){(void *)(uintptr_t)port, poll_only});
}
