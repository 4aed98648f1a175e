#include "trainer/launch/gemm_agree.h"

#include <assert.h>
#include <string.h>

#include "model/kernel/gemm.h"
#include "proto/base/fault.h"
#include "proto/base/log.h"

/* GEMM backends. A rank that uses one of them can also use all earlier ones: every build contains
 * OpenBLAS, and the last two both need oneDNN. */
static const char *const names[] = {"openblas", "onednn+openblas", "onednn"};

enum { NAMES = sizeof names / sizeof names[0] };

/* Returns the index of the backend in use, or NAMES if it is not in `names`, which means that it is
 * a bf16 backend. */
static int index_in_use(void) {
  int i = 0;
  while (i < NAMES && strcmp(names[i], rn_gemm_backend_in_use()->name) != 0) i++;
  return i;
}

rn_status rn_gemm_agree(rn_err *err, rn_world *world) {
  /* Tests inject this fault to make one rank choose a different backend. */
  if (rn_fault_now("gemm.rule")) (void)rn_gemm_backend_use_named(names[0]);
  const int ranks = rn_world_size(world), index = index_in_use();
  /* The maxima identify the lowest index, the lowest rank that has this index, and the highest
   * index. */
  int64_t max[2] = {(int64_t)(NAMES - index) * ranks + ranks - 1 - rn_world_rank(world), index};
  RN_TRY(err, rn_world_max(err, world, max, 2));
  const int lowest = NAMES - (int)(max[0] / ranks), rank = ranks - 1 - (int)(max[0] % ranks);
  const int highest = (int)max[1];
  if (lowest == highest || highest == NAMES) return RN_OK;
  const bool has = rn_gemm_backend_use_named(names[lowest]);
  assert(has);
  (void)has;
  rn_log_warn(
      "model.products=auto selects different backends: rank %d uses %s, other ranks %s. All ranks "
      "now use %s, because results depend on the backend; set model.products to choose one",
      rank, names[lowest], names[highest], names[lowest]);
  return RN_OK;
}

rn_status rn_gemm_bf16_agree(rn_err *err, rn_world *world, Retnet__Precision precision) {
  if (precision != RETNET__PRECISION__PRECISION_BF16) return RN_OK;
  const char *lack = rn_gemm_bf16_lack();
  rn_err why = {0};
  int64_t lacking = lack != NULL;
  RN_TRY(err, rn_world_sum(err, world, &lacking, 1));
  if (lacking == 0 || lacking == rn_world_size(world)) return RN_OK;
  rn_status status = lack != NULL ? rn_fail(&why, RN_ERR_MISMATCH, "%s", lack) : RN_OK;
  status = rn_agree(&why, world, status);
  if (status == RN_ERR_MPI) return rn_fail(err, status, "%s", why.text);
  rn_gemm_bf16_disable(why.text);
  return RN_OK;
}
