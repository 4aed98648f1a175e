/** Which process this is, beyond its number, and whether another one is still alive. */
#ifndef RN_PROTO_BASE_PROCESS_H
#define RN_PROTO_BASE_PROCESS_H

#include <stdbool.h>

enum { RN_PROCESS_TEXT_BYTES = 128 };

/**
 * A process, so that another one can tell later whether it is gone. Numbers are used again, by
 * other processes and after a reboot; and they mean something only inside one kernel and one
 * namespace of process numbers (two containers of one host have two).
 */
typedef struct rn_process {
  char host[RN_PROCESS_TEXT_BYTES];
  char kernel[RN_PROCESS_TEXT_BYTES]; /* boot id and namespace of process numbers; "-": unknown */
  long long pid;
  unsigned long long start; /* in the kernel's ticks since boot */
} rn_process;

/** This process. */
rn_process rn_process_self(void);

/** Start time of a living process of this kernel and namespace; 0 when there is none. */
unsigned long long rn_process_start(long long pid);

/** Whether `other` belongs to this process's kernel and namespace, so that it can be looked up. */
bool rn_process_is_local(const rn_process *other);

/** Whether a local process still runs: a zombie does not, nor one that got its number later. */
bool rn_process_is_alive(const rn_process *other);

#endif
