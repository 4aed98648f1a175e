/**
 * Creates the grid of ranks (data x pipeline x sequence, with sequence innermost) and its
 * communicators.
 *
 * Neighbours on the sequence axis are neighbours in the world, so they usually share a node. The
 * replicas of a stage (data x sequence) hold the same weights; gradients are summed over them.
 */
#ifndef RN_COMM_WORLD_GRID_H
#define RN_COMM_WORLD_GRID_H

#include "comm/world/world.h"

typedef struct rn_grid rn_grid;

/* Doubles per rank in rn_grid_scratch. */
enum { RN_GRID_SCRATCH = 8 };

/**
 * Creates the grid and its communicators.
 *
 * Collective: over the world. Ownership: the world outlives the grid.
 * Errors:     RN_ERR_USAGE if data x pipeline x sequence is not the number of ranks;
 *             RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_grid_create(rn_err *err, rn_world *world, int data, int pipeline, int sequence,
                         rn_grid **out);
/** Frees the grid; accepts NULL. Collective: over the world. Errors: none. */
void rn_grid_destroy(rn_grid **grid);

/** These functions return this rank's coordinate on an axis or, with the suffix _size, the number
 * of ranks on the axis. The replica axis combines data and sequence. Not collective. Errors: none.
 */
int rn_grid_data(const rn_grid *grid);
int rn_grid_pipeline(const rn_grid *grid);
int rn_grid_pipeline_size(const rn_grid *grid);
int rn_grid_sequence(const rn_grid *grid);
int rn_grid_sequence_size(const rn_grid *grid);
int rn_grid_replica(const rn_grid *grid);
int rn_grid_replica_size(const rn_grid *grid);

/** Returns the world that the grid was created on. Not collective. Errors: none. */
const rn_world *rn_grid_world(const rn_grid *grid);

/** Returns the communicator of all ranks of the grid, in world order. Not collective. Errors: none.
 */
MPI_Comm rn_grid_world_comm(const rn_grid *grid);
/** Returns the communicator of this rank's pipeline, in the order of stages. Not collective.
 * Errors: none. */
MPI_Comm rn_grid_pipeline_comm(const rn_grid *grid);
/**
 * Returns the communicator of the ranks that share this rank's sequences, in the order of their
 * pieces.
 * Not collective. Errors: none.
 */
MPI_Comm rn_grid_sequence_comm(const rn_grid *grid);
/** Returns the communicator of the ranks that hold the same weights as this rank, in world order.
 * Not collective. Errors: none. */
MPI_Comm rn_grid_replica_comm(const rn_grid *grid);

/**
 * Returns scratch memory [ranks of the grid, RN_GRID_SCRATCH] for functions such as rn_sum_doubles,
 * which overwrite it. Not collective. Errors: none.
 */
double *rn_grid_scratch(const rn_grid *grid);

/** Calls rn_agree on the world of the grid. Collective and Errors: as for rn_agree. */
rn_status rn_grid_agree(rn_err *err, const rn_grid *grid, rn_status status);

#endif
