/*
 * Connecting in the simulated network.
 *
 *   dialled --delay--> at the listener --delay--> the client is up
 *                            |   \--> queued, accepted in a turn of the listener's loop
 *                            +--> nobody listens: the client is broken
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/sim_impl.h"
#include "net/stream_sim.h"

#define DEFAULT_DELAY_US 1000
#define DEFAULT_BUFFER   65536

struct sim_listener {
	struct listener listener;
	struct sim_net *net;
	struct list node;
	struct loop *loop;
	struct acceptor *acceptor;
	struct sim_event event;
	struct list queue; /* connections not handed over yet */
	bool *gone;        /* set when the acceptor closes us from within */
	char *name;
};

struct sim_dialer {
	struct dialer dialer;
	struct sim_net *net;
	char *name;
};

int sim_net_create(struct sim_world *w, struct sim_net **out)
{
	struct sim_net *n = calloc(1, sizeof(*n));

	if (!n)
		return ERR_NOMEM;
	n->world = w;
	n->faults = (struct sim_net_faults){.max_delay_us = DEFAULT_DELAY_US, .buffer = DEFAULT_BUFFER};
	list_init(&n->listeners);
	*out = n;
	return OK;
}

void sim_net_destroy(struct sim_net *n)
{
	if (!n)
		return;
	assert(n->nusers == 0);
	free(n);
}

void sim_net_set_faults(struct sim_net *n, const struct sim_net_faults *f)
{
	assert(f->buffer > 0);
	n->faults = *f;
}

/* ---- listening ---- */

static struct sim_listener *listener_find(struct sim_net *n, const char *name)
{
	list_for_each (node, &n->listeners) {
		struct sim_listener *l = container_of(node, struct sim_listener, node);

		if (strcmp(l->name, name) == 0)
			return l;
	}
	return NULL;
}

static void listener_event(struct sim_event *event)
{
	struct sim_listener *l = container_of(event, struct sim_listener, event);
	struct list *node;
	bool gone = false;

	l->gone = &gone;
	while ((node = list_take_first(&l->queue))) {
		l->acceptor->accepted(l->acceptor,
				      &container_of(node, struct sim_conn, queued)->server.stream);
		if (gone)
			return;
	}
	l->gone = NULL;
}

static void sim_listener_close(struct listener *base)
{
	struct sim_listener *l = container_of(base, struct sim_listener, listener);
	struct list *node;

	if (l->gone)
		*l->gone = true;
	while ((node = list_take_first(&l->queue))) {
		struct sim_end *server = &container_of(node, struct sim_conn, queued)->server;

		sim_end_cut(server);
		stream_close(&server->stream);
	}
	sim_event_cancel(&l->event);
	list_remove(&l->node);
	l->net->nusers--;
	free(l->name);
	free(l);
}

int sim_net_listen(struct sim_net *n, struct loop *loop, const char *name, struct acceptor *a,
		   struct listener **out)
{
	struct sim_listener *l;

	if (listener_find(n, name))
		return ERR_EXISTS;
	l = calloc(1, sizeof(*l));
	if (!l)
		return ERR_NOMEM;
	l->name = strdup(name);
	if (!l->name) {
		free(l);
		return ERR_NOMEM;
	}
	l->listener.close = sim_listener_close;
	l->net = n;
	l->loop = loop;
	l->acceptor = a;
	sim_event_init(&l->event, listener_event);
	list_init(&l->queue);
	list_init(&l->node);
	list_append(&n->listeners, &l->node);
	n->nusers++;
	*out = &l->listener;
	return OK;
}

void sim_net_unlisten(struct listener *l)
{
	listener_close(l);
}

/* ---- dialling ---- */

static void reach_listener(struct sim_conn *c)
{
	struct sim_listener *l = listener_find(c->net, c->name);

	if (!l || sim_one_in(c->net->world, c->net->faults.cut_one_in)) {
		sim_end_cut(&c->client); /* the server end is not open: nobody else learns of it */
		return;
	}
	c->has_arrived = true;
	c->server.is_open = true;
	c->server.is_up = true;
	list_append(&l->queue, &c->queued);
	sim_event_post(l->loop, &l->event);
	sim_timer_set(c->net->world, &c->progress, sim_delay_us(c->net));
	/* What the server sends does not get there before the news that it is connected. */
	c->client.in.last_us = c->progress.due_ms;
}

static void progress_fire(struct loop_timer *t)
{
	struct sim_conn *c = container_of(t, struct sim_conn, progress);

	if (!c->has_arrived) {
		reach_listener(c);
		return;
	}
	c->client.is_up = true;
	sim_end_edge(&c->client, LOOP_READABLE | LOOP_WRITABLE | LOOP_HANGUP);
}

static int sim_dial(struct dialer *base, struct loop *loop, struct stream **out)
{
	const struct sim_dialer *d = container_of(base, struct sim_dialer, dialer);
	struct sim_conn *c;
	int rc;

	if ((rc = sim_conn_create(d->net, d->name, &c)) < 0)
		return rc;
	loop_timer_init(&c->progress, progress_fire);
	c->client.is_open = true;
	if ((rc = stream_attach(&c->client.stream, loop)) < 0) {
		stream_close(&c->client.stream);
		return rc;
	}
	sim_timer_set(d->net->world, &c->progress, sim_delay_us(d->net));
	*out = &c->client.stream;
	return OK;
}

static void sim_describe(const struct dialer *base, char *buf, size_t size)
{
	snprintf(buf, size, "%s",
		 ((const struct sim_dialer *)(const void *)base)->name); /* its first member */
}

static void sim_dialer_destroy(struct dialer *base)
{
	struct sim_dialer *d = container_of(base, struct sim_dialer, dialer);

	d->net->nusers--;
	free(d->name);
	free(d);
}

int sim_net_dialer(struct sim_net *n, const char *name, struct dialer **out)
{
	struct sim_dialer *d = calloc(1, sizeof(*d));

	if (!d)
		return ERR_NOMEM;
	d->name = strdup(name);
	if (!d->name) {
		free(d);
		return ERR_NOMEM;
	}
	d->dialer =
		(struct dialer){.dial = sim_dial, .describe = sim_describe, .destroy = sim_dialer_destroy};
	d->net = n;
	n->nusers++;
	*out = &d->dialer;
	return OK;
}
