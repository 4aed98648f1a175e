#include "trainer/train/summary.h"

#include <math.h>
#include <stdlib.h>

#include "data/file/file.h"
#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "proto/base/arena.h"
#include "proto/base/progress.h"
#include "trainer/train/json_text.h"

/*
 * Figures of all ranks, on rank 0. `peak_bytes` of a rank includes the shared memory that the rank
 * maps, as the system counts it. `node_peak_bytes` is the peak of the node that uses the most
 * memory, with shared memory counted once.
 */
typedef struct figures {
  int ranks;
  double *memory; /* [3 ranks] holds the three arrays below, [ranks] each */
  double *targets, *scan_bytes, *peak_bytes;
  int64_t node_peak_bytes;
} figures;

/* ---- gathering ---- */

/* Returns the peak memory that this rank adds to its node: private memory, its gradient and, on one
 * rank of the node, the shared weights. */
static int64_t own_peak_bytes(const rn_local_model *model) {
  return rn_machine_peak_bytes() - rn_machine_shared_bytes() + model->gradient.shared_bytes +
         rn_weights_shared_bytes(&model->weights);
}

static rn_status gather(rn_err *err, const rn_run *run, int64_t scan_bytes, figures *f) {
  rn_world *world = run->parallel.world;
  const double targets = (double)rn_data_stream_targets(&run->data);
  RN_TRY(err, rn_world_largest_node(err, world, own_peak_bytes(&run->model), &f->node_peak_bytes));
  RN_TRY(err, rn_world_all_gather_double(err, world, targets, f->targets));
  RN_TRY(err, rn_world_all_gather_double(err, world, (double)scan_bytes, f->scan_bytes));
  return rn_world_all_gather_double(err, world, (double)rn_machine_peak_bytes(), f->peak_bytes);
}

static rn_status allocate(rn_err *err, int ranks, figures *f) {
  *f = (figures){.ranks = ranks};
  RN_TRY(err, rn_alloc(err, "summary", 3 * (size_t)ranks, sizeof *f->memory, &f->memory));
  f->targets = f->memory;
  f->scan_bytes = f->targets + ranks;
  f->peak_bytes = f->scan_bytes + ranks;
  return RN_OK;
}

/* ---- text ---- */

static void put_layout(FILE *file, const rn_layout *l, int ranks, int threads) {
  fprintf(file,
          ", \"ranks\": %d,\n \"layout\": {\"data\": %d, \"pipeline\": %d, \"sequence\": %d, "
          "\"segments\": %d, \"microbatch\": %d, \"threads\": %d}",
          ranks, l->data, l->pipeline, l->sequence, l->segments, l->microbatch, threads);
}

static void put_choices(FILE *file, const rn_run *run) {
  fprintf(file,
          ",\n \"choices\": {\"scan\": \"%s\", \"chunk\": %d, \"products\": \"%s\", "
          "\"kernels\": \"%s\"}",
          rn_scan_name(run->parallel.scan.algorithm), run->settings.spec.chunk,
          rn_gemm_backend_in_use()->name, rn_kernels_table()->name);
}

static void put_targets(FILE *file, const figures *f) {
  fprintf(file, ",\n \"tokens_per_rank_step\": [");
  for (int i = 0; i < f->ranks; i++) fprintf(file, "%s%.0f", i > 0 ? ", " : "", f->targets[i]);
  fprintf(file, "]");
}

static void put_scan(FILE *file, const rn_metrics *m, const figures *f) {
  const double steps = m->steps > 0 ? (double)m->steps : 1;
  double bytes = 0;
  for (int i = 0; i < f->ranks; i++) bytes += f->scan_bytes[i];
  fprintf(file, ",\n \"scan_bytes_per_step\": %.0f", bytes / steps);
  rn_json_put(file, "scan_wait_s", m->scan_wait_s / steps);
}

static void put_memory(FILE *file, const rn_plan *plan, const figures *f) {
  double min = f->peak_bytes[0], max = min, sum = 0;
  for (int i = 0; i < f->ranks; i++) {
    min = fmin(min, f->peak_bytes[i]);
    max = fmax(max, f->peak_bytes[i]);
    sum += f->peak_bytes[i];
  }
  fprintf(file, ",\n \"peak_bytes\": {\"min\": %.0f, \"avg\": %.0f, \"max\": %.0f}", min,
          sum / f->ranks, max);
  fprintf(file, ",\n \"peak_node_bytes\": %lld", (long long)f->node_peak_bytes);
  fprintf(file, ",\n \"predicted_peak_bytes\": %zu",
          rn_memory_total(rn_memory_largest_rank(&plan->memory)));
  fprintf(file, ",\n \"predicted_peak_node_bytes\": %zu", rn_plan_node_bytes(plan));
}

static void put_saves(FILE *file, const rn_save_costs *c) {
  const double saves = c->saves > 0 ? (double)c->saves : 1;
  fprintf(file, ",\n \"checkpoint\": {\"saves\": %lld, \"failed\": %lld", (long long)c->saves,
          (long long)c->failed);
  rn_json_put(file, "stop_s", c->times.stop_s / saves);
  rn_json_put(file, "copy_s", c->times.copy_s / saves);
  rn_json_put(file, "wait_s", c->times.wait_s / saves);
  rn_json_put(file, "write_s", c->times.write_s / saves);
  rn_json_put(file, "ratio", c->stored_bytes > 0 ? c->raw_bytes / c->stored_bytes : 1);
  fprintf(file, "}");
}

static void put_summary(FILE *file, const rn_run *run, const rn_launch_totals *totals,
                        const figures *f) {
  const rn_run_settings *settings = &run->settings;
  const rn_metrics *m = totals->metrics;
  fprintf(file, "{\"step\": %lld, \"tokens\": %lld", (long long)run->counters.step,
          (long long)run->counters.tokens);
  rn_json_put(file, "loss", m->loss);
  rn_json_put(file, "val_loss", m->val_loss);
  for (int i = 0; i < m->val.sets; i++) {
    char name[RN_VAL_NAME_BYTES + 16];
    snprintf(name, sizeof name, "val_loss/%s", m->val.set[i].name);
    rn_json_put(file, name, m->val.set_loss[i]);
  }
  rn_json_put(file, "seconds", totals->seconds);
  put_layout(file, &settings->plan.layout, f->ranks, settings->machine.threads);
  put_choices(file, run);
  put_targets(file, f);
  put_scan(file, m, f);
  put_memory(file, &settings->plan, f);
  fprintf(file, ",\n \"weights_shared_by\": %d", run->model.weights.sharing_ranks);
  put_saves(file, totals->saves);
  fprintf(file, ",\n \"parameters\": %lld}\n", (long long)rn_spec_parameters(&settings->spec));
}

static rn_status write(rn_err *err, const rn_run *run, const rn_launch_totals *totals,
                       const figures *f) {
  const rn_path path = rn_path_join(run->settings.config->run->dir, "summary.json");
  char *text = NULL;
  size_t bytes = 0;
  FILE *file = open_memstream(&text, &bytes);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing summary.json");
  put_summary(file, run, totals, f);
  rn_status status = rn_json_close(err, file, "summary.json");
  if (status == RN_OK) status = rn_run_lock_verify(err, totals->lock);
  if (status == RN_OK) status = rn_file_replace(err, path.text, text, bytes);
  free(text);
  return status;
}

rn_status rn_summary_write(rn_err *err, const rn_run *run, const rn_launch_totals *totals) {
  rn_world *world = run->parallel.world;
  figures f;
  rn_progress_phase("summary");
  rn_status status = rn_agree(err, world, allocate(err, rn_world_size(world), &f));
  if (status == RN_OK) status = gather(err, run, totals->scan_bytes, &f);
  if (status == RN_OK) {
    const bool root = rn_world_rank(world) == 0;
    status = rn_agree(err, world, root ? write(err, run, totals, &f) : RN_OK);
  }
  free(f.memory);
  return status;
}
