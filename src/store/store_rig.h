/*
 * For tests: a store on a disk in memory with some ports, each on a loop of its own in one simulated world. Calls on ports
 * are made between the steps of the world.
 */
#ifndef STORE_STORE_RIG_H
#define STORE_STORE_RIG_H

#include "loop/loop_sim.h"
#include "store/store_mem.h"

#define RIG_PORTS 3

struct rig;

struct rig_port {
	struct rig *rig;
	struct loop *loop;
	struct store_port *port;
	unsigned progressed;
	uint64_t seen_durable; /* when it progressed last */
	enum store_health seen_health;
};

struct rig {
	struct sim_world *world;
	struct loop *loop;
	struct store_mem_disk *disk;
	struct store *store;
	struct rig_port ports[RIG_PORTS];
};

void rig_init(struct rig *r, uint64_t seed);
void rig_fini(struct rig *r); /* after rig_stop() */
/* A start of the program: opens, loads, opens ports. */
void rig_start(struct rig *r, const struct store_options *o);
void rig_start_on(struct rig *r, struct store_backend *b, const struct store_options *o);
void rig_stop(struct rig *r);
/* The same disk, started anew. */
void rig_restart(struct rig *r, const struct store_options *o);
/* What is not committed by now is lost. */
void rig_crash(struct rig *r);
/* Steps of the world, until all that was put is on disk and the ports know; at most ten seconds. */
void rig_settle(struct rig *r);
void rig_run_us(struct rig *r, uint64_t us);
void rig_run_ms(struct rig *r, uint64_t ms);
struct store_figures rig_figures(struct rig *r);

/* A read that counts itself when it is answered. */
struct rig_read {
	struct store_read read;
	unsigned *order; /* counts answers */
	unsigned answered;
};

void rig_ask(struct store_port *p, struct rig_read *r, unsigned *order, uint32_t session, uint64_t from,
	     uint32_t rows, uint64_t bytes);
void rig_await(struct rig *r, struct rig_read *reading);
/* How many rows of the session there are, by a read of all. */
unsigned rig_count_rows(struct rig *r, struct store_port *p, uint32_t session);

/* Changes that must succeed: a session without more, a row with a message of its own. */
void rig_put_session(struct store_port *p, uint32_t id);
void rig_put_row(struct store_port *p, uint32_t session, uint64_t seq);

/* For cmocka: *state is a rig that is started with fsync. */
int rig_setup(void **state);
int rig_teardown(void **state);

#endif
