#include "trainer/machine/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "comm/optimizer/shared_array.h"
#include "comm/world/cores.h"
#include "trainer/machine/binding.h"
#include "trainer/machine/core_check.h"
#include "trainer/machine/thread_limit.h"

/* Reads a number from the beginning of a file. Returns -1 if there is none (for example "max"). */
static int64_t integer_in(const char *path) {
  long long value = -1;
  FILE *file = fopen(path, "r");
  if (file == NULL) return -1;
  if (fscanf(file, "%lld", &value) != 1) value = -1;
  fclose(file);
  return value;
}

/* Returns the memory in MiB that SLURM grants the job on each node (--mem); 0: all memory. */
static int64_t mib_of_job(void) {
  const char *text = getenv("SLURM_MEM_PER_NODE");
  return text == NULL ? 0 : strtoll(text, NULL, 10);
}

/* Returns the physical memory of this node, reduced to the limits of cgroup and SLURM. */
static int64_t memory_of_node(void) {
  static const char *const limits[] = {"/sys/fs/cgroup/memory.max",
                                       "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
  int64_t bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  for (int i = 0; i < 2; i++) {
    const int64_t limit = integer_in(limits[i]);
    if (limit > 0 && limit < bytes) bytes = limit;
  }
  const int64_t job = mib_of_job();
  if (job > 0 && job < bytes >> 20) bytes = job << 20;
  return bytes > 0 ? bytes : 0;
}

/* Returns how many of `ranks` ranks are placed on a node with `cores` cores. */
static int ranks_of_node(int cores, int threads, int ranks) {
  const char *text = getenv("SLURM_NTASKS_PER_NODE");
  const long given = text == NULL ? 0 : strtol(text, NULL, 10);
  const int fit = given > 0 && given <= ranks ? (int)given : cores / threads;
  return fit < 1 ? 1 : fit < ranks ? fit : ranks;
}

rn_status rn_machine_query(rn_err *err, rn_world *world, const Retnet__Config *config, int ranks,
                           rn_machine *out) {
  rn_cores cores;
  RN_TRY(err, rn_cores_detect(err, world, &cores));
  rn_binding_decide(cores, rn_cores_threads(cores, config->parallel->threads));
  int64_t max[] = {-memory_of_node(), rn_machine_resident_bytes(), rn_world_node_ranks(world),
                   -rn_shared_array_free_bytes()};
  RN_TRY(err, rn_world_max(err, world, max, 4));
  *out = (rn_machine){.memory_bytes = -max[0],
                      .program_bytes = (size_t)max[1],
                      .shared_bytes = -max[3],
                      .threads_given = rn_cores_threads_given(config->parallel->threads)};
  if (ranks == 0) {
    rn_core_check(cores, config->parallel->threads);
    out->ranks = (int)max[2];
    out->threads = rn_cores_threads(cores, config->parallel->threads);
    out->cores = cores.cores * ((out->ranks + cores.sharing - 1) / cores.sharing);
    return rn_agree(err, world, rn_thread_limit_check(err, out->threads));
  }
  cores.sharing = ranks < cores.cores ? ranks : cores.cores;
  out->cores = cores.cores;
  out->threads = rn_cores_threads(cores, config->parallel->threads);
  int64_t node_ranks = ranks_of_node(out->cores, out->threads, ranks);
  RN_TRY(err, rn_world_max(err, world, &node_ranks, 1));
  out->ranks = (int)node_ranks;
  return rn_agree(err, world, rn_thread_limit_check(err, out->threads));
}

rn_status rn_machine_agree_threads(rn_err *err, rn_world *world, rn_machine *machine) {
  int64_t max = machine->threads;
  RN_TRY(err, rn_world_max(err, world, &max, 1));
  machine->max_threads = (int)max;
  return RN_OK;
}

int64_t rn_machine_resident_bytes(void) {
  long long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%*d %lld", &pages) != 1) pages = 0;
  fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}

int64_t rn_machine_shared_bytes(void) {
  char line[256];
  long long kib = 0;
  FILE *file = fopen("/proc/self/status", "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "RssShmem: %lld", &kib) == 1) break;
  }
  fclose(file);
  return kib * 1024;
}

int64_t rn_machine_peak_bytes(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (int64_t)usage.ru_maxrss * 1024;
}
