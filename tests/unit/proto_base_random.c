/* Checks that random numbers are a function of key and index, have the right moments, and differ
 * between keys. */
#include "proto/base/random.h"
#include "tests/support/check.h"

static void uniform_and_normal_have_their_moments(void) {
  enum { N = 200000 };
  rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, 7, "moments");
  double uniform = 0, normal = 0, square = 0;
  for (int i = 0; i < N; i++) {
    double u = rn_random_uniform(key, (uint64_t)i), z = rn_random_normal(key, (uint64_t)i);
    CHECK(u >= 0 && u < 1);
    uniform += u / N;
    normal += z / N;
    square += z * z / N;
  }
  CHECK_NEAR(uniform, 0.5, 0.005);
  CHECK_NEAR(normal, 0.0, 0.01);
  CHECK_NEAR(square, 1.0, 0.01);
}

static void every_part_of_a_key_matters(void) {
  uint64_t words[3] = {1, 2, 3}, other[3] = {1, 3, 2};
  uint64_t base = rn_random_bits(rn_random_key_make(RN_RANDOM_TEST, words, 3), 0);
  CHECK(base == rn_random_bits(rn_random_key_make(RN_RANDOM_TEST, words, 3), 0));
  CHECK(base != rn_random_bits(rn_random_key_make(RN_RANDOM_INIT, words, 3), 0));
  CHECK(base != rn_random_bits(rn_random_key_make(RN_RANDOM_TEST, words, 2), 0));
  CHECK(base != rn_random_bits(rn_random_key_make(RN_RANDOM_TEST, other, 3), 0));
  CHECK(base != rn_random_bits(rn_random_key_make(RN_RANDOM_TEST, words, 3), 1));
  CHECK(rn_random_bits(rn_random_key_named(RN_RANDOM_INIT, 1, "layers.1.a"), 0) !=
        rn_random_bits(rn_random_key_named(RN_RANDOM_INIT, 1, "layers.2.a"), 0));
}

int main(void) {
  uniform_and_normal_have_their_moments();
  every_part_of_a_key_matters();
  return check_result();
}
