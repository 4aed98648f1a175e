#include "trainer/bench/bench_scaling.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/json.h"

/* ---- figures ---- */

/* Scaling of a measurement relative to the measurement with the fewest threads. */
typedef struct scaling {
  double speedup;            /* speed-up of the step */
  double product_efficiency; /* speed-up of the best GEMM / ratio of thread counts */
  double efficiency;         /* speed-up of the step / speed-up of the best GEMM */
  double modelled;           /* efficiency that a simulation of the tasks of all loops predicts */
} scaling;

static scaling scaling_of(const rn_measured *base, const rn_measured *m) {
  const double product_speedup = m->gemm_flops_per_s / base->gemm_flops_per_s;
  scaling s = {.speedup = m->tokens_per_s / base->tokens_per_s};
  s.product_efficiency = product_speedup * base->threads / m->threads;
  s.efficiency = s.speedup / product_speedup;
  s.modelled = rn_step_cost_efficiency(&m->cost) / rn_step_cost_efficiency(&base->cost);
  return s;
}

static const rn_measured *base_of(const rn_measured *m, int count) {
  const rn_measured *base = m;
  for (int i = 1; i < count; i++) {
    if (m[i].threads < base->threads) base = &m[i];
  }
  return base;
}

static const rn_measured *widest_of(const rn_measured *m, int count) {
  const rn_measured *widest = m;
  for (int i = 1; i < count; i++) {
    if (m[i].threads > widest->threads) widest = &m[i];
  }
  return widest;
}

/* Returns the time of all phases per step. */
static double sum_s(const rn_measured *m) {
  double sum = 0;
  for (int i = 0; i < RN_PHASES; i++) sum += m->phases.s[i];
  return sum;
}

/* Returns the time of a subphase as a fraction of the step. */
static double share_of(const rn_measured *m, const rn_subphase *subphase) {
  return subphase->s / m->steps / sum_s(m);
}

static const rn_subphase *find_subphase(const rn_measured *m, const rn_subphase *like) {
  for (int i = 0; i < m->subphases.count; i++) {
    const rn_subphase *subphase = &m->subphases.subphase[i];
    if (subphase->phase == like->phase && strcmp(subphase->name, like->name) == 0) return subphase;
  }
  return NULL;
}

/* ---- JSON ---- */

void rn_scaling_print_phases_json(const rn_measured *m) {
  printf("\"phases\": {");
  for (int i = 0; i < RN_PHASES; i++) {
    printf("%s\"%s\": %s", i > 0 ? ", " : "", rn_phase_name((rn_phase)i),
           RN_JSON(m->phases.s[i] / sum_s(m)));
  }
  printf("}, \"subphases\": [");
  for (int i = 0; i < m->subphases.count; i++) {
    const rn_subphase *p = &m->subphases.subphase[i];
    printf("%s{\"phase\": \"%s\", \"subphase\": \"%s\", \"share\": %s, ", i > 0 ? ", " : "",
           rn_phase_name(p->phase), p->name, RN_JSON(share_of(m, p)));
    printf("\"tasks\": %s, \"busy\": %s, \"longest_task\": %s}", RN_JSON(p->tasks / m->steps),
           RN_JSON(rn_subphase_busy(p, m->threads)), RN_JSON(rn_subphase_longest(p)));
  }
  printf("]");
}

void rn_scaling_print_json(const rn_measured *m, int count) {
  for (int i = 0; i < count; i++) {
    const scaling s = scaling_of(base_of(m, count), &m[i]);
    printf("%s{\"threads\": %d, \"tokens_per_s\": %s, \"step_s\": %s, \"products_s\": %s, ",
           i > 0 ? ", " : "", m[i].threads, RN_JSON(m[i].tokens_per_s), RN_JSON(m[i].step_s),
           RN_JSON(m[i].products_s));
    printf("\"products_share\": %s, \"model_flops_per_s\": %s, \"gemm_flops_per_s\": %s, ",
           RN_JSON(m[i].products_s / m[i].step_s), RN_JSON(m[i].model_flops_per_s),
           RN_JSON(m[i].gemm_flops_per_s));
    printf("\"gemm_share\": %s, \"speedup\": %s, \"product_efficiency\": %s, ",
           RN_JSON(m[i].model_flops_per_s / m[i].gemm_flops_per_s), RN_JSON(s.speedup),
           RN_JSON(s.product_efficiency));
    printf("\"efficiency\": %s, \"modelled_efficiency\": %s, ", RN_JSON(s.efficiency),
           RN_JSON(s.modelled));
    rn_scaling_print_phases_json(&m[i]);
    printf("}");
  }
}

/* ---- tables ---- */

static void print_steps(const rn_measured *m, int count) {
  const rn_measured *base = base_of(m, count);
  printf("%7s %10s %9s %11s %9s %12s %13s %10s %9s %7s\n", "threads", "tokens/s", "speed-up",
         "efficiency", "modelled", "GEMMs alone", "of best GEMM", "best GEMM", "a thread", "waits");
  for (int i = 0; i < count; i++) {
    const scaling s = scaling_of(base, &m[i]);
    printf("%7d %10.0f %9.2f %10.1f%% %8.1f%% %11.1f%% %12.1f%% %10.1f %8.1f%% %6.1f%%\n",
           m[i].threads, m[i].tokens_per_s, s.speedup, 100 * s.efficiency, 100 * s.modelled,
           100 * m[i].products_s / m[i].step_s,
           100 * m[i].model_flops_per_s / m[i].gemm_flops_per_s, 1e-9 * m[i].gemm_flops_per_s,
           100 * s.product_efficiency, 100 * m[i].phases.s[RN_PHASE_WAIT] / sum_s(&m[i]));
  }
  printf(
      "\n"
      "speed-up      of the step, relative to %d threads\n"
      "efficiency    speed-up of the step, as %% of the speed-up of the best GEMM\n"
      "modelled      efficiency predicted by simulating the tasks of all parallel loops\n"
      "GEMMs alone   time of the step's GEMMs run without other work, as %% of the step time\n"
      "of best GEMM  FLOP/s of the model, as %% of the FLOP/s of the best GEMM\n"
      "best GEMM     GFLOP/s of the fastest GEMM\n"
      "a thread      FLOP/s of the fastest GEMM per thread, as %% of that with %d threads\n"
      "waits         time that rank 0 waits for other ranks, as %% of the step time\n",
      base->threads, base->threads);
}

/* Subphases that take less than this fraction of the step in all measurements are not printed. */
static const double MIN_SHARE = 0.005;

static bool is_shown(const rn_measured *m, int count, const rn_subphase *subphase) {
  for (int i = 0; i < count; i++) {
    const rn_subphase *same = find_subphase(&m[i], subphase);
    if (same != NULL && share_of(&m[i], same) >= MIN_SHARE) return true;
  }
  return false;
}

/* Prints a percentage, or blanks if the value is 0. */
static void print_cell(int width, double value) {
  if (value > 0) {
    printf(" %*.1f", width, 100 * value);
  } else {
    printf(" %*s", width, "");
  }
}

static bool is_kind(rn_phase phase, rn_cost_kind kind) {
  static const rn_phase of_kind[] = {RN_PHASE_FORWARD, RN_PHASE_BACKWARD, RN_PHASE_WEIGHT,
                                     RN_PHASE_OPTIMIZER};
  return of_kind[kind] == phase;
}

/* Returns the fraction of the threads' time that the tasks of a subphase use according to the cost
 * model, or 0 if the subphase is not modelled. */
static double modelled_busy(const rn_measured *m, const rn_subphase *subphase) {
  for (int i = 0; i < m->cost.count; i++) {
    const rn_phase_cost *p = &m->cost.phase[i];
    if (!is_kind(subphase->phase, p->kind) || strcmp(p->name, subphase->name) != 0) continue;
    return rn_phase_cost_efficiency(p, m->threads);
  }
  return 0;
}

static void print_subphase(const rn_measured *m, int count, const rn_subphase *subphase) {
  const rn_measured *widest = widest_of(m, count);
  const rn_subphase *last = find_subphase(widest, subphase);
  printf("  %-32s", subphase->name);
  if (subphase->tasks > 0) {
    printf(" %6.0f", subphase->tasks / subphase->count);
  } else {
    printf(" %6s", "");
  }
  print_cell(8, last != NULL ? rn_subphase_longest(last) : 0);
  print_cell(9, modelled_busy(widest, subphase));
  for (int i = 0; i < count; i++) {
    const rn_subphase *p = find_subphase(&m[i], subphase);
    print_cell(7, p != NULL ? share_of(&m[i], p) : 0);
    print_cell(5, p != NULL ? rn_subphase_busy(p, m[i].threads) : 0);
  }
  printf("\n");
}

static void print_phase(const rn_measured *m, int count, rn_phase phase) {
  const rn_measured *widest = widest_of(m, count);
  bool any = false;
  for (int i = 0; i < count; i++) any = any || m[i].phases.s[phase] > 0;
  if (!any) return;
  printf("%-60s", rn_phase_name(phase));
  for (int i = 0; i < count; i++) printf(" %7.1f      ", 100 * m[i].phases.s[phase] / sum_s(&m[i]));
  printf("\n");
  for (int i = 0; i < widest->subphases.count; i++) {
    const rn_subphase *subphase = &widest->subphases.subphase[i];
    if (subphase->phase != phase || !is_shown(m, count, subphase)) continue;
    print_subphase(m, count, subphase);
  }
}

static void print_subphases(const rn_measured *m, int count) {
  const rn_measured *widest = widest_of(m, count);
  printf("\n%-60s", "phases, by number of threads");
  for (int i = 0; i < count; i++) printf(" %7d      ", m[i].threads);
  printf("\n%-34s %6s %8s %9s", "", "tasks", "longest", "modelled");
  for (int i = 0; i < count; i++) printf(" %7s %5s", "time", "busy");
  printf("\n");
  for (int i = 0; i < RN_PHASES; i++) print_phase(m, count, (rn_phase)i);
  printf(
      "\n"
      "time      time of the subphase, as %% of the step time of rank 0; below %.1f %%: omitted\n"
      "busy      time of all tasks, as %% of (time of the subphase x threads); the rest is idle\n"
      "tasks     number of tasks in one run of the subphase, with %d threads\n"
      "longest   time of the longest task, as %% of the mean time of the subphase, with as many "
      "threads\n"
      "modelled  `busy` with as many threads, predicted by simulating the tasks\n",
      100 * MIN_SHARE, widest->threads);
}

void rn_scaling_print(const rn_measured *m, int count, const char *precision) {
  printf("%d ranks, %s; medians of %d steps\n\n", m->ranks, precision, m->steps);
  print_steps(m, count);
  print_subphases(m, count);
}
