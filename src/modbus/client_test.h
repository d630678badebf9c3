/*
 * For tests of the server: a client that sends bytes as it is told, and keeps what comes back.
 */
#ifndef MODBUS_CLIENT_TEST_H
#define MODBUS_CLIENT_TEST_H

#include "modbus/sim_test.h"

/* A client of raw bytes. */
struct client {
	struct stream *s;
	bool up, ended, paused;
	size_t len;
	uint8_t bytes[512 * 1024];
};

static inline void client_read(struct client *c)
{
	bool more = true;
	size_t got = 0;

	while (more && !c->paused) {
		int rc = stream_read(c->s, c->bytes + c->len, sizeof(c->bytes) - c->len, &got, &more);

		if (rc < 0) {
			c->ended = c->ended || rc != ERR_AGAIN;
			return;
		}
		c->len += got;
	}
}

static inline void client_ready(struct stream *s, unsigned events)
{
	struct client *c = s->owner;

	if (events & LOOP_WRITABLE)
		c->up = true;
	if (events & (LOOP_READABLE | LOOP_HANGUP))
		client_read(c);
}

static inline void connect_client(struct world *x, struct client *c)
{
	struct dialer *dialer;

	memset(c, 0, sizeof(*c));
	assert_int_equal(sim_net_dialer(x->net, "device", &dialer), OK);
	assert_int_equal(dialer->dial(dialer, x->near, &c->s), OK);
	c->s->owner = c;
	c->s->ready = client_ready;
	world_run(x, SECOND);
	assert_true(c->up);
	dialer->destroy(dialer);
}

/* As much as the wire takes; the bytes that it took. */
static inline size_t client_send(struct client *c, const void *bytes, size_t len)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	size_t put = 0;

	assert_int_equal(stream_write(c->s, &iov, 1, &put), OK);
	return put;
}

static inline size_t frame(uint8_t *to, uint16_t transaction, uint8_t unit, const uint8_t *pdu, size_t len)
{
	size_t size = 0;

	assert_int_equal(modbus_adu_encode(transaction, unit, span_of(pdu, len), to, MODBUS_ADU_MAX, &size),
			 OK);
	return size;
}

#endif
