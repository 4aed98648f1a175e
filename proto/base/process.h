/** Identity of a process beyond its PID, and whether another process is still alive. */
#ifndef RN_PROTO_BASE_PROCESS_H
#define RN_PROTO_BASE_PROCESS_H

#include <stdbool.h>

enum { RN_PROCESS_TEXT_BYTES = 128 };

/**
 * A process, described so that another one can test later whether it has ended. PIDs are reused, by
 * other processes and after a reboot, and are valid only within one kernel and one PID namespace
 * (two containers of one host have two).
 */
typedef struct rn_process {
  char host[RN_PROCESS_TEXT_BYTES];
  char kernel[RN_PROCESS_TEXT_BYTES]; /* boot id and PID namespace; "-": unknown */
  long long pid;
  unsigned long long start; /* start time, in kernel ticks since boot */
} rn_process;

/** Describes this process. */
rn_process rn_process_self(void);

/** Returns the start time of a live process of this kernel and namespace; 0 if there is none with
 * this PID. */
unsigned long long rn_process_start(long long pid);

/** True if `other` belongs to the kernel and namespace of this process, so that its PID is valid
 * here. */
bool rn_process_is_local(const rn_process *other);

/** True if a local process still runs; false for a zombie and for a reused PID. */
bool rn_process_is_alive(const rn_process *other);

#endif
