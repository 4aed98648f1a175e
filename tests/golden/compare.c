/* Compares a quantity with its reference, and prints the error, the tolerance and the result. */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/golden/golden.h"

static const char *const precision_name[] = {"f32", "f64"};

/* Returns one ulp of a float as large as x, but at least FLT_MIN, since this program's
 * arithmetic flushes denormals to zero. */
static double float_ulp(double x) {
  int exponent;
  frexp(fabs(x) < FLT_MIN ? FLT_MIN : fabs(x), &exponent);
  return fmax(ldexp(1, exponent - FLT_MANT_DIG), FLT_MIN);
}

/* Returns the error of one element in the unit of the measure; NaN if either value is not
 * finite. */
static double error_of(golden_measure measure, double got, double want) {
  double error = fabs(got - want);
  switch (measure) {
    case GOLDEN_SCALED:
    case GOLDEN_OWN_SIZE:
      return error;
    case GOLDEN_RELATIVE:
      return error == 0 ? 0 : error / fabs(want);
    case GOLDEN_ULP:
      return error / float_ulp(want);
    case GOLDEN_EQUAL:
      return got == want ? 0 : 1;
  }
  return NAN;
}

typedef struct result {
  double error, tolerance;
} result;

/* Returns the error of an array and the limit for it. If an element's error is NaN, the returned
 * error is NaN; the caller then counts a miss, because comparing NaN with the limit gives false. */
static result measure_error(golden_meaning m, const double *got, const double *want,
                            int64_t count) {
  double worst = 0, size = 0, sum = 0;
  for (int64_t i = 0; i < count; i++) {
    double error = error_of(m.measure, got[i], want[i]);
    if (!(error <= worst)) worst = isnan(worst) ? worst : error;
    sum += error;
    size = fmax(size, fabs(want[i]));
  }
  switch (m.measure) {
    case GOLDEN_SCALED:
      return (result){worst, m.tolerance * fmax(1, size)};
    case GOLDEN_OWN_SIZE:
      return (result){worst, m.tolerance * size};
    case GOLDEN_EQUAL:
      return (result){sum, 0};
    case GOLDEN_RELATIVE:
    case GOLDEN_ULP:
      break;
  }
  return (result){worst, m.tolerance};
}

/* For runs in double, replaces the measure and the tolerance. The limit is then 1 float ulp if the
 * reference was rounded when it was stored, else 1e-11 of the largest element. */
static golden_meaning in_precision(golden_meaning m, golden_precision precision, bool rounded) {
  if (precision == GOLDEN_F32 || m.measure == GOLDEN_EQUAL) return m;
  m.measure = rounded ? GOLDEN_ULP : GOLDEN_OWN_SIZE;
  m.tolerance = rounded ? 1 : 1e-11;
  return m;
}

static const char *unit_of(golden_measure measure) {
  static const char *const units[] = {"", "", " relative", " ulp", " differ"};
  return units[measure];
}

static rn_status compare_one(rn_err *err, golden_case *c, golden_precision precision,
                             const char *variant, const double *got, golden_shape shape,
                             const rn_safetensors_tensor *tensor) {
  const golden_meaning whole = golden_meaning_of(c->kind, tensor->name);
  const char *suffix = golden_suffix(tensor->name);
  const bool rounded = suffix != NULL && strcmp(suffix, ".r32") == 0;
  for (int i = 0; i < rn_safetensors_count(c->file); i++) {
    if (rn_safetensors_at(c->file, i) == tensor) c->reached[precision][i] = true;
  }
  c->lines++;
  if (!golden_is_shape(tensor, shape)) {
    c->misses++;
    printf("  %-58s %s  %-18s has another shape than the program's  FAIL\n", tensor->name,
           precision_name[precision], variant);
    return RN_OK;
  }
  const golden_meaning m = in_precision(whole, precision, rounded);
  const double *want;
  RN_TRY(err, golden_load(err, c, tensor->name, shape, &want));
  result r = measure_error(m, got, want, golden_count(shape));
  if (precision == GOLDEN_F32 && m.measure != GOLDEN_EQUAL) {
    golden_bound(c, tensor->name, &r.tolerance);
  }
  const bool holds = r.error <= r.tolerance;
  if (!holds) c->misses++;
  printf("  %-58s %s  %-18s error %9.3e  tolerance %9.3e%-9s  %s\n", tensor->name,
         precision_name[precision], variant, r.error, r.tolerance, unit_of(m.measure),
         holds ? "ok" : "FAIL");
  return RN_OK;
}

rn_status golden_compare(rn_err *err, golden_case *c, golden_precision precision,
                         const char *variant, const double *got, golden_shape shape,
                         const char *base, ...) {
  static const char *const suffixes[] = {"", ".f64", ".r32"};
  char name[256];
  va_list args;
  va_start(args, base);
  int length = vsnprintf(name, sizeof name - 8, base, args);
  va_end(args);
  if (length < 0 || length >= (int)sizeof name - 8) return RN_OK;
  for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
    snprintf(name + length, sizeof name - (size_t)length, "%s", suffixes[i]);
    const rn_safetensors_tensor *tensor = rn_safetensors_find(c->file, name);
    if (tensor == NULL) continue;
    const golden_role role = golden_meaning_of(c->kind, name).role;
    if (role != GOLDEN_COMPARED && role != GOLDEN_OPTIONAL) continue;
    RN_TRY(err, compare_one(err, c, precision, variant, got, shape, tensor));
  }
  return RN_OK;
}
