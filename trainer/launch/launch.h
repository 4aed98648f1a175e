/**
 * Starts MPI and the communication thread as parallel.comm_thread requires.
 *
 * MPI_Init_thread must be told whether a second thread will call MPI. So each rank first evaluates
 * the keys by itself; after MPI has started, all ranks decide together whether to run the thread.
 */
#ifndef RN_TRAINER_LAUNCH_LAUNCH_H
#define RN_TRAINER_LAUNCH_LAUNCH_H

#include "comm/world/comm_thread.h"
#include "proto/cli/args.h"
#include "proto/schema/config.pb-c.h"
#include "trainer/config/config_text.h"

/**
 * Starts MPI with MPI_THREAD_SERIALIZED if parallel.comm_thread is on, or if it is auto and a core
 * may be free; otherwise with MPI_THREAD_FUNNELED. If `text` has not been read yet (a pipe), it
 * could turn the key on, so the key counts as on unless `keys` set it to off. Ignores errors in
 * `text` (NULL: no file) and `keys`; the caller reports them when it loads the config.
 *
 * Collective: over all ranks of the job. Errors: those of rn_world_start.
 */
rn_status rn_launch(rn_err *err, int *argc, char ***argv, const rn_config_text *text,
                    const rn_words *keys, rn_world **out);

/**
 * Starts the communication thread of this rank. Sets *out to NULL if no thread is used: if `sends`
 * is false (no messages during computation; must be the same on all ranks), if the key is off, or
 * if it is auto and some rank has no core besides those of its `threads` threads or MPI does not
 * provide the thread level.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_LIBRARY naming the key if it is on and the thread cannot run; agreed.
 */
rn_status rn_launch_comm_thread(rn_err *err, rn_world *world, Retnet__Switch wanted, int threads,
                                bool sends, rn_comm_thread **out);

/** Writes how messages make progress (thread or polls) and the MPI thread level into text [bytes].
 */
void rn_launch_describe(const rn_world *world, const rn_comm_thread *thread, char *text,
                        size_t bytes);

#endif
