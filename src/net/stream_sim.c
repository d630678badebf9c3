#include "net/stream_sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/sim_impl.h"

static struct sim_end *end_of(struct stream *s)
{
	return container_of(s, struct sim_end, stream);
}

static struct sim_end *other_end(struct sim_end *e)
{
	return e == &e->conn->client ? &e->conn->server : &e->conn->client;
}

static struct sim_world *world_of(const struct sim_end *e)
{
	return e->conn->net->world;
}

static const struct sim_net_faults *faults_of(const struct sim_end *e)
{
	return &e->conn->net->faults;
}

uint64_t sim_delay_us(struct sim_net *n)
{
	return 1 + sim_random(n->world, n->faults.max_delay_us + 1);
}

/* ---- events ---- */

static bool has_bytes(const struct sim_end *e)
{
	const struct list *first = e->in.chunks.next;

	if (first == &e->in.chunks)
		return false;
	/* node is the first member */
	return ((const struct sim_chunk *)(const void *)first)->arrives_us <= sim_now_us(world_of(e));
}

static bool has_ended(const struct sim_end *e)
{
	return e->in.has_fin && e->in.fin_us <= sim_now_us(world_of(e));
}

static bool has_room(struct sim_end *e)
{
	return other_end(e)->in.bytes < faults_of(e)->buffer;
}

/* All that is true now, as poll() would say. */
static unsigned state_of(struct sim_end *e)
{
	unsigned state = 0;

	if (!e->is_up)
		return e->is_broken ? LOOP_HANGUP : 0;
	if (e->is_broken)
		return LOOP_READABLE | LOOP_WRITABLE | LOOP_HANGUP;
	if (has_bytes(e))
		state |= LOOP_READABLE;
	if (has_ended(e))
		state |= LOOP_READABLE | LOOP_HANGUP;
	if (has_room(e))
		state |= LOOP_WRITABLE;
	return state;
}

void sim_end_edge(struct sim_end *e, unsigned edges)
{
	e->edges |= edges;
	if (e->loop)
		sim_event_post(e->loop, &e->event);
}

static void event_run(struct sim_event *event)
{
	struct sim_end *e = container_of(event, struct sim_end, event);
	unsigned state = state_of(e);
	unsigned events = state & e->edges;

	e->edges = 0;
	if (!events)
		return;
	events |= state & LOOP_HANGUP;
	if (sim_one_in(world_of(e), 2))
		events = state; /* what is true but not new: epoll shows it as well */
	sim_trace(world_of(e), events);
	if (e->stream.ready)
		e->stream.ready(&e->stream, events);
}

/* ---- bytes on their way ---- */

static void chunk_drop(struct sim_pipe *p, struct sim_chunk *c)
{
	p->bytes -= c->len - c->off;
	list_remove(&c->node);
	free(c);
}

/* Forget the chunks that arrive after `until_us`. */
static void pipe_drop_after(struct sim_pipe *p, uint64_t until_us)
{
	while (!list_empty(&p->chunks)) {
		struct sim_chunk *c = container_of(p->chunks.prev, struct sim_chunk, node);

		if (c->arrives_us <= until_us)
			return;
		chunk_drop(p, c);
	}
}

static void pipe_drop_all(struct sim_pipe *p)
{
	while (!list_empty(&p->chunks))
		chunk_drop(p, container_of(p->chunks.next, struct sim_chunk, node));
}

/* Set the timer for the next arrival at `e`. */
static void arm_arrival(struct sim_end *e)
{
	uint64_t now_us = sim_now_us(world_of(e));

	if (loop_timer_pending(&e->in.arrival))
		return;
	list_for_each (node, &e->in.chunks) {
		const struct sim_chunk *c = container_of(node, struct sim_chunk, node);

		if (c->arrives_us > now_us) {
			sim_timer_set(world_of(e), &e->in.arrival, c->arrives_us - now_us);
			return;
		}
	}
	if (e->in.has_fin && e->in.fin_us > now_us)
		sim_timer_set(world_of(e), &e->in.arrival, e->in.fin_us - now_us);
}

static void arrival_fire(struct loop_timer *t)
{
	struct sim_end *e = container_of(t, struct sim_end, in.arrival);

	sim_end_edge(e, LOOP_READABLE | (has_ended(e) ? LOOP_HANGUP : 0u));
	arm_arrival(e);
}

static void room_fire(struct loop_timer *t)
{
	struct sim_end *reader = container_of(t, struct sim_end, in.room);
	struct sim_end *writer = other_end(reader);

	if (!writer->is_open || !reader->in.short_write || !has_room(writer))
		return;
	reader->in.short_write = false;
	sim_end_edge(writer, LOOP_WRITABLE);
}

static void arm_room(struct sim_end *reader)
{
	if (reader->in.short_write && has_room(other_end(reader)) && !loop_timer_pending(&reader->in.room))
		sim_timer_set(world_of(reader), &reader->in.room, sim_delay_us(reader->conn->net));
}

/* When what is sent to `to` now gets there. */
static uint64_t arrival_us(struct sim_end *to)
{
	uint64_t at_us = sim_now_us(world_of(to)) + sim_delay_us(to->conn->net);

	if (at_us < to->in.last_us)
		at_us = to->in.last_us;
	to->in.last_us = at_us;
	return at_us;
}

/* ---- breaking ---- */

static void end_break(struct sim_end *e)
{
	struct sim_world *w = world_of(e);

	e->is_broken = true;
	sim_timer_cancel(&e->hangup);
	sim_timer_cancel(&e->in.arrival);
	if (sim_one_in(w, 2))
		pipe_drop_all(&e->in);
	else
		pipe_drop_after(&e->in, sim_now_us(w));
	sim_end_edge(e, LOOP_READABLE | LOOP_WRITABLE | LOOP_HANGUP);
}

static void hangup_fire(struct loop_timer *t)
{
	end_break(container_of(t, struct sim_end, hangup));
}

void sim_end_cut(struct sim_end *e)
{
	struct sim_end *other = other_end(e);

	if (!e->conn->is_cut) {
		e->conn->is_cut = true;
		sim_timer_cancel(&e->conn->progress);
		if (other->is_open)
			sim_timer_set(world_of(e), &other->hangup, sim_delay_us(e->conn->net));
	}
	if (!e->is_broken)
		end_break(e);
}

void sim_stream_cut(struct stream *s)
{
	sim_end_cut(end_of(s));
}

static void maybe_cut(struct sim_end *e)
{
	if (!e->is_broken && sim_one_in(world_of(e), faults_of(e)->cut_one_in))
		sim_end_cut(e);
}

/* How much of 1..n an operation does. */
static size_t maybe_part(struct sim_end *e, size_t n)
{
	return sim_one_in(world_of(e), faults_of(e)->partial_one_in) ? 1 + sim_random(world_of(e), n) : n;
}

/* ---- the stream's operations ---- */

static size_t take_arrived(struct sim_end *e, uint8_t *buf, size_t room)
{
	size_t done = 0;

	while (done < room && has_bytes(e)) {
		struct sim_chunk *c = container_of(e->in.chunks.next, struct sim_chunk, node);
		size_t n = c->len - c->off < room - done ? c->len - c->off : room - done;

		memcpy(buf + done, c->bytes + c->off, n);
		c->off += n;
		e->in.bytes -= n;
		done += n;
		if (c->off == c->len)
			chunk_drop(&e->in, c);
	}
	return done;
}

static int sim_read(struct stream *s, uint8_t *buf, size_t room, size_t *got, bool *more)
{
	struct sim_end *e = end_of(s);

	assert(room > 0);
	if (!e->is_up)
		return e->is_broken ? ERR_IO : ERR_AGAIN;
	maybe_cut(e);
	if (has_bytes(e)) {
		*got = take_arrived(e, buf, maybe_part(e, room));
		*more = *got == room || has_bytes(e) || has_ended(e) || e->is_broken;
		sim_trace(world_of(e), *got);
		arm_room(e);
		return OK;
	}
	if (e->is_broken)
		return ERR_IO;
	return has_ended(e) ? ERR_CLOSED : ERR_AGAIN;
}

static void gather(uint8_t *to, size_t n, const struct iovec *iov)
{
	for (; n > 0; iov++) {
		size_t part = iov->iov_len < n ? iov->iov_len : n;

		if (part)
			memcpy(to, iov->iov_base, part);
		to += part;
		n -= part;
	}
}

static void trace_bytes(struct sim_world *w, const uint8_t *p, size_t n)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	sim_trace(w, hash);
}

static int send_chunk(struct sim_end *to, const struct iovec *iov, size_t n)
{
	struct sim_chunk *c = malloc(sizeof(*c) + n);

	if (!c)
		return ERR_NOMEM;
	list_init(&c->node);
	c->off = 0;
	c->len = n;
	gather(c->bytes, n, iov);
	c->arrives_us = arrival_us(to);
	list_append(&to->in.chunks, &c->node);
	to->in.bytes += n;
	trace_bytes(world_of(to), c->bytes, n);
	arm_arrival(to);
	return OK;
}

static int sim_write(struct stream *s, const struct iovec *iov, int niov, size_t *put)
{
	struct sim_end *e = end_of(s);
	struct sim_end *to = other_end(e);
	size_t asked = 0, n, room;

	*put = 0;
	if (!e->is_up)
		return e->is_broken ? ERR_IO : OK;
	maybe_cut(e);
	if (e->is_broken)
		return ERR_IO;
	if (has_ended(e))
		return ERR_CLOSED;
	for (int i = 0; i < niov; i++)
		asked += iov[i].iov_len;
	if (e->conn->is_cut || !to->is_open) {
		*put = asked; /* into the void; we have not heard yet */
		return OK;
	}
	room = has_room(e) ? faults_of(e)->buffer - to->in.bytes : 0;
	n = asked < room ? asked : room;
	if (n > 0)
		n = maybe_part(e, n);
	if (n > 0 && send_chunk(to, iov, n) < 0) {
		sim_end_cut(e);
		return ERR_IO;
	}
	*put = n;
	if (n < asked) {
		to->in.short_write = true;
		arm_room(to);
	}
	return OK;
}

static int sim_attach(struct stream *s, struct loop *loop)
{
	struct sim_end *e = end_of(s);

	assert(!e->loop);
	e->loop = loop;
	sim_end_edge(e, LOOP_READABLE | LOOP_WRITABLE | LOOP_HANGUP);
	return OK;
}

static void sim_detach(struct stream *s)
{
	struct sim_end *e = end_of(s);

	sim_event_cancel(&e->event);
	e->loop = NULL;
}

static void sim_peer(const struct stream *s, char *buf, size_t size)
{
	const struct sim_end *e = (const struct sim_end *)(const void *)s; /* its first member */

	if (e == &e->conn->client)
		snprintf(buf, size, "%s", e->conn->name);
	else
		snprintf(buf, size, "sim-%u", (unsigned)e->conn->id);
}

/* ---- life ---- */

static void conn_free(struct sim_conn *c)
{
	sim_timer_cancel(&c->progress);
	c->net->nusers--;
	free(c->name);
	free(c);
}

static void sim_close(struct stream *s)
{
	struct sim_end *e = end_of(s);
	struct sim_end *other = other_end(e);
	struct sim_conn *c = e->conn;

	sim_detach(s);
	e->is_open = false;
	sim_timer_cancel(&e->in.arrival);
	sim_timer_cancel(&e->in.room);
	sim_timer_cancel(&e->hangup);
	pipe_drop_all(&e->in);
	if (!other->is_open) {
		conn_free(c);
		return;
	}
	if (e == &c->client)
		sim_timer_cancel(&c->progress);
	if (!c->is_cut) {
		other->in.has_fin = true;
		other->in.fin_us = arrival_us(other);
		arm_arrival(other);
	}
}

static const struct stream_ops sim_ops = {
	.read = sim_read,
	.write = sim_write,
	.attach = sim_attach,
	.detach = sim_detach,
	.close = sim_close,
	.peer = sim_peer,
};

static void end_init(struct sim_end *e, struct sim_conn *c)
{
	e->stream.ops = &sim_ops;
	e->conn = c;
	sim_event_init(&e->event, event_run);
	list_init(&e->in.chunks);
	loop_timer_init(&e->in.arrival, arrival_fire);
	loop_timer_init(&e->in.room, room_fire);
	loop_timer_init(&e->hangup, hangup_fire);
}

int sim_conn_create(struct sim_net *n, const char *name, struct sim_conn **out)
{
	struct sim_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	c->name = strdup(name);
	if (!c->name) {
		free(c);
		return ERR_NOMEM;
	}
	c->net = n;
	c->id = n->next_conn_id++;
	list_init(&c->queued);
	end_init(&c->client, c);
	end_init(&c->server, c);
	n->nusers++;
	*out = c;
	return OK;
}
