/* Selects the set of kernels for this CPU. */
#include <stddef.h>
#include <threads.h>

#include "model/kernel/kernels.h"

#define rn_kernels_ref RN_NAME(rn_kernels_ref)
void rn_kernels_ref(rn_kernels *table);

#ifdef RN_HAVE_X86_SETS
void rn_kernels_avx2_f32(rn_kernels *table);
void rn_kernels_avx512_f32(rn_kernels *table);
void rn_kernels_avx512_bf16_f32(rn_kernels *table);

static bool has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

static bool has_avx512_bf16(void) {
  return has_avx512() && __builtin_cpu_supports("avx512bf16");
}
#endif

static bool always(void) {
  return true;
}

static const struct {
  bool (*serves)(void);
  void (*enter)(rn_kernels *table);
} sets[] = {
    {always, rn_kernels_ref},
#ifdef RN_HAVE_X86_SETS
    {has_avx2, rn_kernels_avx2_f32},
    {has_avx512, rn_kernels_avx512_f32},
    {has_avx512_bf16, rn_kernels_avx512_bf16_f32},
#endif
};
enum { SETS = sizeof sets / sizeof sets[0] };

static rn_kernels in_use;

static bool enter(int index) {
  if (index < 0 || index >= SETS || !sets[index].serves()) return false;
  sets[index].enter(&in_use);
  return true;
}

static void enter_widest(void) {
  for (int i = SETS - 1; i >= 0 && !enter(i); i--) continue;
}

/* Uses call_once because several threads may make the first call at the same time. */
const rn_kernels *rn_kernels_table(void) {
  static once_flag entered = ONCE_FLAG_INIT;
  call_once(&entered, enter_widest);
  return &in_use;
}

bool rn_kernels_use(int index) {
  rn_kernels_table();
  return enter(index);
}
