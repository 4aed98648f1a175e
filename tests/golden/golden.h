/**
 * One file of golden vectors at work: its arrays, its config, and what has been held against it.
 *
 * Free of the precision under test: quantities come as doubles, names without their suffix (.f64,
 * or .r32 where the reference was stored rounded). Memory that a case takes lives until its end.
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
  GOLDEN_CORE,     /* the retention core alone */
  GOLDEN_ROTARY,   /* rotated rows */
  GOLDEN_LAYER,    /* one retention block */
  GOLDEN_MODEL,    /* a whole model */
  GOLDEN_ADAMW,    /* steps of training */
  GOLDEN_FLA,      /* a model in fla's names and mathematics */
  GOLDEN_ATTENTION /* a model with softmax attention, in our own keys */
} golden_kind;

/** Kernels and products as the environment asks (tests/support/sets.h). */
void golden_use_sets(void);

typedef enum { GOLDEN_F32, GOLDEN_F64, GOLDEN_PRECISIONS } golden_precision;

/** How an error is measured and what it is held against. */
typedef enum {
  GOLDEN_SCALED,   /* max|error| against tolerance x max(1, max|reference|) */
  GOLDEN_OWN_SIZE, /* max|error| against tolerance x max|reference| */
  GOLDEN_RELATIVE, /* max of |error| / |reference| against tolerance */
  GOLDEN_ULP,      /* max of |error| / (one float ulp of the reference) against 1 */
  GOLDEN_EQUAL     /* number of elements that differ against 0 */
} golden_measure;

typedef enum {
  GOLDEN_UNKNOWN,
  GOLDEN_GIVEN,    /* inputs, and official runs in float: listed */
  GOLDEN_COMPARED, /* must be reached in both precisions */
  GOLDEN_OPTIONAL  /* compared where the program has the quantity, else listed */
} golden_role;

/** What a name means in a case: its role and how far float may be off. */
typedef struct golden_meaning {
  golden_role role;
  golden_measure measure;
  double tolerance; /* in float, where no bound was measured for the array (golden_bound) */
} golden_meaning;

enum { GOLDEN_DIMS = 6 };

/** Row-major shape. */
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
  json_t *own_bounds, *table_bounds; /* by array name, or NULL: golden_read_tolerances */
  bool *reached[GOLDEN_PRECISIONS];  /* [arrays]: compared in that precision */
  int lines, misses;
  struct golden_block *blocks; /* memory taken */
} golden_case;

/** Opens the file, reads its config and tells its kind. Errors name the file and what is wrong. */
rn_status golden_open(rn_err *err, const char *path, golden_case *out);
void golden_close(golden_case *c);

/**
 * The measured bounds on a float run's errors: config.tolerance, and what tolerances.json in the
 * file's folder lists for __metadata__.case. Part of golden_open. Errors: either is malformed.
 */
rn_status golden_read_tolerances(rn_err *err, golden_case *c);

/**
 * The bound on a float run's largest error in that array: config.tolerance, else tolerances.json.
 * The bound is used as it is. Returns false if neither lists the array; the bound of its meaning
 * then applies.
 */
bool golden_bound(const golden_case *c, const char *name, double *bound);

/** The name of the kind in messages. */
const char *golden_kind_name(golden_kind kind);

/** Returns what an array means in a case of that kind; `name` includes the suffix. */
golden_meaning golden_meaning_of(golden_kind kind, const char *name);

/** The suffix .f64 or .r32 of a name, or NULL. */
const char *golden_suffix(const char *name);

/** Zeroed memory, freed when the case is closed. Errors: RN_ERR_MEMORY. */
rn_status golden_take(rn_err *err, golden_case *c, int64_t count, size_t bytes_each, void *out);

bool golden_has(const golden_case *c, const char *name);
int64_t golden_count(golden_shape shape);
bool golden_is_shape(const rn_safetensors_tensor *tensor, golden_shape shape);

/** The shape of an array that must be there with so many dimensions. */
rn_status golden_shape_of(rn_err *err, const golden_case *c, const char *name, int dims,
                          golden_shape *out);

/** An input as doubles (kept by the case); it must be there with this shape. */
rn_status golden_load(rn_err *err, golden_case *c, const char *name, golden_shape shape,
                      const double **out);

/** Token ids or the like: whole numbers of [0, limit). */
rn_status golden_load_ids(rn_err *err, golden_case *c, const char *name, golden_shape shape,
                          int64_t limit, int32_t **out);

/**
 * Holds a quantity against the array of that base name, prints one line and counts a miss.
 *
 * `way` tells apart several ways to the same quantity. An array that the file does not have is
 * passed over; one of another shape is a miss. Errors: the file cannot be read; memory.
 */
rn_status golden_compare(rn_err *err, golden_case *c, golden_precision precision,
                         const char *variant, const double *got, golden_shape shape,
                         const char *base, ...) __attribute__((format(printf, 7, 8)));

/** Config values; a missing or misfit one is an error that names it. */
rn_status golden_int(rn_err *err, const golden_case *c, const char *key, int limit, int *out);
rn_status golden_real(rn_err *err, const json_t *object, const char *key, double *out);
rn_status golden_flag(rn_err *err, const golden_case *c, const char *key, bool *out);
rn_status golden_string(rn_err *err, const json_t *object, const char *key, const char **out);

#endif
