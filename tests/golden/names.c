/* Defines the meaning of array names for each kind of case: the role, and the tolerance in float
 * that applies if no bound was measured for the array. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "tests/golden/golden.h"

/* The meaning of all array names that match a pattern. Names are matched without their suffix; the
 * first family that matches applies. */
typedef struct family {
  golden_kind kind;
  const char *pattern;
  golden_role role;
  golden_measure measure;
  double tolerance;
} family;

static const family families[] = {
    {GOLDEN_CORE, "out.*", GOLDEN_COMPARED, GOLDEN_SCALED, 1e-6},
    {GOLDEN_CORE, "grad.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-5},
    {GOLDEN_CORE, "packed.grad.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-5},
    {GOLDEN_CORE, "packed.*", GOLDEN_COMPARED, GOLDEN_SCALED, 1e-6},
    {GOLDEN_ROTARY, "ts.*", GOLDEN_COMPARED, GOLDEN_SCALED, 1e-6},
    {GOLDEN_ROTARY, "fla.*", GOLDEN_COMPARED, GOLDEN_SCALED, 1e-6},
    {GOLDEN_LAYER, "out.*", GOLDEN_COMPARED, GOLDEN_SCALED, 1e-6},
    {GOLDEN_LAYER, "grad.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-5},
    {GOLDEN_LAYER, "mid.*", GOLDEN_OPTIONAL, GOLDEN_SCALED, 1e-6},
    {GOLDEN_MODEL, "logits.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-5},
    {GOLDEN_MODEL, "loss.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-6},
    {GOLDEN_MODEL, "grad.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-6},
    {GOLDEN_MODEL, "hidden.*", GOLDEN_COMPARED, GOLDEN_SCALED, 1e-6},
    {GOLDEN_MODEL, "decode.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-5},
    {GOLDEN_MODEL, "mid.*", GOLDEN_OPTIONAL, GOLDEN_SCALED, 1e-6},
    {GOLDEN_ATTENTION, "logits", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-5},
    {GOLDEN_ATTENTION, "loss", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-6},
    {GOLDEN_ATTENTION, "grad.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-6},
    {GOLDEN_ATTENTION, "hidden.*", GOLDEN_COMPARED, GOLDEN_SCALED, 1e-6},
    {GOLDEN_ATTENTION, "decode.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-5},
    {GOLDEN_ATTENTION, "mid.*", GOLDEN_OPTIONAL, GOLDEN_SCALED, 1e-6},
    {GOLDEN_ADAMW, "lr", GOLDEN_COMPARED, GOLDEN_RELATIVE, 1e-6},
    {GOLDEN_ADAMW, "losses", GOLDEN_COMPARED, GOLDEN_SCALED, 1e-5},
    {GOLDEN_ADAMW, "final_loss*", GOLDEN_COMPARED, GOLDEN_SCALED, 1e-5},
    {GOLDEN_ADAMW, "grad_norms", GOLDEN_COMPARED, GOLDEN_RELATIVE, 1e-3},
    {GOLDEN_ADAMW, "param_after*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-4},
    {GOLDEN_ADAMW, "param_final.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-4},
    {GOLDEN_ADAMW, "exp_avg*", GOLDEN_COMPARED, GOLDEN_OWN_SIZE, 5e-4},
    {GOLDEN_ADAMW, "mid.*", GOLDEN_OPTIONAL, GOLDEN_SCALED, 1e-6},
    {GOLDEN_FLA, "logits", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-5},
    {GOLDEN_FLA, "loss", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-6},
    {GOLDEN_FLA, "grad.*", GOLDEN_COMPARED, GOLDEN_SCALED, 5e-6},
    {GOLDEN_FLA, "mid.*", GOLDEN_OPTIONAL, GOLDEN_SCALED, 1e-6},
};

static const char *const given[] = {"in.*", "param.*", "param_init.*", "buf.*",
                                    "packed.cu_seqlens"};

const char *golden_kind_name(golden_kind kind) {
  static const char *const words[] = {"core",  "rotary",    "layer",    "model",
                                      "adamw", "fla model", "attention"};
  return words[kind];
}

static const char *suffix_of(const char *name, const char *suffix) {
  size_t all = strlen(name), part = strlen(suffix);
  return all > part && strcmp(name + all - part, suffix) == 0 ? name + all - part : NULL;
}

const char *golden_suffix(const char *name) {
  const char *exact = suffix_of(name, ".f64");
  return exact != NULL ? exact : suffix_of(name, ".r32");
}

static golden_meaning meaning_of_base(golden_kind kind, const char *name, const char *end) {
  char base[256];
  if ((size_t)(end - name) >= sizeof base) return (golden_meaning){.role = GOLDEN_UNKNOWN};
  snprintf(base, sizeof base, "%.*s", (int)(end - name), name);
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
    const family *f = &families[i];
    if (f->kind == kind && fnmatch(f->pattern, base, 0) == 0) {
      return (golden_meaning){f->role, f->measure, f->tolerance};
    }
  }
  return (golden_meaning){.role = GOLDEN_UNKNOWN};
}

golden_meaning golden_meaning_of(golden_kind kind, const char *name) {
  const char *end = golden_suffix(name), *official = suffix_of(name, ".f32");
  for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
    if (fnmatch(given[i], name, 0) == 0) return (golden_meaning){.role = GOLDEN_GIVEN};
  }
  if ((kind == GOLDEN_MODEL || kind == GOLDEN_ATTENTION) &&
      fnmatch("generate.*.tokens", name, 0) == 0) {
    return (golden_meaning){GOLDEN_COMPARED, GOLDEN_EQUAL, 0};
  }
  if (end != NULL) return meaning_of_base(kind, name, end);
  if (official == NULL) return (golden_meaning){.role = GOLDEN_UNKNOWN};
  golden_meaning meaning = meaning_of_base(kind, name, official);
  if (meaning.role != GOLDEN_UNKNOWN) meaning.role = GOLDEN_GIVEN;
  return meaning;
}
