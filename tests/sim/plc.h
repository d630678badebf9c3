/*
 * A simulated Modbus/TCP device with two units, on a network of its own, whose registers move and which remembers what was in
 * them when. What a cell holds, as text, is worked out here, without the product's own code for values.
 */
#ifndef SIM_PLC_H
#define SIM_PLC_H

#include "config/gateway_config.h"
#include "loop/loop_sim.h"
#include "modbus/server.h"
#include "net/stream_sim.h"

#define PLC_UNITS   2u
#define PLC_REGS    128u
#define PLC_HISTORY 256u
#define PLC_HELD    16u

/* One tag of each unit. */
enum cell {
	CELL_LEVEL,
	CELL_COUNT,
	CELL_WIDE,
	CELL_BIT,
	CELL_LOW,
	CELL_LOCKED,
	CELL_FAR,
	CELL_TEMP,
	CELL_COIL,
	CELLS
};

struct cell_info {
	const char *name;
	enum config_area area;
	uint16_t start, count;
	bool is_writable; /* as configured */
	bool is_fast;     /* in the group that is published with every scan */
	const char *yaml; /* its address and type */
};
extern const struct cell_info cell_infos[CELLS];

enum plc_mode { PLC_ALIVE, PLC_GONE, PLC_HUNG, PLC_CLOSING };

struct plc;

struct plc_unit {
	struct plc *plc;
	unsigned number;
	bool is_absent;      /* answered with exception 0x0B */
	bool is_far_refused; /* reading CELL_FAR gives exception 2 */
	uint16_t holding[PLC_REGS], input[PLC_REGS];
	bool coils[PLC_REGS];
	struct {
		uint64_t us, raw;
	} history[CELLS][PLC_HISTORY];
	unsigned nhistory[CELLS];
};

struct plc {
	/* set by the owner before plc_start() */
	struct sim_world *world;
	struct loop *loop;
	const char *name; /* on its network */
	void *owner;
	void (*written)(struct plc_unit *u, enum cell cell, uint64_t raw);
	void (*told)(struct plc *p, const char *what); /* a write where no tag may write */

	struct sim_net *net;
	enum plc_mode mode;
	struct plc_unit units[PLC_UNITS];
	struct modbus_server *server;
	struct listener *listener;
	struct acceptor hole; /* takes connections and answers nothing */
	struct stream *held[PLC_HELD];
	unsigned nheld;
};

void plc_start(struct plc *p);
void plc_stop(struct plc *p);
/*
 * Its program ends and starts; PLC_HUNG takes connections and requests, and never answers; PLC_CLOSING ends a connection at
 * its first request.
 */
void plc_become(struct plc *p, enum plc_mode mode);
/* The moving cells move. */
void plc_move(struct plc *p);

/* Did the cell hold what `text` says at some time of from_us..to_us? */
bool plc_held(const struct plc_unit *u, enum cell cell, const char *text, uint64_t from_us, uint64_t to_us);
/* The JSON of a raw value; at least 32 bytes. */
void cell_text(enum cell cell, uint64_t raw, char *buf, size_t size);

#endif
