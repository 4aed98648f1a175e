/* Checks that each configuration in jobs/configs has the size that its name states and fits on
 * the nodes for which it is meant, and that all of them are checked. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "proto/options/options.h"
#include "tests/support/check.h"
#include "trainer/config/config_check.h"
#include "trainer/config/effective.h"
#include "trainer/plan/plan.h"

enum { BYTES = 257, GPT2 = 50257 };

static rn_err *err = &(rn_err){0};

static const struct {
  const char *name;
  int vocab;
  double millions; /* parameters; 0: the name states no size */
  int64_t batch_tokens;
  int ranks, node_ranks;
} configs[] = {
    {"quickstart.yaml", BYTES, 0, 0, 1, 1},      {"small.yaml", BYTES, 29.6, 32768, 8, 2},
    {"125m.yaml", GPT2, 123.6, 524288, 16, 2},   {"350m.yaml", GPT2, 357, 524288, 32, 2},
    {"1.3b.yaml", GPT2, 1311, 4194304, 128, 2},  {"long-context.yaml", GPT2, 124, 524288, 64, 2},
    {"hybrid.yaml", GPT2, 342.6, 524288, 32, 2},
};
enum { CONFIGS = sizeof configs / sizeof configs[0] };

/* Plans a configuration for nodes with 32 cores and 256 GiB. */
static void is_planned(const char *folder, int index) {
  const rn_machine node = {.cores = 32,
                           .ranks = configs[index].node_ranks,
                           .threads = 32 / configs[index].node_ranks,
                           .memory_bytes = INT64_C(256) << 30,
                           .shared_bytes = INT64_C(128) << 30};
  const rn_path path = rn_path_join(folder, configs[index].name);
  Retnet__Config *given = NULL;
  rn_effective effective = {0};
  rn_plan plan = {0};
  if (!CHECK_OK(err, rn_options_load(err, path.text, NULL, 0, &given))) return;
  if (CHECK_OK(err, rn_effective_create(err, given, configs[index].vocab, &effective)) &&
      CHECK_OK(err, rn_config_check(err, effective.config)) &&
      CHECK_OK(err, rn_plan_create(err, effective.config, &effective.spec, configs[index].ranks,
                                   node, &plan))) {
    const Retnet__Data *data = effective.config->data;
    CHECK(effective.config->run->dir[0] != '\0' && data->dir[0] != '\0');
    if (configs[index].millions == 0) goto done;
    CHECK_RELATIVE((double)rn_spec_parameters(&effective.spec) / 1e6, configs[index].millions,
                   0.01);
    CHECK_EQUAL((int64_t)data->sequence_length * data->batch_sequences,
                configs[index].batch_tokens);
  }
done:
  rn_plan_destroy(&plan);
  rn_effective_destroy(&effective);
  rn_options_free(&given);
}

static bool is_listed(const char *name) {
  for (int i = 0; i < CONFIGS; i++) {
    if (strcmp(configs[i].name, name) == 0) return true;
  }
  return false;
}

static void none_is_left_out(const char *path) {
  DIR *folder = opendir(path);
  const struct dirent *item;
  while (CHECK(folder != NULL) && (item = readdir(folder)) != NULL) {
    if (item->d_name[0] != '.' && !CHECK(is_listed(item->d_name))) {
      fprintf(stderr, "%s/%s is not in this test\n", path, item->d_name);
    }
  }
  closedir(folder);
}

int main(int argc, char **argv) {
  if (!CHECK(argc == 2)) return check_result();
  for (int i = 0; i < CONFIGS; i++) is_planned(argv[1], i);
  none_is_left_out(argv[1]);
  return check_result();
}
