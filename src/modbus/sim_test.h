/*
 * For tests: a master on one loop and either a server with a small model or a peer that does as it is told on
 * another, on simulated time and wire.
 */
#ifndef MODBUS_SIM_TEST_H
#define MODBUS_SIM_TEST_H

/* cmocka's own prerequisites, so that includes may be sorted */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "modbus/master.h"
#include "modbus/server.h"
#include "net/stream_sim.h"
#include "net/stream_tcp.h"

#define NREGS  200u
#define SECOND UINT64_C(1000000)

struct model {
	uint16_t regs[NREGS];
	bool bits[NREGS];
	unsigned writes;
};

struct peer { /* a device that is told what to do with each frame */
	struct acceptor acceptor;
	struct loop *loop;
	struct stream *stream; /* the last one */
	unsigned connections;
	unsigned nframes;
	struct modbus_adu frames[64]; /* pdu points into bytes; valid until the next connection */
	uint8_t bytes[4096];
	size_t len, at;
	void (*on_frame)(struct peer *p, const struct modbus_adu *adu);
};

struct world {
	struct sim_world *w;
	struct sim_net *net;
	struct loop *near, *far;
	struct modbus_master *master;
	struct modbus_server *server;
	struct listener *listener;
	struct model model;
	struct peer peer;
};

static inline enum modbus_exception model_read_bits(void *model, uint8_t unit, enum modbus_area area,
						    uint16_t address, uint16_t count, uint8_t *bits)
{
	const struct model *m = model;

	(void)unit;
	(void)area;
	if (address + count > NREGS)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	for (unsigned i = 0; i < count; i++)
		modbus_bit_set(bits, i, m->bits[address + i]);
	return MODBUS_EXCEPTION_NONE;
}

static inline enum modbus_exception model_read_regs(void *model, uint8_t unit, enum modbus_area area,
						    uint16_t address, uint16_t count, uint16_t *regs)
{
	const struct model *m = model;

	(void)area;
	if (unit == 99)
		return MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE;
	if (address + count > NREGS)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	memcpy(regs, m->regs + address, count * sizeof(*regs));
	return MODBUS_EXCEPTION_NONE;
}

static inline enum modbus_exception model_write_regs(void *model, uint8_t unit, uint16_t address,
						     uint16_t count, const uint16_t *regs)
{
	struct model *m = model;

	(void)unit;
	if (address + count > NREGS)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	memcpy(m->regs + address, regs, count * sizeof(*regs));
	m->writes++;
	return MODBUS_EXCEPTION_NONE;
}

/* No write_bits: coils of this device are read only. */
static const struct modbus_model_ops model_ops = {
	.read_bits = model_read_bits,
	.read_regs = model_read_regs,
	.write_regs = model_write_regs,
};

static inline void peer_send(struct peer *p, const void *bytes, size_t len)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	size_t put = 0;

	assert_int_equal(stream_write(p->stream, &iov, 1, &put), OK);
	assert_int_equal(put, len);
}

static inline void peer_answer(struct peer *p, uint16_t transaction, uint8_t unit, struct span pdu)
{
	uint8_t out[MODBUS_ADU_MAX];
	size_t len = 0;

	assert_int_equal(modbus_adu_encode(transaction, unit, pdu, out, sizeof(out), &len), OK);
	peer_send(p, out, len);
}

static inline void peer_ready(struct stream *s, unsigned events)
{
	struct peer *p = s->owner;
	struct modbus_adu adu;
	bool more = true;
	size_t got = 0;

	(void)events;
	while (more && p->stream == s &&
	       stream_read(s, p->bytes + p->len, sizeof(p->bytes) - p->len, &got, &more) == OK) {
		p->len += got;
		while (p->stream == s && modbus_adu_split(p->bytes + p->at, p->len - p->at, &adu) == OK) {
			p->at += adu.size;
			p->frames[p->nframes++ % 64] = adu;
			if (p->on_frame)
				p->on_frame(p, &adu);
		}
	}
}

static inline void peer_close(struct peer *p)
{
	stream_close(p->stream);
	p->stream = NULL;
}

static inline void peer_accepted(struct acceptor *a, struct stream *s)
{
	struct peer *p = container_of(a, struct peer, acceptor);

	stream_close(p->stream);
	p->stream = s;
	p->len = p->at = 0;
	p->connections++;
	s->owner = p;
	s->ready = peer_ready;
	assert_int_equal(stream_attach(s, p->loop), OK);
}

/* A master at "device"; the peer listens there when on_frame is given, the server when it is NULL. */
static inline void world_open(struct world *x, uint64_t seed, const struct modbus_master_tcp_options *options,
			      void (*on_frame)(struct peer *p, const struct modbus_adu *adu))
{
	struct dialer *dialer;
	struct acceptor *acceptor = &x->peer.acceptor;

	*x = (struct world){.peer = {.acceptor.accepted = peer_accepted, .on_frame = on_frame}};
	assert_int_equal(sim_world_create(seed, &x->w), OK);
	assert_int_equal(sim_net_create(x->w, &x->net), OK);
	assert_int_equal(sim_loop_create(x->w, &x->near), OK);
	assert_int_equal(sim_loop_create(x->w, &x->far), OK);
	x->peer.loop = x->far;
	if (!on_frame) {
		assert_int_equal(modbus_server_create(x->far, &model_ops, &x->model, 4, &x->server), OK);
		acceptor = modbus_server_acceptor(x->server);
	}
	assert_int_equal(sim_net_listen(x->net, x->far, "device", acceptor, &x->listener), OK);
	assert_int_equal(sim_net_dialer(x->net, "device", &dialer), OK);
	assert_int_equal(modbus_master_tcp_create(x->near, dialer, options, &x->master), OK);
}

static inline void world_unlisten(struct world *x)
{
	if (x->listener)
		sim_net_unlisten(x->listener);
	x->listener = NULL;
}

static inline void world_close(struct world *x)
{
	modbus_master_destroy(x->master);
	world_unlisten(x);
	modbus_server_destroy(x->server);
	stream_close(x->peer.stream);
	sim_net_destroy(x->net);
	loop_destroy(x->near);
	loop_destroy(x->far);
	sim_world_destroy(x->w);
}

/* Until then, or nothing happens any more. */
static inline void world_run(struct world *x, uint64_t us)
{
	int rc = sim_run(x->w, us, NULL, NULL);

	assert_true(rc == ERR_TIMEOUT || rc == ERR_NOT_FOUND || rc == OK);
}

#endif
