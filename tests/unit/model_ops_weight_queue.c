/* Checks that a queue of weight gradients gives the bits of products computed immediately, with
 * plain and with exact sums and for any number of threads. The products may be computed in one
 * call, in several calls that stop at random points, with more products added in between, or by the
 * threads of other parallel work. A call that runs the queue returns when its condition is met. The
 * oldest products come first, and their completion is reported in this order. Products of a wide
 * layer are deferred too. */
#include "model/ops/weight_queue.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/threads.h"
#include "model/ops/grad_accumulator.h"
#include "proto/base/random.h"
#include "tests/support/check.h"
#include "tests/support/gradient.h"

enum { ROWS = 2600, N = 160, K = 96, BLOCK = 500, PRODUCTS = 5, TOTAL = PRODUCTS * N * K };

static const int thread_counts[] = {1, 2, 3, 5, 8};
enum { THREAD_COUNTS = sizeof thread_counts / sizeof thread_counts[0] };

static void *zeros(size_t count, size_t bytes) {
  void *memory = calloc(count, bytes);
  if (memory == NULL) abort();
  return memory;
}

/* Operands of a test, and the gradient that results if the products are computed immediately. */
typedef struct operands {
  rn_real *dy, *x; /* [ROWS, N] and [ROWS, K]; product i begins 8 * i elements later */
  bool exact;
  rn_real *want;
  int64_t *want_exact;
} operands;

static rn_weight_product product_at(const operands *o, int i) {
  const rn_weight w = {(int64_t)i * N * K, i % 2 == 0 ? N : K, i % 2 == 0 ? K : N};
  const rn_matrix dy = rn_matrix_of_reals(o->dy + 8 * i, N),
                  x = rn_matrix_of_reals(o->x + 8 * i, K);
  return (rn_weight_product){w, i % 2 == 0 ? dy : x, i % 2 == 0 ? x : dy};
}

static rn_rows rows_of(const operands *o) {
  return o->exact ? (rn_rows){ROWS, ROWS, BLOCK} : rn_rows_together(ROWS);
}

static rn_grad_accumulator accumulator_of(const operands *o) {
  if (o->exact) {
    return (rn_grad_accumulator){
        .exact = zeros(TOTAL, sizeof(int64_t)), .total = TOTAL, .reduction_blocks = 64};
  }
  return (rn_grad_accumulator){.gradient = zeros(TOTAL, sizeof(rn_real)), .total = TOTAL};
}

static void drop(rn_grad_accumulator *a) {
  free(a->gradient);
  free(a->exact);
}

static operands open(bool exact) {
  operands o = {.dy = zeros(ROWS * N + 8 * PRODUCTS, sizeof(rn_real)),
                .x = zeros(ROWS * K + 8 * PRODUCTS, sizeof(rn_real)),
                .exact = exact};
  test_fill(o.dy, ROWS * N + 8 * PRODUCTS, 0.2, 1);
  test_fill(o.x, ROWS * K + 8 * PRODUCTS, 0.2, 2);
  rn_grad_accumulator a = accumulator_of(&o);
  rn_threads_start(1);
  for (int i = 0; i < PRODUCTS; i++) {
    const rn_weight_product product = product_at(&o, i);
    rn_grad_accumulator_products(&a, NULL, rows_of(&o), &product, 1);
  }
  o.want = a.gradient;
  o.want_exact = a.exact;
  return o;
}

static void close_operands(operands *o) {
  free(o->dy);
  free(o->x);
  free(o->want);
  free(o->want_exact);
}

static void same(const operands *o, const rn_grad_accumulator *a) {
  if (o->exact) {
    CHECK(memcmp(o->want_exact, a->exact, TOTAL * sizeof(int64_t)) == 0);
  } else {
    CHECK(memcmp(o->want, a->gradient, TOTAL * sizeof(rn_real)) == 0);
  }
}

static void add(const operands *o, rn_grad_accumulator *a, rn_weight_queue *q, int from, int to) {
  for (int i = from; i < to; i++) {
    const rn_weight_product product = product_at(o, i);
    rn_grad_accumulator_defer(a, q, rows_of(o), &product, 1);
  }
}

/* A condition that becomes true after *self evaluations. */
static bool after_polls(void *self) {
  int *left = self;
  return (*left)-- <= 0;
}

static int random_below(uint64_t *seed, int n) {
  const rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, 7, "queue");
  return (int)(rn_random_bits(key, (*seed)++) % (uint64_t)n);
}

static void at_once(const operands *o, rn_weight_queue *q) {
  rn_grad_accumulator a = accumulator_of(o);
  add(o, &a, q, 0, PRODUCTS);
  rn_weight_queue_finish(q, NULL);
  CHECK(rn_weight_queue_is_empty(q));
  same(o, &a);
  drop(&a);
}

/* Runs the queue in calls that stop at random points, and adds products while others are
 * incomplete. Returns the number of calls that stopped before the queue was empty. */
static int left_and_continued(const operands *o, rn_weight_queue *q, uint64_t *seed) {
  rn_grad_accumulator a = accumulator_of(o);
  int added = 0, left_in_the_middle = 0;
  while (added < PRODUCTS || !rn_weight_queue_is_empty(q)) {
    const int more = added + random_below(seed, PRODUCTS + 1 - added);
    add(o, &a, q, added, more);
    added = more;
    int polls = random_below(seed, 5);
    rn_weight_queue_run(q, (rn_weight_queue_until){&polls, after_polls});
    left_in_the_middle += !rn_weight_queue_is_empty(q);
  }
  rn_weight_queue_finish(q, NULL);
  same(o, &a);
  drop(&a);
  return left_in_the_middle;
}

/* Lets the threads of other parallel work run the tasks of the queue, one task per call. */
static void as_filler(const operands *o, rn_weight_queue *q, uint64_t *seed) {
  rn_grad_accumulator a = accumulator_of(o);
  add(o, &a, q, 0, PRODUCTS);
  while (!rn_weight_queue_is_empty(q)) {
    const int tasks = random_below(seed, 12);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < tasks; i++) rn_weight_queue_run_one(q);
  }
  same(o, &a);
  drop(&a);
}

/* Adds more products than the queue can hold: if it is full, older products are computed first. */
static void more_than_fit(const operands *o, rn_weight_queue *q) {
  rn_grad_accumulator a = accumulator_of(o), b = accumulator_of(o);
  add(o, &a, q, 0, PRODUCTS);
  add(o, &b, q, 0, PRODUCTS);
  rn_weight_queue_finish(q, NULL);
  same(o, &a);
  same(o, &b);
  drop(&a);
  drop(&b);
}

static void same_bits(bool exact) {
  operands o = open(exact);
  rn_err err = {0};
  rn_weight_queue *q;
  uint64_t seed = 0;
  int left_in_the_middle = 0;
  CHECK_OK(&err, rn_weight_queue_create(&err, &q));
  CHECK(rn_weight_queue_is_empty(q));
  for (int i = 0; i < THREAD_COUNTS; i++) {
    rn_threads_start(thread_counts[i]);
    at_once(&o, q);
    more_than_fit(&o, q);
    for (int round = 0; round < 3; round++) {
      left_in_the_middle += left_and_continued(&o, q, &seed);
      as_filler(&o, q, &seed);
    }
  }
  CHECK(left_in_the_middle > 0);
  rn_weight_queue_destroy(&q);
  close_operands(&o);
}

/* ---- order, with tasks that only record that they ran ---- */

enum { TILES = 3, PIECES = 4 };

typedef struct record {
  atomic_int begun[2][TILES]; /* number of pieces begun, for each tile of two products */
  atomic_int tasks, mistakes;
  int reported; /* index of the last event reported */
} record;

static record ran;

static void record_piece(const rn_weight_sum *sum, int64_t tile, int piece) {
  atomic_int *begun = &ran.begun[sum->offset][tile];
  /* With one thread, a task of the second product may begin only after all pieces of the first
   * product have begun. */
  if (sum->offset == 1 && omp_get_num_threads() == 1) {
    for (int i = 0; i < TILES; i++) ran.mistakes += ran.begun[0][i] < PIECES;
  }
  if (atomic_fetch_add(begun, 1) != piece) ran.mistakes++;
  ran.tasks++;
}

static rn_weight_sum recorded(int index) {
  return (rn_weight_sum){
      .add_piece = record_piece, .tiles = TILES, .pieces = PIECES, .offset = index};
}

/* Reports must come in order of their indices 1, 2, 3. Report 2 must come after all tasks of
 * product 0, report 3 after all tasks of product 1. */
static void report(void *self, int index) {
  record *r = self;
  r->mistakes += index != r->reported + 1;
  r->reported = index;
  for (int i = 0; i < TILES && index > 1; i++) r->mistakes += r->begun[index - 2][i] < PIECES;
}

static rn_weight_queue_event event_at(int index) {
  return (rn_weight_queue_event){&ran, index, report};
}

static bool never(void *self) {
  (void)self;
  return false;
}

static bool at_once_reached(void *self) {
  (void)self;
  return true;
}

static void order_and_end(int threads) {
  rn_err err = {0};
  rn_weight_queue *q;
  int polls = 5;
  const rn_weight_sum first = recorded(0), second = recorded(1);
  rn_threads_start(threads);
  memset(&ran, 0, sizeof ran);
  CHECK_OK(&err, rn_weight_queue_create(&err, &q));
  CHECK(!rn_weight_queue_run_one(q));
  rn_weight_queue_notify(q, event_at(1));
  CHECK_EQUAL(ran.reported, 1);
  rn_weight_queue_add(q, &first);
  rn_weight_queue_notify(q, event_at(2));
  rn_weight_queue_add(q, &second);
  rn_weight_queue_notify(q, event_at(3));
  CHECK_EQUAL(ran.reported, 1);
  rn_weight_queue_run(q, (rn_weight_queue_until){NULL, at_once_reached});
  CHECK_EQUAL(ran.tasks, 0);
  rn_weight_queue_run(q, (rn_weight_queue_until){&polls, after_polls});
  if (threads == 1) CHECK_EQUAL(ran.tasks, 5);
  rn_weight_queue_run(q, (rn_weight_queue_until){NULL, never});
  CHECK(rn_weight_queue_is_empty(q));
  CHECK_EQUAL(ran.tasks, 2 * TILES * PIECES);
  CHECK_EQUAL(ran.mistakes, 0);
  CHECK_EQUAL(ran.reported, 3);
  rn_weight_queue_destroy(&q);
  CHECK(q == NULL);
}

/* ---- wide layers ---- */

static atomic_int pieces_added;

static void count_piece(const rn_weight_sum *sum, int64_t tile, int piece) {
  (void)sum, (void)tile, (void)piece;
  pieces_added++;
}

/* Checks that no product of a wide layer is computed before the queue is finished. Adds the weight
 * gradients of a layer of D channels, in tiles of the smallest size: k and v, q and g, the output
 * projection, fc1 with the gate, fc2. */
static void wide_products_wait(void) {
  enum { D = 4096, TILE_ELEMENTS = 64 * 256 };
  static const int multiples_of_d[] = {3, 3, 2, 4, 2};
  rn_err err = {0};
  rn_weight_queue *q;
  int64_t tiles = 0;
  rn_threads_start(2);
  CHECK_OK(&err, rn_weight_queue_create(&err, &q));
  for (size_t i = 0; i < sizeof multiples_of_d / sizeof multiples_of_d[0]; i++) {
    const int64_t n = (int64_t)multiples_of_d[i] * D;
    const rn_weight_sum sum = {
        .add_piece = count_piece, .tiles = n * D / TILE_ELEMENTS, .pieces = 1};
    tiles += sum.tiles;
    rn_weight_queue_add(q, &sum);
  }
  CHECK_EQUAL(pieces_added, 0);
  rn_weight_queue_finish(q, NULL);
  CHECK_EQUAL(pieces_added, tiles);
  rn_weight_queue_destroy(&q);
}

int main(void) {
  same_bits(false);
  same_bits(true);
  for (int i = 0; i < THREAD_COUNTS; i++) order_and_end(thread_counts[i]);
  wide_products_wait();
  return check_result();
}
