#include "net/serial_sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_bus {
	struct sim_world *world;
	uint64_t char_ns;
	uint64_t silence_us;
	struct sim_bus_faults faults;
	struct sim_bus_stats stats;
	struct list nodes;
	bool is_unplugged;
	unsigned ndialers;
	void (*monitor)(void *arg, const struct sim_bus_byte *byte);
	void *monitor_arg;
};

/* A port that was opened. */
struct sim_port {
	struct stream stream;
	struct sim_bus_node node;
	struct loop *loop; /* NULL: not attached */
	struct sim_event event;
	struct loop_timer arrival; /* the adapter hands on what it kept back */
	bool is_broken, short_write;
	size_t len, visible; /* bytes heard; those of them that the host may read */
	uint8_t in[4 * SIM_BUS_FRAME_MAX];
};

struct sim_bus_dialer {
	struct dialer dialer;
	struct sim_bus *bus;
};

/* ---- the wire ---- */

static uint64_t now_ns(const struct sim_bus *b)
{
	return sim_now_us(b->world) * 1000;
}

static void start_byte(struct sim_bus_node *n, uint64_t at_ns)
{
	struct sim_bus *b = n->bus;
	uint64_t now = now_ns(b);

	n->is_sending = true;
	n->is_collided = false;
	n->start_ns = at_ns;
	n->end_ns = at_ns + b->char_ns;
	list_for_each (node, &b->nodes) {
		struct sim_bus_node *other = container_of(node, struct sim_bus_node, in_bus);

		if (other == n || !other->is_sending || other->end_ns <= at_ns)
			continue;
		n->is_collided = true;
		other->is_collided = true;
	}
	sim_timer_set(b->world, &n->byte_timer, (n->end_ns - now + 999) / 1000);
}

static void hear(struct sim_bus *b, struct sim_bus_node *sender, uint8_t value)
{
	list_for_each (node, &b->nodes) {
		struct sim_bus_node *n = container_of(node, struct sim_bus_node, in_bus);

		if (n != sender ? !n->is_sending : n->is_host && b->faults.echo)
			n->heard(n, value);
	}
}

static void port_room(struct sim_bus_node *n);

static void byte_ends(struct loop_timer *t)
{
	struct sim_bus_node *n = container_of(t, struct sim_bus_node, byte_timer);
	struct sim_bus *b = n->bus;
	struct sim_bus_byte byte = {
		.is_host = n->is_host,
		.is_collided = n->is_collided,
		.value = n->out[n->at++],
		.start_ns = n->start_ns,
		.end_ns = n->end_ns,
	};

	n->is_sending = false;
	b->stats.bytes++;
	b->stats.collisions += byte.is_collided;
	if (byte.is_collided)
		byte.value = (uint8_t)sim_random(b->world, 256);
	else if (sim_one_in(b->world, b->faults.flip_one_in))
		byte.value ^= (uint8_t)(1u << sim_random(b->world, 8));
	if (b->monitor)
		b->monitor(b->monitor_arg, &byte);
	if (n->at < n->len)
		start_byte(n, n->end_ns);
	else
		n->at = n->len = 0;
	if (n->is_host)
		port_room(n);
	if (!sim_one_in(b->world, b->faults.drop_one_in))
		hear(b, n, byte.value);
}

static void start_now(struct loop_timer *t)
{
	struct sim_bus_node *n = container_of(t, struct sim_bus_node, start_timer);

	start_byte(n, now_ns(n->bus));
}

/* How much of it there was room for. */
static size_t say(struct sim_bus_node *n, const uint8_t *bytes, size_t len)
{
	if (n->at > 0) {
		memmove(n->out, n->out + n->at, n->len - n->at);
		n->len -= n->at;
		n->at = 0;
	}
	if (len > sizeof(n->out) - n->len)
		len = sizeof(n->out) - n->len;
	memcpy(n->out + n->len, bytes, len);
	n->len += len;
	return len;
}

static void node_init(struct sim_bus_node *n, struct sim_bus *b, bool is_host,
		      void (*heard)(struct sim_bus_node *n, uint8_t byte))
{
	*n = (struct sim_bus_node){.bus = b, .is_host = is_host, .heard = heard};
	loop_timer_init(&n->byte_timer, byte_ends);
	loop_timer_init(&n->start_timer, start_now);
	list_init(&n->in_bus);
	list_append(&b->nodes, &n->in_bus);
}

static void node_leave(struct sim_bus_node *n)
{
	sim_timer_cancel(&n->byte_timer);
	sim_timer_cancel(&n->start_timer);
	n->is_sending = false;
	n->at = n->len = 0;
	list_remove(&n->in_bus);
}

/* ---- devices ---- */

static void device_silence(struct loop_timer *t)
{
	struct sim_bus_device *d = container_of(t, struct sim_bus_device, silence);
	size_t len = d->len;

	d->len = 0;
	d->frame(d, d->in, len);
}

static void device_heard(struct sim_bus_node *n, uint8_t byte)
{
	struct sim_bus_device *d = container_of(n, struct sim_bus_device, node);

	if (d->len < sizeof(d->in))
		d->in[d->len++] = byte;
	sim_timer_set(n->bus->world, &d->silence, n->bus->silence_us);
}

void sim_bus_add(struct sim_bus *b, struct sim_bus_device *d)
{
	node_init(&d->node, b, false, device_heard);
	loop_timer_init(&d->silence, device_silence);
	d->len = 0;
}

void sim_bus_remove(struct sim_bus_device *d)
{
	node_leave(&d->node);
	sim_timer_cancel(&d->silence);
}

int sim_bus_say(struct sim_bus_device *d, const void *bytes, size_t len, uint64_t after_us)
{
	struct sim_bus_node *n = &d->node;

	if (len > sizeof(n->out) - (n->len - n->at))
		return ERR_FULL;
	(void)say(n, bytes, len);
	if (len > 0 && !n->is_sending && !loop_timer_pending(&n->start_timer))
		sim_timer_set(n->bus->world, &n->start_timer, after_us);
	return OK;
}

/* ---- ports ---- */

static struct sim_port *port_of(struct stream *s)
{
	return container_of(s, struct sim_port, stream);
}

static void port_event(struct sim_port *p)
{
	if (p->loop)
		sim_event_post(p->loop, &p->event);
}

static void port_run(struct sim_event *e)
{
	struct sim_port *p = container_of(e, struct sim_port, event);
	unsigned events = p->is_broken ? LOOP_READABLE | LOOP_WRITABLE | LOOP_HANGUP : LOOP_WRITABLE;

	if (p->visible)
		events |= LOOP_READABLE;
	if (p->stream.ready)
		p->stream.ready(&p->stream, events);
}

static void port_arrival(struct loop_timer *t)
{
	struct sim_port *p = container_of(t, struct sim_port, arrival);

	p->visible = p->len;
	port_event(p);
}

/* A short write waits for the wire. */
static void port_room(struct sim_bus_node *n)
{
	struct sim_port *p = container_of(n, struct sim_port, node);

	if (!p->short_write || n->len - n->at > sizeof(n->out) / 2)
		return;
	p->short_write = false;
	port_event(p);
}

static void port_heard(struct sim_bus_node *n, uint8_t byte)
{
	struct sim_port *p = container_of(n, struct sim_port, node);
	struct sim_bus *b = n->bus;

	if (p->len == sizeof(p->in))
		return; /* overrun */
	p->in[p->len++] = byte;
	if (!b->faults.max_delay_us)
		port_arrival(&p->arrival);
	else if (!loop_timer_pending(&p->arrival))
		sim_timer_set(b->world, &p->arrival, sim_random(b->world, b->faults.max_delay_us + 1));
}

static int port_read(struct stream *s, uint8_t *buf, size_t room, size_t *got, bool *more)
{
	struct sim_port *p = port_of(s);
	size_t n = p->visible < room ? p->visible : room;

	if (p->is_broken)
		return ERR_IO;
	if (n == 0)
		return ERR_AGAIN;
	memcpy(buf, p->in, n);
	memmove(p->in, p->in + n, p->len - n);
	p->len -= n;
	p->visible -= n;
	*got = n;
	*more = p->visible > 0;
	return OK;
}

static int port_write(struct stream *s, const struct iovec *iov, int niov, size_t *put)
{
	struct sim_port *p = port_of(s);
	struct sim_bus_node *n = &p->node;

	*put = 0;
	if (p->is_broken)
		return ERR_IO;
	for (int i = 0; i < niov; i++) {
		size_t done = say(n, iov[i].iov_base, iov[i].iov_len);

		*put += done;
		if (done < iov[i].iov_len) {
			p->short_write = true;
			break;
		}
	}
	if (*put > 0 && !n->is_sending)
		start_byte(n, now_ns(n->bus));
	return OK;
}

static int port_attach(struct stream *s, struct loop *loop)
{
	struct sim_port *p = port_of(s);

	assert(!p->loop);
	p->loop = loop;
	port_event(p);
	return OK;
}

static void port_detach(struct stream *s)
{
	struct sim_port *p = port_of(s);

	sim_event_cancel(&p->event);
	p->loop = NULL;
}

static void port_close(struct stream *s)
{
	struct sim_port *p = port_of(s);

	port_detach(s);
	sim_timer_cancel(&p->arrival);
	node_leave(&p->node);
	free(p);
}

static void port_peer(const struct stream *s, char *buf, size_t size)
{
	(void)s;
	snprintf(buf, size, "sim-bus");
}

static const struct stream_ops port_ops = {
	.read = port_read,
	.write = port_write,
	.attach = port_attach,
	.detach = port_detach,
	.close = port_close,
	.peer = port_peer,
};

static int bus_dial(struct dialer *base, struct loop *loop, struct stream **out)
{
	struct sim_bus *b = container_of(base, struct sim_bus_dialer, dialer)->bus;
	struct sim_port *p;

	if (b->is_unplugged)
		return ERR_IO;
	p = calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	p->stream.ops = &port_ops;
	sim_event_init(&p->event, port_run);
	loop_timer_init(&p->arrival, port_arrival);
	node_init(&p->node, b, true, port_heard);
	*out = &p->stream;
	return port_attach(&p->stream, loop);
}

static void bus_describe(const struct dialer *d, char *buf, size_t size)
{
	(void)d;
	snprintf(buf, size, "sim-bus");
}

static void bus_dialer_destroy(struct dialer *base)
{
	struct sim_bus_dialer *d = container_of(base, struct sim_bus_dialer, dialer);

	d->bus->ndialers--;
	free(d);
}

int sim_bus_dialer(struct sim_bus *b, struct dialer **out)
{
	struct sim_bus_dialer *d = calloc(1, sizeof(*d));

	if (!d)
		return ERR_NOMEM;
	d->dialer =
		(struct dialer){.dial = bus_dial, .describe = bus_describe, .destroy = bus_dialer_destroy};
	d->bus = b;
	b->ndialers++;
	*out = &d->dialer;
	return OK;
}

void sim_bus_unplug(struct sim_bus *b)
{
	b->is_unplugged = true;
	list_for_each (node, &b->nodes) {
		struct sim_bus_node *n = container_of(node, struct sim_bus_node, in_bus);
		struct sim_port *p = container_of(n, struct sim_port, node);

		if (!n->is_host)
			continue;
		node_leave(n);
		p->is_broken = true;
		port_event(p);
	}
}

void sim_bus_plug(struct sim_bus *b)
{
	b->is_unplugged = false;
}

/* ---- life ---- */

int sim_bus_create(struct sim_world *w, uint32_t baud, unsigned char_bits, struct sim_bus **out)
{
	struct sim_bus *b = calloc(1, sizeof(*b));

	if (!b)
		return ERR_NOMEM;
	b->world = w;
	b->char_ns = UINT64_C(1000000000) * char_bits / baud;
	b->silence_us = baud > 19200 ? 1750 : (b->char_ns * 7 / 2 + 999) / 1000;
	list_init(&b->nodes);
	*out = b;
	return OK;
}

void sim_bus_destroy(struct sim_bus *b)
{
	if (!b)
		return;
	assert(list_empty(&b->nodes) && b->ndialers == 0);
	free(b);
}

void sim_bus_set_faults(struct sim_bus *b, const struct sim_bus_faults *f)
{
	b->faults = *f;
}

void sim_bus_stats(const struct sim_bus *b, struct sim_bus_stats *out)
{
	*out = b->stats;
}

uint64_t sim_bus_char_ns(const struct sim_bus *b)
{
	return b->char_ns;
}

void sim_bus_monitor(struct sim_bus *b, void (*byte)(void *arg, const struct sim_bus_byte *byte), void *arg)
{
	b->monitor = byte;
	b->monitor_arg = arg;
}
