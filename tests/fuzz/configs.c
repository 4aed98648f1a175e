/*
 * Checks that each configuration the schema allows either works or is refused with a message that
 * names a key. Configurations are drawn at random from the schema, planned, and trained for one
 * step.
 *
 * The program starts a child process for each batch of configurations. If a child crashes, hangs or
 * ends with a sanitizer's report, the parent prints the number and the keys of the configuration.
 * To run a single configuration: test_fuzz_configs NUMBER.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/spec/spec.h"
#include "proto/base/log.h"
#include "proto/base/random.h"
#include "proto/options/options.h"
#include "proto/options/schema_table.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"
#include "tests/support/tokens.h"
#include "trainer/config/config_check.h"
#include "trainer/estimate/plan_show.h"
#include "trainer/run/step.h"

/* Number of configurations to test. Builds without sanitizers test fewer configurations, because
 * such builds detect fewer faults. */
#if defined(__SANITIZE_ADDRESS__)
enum { CONFIGS = 2500 };
#else
enum { CONFIGS = 1250 };
#endif

enum {
  BATCH = 1250,
  MAX_KEYS = 40,
  KEY_BYTES = 160,
  PATIENCE_S = 60, /* time limit of one configuration; allows for a busy machine and sanitizers */
  SHOWN_OF = 1000 /* for one configuration in SHOWN_OF, the plan is also printed, with the time of a
                     step */
};

/* A configuration whose step needs more FLOP than this is planned but not trained. */
static const double max_flops = 5e7;

static rn_err err;

/* ---- drawing ---- */

typedef struct draw {
  rn_random_key key;
  uint64_t used;
  char text[MAX_KEYS][2 * KEY_BYTES];
  const char *word[MAX_KEYS];
  int count;
} draw;

static uint64_t draw_below(draw *d, uint64_t bound) {
  return rn_random_bits(d->key, d->used++) % bound;
}

static void add(draw *d, const char *name, const char *value) {
  if (d->count == MAX_KEYS) return;
  snprintf(d->text[d->count], sizeof d->text[0], "%.150s=%s", name, value);
  d->word[d->count] = d->text[d->count];
  d->count++;
}

/* Draws an integer. In 7 of 16 cases, draws one that is likely to expose a bug: a bound, a
 * neighbour of a bound, or a number at or next to a power of two. Otherwise draws a random integer,
 * usually a small one. */
static int64_t draw_integer(draw *d, const rn_schema_key *key, bool wide) {
  const int64_t most = wide ? INT64_MAX : INT32_MAX;
  const int64_t low = key->has_low ? (int64_t)key->low : -most;
  const int64_t high = key->has_high ? (int64_t)key->high : most;
  const int64_t power = INT64_C(1) << draw_below(d, wide ? 62 : 31);
  switch (draw_below(d, 16)) {
    case 0:
      return low;
    case 1:
      return high;
    case 2:
      return high - 1;
    case 3:
      return low - 1;
    case 4:
      return power;
    case 5:
      return power - 1;
    case 6:
      return power + 1;
    case 7:
      return (int64_t)(draw_below(d, 1u << 20));
    default:
      return (int64_t)draw_below(d, 1 + (UINT64_C(1) << draw_below(d, 9)));
  }
}

static double draw_number(draw *d, const rn_schema_key *key) {
  static const double odd[] = {0,   1,    0.5,  -1,     1e-300, 1e300, 1e-45,     1e38,
                               0.9, 1e-9, 1e-3, 0.9999, 1e10,   2,     0.9999999, 5e-324};
  if (key->has_low && draw_below(d, 5) == 0) return key->low;
  if (key->has_high && draw_below(d, 5) == 0) return nextafter(key->high, key->low);
  return odd[draw_below(d, sizeof odd / sizeof odd[0])];
}

static const ProtobufCFieldDescriptor *field_of(const rn_schema_key *key) {
  const ProtobufCFieldDescriptor *section =
      protobuf_c_message_descriptor_get_field_by_name(&retnet__config__descriptor, key->section);
  return protobuf_c_message_descriptor_get_field_by_name(section->descriptor, key->name);
}

/* Draws a value of an enum, spelled as users write it: in lower case, without the type's name. */
static void draw_word(draw *d, const ProtobufCEnumDescriptor *type, char value[KEY_BYTES]) {
  const char *name = type->values[draw_below(d, type->n_values)].name;
  size_t skip = 1;
  for (const char *c = type->short_name; *c != '\0'; c++) {
    skip += 1 + (c != type->short_name && *c >= 'A' && *c <= 'Z');
  }
  snprintf(value, KEY_BYTES, "%s", name + skip);
  for (char *c = value; *c != '\0'; c++) {
    if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 'a' - 'A');
  }
}

static void draw_text(draw *d, const char *key, char value[KEY_BYTES]) {
  static const char *const presets[] = {"retnet_base", "retnet_65b", "retnet_1b3", "retnet", ""};
  const bool preset = strcmp(key, "preset") == 0;
  snprintf(value, KEY_BYTES, "%s", preset ? presets[draw_below(d, 5)] : "");
}

static void draw_key(draw *d, const rn_schema_key *key) {
  char value[KEY_BYTES] = "", name[KEY_BYTES];
  const ProtobufCFieldDescriptor *field = field_of(key);
  snprintf(name, sizeof name, "%s.%s", key->section, key->name);
  if (field->label == PROTOBUF_C_LABEL_REPEATED) {
    if (field->type != PROTOBUF_C_TYPE_INT32) return;
    for (uint64_t n = draw_below(d, 4); n > 0; n--) {
      snprintf(value + strlen(value), 32, "%s%lld", value[0] == '\0' ? "" : ",",
               (long long)draw_integer(d, key, false));
    }
  } else if (field->type == PROTOBUF_C_TYPE_INT32 || field->type == PROTOBUF_C_TYPE_INT64) {
    snprintf(value, sizeof value, "%lld",
             (long long)draw_integer(d, key, field->type == PROTOBUF_C_TYPE_INT64));
  } else if (field->type == PROTOBUF_C_TYPE_DOUBLE) {
    snprintf(value, sizeof value, "%.17g", draw_number(d, key));
  } else if (field->type == PROTOBUF_C_TYPE_BOOL) {
    snprintf(value, sizeof value, "%s", draw_below(d, 2) ? "true" : "false");
  } else if (field->type == PROTOBUF_C_TYPE_ENUM) {
    draw_word(d, field->descriptor, value);
  } else {
    if (strcmp(key->name, "dir") == 0) return;
    draw_text(d, key->name, value);
  }
  /* Planning tens of thousands of layers takes a minute under sanitizers. */
  if (strcmp(key->name, "layers") == 0 && strtoll(value, NULL, 10) > 1024) return;
  add(d, name, value);
}

/* Draws a small valid configuration with a few keys changed. Keys that make the test slow are
 * changed less often. */
static void draw_config(draw *d, uint64_t number, const char *data) {
  static const char *const base[] = {
      "model.layers=2",         "model.dim=16",      "model.heads=2", "model.vocab=257",
      "model.value_dim=24",     "model.ffn_dim=20",  "run.dir=RUN",   "data.sequence_length=48",
      "data.batch_sequences=3", "parallel.threads=1"};
  const uint64_t seed[] = {number};
  int keys = 0;
  *d = (draw){.key = rn_random_key_make(RN_RANDOM_TEST, seed, 1)};
  for (size_t i = 0; i < sizeof base / sizeof base[0]; i++) {
    char name[KEY_BYTES];
    snprintf(name, sizeof name, "%s", base[i]);
    char *value = strchr(name, '=');
    *value++ = '\0';
    add(d, name, value);
  }
  if (draw_below(d, 2)) add(d, "data.dir", data);
  while (rn_schema_table[keys].name != NULL) keys++;
  for (uint64_t n = 1 + draw_below(d, 8); n > 0; n--) {
    const rn_schema_key *key = &rn_schema_table[draw_below(d, (uint64_t)keys)];
    const bool costly = strcmp(key->name, "threads") == 0 || strcmp(key->name, "layers") == 0;
    if (costly && draw_below(d, 8) > 0) continue;
    draw_key(d, key);
  }
}

/* ---- trying ---- */

typedef struct counts {
  int64_t trained, planned, refused;
} counts;

static bool names_a_key(const char *text) {
  char name[KEY_BYTES];
  for (const rn_schema_key *key = rn_schema_table; key->name != NULL; key++) {
    snprintf(name, sizeof name, "%s.%s", key->section, key->name);
    if (strstr(text, name) != NULL) return true;
  }
  return false;
}

/* Returns true if `status` is RN_OK. Otherwise checks that it is a usage error whose message
 * names a key. */
static bool settle(rn_status status, uint64_t number, counts *tally) {
  if (status == RN_OK) return true;
  tally->refused++;
  const bool good = status == RN_ERR_USAGE && names_a_key(err.text);
  if (!CHECK(good)) {
    fprintf(stderr, "config %llu: status %s: %s\n", (unsigned long long)number,
            rn_status_text(status), err.text);
  }
  rn_err_clear(&err);
  return false;
}

static double flops_of(const rn_run *run) {
  const Retnet__Data *data = run->settings.config->data;
  return rn_spec_flops_per_token(&run->settings.spec) * data->sequence_length *
             data->batch_sequences +
         20.0 * (double)run->model.weights.total;
}

static void train_a_step(rn_world *world, const Retnet__Config *config, uint64_t number,
                         counts *tally) {
  rn_run run;
  rn_step_result result;
  if (!settle(rn_run_create(&err, config, world, &run), number, tally)) return;
  if (flops_of(&run) > max_flops) {
    tally->planned++;
  } else {
    const rn_status status = rn_step(&err, &run, &result);
    if (status == RN_ERR_NUMERICS) rn_err_clear(&err);
    tally->trained += status == RN_ERR_NUMERICS || settle(status, number, tally);
  }
  rn_run_destroy(&run);
}

/* Plans the run for a random number of ranks. For some configurations prints what --plan prints. */
static rn_status plan(rn_world *world, const Retnet__Config *config, draw *d, uint64_t number) {
  static const int numbers[] = {1, 2, 3, 4, 6, 7, 8, 16, 64, 1 << 10};
  const int ranks = numbers[draw_below(d, sizeof numbers / sizeof numbers[0])];
  rn_machine machine;
  rn_effective effective;
  rn_plan plan;
  if (number % SHOWN_OF == 0) return rn_plan_show(&err, config, NULL, world, ranks);
  RN_TRY(&err, rn_machine_query(&err, world, config, ranks, &machine));
  RN_TRY(&err, rn_effective_create(&err, config, 257, &effective));
  const rn_status status =
      rn_plan_create_any(&err, effective.config, &effective.spec, ranks, machine, &plan);
  if (status == RN_OK) rn_plan_destroy(&plan);
  rn_effective_destroy(&effective);
  return status;
}

static void try_one(rn_world *world, uint64_t number, const char *data, counts *tally) {
  static draw d;
  Retnet__Config *config = NULL;
  draw_config(&d, number, data);
  alarm(PATIENCE_S);
  rn_status status = rn_options_load_text(&err, &(rn_options_input){NULL, NULL, 0, d.word, d.count},
                                          NULL, &config);
  if (status == RN_OK) status = rn_config_check(&err, config);
  if (settle(status, number, tally)) {
    settle(plan(world, config, &d, number), number, tally);
    train_a_step(world, config, number, tally);
  }
  rn_options_free(&config);
  alarm(0);
}

/* ---- processes ---- */

static void print_config(uint64_t number, const char *data) {
  static draw d;
  draw_config(&d, number, data);
  fprintf(stderr, "config %llu:", (unsigned long long)number);
  for (int i = 0; i < d.count; i++) fprintf(stderr, " %s", d.word[i]);
  fprintf(stderr, "\n");
}

/* Runs a batch of configurations in the child process that was started for it. Writes the number of
 * the current configuration to the file `place`; the parent reads it if the child fails. */
static int run_batch(int argc, char **argv, uint64_t first, uint64_t count, const char *data,
                     const char *place) {
  rn_world *world = NULL;
  counts tally = {0, 0, 0};
  if (rn_world_start_serialized(&err, &argc, &argv, &world) != RN_OK) return 1;
  rn_log_setup(true, false);
  for (uint64_t i = first; i < first + count; i++) {
    FILE *file = fopen(place, "w");
    if (file == NULL) return 1;
    fprintf(file, "%llu\n", (unsigned long long)i);
    fclose(file);
    try_one(world, i, data, &tally);
  }
  fprintf(stderr, "%lld trained, %lld too large to train, %lld refusals\n",
          (long long)tally.trained, (long long)tally.planned, (long long)tally.refused);
  if (count >= BATCH)
    CHECK(tally.trained > (int64_t)count / 4 && tally.refused > (int64_t)count / 10);
  rn_world_finish(&world, RN_OK, &err);
  return check_result();
}

static void start_batch(char *self, uint64_t first, uint64_t count, const char *data) {
  char words[2][32];
  const char *place = temp_path("place");
  snprintf(words[0], sizeof words[0], "%llu", (unsigned long long)first);
  snprintf(words[1], sizeof words[1], "%llu", (unsigned long long)count);
  const pid_t child = fork();
  if (child == 0) {
    execl(self, self, words[0], words[1], data, place, (char *)NULL);
    _exit(127);
  }
  int how = 0;
  CHECK(child > 0 && waitpid(child, &how, 0) == child);
  if (CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0)) return;
  unsigned long long number = first;
  FILE *file = fopen(place, "r");
  if (file == NULL || fscanf(file, "%llu", &number) != 1) number = first;
  if (file != NULL) fclose(file);
  if (WIFSIGNALED(how)) {
    fprintf(stderr, "signal %d%s at:\n", WTERMSIG(how),
            WTERMSIG(how) == SIGALRM ? " (it hangs)" : "");
  }
  print_config(number, data);
}

int main(int argc, char **argv) {
  if (argc == 5) {
    return run_batch(argc, argv, strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10), argv[3],
                     argv[4]);
  }
  const char *data = temp_path("data");
  test_write_shard(rn_path_join(data, "train").text, "00000.rtd", 0, 2000);
  setenv("SLURM_MEM_PER_NODE", "1024", 1);
  /* Recording full stacks of allocations would take most of the time. Other tests detect leaks. */
  setenv("ASAN_OPTIONS", "fast_unwind_on_malloc=1:malloc_context_size=1:detect_leaks=0", 1);
  if (argc == 2) {
    print_config(strtoull(argv[1], NULL, 10), data);
    start_batch(argv[0], strtoull(argv[1], NULL, 10), 1, data);
    return check_result();
  }
  const uint64_t total = (uint64_t)mutate_rounds(CONFIGS);
  for (uint64_t first = 0; first < total; first += BATCH) {
    start_batch(argv[0], first, total - first < BATCH ? total - first : BATCH, data);
  }
  return check_result();
}
