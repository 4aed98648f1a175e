/* Maps the address ranges of the recorded operands into one block of memory. */
#include "model/kernel/gemm_replay.h"

#include <assert.h>
#include <omp.h>
#include <stdlib.h>

#include "model/kernel/gemm_pack.h"
#include "proto/base/range.h"

/* Operands that are less than MERGE_BYTES apart are mapped in one range, which preserves the
 * distance between them. */
enum { MERGE_BYTES = 1 << 16, PAGE_BYTES = 4096, OPERANDS = 3 };

static const int64_t max_bytes = INT64_C(1) << 30;
static const double group_flops = 3e7;

/* ---- groups ---- */

static double flops_of(const rn_recorded_gemm *p) {
  return 2.0 * p->m * p->n * p->k;
}

/* Assigns each product to a group. A thread's current group ends when the group has enough FLOPs.
 */
static int64_t assign_groups(const rn_gemm_record *record, int64_t *open, double *filled,
                             int64_t *group) {
  int64_t groups = 0;
  for (int64_t i = 0; i < record->count; i++) {
    const int thread = record->call[i].thread;
    if (filled[thread] <= 0) open[thread] = groups++;
    group[i] = open[thread];
    filled[thread] += flops_of(&record->call[i]);
    if (filled[thread] >= group_flops) filled[thread] = 0;
  }
  return groups;
}

/* Sorts the products by group; stable. */
static void sort_by_group(const rn_gemm_record *record, const int64_t *group, rn_gemm_replay *r) {
  for (int64_t i = 0; i < record->count; i++) r->first[group[i] + 1]++;
  for (int64_t g = 0; g < r->groups; g++) r->first[g + 1] += r->first[g];
  for (int64_t i = 0; i < record->count; i++) r->call[r->first[group[i]]++] = record->call[i];
  for (int64_t g = r->groups; g > 0; g--) r->first[g] = r->first[g - 1];
  r->first[0] = 0;
}

static rn_status create_groups(rn_err *err, const rn_gemm_record *record, int threads,
                               rn_gemm_replay *r) {
  const size_t count = (size_t)record->count;
  int64_t *group = calloc(count + (size_t)threads, sizeof *group);
  double *filled = calloc((size_t)threads, sizeof *filled);
  rn_status status = RN_OK;
  if (group == NULL || filled == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while grouping %lld matrix products",
                     (long long)record->count);
  } else {
    r->groups = assign_groups(record, group + count, filled, group);
    status = rn_alloc(err, "products", count, sizeof *r->call, &r->call);
  }
  if (status == RN_OK) {
    status = rn_alloc(err, "groups", (size_t)r->groups + 1, sizeof *r->first, &r->first);
  }
  if (status == RN_OK) sort_by_group(record, group, r);
  free(group);
  free(filled);
  return status;
}

/* ---- memory ---- */

/* An address range begin .. end-1, and the offset in the block to which byte `begin` is mapped. */
typedef struct extent {
  uintptr_t begin, end;
  int64_t offset;
} extent;

static extent extent_of(rn_array x, int rows, int cols, int64_t ld) {
  const uintptr_t begin = (uintptr_t)x.at, bytes = rn_element_bytes(x.bf16);
  if (rows == 0 || cols == 0) return (extent){begin, begin, 0};
  return (extent){begin, begin + ((uintptr_t)(rows - 1) * (uintptr_t)ld + (uintptr_t)cols) * bytes,
                  0};
}

/* Returns the extent of the panels of a packed weight that a product reads. */
static extent extent_of_panels(const rn_recorded_gemm *p) {
  const int panels =
      (int)(rn_round_up(p->ldb + p->n, RN_PACK_COLS) * rn_round_up(p->k, RN_PACK_SUM));
  return extent_of(p->b, 1, panels, 0);
}

static void extents_of(const rn_recorded_gemm *p, extent *out) {
  const bool a_transposed = p->kind == RN_GEMM_TN;
  const bool b_transposed = p->kind == RN_GEMM_NT || p->kind == RN_GEMM_NT_FP64_ACCUMULATE;
  out[0] = a_transposed ? extent_of(p->a, p->k, p->m, p->lda) : extent_of(p->a, p->m, p->k, p->lda);
  if (p->kind == RN_GEMM_PACKED) {
    out[1] = extent_of_panels(p);
  } else {
    out[1] =
        b_transposed ? extent_of(p->b, p->n, p->k, p->ldb) : extent_of(p->b, p->k, p->n, p->ldb);
  }
  out[2] = extent_of(p->c, p->m, p->n, p->ldc);
}

static int by_begin(const void *a, const void *b) {
  const uintptr_t x = ((const extent *)a)->begin, y = ((const extent *)b)->begin;
  return (x > y) - (x < y);
}

/* Merges ranges that are near each other; returns the number of ranges left. */
static int64_t merge_extents(int64_t count, extent *all) {
  int64_t merged = 0;
  qsort(all, (size_t)count, sizeof *all, by_begin);
  for (int64_t i = 0; i < count; i++) {
    extent *last = merged > 0 ? &all[merged - 1] : NULL;
    if (last == NULL || all[i].begin > last->end + MERGE_BYTES) {
      all[merged++] = all[i];
    } else if (all[i].end > last->end) {
      last->end = all[i].end;
    }
  }
  return merged;
}

/* Places the ranges one after the other and keeps each address's offset within its page; returns
 * the total bytes. */
static int64_t assign_offsets(int64_t count, extent *all) {
  int64_t offset = 0;
  for (int64_t i = 0; i < count; i++) {
    const int64_t in_page = (int64_t)(all[i].begin % PAGE_BYTES);
    all[i].offset = offset + in_page;
    const int64_t bytes = in_page + (int64_t)(all[i].end - all[i].begin);
    offset += rn_round_up(bytes, PAGE_BYTES);
  }
  return offset;
}

static rn_array relocated(const rn_gemm_replay *r, int64_t count, const extent *all, rn_array x) {
  const uintptr_t at = (uintptr_t)x.at;
  int64_t low = 0, high = count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (all[middle].begin <= at) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const int64_t offset = all[low].offset + (int64_t)(at - all[low].begin);
  return (rn_array){r->memory.base + offset % max_bytes, x.bf16};
}

/* Fills the block with values of at most 0.05 in magnitude; their products neither overflow nor
 * become denormal. */
static void fill(rn_arena *memory) {
  rn_real *x = (rn_real *)(void *)memory->base;
  const int64_t count = (int64_t)(memory->size_bytes / sizeof *x);
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; i++) {
    const uint32_t mixed = (uint32_t)i * UINT32_C(2654435761);
    x[i] = rn_real_of_bf16s((rn_real)((double)(mixed >> 16) / 655360 - 0.05));
  }
}

/* Allocates the block, with padding for the longest operand, and maps all operands into it. */
static rn_status relocate_operands(rn_err *err, rn_gemm_replay *r, int64_t products, extent *all) {
  int64_t longest = 0;
  for (int64_t i = 0; i < products; i++) extents_of(&r->call[i], all + OPERANDS * i);
  for (int64_t i = 0; i < OPERANDS * products; i++) {
    const int64_t bytes = (int64_t)(all[i].end - all[i].begin);
    if (bytes > longest) longest = bytes;
  }
  const int64_t count = merge_extents(OPERANDS * products, all), bytes = assign_offsets(count, all);
  RN_TRY(err, rn_arena_create(err, (size_t)((bytes < max_bytes ? bytes : max_bytes) + longest),
                              &r->memory));
  fill(&r->memory);
  for (int64_t i = 0; i < products; i++) {
    rn_recorded_gemm *p = &r->call[i];
    p->a = relocated(r, count, all, p->a);
    p->b = relocated(r, count, all, p->b);
    p->c = relocated(r, count, all, p->c);
  }
  return RN_OK;
}

rn_status rn_gemm_replay_create(rn_err *err, const rn_gemm_record *record, rn_gemm_replay *out) {
  extent *extents = NULL;
  *out = (rn_gemm_replay){.table = record->table};
  rn_status status = create_groups(err, record, omp_get_max_threads(), out);
  if (status == RN_OK) {
    status = rn_alloc(err, "operands", OPERANDS * (size_t)record->count, sizeof *extents, &extents);
  }
  if (status == RN_OK) status = relocate_operands(err, out, record->count, extents);
  free(extents);
  if (status != RN_OK) rn_gemm_replay_destroy(out);
  return status;
}

void rn_gemm_replay_destroy(rn_gemm_replay *replay) {
  free(replay->call);
  free(replay->first);
  rn_arena_destroy(&replay->memory);
  *replay = (rn_gemm_replay){0};
}

void rn_gemm_replay_run(const rn_gemm_replay *replay) {
#pragma omp parallel for schedule(dynamic)
  for (int64_t g = 0; g < replay->groups; g++) {
    for (int64_t i = replay->first[g]; i < replay->first[g + 1]; i++) {
      rn_recorded_gemm_run(replay->table, &replay->call[i]);
    }
  }
}
