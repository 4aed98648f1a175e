/* Checks that the predicted memory of a stage and of its activations equals the memory that they
 * allocate. */
#include <malloc.h>
#include <stddef.h>

#include "model/kernel/gemm.h"
#include "model/stage/layer_stack.h"
#include "tests/support/check.h"
#include "tests/support/sets.h"

/* Memory that is not predicted: headers of blocks, and structs of a stage and its layers, whose
 * size does not depend on the unit. */
enum { SMALL_BYTES = 32 << 10 };

/* Blocks of at least LARGE_BYTES begin on the boundary of a huge page of EDGE_BYTES bytes. The
 * allocation also contains unused memory before this boundary. */
enum { LARGE_BYTES = 16 << 20, EDGE_BYTES = 2 << 20 };

#if defined(__SANITIZE_ADDRESS__)
/* Declared here because not every compiler has the header of the sanitizer's run-time library. */
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

static int64_t allocated(void) {
#if defined(__SANITIZE_ADDRESS__)
  return (int64_t)__sanitizer_get_current_allocated_bytes();
#else
  const struct mallinfo2 info = mallinfo2();
  return (int64_t)(info.uordblks + info.hblkhd);
#endif
}

static void check_taken(int64_t before, size_t said) {
  const int64_t taken = allocated() - before;
  CHECK(taken >= (int64_t)said);
  const int64_t edge = said >= LARGE_BYTES ? EDGE_BYTES : 0;
  CHECK(taken <= (int64_t)said + SMALL_BYTES + (int64_t)said / 100 + edge);
}

static rn_spec base(void) {
  return (rn_spec){.layers = 4,
                   .dim = 64,
                   .value_dim = 128,
                   .ffn_dim = 96,
                   .heads = 2,
                   .vocab = 300,
                   .gate = true,
                   .pre_norm = true,
                   .norm_eps = 1e-6,
                   .chunk = 32};
}

static void check_stage(rn_spec spec, int first, int last, int sequences, int tokens) {
  rn_err err = {0};
  rn_stage_sizes sizes;
  const rn_stage_shape shape = {first, last, sequences, tokens, 1, 0};
  if (!CHECK_OK(&err, rn_layer_stack_measure(&err, &spec, shape, &sizes))) return;
  for (int save = RN_SAVE_NOTHING; save <= RN_SAVE_ALL; save++) {
    rn_layer_stack *stage = NULL;
    rn_activations *one = NULL, *two = NULL;
    int64_t before = allocated();
    CHECK_OK(&err, rn_layer_stack_create(&err, &spec, shape, &stage));
    check_taken(before, sizes.work_bytes + sizes.copy_bytes);
    CHECK_EQUAL(sizes.parameters, rn_layer_stack_table(stage)->total);
    before = allocated();
    CHECK_OK(&err, rn_activations_create(&err, stage, (rn_save_policy)save, &one));
    check_taken(before, sizes.activation_bytes[save] + sizes.workspace_bytes[save]);
    before = allocated();
    CHECK_OK(&err, rn_activations_create(&err, stage, (rn_save_policy)save, &two));
    check_taken(before, sizes.activation_bytes[save]);
    rn_activations_destroy(&two);
    rn_activations_destroy(&one);
    rn_layer_stack_destroy(&stage);
  }
}

static void check_stages(void) {
  rn_spec spec = base();
  check_stage(spec, 0, 4, 2, 256);
  check_stage(spec, 0, 1, 1, 100);
  check_stage(spec, 1, 3, 3, 65);
  check_stage(spec, 3, 4, 1, 2048);
  spec.ffn_dim = 4 * spec.dim;
  check_stage(spec, 0, 4, 2, 256);
  spec.ffn_dim = 20 * spec.dim;
  check_stage(spec, 0, 4, 2, 256);
  spec = base();
  spec.dropout = 0.1;
  check_stage(spec, 0, 2, 1, 256);
  spec.gate = false;
  spec.ffn = RN_FFN_MLP;
  check_stage(spec, 0, 4, 2, 256);
  spec.retention_scale = RN_SCALE_TS_PARALLEL;
  check_stage(spec, 0, 2, 1, 200);
  spec.pre_norm = false;
  check_stage(spec, 0, 2, 1, 2048);
}

/* With argument "bf16", stages in bf16 are tested; the test is skipped if bf16 is not supported. */
int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1) test_use_bf16();
  check_stages();
  return check_result();
}
