/*
 * Checks that a run chooses scan algorithm, GEMM backend, kernel set and chunk size as documented.
 * These choices are stored in checkpoints. A resumed run keeps them if the layout and the keys are
 * the same, and otherwise chooses again. An explicit key overrides a stored choice; a choice that
 * the machine does not support is replaced. Each of these cases prints a message. If ranks would
 * choose different GEMM backends, all ranks use the same one.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "proto/base/log.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"
#include "tests/support/training.h"
#include "trainer/run/step.h"

enum { TEXT_BYTES = 8192 };

static rn_err err;
static char printed[TEXT_BYTES];

/* Choices stored in a checkpoint. */
typedef struct stored {
  const char *scan, *products, *kernels;
  int chunk;
} stored;

static Retnet__Config *load(const char *more) {
  char keys[1000];
  Retnet__Config *config = NULL;
  snprintf(keys, sizeof keys,
           "run.dir=RUN model.layers=1 model.dim=32 model.value_dim=64 model.ffn_dim=48 "
           "model.heads=2 model.vocab=61 data.sequence_length=128 data.batch_sequences=4 "
           "parallel.data=1 parallel.threads=1 %s",
           more);
  if (!CHECK_OK(&err, test_load_words(&err, keys, &config))) exit(check_result());
  return config;
}

/* Returns the choices read from a manifest with `config`, layout `l` and choices `s`. */
static rn_choices read_stored(Retnet__Config *config, const rn_layout *l, stored s) {
  Retnet__Manifest manifest = RETNET__MANIFEST__INIT;
  Retnet__Layout layout = RETNET__LAYOUT__INIT;
  Retnet__Choices choices = RETNET__CHOICES__INIT;
  rn_choices out;
  layout.data = l->data;
  layout.pipeline = l->pipeline;
  layout.sequence = l->sequence;
  layout.segments = l->segments;
  layout.microbatch = l->microbatch;
  choices.scan = (char *)s.scan;
  choices.products = (char *)s.products;
  choices.kernels = (char *)s.kernels;
  choices.chunk = s.chunk;
  manifest.config = config;
  manifest.layout = &layout;
  manifest.choices = &choices;
  rn_choices_read(&manifest, &out);
  return out;
}

/* Creates a run, and captures its output in `printed`. */
static bool create(rn_world *world, Retnet__Config *config, const rn_choices *choices,
                   rn_run *run) {
  const char *path = temp_path("printed");
  fflush(NULL);
  const int out = dup(1), errors = dup(2), file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  dup2(file, 1);
  dup2(file, 2);
  const rn_status status = rn_run_create_from(&err, config, choices, world, run);
  fflush(NULL);
  dup2(out, 1);
  dup2(errors, 2);
  const ssize_t bytes = pread(file, printed, sizeof printed - 1, 0);
  printed[bytes > 0 ? bytes : 0] = '\0';
  close(out);
  close(errors);
  close(file);
  return CHECK_OK(&err, status);
}

static void check_printed(rn_world *world, const char *words) {
  if (rn_world_rank(world) != 0 || words == NULL) return;
  const bool found =
      words[0] == '\0' ? strstr(printed, "resume:") == NULL : strstr(printed, words) != NULL;
  if (!CHECK(found)) fprintf(stderr, "want \"%s\", got \"%s\"\n", words, printed);
}

/* The choices that a new run makes on this machine, and `other`: choices that differ from them, to
 * be stored in a checkpoint. */
typedef struct rules {
  rn_layout layout;
  int chunk;
  rn_scan_algorithm scan;
  const rn_gemm_backend *products;
  stored other;
} rules;

static rules find_rules(rn_world *world) {
  rules r = {.chunk = 0};
  rn_run run;
  Retnet__Config *config = load("");
  if (!create(world, config, NULL, &run)) exit(check_result());
  r.layout = run.settings.plan.layout;
  r.chunk = run.settings.spec.chunk;
  r.scan = run.parallel.scan.algorithm;
  r.other = (stored){r.scan == RN_SCAN_PIPELINED ? "doubling" : "chain", "openblas", "ref", 16};
  r.products = rn_gemm_backend_in_use();
  CHECK(r.chunk != 16);
  rn_run_destroy(&run);
  rn_options_free(&config);
  return r;
}

/* Resumes a run with `keys` from a checkpoint whose run had the keys `then` and the layout
 * `layout`. The choices in the checkpoint are r->other. */
static void resume(rn_world *world, const rules *r, rn_layout layout, const char *then,
                   const char *keys, bool keeps_chunk, bool keeps_sets, const char *words) {
  rn_run run;
  Retnet__Config *before = load(then), *config = load(keys);
  const rn_choices choices = read_stored(before, &layout, r->other);
  if (create(world, config, &choices, &run)) {
    rn_step_result result;
    const int given = config->model->chunk;
    CHECK_EQUAL(run.settings.spec.chunk, given > 0 ? given : keeps_chunk ? 16 : r->chunk);
    CHECK((strcmp(rn_kernels_table()->name, "ref") == 0) == keeps_sets);
    if (rn_world_size(world) > 1 && config->parallel->scan == RETNET__SCAN__SCAN_AUTO) {
      CHECK((run.parallel.scan.algorithm != r->scan) ==
            (layout.microbatch == r->layout.microbatch));
    }
    check_printed(world, words);
    CHECK_OK(&err, rn_step(&err, &run, &result));
    rn_run_destroy(&run);
  }
  for (int i = 8; i >= 0 && !rn_kernels_use(i); i--) continue;
  rn_options_free(&before);
  rn_options_free(&config);
}

static void stored_choices_hold(rn_world *world, const rules *r) {
  resume(world, r, r->layout, "", "", true, true,
         "the chunk is 16 as in the checkpoint; automatic selection would now choose");
  check_printed(world, "the kernel set is ref as in the checkpoint");
  CHECK(rn_world_size(world) == 1 || rn_world_rank(world) != 0 ||
        strstr(printed, "the scan is") != NULL);
}

static void another_layout_or_key_chooses_again(rn_world *world, const rules *r) {
  rn_layout other = r->layout;
  other.microbatch = 1;
  resume(world, r, other, "", "", false, false, "the chunk is now");
  check_printed(world, "the kernel set is now");
  resume(world, r, r->layout, "model.chunk=16", "", false, true, "the chunk is now");
  resume(world, r, r->layout, "", "model.chunk=32", true, true, NULL);
  CHECK(strstr(printed, "chunk") == NULL);
}

static void unsupported_choices_are_reported(rn_world *world, const rules *r) {
  rules alien = *r;
  alien.other.kernels = "sve2";
  resume(world, &alien, r->layout, "", "", true, false, "written with kernels sve2");
  check_printed(world, "no longer bit-identical");
  /* If one rank does not support the stored choices, no rank uses them. */
  const int ranks = rn_world_size(world), last = ranks - 1;
  char words[80];
  alien.other.kernels = rn_world_rank(world) == last ? "sve2" : "ref";
  alien.other.products = rn_world_rank(world) == last ? "mkl" : "openblas";
  snprintf(words, sizeof words, "which the machine or build of rank %d does not have", last);
  resume(world, &alien, r->layout, "", "", true, false, words);
  CHECK(rn_gemm_backend_in_use() == r->products);
}

/* A fault makes the last rank choose OpenBLAS. All ranks must then use it, and one warning must
 * name that rank. */
static void all_ranks_use_one_backend(rn_world *world, const rules *r) {
  const int last = rn_world_size(world) - 1;
  rn_run run;
  Retnet__Config *config = load("");
  char words[80];
  if (last == 0) {
    rn_options_free(&config);
    return;
  }
  snprintf(words, sizeof words, "rank %d uses openblas, other ranks %s", last, r->products->name);
  if (rn_world_rank(world) == last) setenv("RETNET_FAULT", "gemm.rule:1-", 1);
  if (strcmp(r->products->name, "openblas") == 0) {
    printf("left out: this CPU or this build has no other GEMM backend than openblas\n");
  } else if (create(world, config, NULL, &run)) {
    CHECK(strcmp(rn_gemm_backend_in_use()->name, "openblas") == 0);
    check_printed(world, words);
    const char *first = strstr(printed, "model.products=auto");
    CHECK((first != NULL) == (rn_world_rank(world) == 0));
    CHECK(first == NULL || strstr(first + 1, "model.products=auto") == NULL);
    rn_run_destroy(&run);
    unsetenv("RETNET_FAULT");
    if (create(world, config, NULL, &run)) { /* all ranks choose the same: no warning */
      CHECK(rn_gemm_backend_in_use() == r->products);
      CHECK(strstr(printed, "model.products=auto") == NULL);
      rn_run_destroy(&run);
    }
  }
  unsetenv("RETNET_FAULT");
  rn_options_free(&config);
}

/* Checks that stored choices that equal the automatic ones print no message. */
static void the_same_choices_are_silent(rn_world *world, const rules *r) {
  rn_run run;
  Retnet__Config *config = load("");
  const stored own = {rn_scan_name(r->scan), rn_gemm_backend_in_use()->name,
                      rn_kernels_table()->name, r->chunk};
  const rn_choices choices = read_stored(config, &r->layout, own);
  if (create(world, config, &choices, &run)) {
    check_printed(world, "");
    rn_run_destroy(&run);
  }
  rn_options_free(&config);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  if (rn_world_start(&err, &argc, &argv, &world) != RN_OK) return 1;
  rn_log_setup(rn_world_rank(world) != 0, false);
  const rules r = find_rules(world);
  all_ranks_use_one_backend(world, &r);
  if (strcmp(rn_kernels_table()->name, "ref") == 0) {
    printf("skipped: this CPU has no kernels but ref\n");
    rn_world_finish(&world, RN_OK, &err);
    return 77;
  }
  the_same_choices_are_silent(world, &r);
  stored_choices_hold(world, &r);
  another_layout_or_key_chooses_again(world, &r);
  unsupported_choices_are_reported(world, &r);
  int64_t failed = check_result();
  rn_world_max(&err, world, &failed, 1);
  rn_world_finish(&world, RN_OK, &err);
  return (int)failed;
}
