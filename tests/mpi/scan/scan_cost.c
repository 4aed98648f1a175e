/* Checks the times that the cost model of the scan gives for a typical cluster. */
#include "comm/scan/scan_cost.h"
#include "tests/support/check.h"

/* The cluster sends messages with 12.5 GB/s and a latency of 2 us, and combines states with 10
 * GB/s. A state has 8 heads of 256 x 512 elements. */
static const rn_scan_cost cluster = {.latency_s = 2e-6, .byte_s = 0.08e-9, .combine_s = 0.1e-9};
enum { STATE_BYTES = 8 * 256 * 512 * 4 };

static double ms(rn_scan_algorithm algorithm, int ranks) {
  const int64_t block = rn_scan_cost_block(cluster, ranks, STATE_BYTES);
  return 1e3 * rn_scan_cost_s(cluster, algorithm, ranks, STATE_BYTES, block);
}

static void known_figures_come_out(void) {
  CHECK_NEAR(ms(RN_SCAN_EXSCAN, 8), 4.9, 0.01);
  CHECK_NEAR(ms(RN_SCAN_EXSCAN, 64), 47.3, 0.01);
  CHECK_NEAR(ms(RN_SCAN_EXSCAN, 512), 386, 0.01);
  CHECK_NEAR(ms(RN_SCAN_PIPELINED, 8), 0.96, 0.05);
  CHECK_NEAR(ms(RN_SCAN_PIPELINED, 64), 1.5, 0.05);
  CHECK_NEAR(ms(RN_SCAN_PIPELINED, 512), 3.5, 0.05);
}

static void one_rank_has_no_cost(void) {
  for (int a = RN_SCAN_PIPELINED; a <= RN_SCAN_EXSCAN; a++) CHECK(ms((rn_scan_algorithm)a, 1) == 0);
}

/* Checks that no block size of the allowed range is more than 10 % cheaper than the chosen one. */
static void the_block_is_a_good_one(void) {
  for (int ranks = 2; ranks <= 512; ranks *= 4) {
    for (int64_t bytes = 1024; bytes <= 1 << 24; bytes *= 4) {
      const int64_t chosen = rn_scan_cost_block(cluster, ranks, bytes);
      const double s = rn_scan_cost_s(cluster, RN_SCAN_PIPELINED, ranks, bytes, chosen);
      CHECK(chosen >= RN_SCAN_MIN_BLOCK && chosen <= RN_SCAN_MAX_BLOCK);
      for (int64_t other = RN_SCAN_MIN_BLOCK; ranks > 2 && other <= RN_SCAN_MAX_BLOCK; other *= 2) {
        CHECK(s <= 1.1 * rn_scan_cost_s(cluster, RN_SCAN_PIPELINED, ranks, bytes, other));
      }
    }
  }
}

int main(void) {
  known_figures_come_out();
  one_rank_has_no_cost();
  the_block_is_a_good_one();
  return check_result();
}
