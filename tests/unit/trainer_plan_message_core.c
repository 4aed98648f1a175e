/*
 * Checks the rule that reserves a core of each rank for messages where this saves time: with many
 * cores, and with many ranks per sequence, since states would arrive too late if only the compute
 * threads polled. The rule reserves no core if one core is a large part of the rank's compute
 * power. It does not change a number of threads that the user gives, and does not apply if ranks
 * share no sequence.
 */
#include "trainer/plan/message_core.h"

#include <string.h>

#include "proto/options/options.h"
#include "tests/support/check.h"
#include "trainer/config/effective.h"

static rn_err err;

/* The reference step: 2048 tokens per rank, dim 512, 4 heads. */
static rn_message_core_case reference(int cores, int ranks) {
  return (rn_message_core_case){.cores = cores,
                                .ranks = ranks,
                                .layer_flops = 2048 * 24e6,
                                .state_bytes = 512 * 1024,
                                .flops_per_s = 50e9};
}

static void a_core_is_left_where_it_saves_time(void) {
  CHECK(!rn_message_core_wins(reference(1, 64))); /* the only core is needed for computation */
  CHECK(!rn_message_core_wins(reference(64, 1))); /* no messages */
  for (int ranks = 2; ranks <= 64; ranks *= 2) CHECK(!rn_message_core_wins(reference(2, ranks)));
  for (int ranks = 2; ranks <= 8; ranks++) CHECK(!rn_message_core_wins(reference(8, ranks)));
  CHECK(rn_message_core_wins(reference(64, 16)));
  CHECK(rn_message_core_wins(reference(64, 64)));
}

/* If the rule reserves a core, it must also do so with more ranks and the same number of cores. */
static void the_rule_has_one_threshold(void) {
  for (int cores = 2; cores <= 64; cores++) {
    bool won = false;
    for (int ranks = 2; ranks <= 256; ranks++) {
      const bool wins = rn_message_core_wins(reference(cores, ranks));
      CHECK(wins || !won);
      won = wins;
    }
  }
}

static void a_core_costs_its_part_of_the_work(void) {
  const rn_message_core_case c = reference(8, 2);
  const double work_s = c.layer_flops / (8 * c.flops_per_s);
  CHECK(rn_message_core_layer_s(c, true) > 1.14 * work_s);
  CHECK(rn_message_core_layer_s(c, true) < 1.15 * work_s);
  CHECK(rn_message_core_layer_s(c, false) >= work_s);
  CHECK(rn_message_core_layer_s(c, false) < 1.01 * work_s); /* the time of polls is included */
}

/* Applies the rule to `machine`, for `key` and 16 ranks that share a sequence; returns the
 * changed machine. */
static rn_machine apply(const char *key, rn_machine machine) {
  const char *const keys[] = {"model.dim=512",      "model.value_dim=1024",       "model.heads=4",
                              "model.vocab=256",    "data.sequence_length=32768", "run.dir=x",
                              "model.ffn_dim=1024", "data.batch_sequences=1",     key};
  Retnet__Config *config = NULL;
  rn_effective effective = {0};
  CHECK_OK(&err, rn_options_load(&err, NULL, keys, sizeof keys / sizeof keys[0], &config));
  CHECK_OK(&err, rn_effective_create(&err, config, 0, &effective));
  CHECK_OK(&err, rn_message_core_apply(&err, effective.config, &effective.spec, 16, &machine));
  rn_effective_destroy(&effective);
  rn_options_free(&config);
  return machine;
}

static void the_rule_decides_what_is_not_given(void) {
  rn_machine machine = {.threads = 64};
  const rn_machine left = apply("parallel.pipeline=1", machine);
  CHECK_EQUAL(left.threads, 63);
  CHECK(strstr(left.threads_reason, "one core is reserved for messages") != NULL);
  CHECK_EQUAL(apply("parallel.comm_thread=off", machine).threads, 64);
  CHECK_EQUAL(apply("data.batch_sequences=16", machine).threads, 64);
  CHECK_EQUAL(apply("data.batch_sequences=16", machine).threads_reason[0], '\0');
  machine.threads = 8;
  const rn_machine kept = apply("parallel.pipeline=1", machine);
  CHECK_EQUAL(kept.threads, 8);
  CHECK(strstr(kept.threads_reason, "no core is reserved for messages") != NULL);
  machine = (rn_machine){.threads = 64, .threads_given = true};
  CHECK_EQUAL(apply("parallel.pipeline=1", machine).threads, 64);
}

int main(void) {
  a_core_is_left_where_it_saves_time();
  the_rule_has_one_threshold();
  a_core_costs_its_part_of_the_work();
  the_rule_decides_what_is_not_given();
  return check_result();
}
