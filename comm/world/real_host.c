#include "comm/world/real_host.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "comm/world/mpi_check.h"

enum { BOOT_ID_BYTES = 64 };

/* Leaves `text` empty if the kernel provides no boot id. */
static void read_boot_id(char text[BOOT_ID_BYTES]) {
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
  text[0] = '\0';
  if (file == NULL) return;
  if (fscanf(file, "%63s", text) != 1) text[0] = '\0';
  fclose(file);
}

/* Returns the device number of the file system that holds shared memory; 0 if there is none. Within
 * one kernel, mounts with the same device number have the same files. */
static uint64_t shared_memory_device(void) {
  struct stat folder;
  return stat("/dev/shm", &folder) == 0 ? (uint64_t)folder.st_dev : 0;
}

/* Sets *out to a hash of host name, boot id and shared-memory device, which together identify this
 * host. */
static rn_status hash_host(rn_err *err, uint64_t *out) {
  char host[MPI_MAX_PROCESSOR_NAME], boot_id[BOOT_ID_BYTES], text[sizeof host + BOOT_ID_BYTES + 32];
  int length;
  RN_MPI(err, MPI_Get_processor_name(host, &length));
  read_boot_id(boot_id);
  snprintf(text, sizeof text, "%s %s %" PRIx64, host, boot_id, shared_memory_device());
  *out = XXH3_64bits(text, strlen(text));
  return RN_OK;
}

/* Replaces *comm by a communicator of those of its ranks that pass the same color, in the same
 * order. */
static rn_status split(rn_err *err, uint64_t color, MPI_Comm *comm) {
  MPI_Comm whole = *comm;
  const rn_status status =
      RN_MPI_WAIT_STATUS(err, MPI_Comm_split(whole, (int)(color & INT_MAX), 0, comm));
  rn_mpi_free_comm(&whole);
  RN_TRY(err, status);
  RN_MPI(err, MPI_Comm_set_errhandler(*comm, MPI_ERRORS_RETURN));
  return RN_OK;
}

/* MPI colors have 31 bits, so two successive splits by color compare 62 bits of the hash. */
rn_status rn_real_host_split(rn_err *err, MPI_Comm comm, MPI_Comm *out) {
  uint64_t hash;
  RN_TRY(err, hash_host(err, &hash));
  RN_MPI_WAIT(err, MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, out));
  RN_TRY(err, split(err, hash, out));
  return split(err, hash >> 31, out);
}
