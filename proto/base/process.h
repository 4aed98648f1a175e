/** Identifies a process more reliably than its PID does, and tests whether a process is still
 * alive. */
#ifndef RN_PROTO_BASE_PROCESS_H
#define RN_PROTO_BASE_PROCESS_H

#include <stdbool.h>

enum { RN_PROCESS_TEXT_BYTES = 128 };

/**
 * Identifies a process, so that another process can later test whether the identified process has
 * ended. PIDs are reused, also after a reboot, and are valid only within one kernel and one PID
 * namespace (each container has its own).
 */
typedef struct rn_process {
  char host[RN_PROCESS_TEXT_BYTES];
  char kernel[RN_PROCESS_TEXT_BYTES]; /* boot id and PID namespace; "-" if unknown */
  long long pid;
  unsigned long long start; /* start time, in kernel ticks since boot */
} rn_process;

/** Describes this process. */
rn_process rn_process_self(void);

/** Returns the start time of the live process with this PID in this kernel and namespace; 0 if
 * there is none, or if it cannot be read. */
unsigned long long rn_process_start(long long pid);

/** True if the process with this PID and start time is known to have ended: the PID is free,
 * belongs to a zombie or was reused. If `start` is 0, any live process with this PID is taken for
 * that process. */
bool rn_process_has_ended(long long pid, unsigned long long start);

/** True if `other` belongs to the kernel and namespace of this process, so that its PID is valid
 * here. */
bool rn_process_is_local(const rn_process *other);

/** True if a local process is known to run; false for a zombie, for a reused PID, and if /proc
 * cannot be read. False therefore does not prove that the process has ended: before removing its
 * files, call rn_process_has_ended. */
bool rn_process_is_alive(const rn_process *other);

#endif
