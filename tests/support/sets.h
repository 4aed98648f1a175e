/**
 * Selects the kernel set and the GEMM backend of a test.
 *
 * RN_TEST_KERNELS and RN_TEST_PRODUCTS name them; by default a test uses those that the programs
 * use.
 */
#ifndef RN_TESTS_SUPPORT_SETS_H
#define RN_TESTS_SUPPORT_SETS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"

/** The exit code that ctest reports as a skipped test. */
enum { TEST_SKIPPED = 77 };

static inline bool test_use_kernels(const char *name) {
  for (int i = 0; rn_kernels_use(i); i++) {
    if (strcmp(rn_kernels_table()->name, name) == 0) return true;
  }
  return false;
}

static inline bool test_use_gemm_backend(const char *name) {
  for (int i = 0; rn_gemm_backend_at(i) != NULL; i++) {
    rn_gemm_backend_swap(rn_gemm_backend_at(i));
    if (strcmp(rn_gemm_backend_in_use()->name, name) == 0) return true;
  }
  return false;
}

static inline void test_need(const char *what, const char *name, bool (*use)(const char *name)) {
  if (name == NULL || use(name)) return;
  printf("skipped: this CPU or this build lacks the %s \"%s\"\n", what, name);
  exit(TEST_SKIPPED);
}

/**
 * Selects the set and the backend that the environment names, or exits with TEST_SKIPPED if this
 * machine lacks them. Call it before any other work.
 */
static inline void test_use_sets(void) {
  test_need("kernels", getenv("RN_TEST_KERNELS"), test_use_kernels);
  test_need("products", getenv("RN_TEST_PRODUCTS"), test_use_gemm_backend);
}

/** Selects a bf16 GEMM backend, or exits with TEST_SKIPPED if there is none. */
static inline void test_use_bf16(void) {
  rn_err err = {0};
  const char *lack = NULL;
  const rn_status status = rn_gemm_backend_use(&err, RETNET__PRODUCTS__PRODUCTS_AUTO,
                                               RETNET__PRECISION__PRECISION_BF16, &lack);
  if (status == RN_OK && lack == NULL) return;
  printf("skipped: bf16: %s\n", lack != NULL ? lack : err.text);
  exit(TEST_SKIPPED);
}

/**
 * Returns the value of model.products that selects the backend in use, or "auto" if no value does.
 */
static inline const char *test_gemm_key(void) {
  const char *name = rn_gemm_backend_in_use()->name;
  return strcmp(name, "openblas") == 0 || strcmp(name, "onednn") == 0 ? name : "auto";
}

#endif
