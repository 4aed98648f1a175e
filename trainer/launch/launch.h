/**
 * Starts MPI and the communication thread as parallel.comm_thread requires.
 *
 * The level that is passed to MPI_Init_thread depends on whether a second thread will call MPI.
 * Each rank therefore evaluates the keys before MPI starts; once it has started, all ranks decide
 * together whether to run the thread.
 */
#ifndef RN_TRAINER_LAUNCH_LAUNCH_H
#define RN_TRAINER_LAUNCH_LAUNCH_H

#include "comm/world/comm_thread.h"
#include "proto/cli/args.h"
#include "proto/schema/config.pb-c.h"
#include "trainer/config/config_text.h"

/**
 * Starts MPI with MPI_THREAD_FUNNELED if parallel.comm_thread is off, otherwise with
 * MPI_THREAD_SERIALIZED. The key is read from the config file `text` (NULL: no file) and from
 * `keys`; a file whose text has not been read yet, such as a pipe, is ignored. Errors in the file
 * and in `keys` are ignored, too: the caller reports them when it loads the config.
 *
 * Collective: over all ranks of the job. Errors: those of rn_world_start.
 */
rn_status rn_launch(rn_err *err, int *argc, char ***argv, const rn_config_text *text,
                    const rn_words *keys, rn_world **out);

/** Inputs to the decision whether to start a communication thread; all but `threads` are the same
 * on all ranks. */
typedef struct rn_comm_thread_use {
  Retnet__Switch wanted; /* parallel.comm_thread */
  int threads;           /* computing threads of this rank */
  bool sends;            /* true if ranks exchange messages */
  bool scans; /* true if ranks share sequences, so that states travel during computation */
} rn_comm_thread_use;

/**
 * Starts the communication thread of this rank. If every rank has more cores than threads, the
 * communication thread has a core of its own; otherwise it polls periodically. With `auto`, a
 * polling thread is started only if ranks share sequences and every compute thread has a core: on
 * shared cores one more thread costs more than it saves. Sets *out to NULL if no thread is used: if
 * the ranks send nothing, if the key is off, or if it is auto and MPI does not provide the thread
 * level or this rule excludes the thread.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_LIBRARY naming the key if it is on and the thread cannot run; agreed.
 */
rn_status rn_launch_comm_thread(rn_err *err, rn_world *world, rn_comm_thread_use use,
                                rn_comm_thread **out);

/** Writes how messages make progress (thread or polls) and the MPI thread level into text [bytes].
 */
void rn_launch_describe(const rn_world *world, const rn_comm_thread *thread, char *text,
                        size_t bytes);

#endif
