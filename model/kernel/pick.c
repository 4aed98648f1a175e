/* Selects the set of kernels for this CPU. */
#include <stddef.h>
#include <string.h>
#include <threads.h>

#include "model/kernel/kernels.h"
#include "proto/base/fault.h"

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
  /* Tests simulate a CPU without AVX-512 by this fault. */
  if (rn_fault_names("cpu.avx512")) return false;
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
  const char *name;
  bool (*serves)(void);
  void (*enter)(rn_kernels *table);
} sets[] = {
    {"ref", always, rn_kernels_ref},
#ifdef RN_HAVE_X86_SETS
    {"avx2", has_avx2, rn_kernels_avx2_f32},
    {"avx512", has_avx512, rn_kernels_avx512_f32},
    {"avx512_bf16", has_avx512_bf16, rn_kernels_avx512_bf16_f32},
#endif
};
enum { SETS = sizeof sets / sizeof sets[0] };

static rn_kernels in_use;
static int index_in_use;

static bool enter(int index) {
  if (index < 0 || index >= SETS || !sets[index].serves()) return false;
  sets[index].enter(&in_use);
  index_in_use = index;
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

bool rn_kernels_supported(const char *name) {
  for (int i = 0; i < SETS; i++) {
    if (strcmp(sets[i].name, name) == 0) return sets[i].serves();
  }
  return false;
}

int rn_kernels_index(void) {
  rn_kernels_table();
  return index_in_use;
}
