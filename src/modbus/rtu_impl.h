/*
 * The inside of the serial master: master_rtu.c sends and waits, rtu_heard.c finds the answer in what was heard.  For modbus/ only.
 */
#ifndef MODBUS_RTU_IMPL_H
#define MODBUS_RTU_IMPL_H

#include "modbus/request.h"
#include "wire/modbus_rtu.h"

#define RTU_NAME_MAX 128u
#define RTU_UNITS    256u

enum link_state { LINK_DOWN, LINK_DIALING, LINK_UP };
enum wire_state { WIRE_FREE, WIRE_SENDING, WIRE_WAITING, WIRE_TURNAROUND };

/* A request that got no answer: it may still come. */
struct owed {
	uint64_t until_us;
	uint32_t hash; /* of the request */
	uint8_t fc;
};

struct master_rtu {
	struct modbus_master master;
	struct loop *loop;
	struct dialer *dialer;
	struct modbus_master_rtu_options options;
	uint64_t char_ns;
	uint32_t between_us; /* silence before each request, with what the options add */
	char name[RTU_NAME_MAX];

	enum link_state link;
	struct stream *stream;
	struct loop_timer dial_timer;
	struct loop_timer kick; /* something to do that no event announces */

	struct list queued, finished;
	struct list delivered;
	bool is_delivering, is_doomed;

	enum wire_state wire;
	struct loop_alarm alarm;        /* the next thing that the wire waits for */
	struct modbus_request *current; /* NULL in other states than FREE: it was taken back */
	uint64_t start_us, sent_us;     /* when the first byte went out, when the last one will have */
	uint64_t deadline_us;
	uint64_t heard_us;                    /* the last byte, sent or received */
	const struct modbus_request *waiting; /* the next one, while it waits for silence; else NULL */
	uint64_t waiting_us;                  /* ...since when */
	struct modbus_quiet quiet;

	uint8_t unit;
	uint8_t asked[MODBUS_PDU_MAX];
	size_t asked_len;
	uint32_t hash;
	size_t out_at, out_len;
	uint8_t out[MODBUS_ASCII_MAX];

	size_t missing; /* bytes of the answer that have not come, where that is known */
	bool is_dozing; /* the stream is not looked at until they can be there */
	uint64_t in_us; /* when the first byte of `in` was read */
	size_t in_len;
	bool has_echo;  /* the adapter hears what it sends */
	bool echo_done; /* of the present request */
	int garbage; /* what to say of bytes that were no answer when the time is over; OK: there were none */
	uint8_t in[2 * MODBUS_ASCII_MAX];

	struct owed owed[RTU_UNITS];
	struct modbus_master_stats stats;
};

/* The present request is over, and the wire is free. */
void rtu_end_request(struct master_rtu *m, int rc);

/* Bytes came, behind those that are in `in`: an answer ends the request. */
void rtu_heard(struct master_rtu *m);
/* Nothing has come for a while behind what is in `in` of an RTU line: it has ended, and what it was is decided. */
void rtu_silence(struct master_rtu *m);
/* A request is about to be sent: nothing in `in` can be its answer. */
void rtu_forget(struct master_rtu *m);

#endif
