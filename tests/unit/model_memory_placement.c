/* Checks the placement of buffers: those that are live in the same phase never overlap. The memory
 * is large enough for each phase and not larger than the sum of all buffers. The same list gives
 * the same offsets. Poisoning a workspace (filling it with NaN) must keep exactly the buffers that
 * stay live. */
#include <string.h>

#include "model/memory/workspace.h"
#include "proto/base/random.h"
#include "tests/support/check.h"

enum { LISTS = 300, ALIGNMENT = 64 };

/* Draws up to RN_PLACEMENT_MAX buffers of random sizes, each live in one or two random ranges of
 * phases. Some are empty, some are never live. */
static int draw(int list, rn_buffer *buffer) {
  rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, (uint64_t)list, "placement");
  uint64_t next = 0;
  const int count = (int)(rn_random_bits(key, next++) % (RN_PLACEMENT_MAX + 1));
  const int phases = 1 + (int)(rn_random_bits(key, next++) % 64);
  for (int i = 0; i < count; i++) {
    rn_phase_set live = 0;
    const int ranges = (int)(rn_random_bits(key, next++) % 8);
    for (int r = 0; r < (ranges == 0 ? 0 : 1 + ranges % 2); r++) {
      const int a = (int)(rn_random_bits(key, next++) % (uint64_t)phases);
      const int b = (int)(rn_random_bits(key, next++) % (uint64_t)phases);
      live |= rn_phase_range(a < b ? a : b, a < b ? b : a);
    }
    buffer[i] = (rn_buffer){"", ALIGNMENT * (rn_random_bits(key, next++) % 50), live, 0};
  }
  return count;
}

static bool apart(const rn_buffer *a, const rn_buffer *b) {
  if ((a->live & b->live) == 0 || a->bytes == 0 || b->bytes == 0) return true;
  return a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset;
}

static size_t live_bytes(const rn_buffer *buffer, int count, int phase) {
  size_t bytes = 0;
  for (int i = 0; i < count; i++) {
    if (buffer[i].live >> phase & 1) bytes += buffer[i].bytes;
  }
  return bytes;
}

/* Returns the largest number of bytes that are live in one phase, which is a lower bound of any
 * placement. */
static size_t live_bytes_max(const rn_buffer *buffer, int count) {
  size_t max = 0;
  for (int phase = 0; phase < 64; phase++) {
    const size_t bytes = live_bytes(buffer, count, phase);
    if (bytes > max) max = bytes;
  }
  return max;
}

static void live_buffers_do_not_overlap(int list) {
  rn_buffer buffer[RN_PLACEMENT_MAX], repeated[RN_PLACEMENT_MAX];
  const int count = draw(list, buffer);
  draw(list, repeated);
  const size_t bytes = rn_place_buffers(buffer, count);
  size_t sum = 0;
  for (int i = 0; i < count; i++) {
    if (buffer[i].live == 0) continue;
    sum += buffer[i].bytes;
    CHECK(buffer[i].offset % ALIGNMENT == 0);
    CHECK(buffer[i].offset + buffer[i].bytes <= bytes);
    for (int k = 0; k < i; k++) CHECK(apart(&buffer[i], &buffer[k]));
  }
  CHECK(bytes >= live_bytes_max(buffer, count));
  CHECK(bytes <= sum);
  CHECK(rn_place_buffers(repeated, count) == bytes);
  for (int i = 0; i < count; i++) CHECK(repeated[i].offset == buffer[i].offset);
}

/* Of three buffers, each overlaps in time only with its neighbours. They need only the memory of
 * the larger overlapping pair. */
static void dead_buffers_take_no_memory(void) {
  rn_buffer buffer[] = {{"a", 640, rn_phase_range(0, 1), 0},
                        {"b", 128, rn_phase_range(1, 2), 0},
                        {"c", 512, rn_phase_range(2, 3), 0}};
  CHECK_EQUAL(rn_place_buffers(buffer, 3), 768);
  CHECK_EQUAL(buffer[0].offset, 0);
  CHECK_EQUAL(buffer[1].offset, 640);
  CHECK_EQUAL(buffer[2].offset, 0);
}

/* The smallest gap that is large enough must be used, not the first. */
static void best_gap_is_taken(void) {
  rn_buffer buffer[] = {
      {"floor", 1024, rn_phase_range(1, 1), 0}, {"low", 960, rn_phase_range(0, 1), 0},
      {"middle", 896, rn_phase_range(0, 1), 0}, {"high", 832, rn_phase_range(0, 0), 0},
      {"small", 128, rn_phase_range(0, 0), 0},
  };
  CHECK_EQUAL(rn_place_buffers(buffer, 5), 2880);
  CHECK_EQUAL(buffer[3].offset, 0);
  CHECK_EQUAL(buffer[4].offset, 832);
}

static void poison_spares_what_stays_live(void) {
  rn_err err = {0};
  rn_buffer_plan plan = rn_buffer_plan_make(RN_SAVE_NOTHING);
  rn_buffer_space space = {.plan = &plan};
  rn_workspace workspace;
  unsigned char *at[3];
  for (int pass = 0; pass < 2; pass++) {
    at[0] =
        rn_buffer_take(&space, "stays", 100, rn_use_in_forward(RN_UNIT_PHASE_KV, RN_UNIT_PHASE_QG));
    at[1] =
        rn_buffer_take(&space, "dies", 200, rn_use_in_forward(RN_UNIT_PHASE_KV, RN_UNIT_PHASE_KV));
    at[2] = rn_buffer_take(&space, "begins", 300,
                           rn_use_in_forward(RN_UNIT_PHASE_QG, RN_UNIT_PHASE_QG));
    if (pass > 0) break;
    rn_buffer_plan_place(&plan);
    CHECK_OK(&err, rn_workspace_create(&err, &plan, &workspace));
    space.base[RN_MEMORY_WORKSPACE] = workspace.arena.base;
  }
  workspace.poison = true;
  rn_workspace_begin(&workspace, RN_UNIT_PHASE_KV);
  memset(at[0], 1, 100);
  memset(at[1], 2, 200);
  rn_workspace_begin(&workspace, RN_UNIT_PHASE_QG);
  for (int i = 0; i < 100; i++) CHECK(at[0][i] == 1);
  for (int i = 0; i < 200; i++) CHECK(at[1][i] == 0xff);
  for (int i = 0; i < 300; i++) CHECK(at[2][i] == 0xff);
  rn_workspace_begin(&workspace, RN_UNIT_PHASE_INNER);
  CHECK(at[0][0] == 0xff && at[0][99] == 0xff);
  rn_workspace_destroy(&workspace);
}

int main(void) {
  for (int list = 0; list < LISTS; list++) live_buffers_do_not_overlap(list);
  dead_buffers_take_no_memory();
  best_gap_is_taken();
  poison_spares_what_stays_live();
  return check_result();
}
