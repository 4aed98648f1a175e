/**
 * How a program starts its world for what its keys say of messages: parallel.comm_thread.
 *
 * MPI has to be told before anything is agreed on whether a second thread will call it. So each
 * rank looks at the keys by itself first; whether the thread then runs is decided by all of them.
 */
#ifndef RN_TRAINER_MACHINE_LAUNCH_H
#define RN_TRAINER_MACHINE_LAUNCH_H

#include "comm/world/comm_thread.h"
#include "proto/cli/args.h"
#include "proto/schema/config.pb-c.h"
#include "trainer/config/config_text.h"

/**
 * Starts MPI: MPI_THREAD_SERIALIZED where parallel.comm_thread is on, or auto and cores may be left
 * over, else MPI_THREAD_FUNNELED. A `text` that is not read yet may ask for it. Text (NULL: none)
 * and `keys` that are no config are no matter here: whoever loads them tells.
 *
 * Collective: over all ranks of the job. Errors: those of rn_world_start.
 */
rn_status rn_launch(rn_err *err, int *argc, char ***argv, const rn_config_text *text,
                    const rn_words *keys, rn_world **out);

/**
 * The communication thread of this rank; *out is NULL where none is to be: ranks send each other
 * nothing while they compute (`sends` false, the same on all), the key is off, or it is auto and
 * some rank has no core left over beside its `threads`, or the library does not allow it.
 *
 * Collective: over the world. Errors: RN_ERR_LIBRARY naming the key when it is on and cannot be;
 * agreed.
 */
rn_status rn_launch_comm_thread(rn_err *err, rn_world *world, Retnet__Switch wanted, int threads,
                                bool sends, rn_comm_thread **out);

/** Who moves messages, and MPI's level, in words: into text [bytes]. */
void rn_launch_describe(const rn_world *world, const rn_comm_thread *thread, char *text,
                        size_t bytes);

#endif
