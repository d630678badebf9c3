/* The threads of the load generator: receive, check, acknowledge, and refill the publishers' windows. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define READ_MAX  (256u * 1024)
#define REPLY_MAX (READ_MAX + 4) /* an acknowledgement is never longer than what it answers */
#define EVENTS    256
#define EPOLL_MS  50
#define MARK_WAKE NULL

enum { PUBLISH = 3, PUBACK, PUBREC, PUBREL, PUBCOMP };

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	/* One writer per counter: no locked instruction needed. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static void transmit(struct conn *c, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	do {
		n = send(c->fd, bytes, len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)len)
		fail("send of %zu bytes: %s", len, n < 0 ? strerror(errno) : "the socket buffer is full");
}

/* One send() with `n` messages. */
static void publish(struct worker *w, struct flow *f, unsigned n)
{
	struct conn *c = &f->publisher;
	uint8_t *at = w->buffer;

	for (unsigned i = 0; i < n; i++) {
		const struct packet *p = &f->packets[c->next % f->npackets];
		memcpy(at, p->bytes, p->len);
		memcpy(at + p->len - PAYLOAD + 8, &c->next, 8);
		if (p->id_at > 0) {
			unsigned id = (unsigned)(c->next % 65535 + 1);
			at[p->id_at] = (uint8_t)(id >> 8);
			at[p->id_at + 1] = (uint8_t)id;
		}
		at += p->len;
		c->next++;
	}
	transmit(c, w->buffer, (size_t)(at - w->buffer));
	count(&w->sent, n);
}

static uint64_t fanout_done(const struct load *load)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < load->plan->threads; i++) {
		const struct worker *w = &load->workers[i];
		uint64_t done = atomic_load_explicit(&w->done_shared, memory_order_acquire);
		if (w->count > 0 && done < least)
			least = done;
	}
	return least;
}

/* Send as many full batches as the window has room for. */
static void refill(struct worker *w, struct flow *f)
{
	const struct plan *p = w->plan;
	uint64_t done;

	if (f->publisher.fd < 0 || atomic_load_explicit(&w->load->phase, memory_order_relaxed) != PHASE_RUN)
		return;
	if (p->mode == MODE_FANOUT)
		done = fanout_done(w->load);
	else if (p->mode == MODE_FANIN)
		done = atomic_load_explicit(&f->received, memory_order_acquire);
	else
		done = f->subscriber.next;
	if (p->qos > 0 && f->publisher.acked < done)
		done = f->publisher.acked;
	while (f->publisher.next + p->batch <= done + p->window)
		publish(w, f, p->batch);
}

/* ---- what arrives ---- */

static void reply(struct conn *c, unsigned first, const uint8_t *id)
{
	uint8_t *at = c->reply + c->nreply;

	at[0] = (uint8_t)first;
	at[1] = 2;
	at[2] = id[0];
	at[3] = id[1];
	c->nreply += 4;
}

static void fanout_count(struct worker *w, uint64_t number)
{
	uint16_t *left = &w->remaining[number % w->plan->window];

	if (--*left == 0) {
		*left = (uint16_t)w->count;
		w->done = number + 1;
	}
}

/* Is it the next of its publisher? */
static bool is_next(struct worker *w, const struct conn *c, uint32_t publisher, uint64_t number)
{
	const struct plan *p = w->plan;
	struct flow *f;

	if (p->mode == MODE_FANOUT)
		return publisher == 0 && number == c->next;
	if (p->mode == MODE_EXCHANGE)
		return publisher == c->flow->id && number == c->next;
	if (publisher >= p->flows)
		return false;
	f = &w->load->flows[publisher];
	if (number != atomic_load_explicit(&f->received, memory_order_relaxed))
		return false;
	atomic_store_explicit(&f->received, number + 1, memory_order_release);
	return true;
}

/* A PUBLISH of `len` bytes at the subscriber: payload and packet id are at its end, whatever the topic. */
static void message(struct worker *w, struct conn *c, const uint8_t *p, size_t len)
{
	unsigned qos = p[0] >> 1 & 3;
	uint32_t publisher;
	uint64_t number;

	if (c->is_publisher || qos != w->plan->qos || len < PAYLOAD + 4) {
		count(&w->faults, 1);
		return;
	}
	memcpy(&publisher, p + len - PAYLOAD, sizeof(publisher));
	memcpy(&number, p + len - PAYLOAD + 8, sizeof(number));
	if (!is_next(w, c, publisher, number)) {
		count(&w->faults, 1);
		return;
	}
	c->next++;
	if (w->plan->mode == MODE_FANOUT)
		fanout_count(w, number);
	if (qos > 0)
		reply(c, qos == 1 ? 0x40 : 0x50, p + len - PAYLOAD - 2);
}

/* An acknowledgement. Those to a publisher must come in the order of its messages (3.1.1, 4.6). */
static void acknowledgement(struct worker *w, struct conn *c, const uint8_t *p, size_t len)
{
	unsigned type = p[0] >> 4;
	uint64_t *in_order = type == PUBREC ? &c->rel : &c->acked;

	if (len != 4) {
		count(&w->faults, 1);
		return;
	}
	if (type == PUBREL) {
		reply(c, 0x70, p + 2);
		return;
	}
	if (!c->is_publisher || (unsigned)(p[2] << 8 | p[3]) != *in_order % 65535 + 1)
		count(&w->faults, 1);
	++*in_order;
	if (type == PUBREC)
		reply(c, 0x62, p + 2);
	else
		count(&w->acked, 1);
}

static void packet(struct worker *w, struct conn *c, const uint8_t *p, size_t len)
{
	switch (p[0] >> 4) {
	case PUBLISH:
		message(w, c, p, len);
		break;
	case PUBACK:
	case PUBREC:
	case PUBREL:
	case PUBCOMP:
		acknowledgement(w, c, p, len);
		break;
	default:
		fail("packet of type %u in the middle of a run", p[0] >> 4);
	}
}

/* Size of the packet at p, 0 when that is not known yet. */
static size_t packet_size(const uint8_t *p, size_t len)
{
	size_t size;

	if (len < 2)
		return 0;
	if (p[1] < 0x80)
		return 2u + p[1];
	if (len < 3)
		return 0;
	size = 3u + (p[1] & 0x7f) + ((size_t)p[2] << 7);
	if (p[2] >= 0x80 || size > PACKET_MAX)
		fail("a packet that is longer than any that was sent");
	return size;
}

static void parse(struct worker *w, struct conn *c, const uint8_t *p, size_t len)
{
	uint64_t before = c->next;
	size_t size;

	while ((size = packet_size(p, len)) > 0 && size <= len) {
		packet(w, c, p, size);
		p += size;
		len -= size;
	}
	memcpy(c->part, p, len);
	c->have = (uint32_t)len;
	if (!c->is_publisher)
		count(&w->delivered, c->next - before);
	if (c->nreply > 0) {
		transmit(c, c->reply, c->nreply);
		c->nreply = 0;
	}
}

/* Whatever is there: epoll tells only what is new. */
static void readable(struct worker *w, struct conn *c)
{
	ssize_t n;

	do {
		uint8_t *start = w->buffer + PACKET_MAX - c->have;

		memcpy(start, c->part, c->have);
		n = recv(c->fd, w->buffer + PACKET_MAX, READ_MAX, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail("the broker closed the connection of %s %u",
			     c->is_publisher ? "publisher" : "subscriber", c->flow->id);
		parse(w, c, start, c->have + (size_t)n);
		if (w->plan->mode == MODE_EXCHANGE)
			refill(w, c->flow);
	} while (n < 0 || n == READ_MAX);
}

/* Publish how far all subscribers of this thread are, and wake the publisher's thread when that frees a batch. */
static void fanout_tell(struct worker *w)
{
	struct worker *publisher = &w->load->workers[0];

	if (w->done - w->told >= w->plan->batch) {
		w->told = w->done;
		atomic_store_explicit(&w->done_shared, w->done, memory_order_release);
		if (w != publisher && write(publisher->wake, &(uint64_t){1}, 8) < 0)
			fail("eventfd: %s", strerror(errno));
	}
	if (w == publisher)
		refill(w, &w->load->flows[0]);
}

/* The subscriber has more: every thread may have publishers with room now. */
static void fanin_tell(struct worker *w)
{
	if (w->index == 0 && w->load->flows[0].subscriber.next != w->told) {
		w->told = w->load->flows[0].subscriber.next;
		for (unsigned i = 1; i < w->plan->threads; i++)
			if (write(w->load->workers[i].wake, &(uint64_t){1}, 8) < 0)
				fail("eventfd: %s", strerror(errno));
	}
	for (unsigned i = w->index; i < w->plan->flows; i += w->plan->threads)
		refill(w, &w->load->flows[i]);
}

/* ---- the thread ---- */

static void watch(struct worker *w, int fd, void *mark)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = mark};

	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		fail("epoll_ctl: %s", strerror(errno));
}

static void adopt(struct worker *w, struct conn *c)
{
	if (c->fd < 0)
		return;
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
		fail("fcntl: %s", strerror(errno));
	if (w->plan->qos > 0)
		c->reply = need(malloc(REPLY_MAX));
	watch(w, c->fd, c);
}

void worker_init(struct worker *w, struct load *load, unsigned index)
{
	const struct plan *p = load->plan;

	w->plan = p;
	w->load = load;
	w->index = index;
	w->count = (p->flows - index + p->threads - 1) / p->threads;
	w->buffer = need(malloc(PACKET_MAX + (size_t)READ_MAX + (size_t)PACKET_MAX * WINDOW_MAX));
	w->remaining = need(calloc(p->window, sizeof(*w->remaining)));
	for (unsigned i = 0; i < p->window; i++)
		w->remaining[i] = (uint16_t)w->count;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->epoll < 0 || w->wake < 0)
		fail("epoll: %s", strerror(errno));
	watch(w, w->wake, MARK_WAKE);
	for (unsigned i = w->index; i < p->flows; i += p->threads) {
		adopt(w, &load->flows[i].publisher);
		adopt(w, &load->flows[i].subscriber);
	}
}

void *worker_run(void *worker)
{
	struct worker *w = worker;
	struct epoll_event events[EVENTS];

	for (unsigned i = w->index; i < w->plan->flows; i += w->plan->threads)
		refill(w, &w->load->flows[i]);
	while (atomic_load_explicit(&w->load->phase, memory_order_relaxed) != PHASE_END) {
		int n = epoll_wait(w->epoll, events, EVENTS, EPOLL_MS);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr !=
			    MARK_WAKE) /* each write is an edge: nothing to read there */
				readable(w, events[i].data.ptr);
		}
		if (w->plan->mode == MODE_FANOUT)
			fanout_tell(w);
		else if (w->plan->mode == MODE_FANIN)
			fanin_tell(w);
	}
	return NULL;
}

void worker_fini(struct worker *w)
{
	close(w->epoll);
	close(w->wake);
	free(w->remaining);
	free(w->buffer);
}
