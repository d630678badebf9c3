/*
 * A simulated serial wire in a sim_world: two wires of RS-485 with one or more hosts (streams, through a dialer) and any number of
 * devices (callbacks) on them. Half duplex: everybody hears every byte that he does not send himself; each byte takes its time; when two
 * send at once, what the others hear is garbage, and it is counted.
 *
 * Times are exact to the nanosecond on the wire; a loop sees a byte in the microsecond after its last bit, or later where the faults say so.
 */
#ifndef NET_SERIAL_SIM_H
#define NET_SERIAL_SIM_H

#include "loop/loop_sim.h"
#include "net/stream.h"

#define SIM_BUS_FRAME_MAX 1024u

struct sim_bus;

struct sim_bus_faults {
	uint32_t flip_one_in;  /* a byte has a wrong bit; 0: never */
	uint32_t drop_one_in;  /* a byte is not heard at all */
	uint64_t max_delay_us; /* how long a host's adapter may keep bytes back before it hands them on */
	bool echo;             /* a host hears what it sends, as with some adapters */
};

/* A byte that was on the wire. */
struct sim_bus_byte {
	bool is_host; /* sent by a host */
	bool is_collided;
	uint8_t value;
	uint64_t start_ns, end_ns; /* of the world's clock */
};

struct sim_bus_stats {
	uint64_t bytes;
	uint64_t collisions; /* bytes that were sent while somebody else sent */
};

/* What a host or a device has at the wire; serial_sim.c's own. */
struct sim_bus_node {
	struct list in_bus;
	struct sim_bus *bus;
	bool is_host, is_sending, is_collided;
	uint64_t start_ns, end_ns;
	struct loop_timer byte_timer;  /* the byte on the wire ends */
	struct loop_timer start_timer; /* what it has to say begins */
	size_t at, len;
	uint8_t out[SIM_BUS_FRAME_MAX];
	void (*heard)(struct sim_bus_node *n, uint8_t byte);
};

/* The caller embeds it; `frame` is set before sim_bus_add(). */
struct sim_bus_device {
	/* There were 3.5 characters of silence (1750 us above 19200 baud) after these bytes. May call sim_bus_say(). */
	void (*frame)(struct sim_bus_device *d, const uint8_t *bytes, size_t len);
	struct sim_bus_node node;
	struct loop_timer silence;
	size_t len;
	uint8_t in[SIM_BUS_FRAME_MAX];
};

/* `char_bits` on the wire for one character: 10, 11 or 12. ERR_NOMEM. */
MUST_USE int sim_bus_create(struct sim_world *w, uint32_t baud, unsigned char_bits, struct sim_bus **out);
/* After every stream, dialer and device. Accepts NULL. */
void sim_bus_destroy(struct sim_bus *b);
void sim_bus_set_faults(struct sim_bus *b, const struct sim_bus_faults *f);
void sim_bus_stats(const struct sim_bus *b, struct sim_bus_stats *out);
uint64_t sim_bus_char_ns(const struct sim_bus *b);

/* Called for each byte when it has ended; NULL: nobody. */
void sim_bus_monitor(struct sim_bus *b, void (*byte)(void *arg, const struct sim_bus_byte *byte), void *arg);

/* Opens the wire as a serial port; each stream is a host of its own. ERR_NOMEM. */
MUST_USE int sim_bus_dialer(struct sim_bus *b, struct dialer **out);

void sim_bus_add(struct sim_bus *b, struct sim_bus_device *d);
void sim_bus_remove(struct sim_bus_device *d);
/* Send `after_us` from now, or behind what it is sending. ERR_FULL: more than SIM_BUS_FRAME_MAX bytes wait. */
MUST_USE int sim_bus_say(struct sim_bus_device *d, const void *bytes, size_t len, uint64_t after_us);

/* The hosts' adapters are pulled out: their streams fail, and opening does, until they are put back. */
void sim_bus_unplug(struct sim_bus *b);
void sim_bus_plug(struct sim_bus *b);

#endif
