/**
 * Reads a file of golden vectors (its arrays and its config), and records which arrays have been
 * compared.
 *
 * This header does not depend on the precision under test. Quantities are passed as doubles. Names
 * are passed without their suffix, which is .f64, or .r32 if the reference was rounded to float
 * when it was stored. Memory that golden_take returns is valid until golden_close.
 */
#ifndef RN_TESTS_GOLDEN_GOLDEN_H
#define RN_TESTS_GOLDEN_GOLDEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/exchange/safetensors.h"
#include "proto/base/status.h"

typedef enum {
  GOLDEN_CORE,     /* retention without projections, norm and gate */
  GOLDEN_ROTARY,   /* rotated rows */
  GOLDEN_LAYER,    /* one retention block */
  GOLDEN_MODEL,    /* a whole model */
  GOLDEN_ADAMW,    /* steps of training */
  GOLDEN_FLA,      /* a model with the names and formulas of fla */
  GOLDEN_ATTENTION /* a model with softmax attention; its config has keys of this program */
} golden_kind;

/** Selects the kernels and the GEMM backend that the environment names (tests/support/sets.h). */
void golden_use_sets(void);

typedef enum { GOLDEN_F32, GOLDEN_F64, GOLDEN_PRECISIONS } golden_precision;

/** How an error is measured, and the limit that it must not exceed. */
typedef enum {
  GOLDEN_SCALED,   /* max|error| <= tolerance x max(1, max|reference|) */
  GOLDEN_OWN_SIZE, /* max|error| <= tolerance x max|reference| */
  GOLDEN_RELATIVE, /* max of |error| / |reference| <= tolerance */
  GOLDEN_ULP,      /* max of |error| / (one float ulp of the reference) <= 1 */
  GOLDEN_EQUAL     /* all elements are equal */
} golden_measure;

typedef enum {
  GOLDEN_UNKNOWN,
  GOLDEN_GIVEN,    /* an input or an official float result: listed, not compared */
  GOLDEN_COMPARED, /* must be compared in both precisions */
  GOLDEN_OPTIONAL  /* compared if this program computes the quantity, else only listed */
} golden_role;

/** The meaning of an array name in a case: its role, and the error allowed in float. */
typedef struct golden_meaning {
  golden_role role;
  golden_measure measure;
  double tolerance; /* for float; replaced by the bound of golden_bound if there is one */
} golden_meaning;

enum { GOLDEN_DIMS = 6 };

/** Shape of a row-major array. */
typedef struct golden_shape {
  int dims;
  int64_t n[GOLDEN_DIMS];
} golden_shape;

#define GOLDEN_SHAPE_1(a) ((golden_shape){1, {(a)}})
#define GOLDEN_SHAPE_2(a, b) ((golden_shape){2, {(a), (b)}})
#define GOLDEN_SHAPE_3(a, b, c) ((golden_shape){3, {(a), (b), (c)}})
#define GOLDEN_SHAPE_4(a, b, c, d) ((golden_shape){4, {(a), (b), (c), (d)}})
#define GOLDEN_SHAPE_5(a, b, c, d, e) ((golden_shape){5, {(a), (b), (c), (d), (e)}})

typedef struct golden_case {
  const char *path;
  golden_kind kind;
  rn_safetensors *file;
  json_t *config;
  json_t *own_bounds, *table_bounds; /* by array name, or NULL; see golden_read_tolerances */
  bool *reached[GOLDEN_PRECISIONS];  /* [arrays] true if the array was compared in that precision */
  int lines, misses;
  struct golden_block *blocks; /* memory that golden_take returned */
} golden_case;

/**
 * Opens the file, reads its config and determines its kind. Errors: name the file and the fault.
 */
rn_status golden_open(rn_err *err, const char *path, golden_case *out);
void golden_close(golden_case *c);

/**
 * Reads measured bounds on the errors of a float run: config.tolerance of the file, and the entry
 * for __metadata__.case in tolerances.json in the file's folder. Called by golden_open. Errors:
 * either is malformed.
 */
rn_status golden_read_tolerances(rn_err *err, golden_case *c);

/**
 * Sets *bound to the bound on the largest error of a float run in that array, from config.tolerance
 * if it lists the array, else from tolerances.json. The bound is not multiplied by the size of the
 * reference. Returns false if neither lists the array; the caller then uses the tolerance of
 * golden_meaning_of.
 */
bool golden_bound(const golden_case *c, const char *name, double *bound);

/** Returns the name of the kind for messages. */
const char *golden_kind_name(golden_kind kind);

/** Returns the role and the tolerance of an array in a case of that kind; `name` includes the
 * suffix. */
golden_meaning golden_meaning_of(golden_kind kind, const char *name);

/** Returns the suffix .f64 or .r32 of a name, or NULL if it has neither. */
const char *golden_suffix(const char *name);

/** Allocates zeroed memory that golden_close frees. Errors: RN_ERR_MEMORY. */
rn_status golden_take(rn_err *err, golden_case *c, int64_t count, size_t bytes_each, void *out);

bool golden_has(const golden_case *c, const char *name);
int64_t golden_count(golden_shape shape);
bool golden_is_shape(const rn_safetensors_tensor *tensor, golden_shape shape);

/**
 * Returns the shape of an array. Errors: the array is missing or does not have `dims` dimensions.
 */
rn_status golden_shape_of(rn_err *err, const golden_case *c, const char *name, int dims,
                          golden_shape *out);

/**
 * Loads an array as doubles; the case owns the memory. Errors: the array is missing or has another
 * shape.
 */
rn_status golden_load(rn_err *err, golden_case *c, const char *name, golden_shape shape,
                      const double **out);

/** Loads an array of integers in [0, limit), such as token ids. */
rn_status golden_load_ids(rn_err *err, golden_case *c, const char *name, golden_shape shape,
                          int64_t limit, int32_t **out);

/**
 * Compares a quantity with the array whose base name (without suffix) is `base`. Prints one line,
 * and counts a miss if the error is too large.
 *
 * `variant` names the way in which the quantity was computed. If the file has no such array,
 * nothing is compared; if the array has another shape, that is a miss. Errors: the file cannot be
 * read; no memory.
 */
rn_status golden_compare(rn_err *err, golden_case *c, golden_precision precision,
                         const char *variant, const double *got, golden_shape shape,
                         const char *base, ...) __attribute__((format(printf, 7, 8)));

/** Read a config value. Errors: the value is missing or invalid; the message names it. */
rn_status golden_int(rn_err *err, const golden_case *c, const char *key, int limit, int *out);
rn_status golden_real(rn_err *err, const json_t *object, const char *key, double *out);
rn_status golden_flag(rn_err *err, const golden_case *c, const char *key, bool *out);
rn_status golden_string(rn_err *err, const json_t *object, const char *key, const char **out);

#endif
