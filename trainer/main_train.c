/* retnet-train: the same command starts, continues and extends a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/world.h"
#include "proto/options.h"
#include "trainer/train.h"

enum { MAX_OVERRIDES = 256, EXIT_REQUEUE = 75 };

static const char usage[] = "usage: retnet-train CONFIG.yaml [-s section.key=value]...\n";

typedef struct arguments {
  const char *config;
  const char *override[MAX_OVERRIDES];
  int overrides;
} arguments;

static rn_status parse(rn_err *err, int argc, char **argv, arguments *out) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "-s") == 0 && i + 1 < argc && out->overrides < MAX_OVERRIDES) {
      out->override[out->overrides++] = argv[++i];
    } else if (argv[i][0] != '-' && out->config == NULL) {
      out->config = argv[i];
    } else {
      return rn_fail(err, RN_ERR_USAGE, "%s is not understood\n%s", argv[i], usage);
    }
  }
  return out->config != NULL ? RN_OK : rn_fail(err, RN_ERR_USAGE, "no CONFIG.yaml\n%s", usage);
}

static rn_status load(rn_err *err, int argc, char **argv, Retnet__Config **config) {
  arguments a = {0};
  RN_TRY(err, parse(err, argc, argv, &a));
  RN_TRY(err, rn_options_load(err, a.config, a.override, a.overrides, config));
  RN_TRY(err, rn_options_require(err, *config, "run.dir"));
  RN_TRY(err, rn_options_require(err, *config, "data.dir"));
  return rn_options_check_landed(err, *config);
}

/* All ranks must have been given the same configuration. */
static rn_status check_same(rn_err *err, rn_world *world, const Retnet__Config *config) {
  const size_t bytes = retnet__config__get_packed_size(config);
  uint8_t *packed = malloc(bytes + 1);
  if (packed == NULL) return rn_fail(err, RN_ERR_MEMORY, "no memory for the configuration");
  retnet__config__pack(config, packed);
  rn_status status = rn_world_check_same(err, world, "the configuration", packed, bytes);
  free(packed);
  return status;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--help") == 0) {
    fputs(usage, stdout);
    rn_options_print_help(stdout);
    return 0;
  }
  rn_err err = {0};
  rn_world *world = NULL;
  Retnet__Config *config = NULL;
  rn_train_end end = RN_TRAIN_DONE;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status == RN_OK) status = rn_agree(&err, world, load(&err, argc, argv, &config));
  if (status == RN_OK) status = check_same(&err, world, config);
  if (status == RN_OK) status = rn_train(&err, config, world, &end);
  const bool requeue = config != NULL && config->run->requeue_exit && end == RN_TRAIN_STOPPED;
  rn_options_free(&config);
  const int code = rn_world_finish(&world, status, &err);
  return status == RN_OK && requeue ? EXIT_REQUEUE : code;
}
