/* What a thread of the load does with its connections: receive, check, acknowledge, send what window and clock allow. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/list.h"
#include "tools/bench.h"

#define DUE_MAX  256        /* sends before the next look at what has arrived */
#define JUMP_MAX (1u << 24) /* numbers that can be lost in a row; a larger step is no number of ours */

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	/* One writer per counter: no locked instruction needed. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static struct bench_publisher *publisher_of(struct bench_conn *c)
{
	return container_of(c, struct bench_publisher, c);
}

static struct bench_subscriber *subscriber_of(struct bench_conn *c)
{
	return container_of(c, struct bench_subscriber, c);
}

/* ---- a connection ---- */

/* The connection is of no use any more. The first of them says why. */
static void broken(struct bench_worker *w, struct bench_conn *c, const char *why)
{
	static const char *const roles[] = {"publisher", "subscriber", "slow subscriber"};

	if (c->fd < 0)
		return;
	if (!atomic_exchange(&w->load->has_fault, true))
		snprintf(w->load->fault, sizeof(w->load->fault), "%s %u: %s", roles[c->role], c->id, why);
	close(c->fd); /* which also takes it out of the epoll */
	c->fd = -1;
	if (c->out_len > 0)
		add(&w->count.stuck, (uint64_t)-1);
	c->have = c->out_len = c->out_at = 0;
	add(&w->count.broken, 1);
}

static void watch(struct bench_worker *w, struct bench_conn *c, bool is_waiting)
{
	struct epoll_event e = {.events = EPOLLIN | (is_waiting ? EPOLLOUT : 0), .data.ptr = c};

	if (c->is_waiting == is_waiting)
		return;
	c->is_waiting = is_waiting;
	if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &e) < 0)
		broken(w, c, strerror(errno));
}

/* Keep what the socket did not take. */
static void keep(struct bench_worker *w, struct bench_conn *c, const uint8_t *bytes, size_t len)
{
	if (c->out_room < c->out_len + len) {
		size_t room = (c->out_len + len) * 2;
		uint8_t *grown = realloc(c->out, room);

		if (!grown) {
			broken(w, c, err_text(ERR_NOMEM));
			return;
		}
		c->out = grown;
		c->out_room = room;
	}
	if (c->out_len == 0)
		add(&w->count.stuck, 1);
	memcpy(c->out + c->out_len, bytes, len);
	c->out_len += len;
	watch(w, c, true);
}

/* How many bytes the socket took; it is broken when that failed. */
static size_t try_send(struct bench_worker *w, struct bench_conn *c, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	do {
		n = send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN)
		broken(w, c, strerror(errno));
	return 0;
}

static void transmit(struct bench_worker *w, struct bench_conn *c, const uint8_t *bytes, size_t len)
{
	size_t sent = c->out_len == 0 ? try_send(w, c, bytes, len) : 0;

	if (sent < len && c->fd >= 0)
		keep(w, c, bytes + sent, len - sent);
}

/* ---- publishing ---- */

static void put_digits(uint8_t *at, uint64_t v)
{
	for (unsigned i = 8; i-- > 0; v /= 10)
		at[i] = (uint8_t)('0' + v % 10);
}

/* Append the message `number` of a publisher; returns its end. */
static uint8_t *put_message(const struct bench_load *l, const struct bench_publisher *p, uint8_t *at,
			    uint64_t number)
{
	const struct bench_head *h = &p->heads[p->nheads > 1 ? number % p->nheads : 0];

	memcpy(at, h->bytes, h->len);
	if (h->id_at > 0)
		put_u16be(at + h->id_at, (uint16_t)(number % MQTT_PACKET_IDS + 1));
	if (h->digits_at > 0)
		put_digits(at + h->digits_at, p->base + number);
	at += h->len;
	if (p->payload_len < BENCH_PAYLOAD_MIN)
		return at;
	memcpy(at, &p->c.id, 4);
	memcpy(at + 4, &l->run, 4);
	memcpy(at + 8, &number, 8);
	if (p->payload_len > BENCH_PAYLOAD_MIN)
		memcpy(at + BENCH_PAYLOAD_MIN, l->filler, p->payload_len - BENCH_PAYLOAD_MIN);
	return at + p->payload_len;
}

static _Atomic uint64_t *stamp(const struct bench_load *l, const struct bench_publisher *p, uint64_t number)
{
	/* The window, rounded up to a power of two. */
	uint64_t mask = ~(uint64_t)0 >> __builtin_clzll((uint64_t)l->o->window * 2 - 1) >> 1;

	return &p->stamps[number & mask];
}

/* When a message was sent, or with a rate, when it should have been. */
static uint64_t intended_ns(const struct bench_load *l, const struct bench_publisher *p, uint64_t number)
{
	uint64_t turn;

	if (p->stamps)
		return atomic_load_explicit(stamp(l, p, number), memory_order_relaxed);
	turn = number / l->o->batch * l->npublishers + p->c.id;
	return l->start_ns + (uint64_t)((double)turn * l->gap_ns);
}

/* One send() with `n` messages. */
static void publish(struct bench_worker *w, struct bench_publisher *p, unsigned n)
{
	uint8_t *at = w->batch;
	uint64_t now = p->stamps ? bench_now_ns() : 0;

	for (unsigned i = 0; i < n; i++) {
		if (p->stamps)
			atomic_store_explicit(stamp(w->load, p, p->next), now, memory_order_relaxed);
		at = put_message(w->load, p, at, p->next);
		p->next++;
	}
	add(&w->count.sent, n);
	transmit(w, &p->c, w->batch, (size_t)(at - w->batch));
}

/* Messages that all subscribers of a publisher have. */
static uint64_t all_have(const struct bench_load *l, const struct bench_publisher *p)
{
	uint64_t least = UINT64_MAX;

	for (uint64_t readers = p->readers; readers; readers &= readers - 1) {
		struct bench_worker *w = &l->workers[__builtin_ctzll(readers)];
		uint64_t done = atomic_load_explicit(&w->flows[p->c.id].done, memory_order_acquire);

		if (done < least)
			least = done;
	}
	return least;
}

/* Up to which number the publisher may send now. */
static uint64_t may_send(const struct bench_load *l, const struct bench_publisher *p)
{
	const struct bench_options *o = l->o;
	uint64_t to = p->stamps ? UINT64_MAX : p->due;

	if (p->stamps && l->is_closed && p->readers)
		to = all_have(l, p) + o->window;
	if (o->qos > 0) {
		unsigned unacked = o->window < p->unacked_max ? o->window : p->unacked_max;

		if (p->acked + unacked < to)
			to = p->acked + unacked;
	}
	return to < p->limit ? to : p->limit;
}

/* Send what may be sent, in full batches but for the end; at most a window of messages at once. */
static void refill(struct bench_worker *w, struct bench_publisher *p)
{
	const struct bench_options *o = w->load->o;
	unsigned batch = o->batch < p->unacked_max ? o->batch : p->unacked_max;
	uint64_t to;

	if (p->c.fd < 0 || p->c.out_len > 0 ||
	    atomic_load_explicit(&w->load->phase, memory_order_relaxed) != BENCH_RUN)
		return;
	to = may_send(w->load, p);
	for (unsigned sent = 0; p->next < to && sent < o->window && p->c.fd >= 0 && p->c.out_len == 0;
	     sent += batch) {
		uint64_t left = to - p->next;

		if (left < batch && to != p->limit && p->stamps)
			return;
		publish(w, p, left < batch ? (unsigned)left : batch);
	}
}

/* Let those send whose time has come; with more than it can do, the thread still has to receive. */
void bench_send_due(struct bench_worker *w)
{
	struct bench_load *l = w->load;
	uint64_t now = bench_now_ns();

	for (unsigned turns = 0; turns < DUE_MAX && w->nown > 0; turns++) {
		struct bench_publisher *p = &l->publishers[w->own[w->cursor]];
		double turn = (double)(w->round * l->npublishers + p->c.id);

		if (l->start_ns + (uint64_t)(turn * l->gap_ns) > now)
			return;
		p->due += l->o->batch;
		refill(w, p);
		if (++w->cursor == w->nown) {
			w->cursor = 0;
			w->round++;
		}
	}
}

/* ---- what arrives ---- */

/* A message is there at one of this worker's subscribers. */
static void count_done(struct bench_worker *w, uint32_t publisher, uint64_t number)
{
	struct bench_done *d = &w->flows[publisher];

	if (d->left) {
		uint32_t *left = &d->left[number % w->o->window];

		if (--*left > 0)
			return;
		*left = d->nsubs;
	}
	atomic_store_explicit(&d->done, number + 1, memory_order_release);
	if (!d->is_touched) {
		d->is_touched = true;
		w->touched[w->ntouched++] = publisher;
	}
}

/* Not the number that comes next. Returns false when it was there before. */
static bool out_of_turn(struct bench_worker *w, struct bench_seen *seen, uint32_t publisher, uint64_t number)
{
	uint64_t gap = number - seen->next, back = seen->next - 1 - number;

	if (number > seen->next) {
		/* Those between may still come. The window does not wait for them. */
		for (uint64_t n = seen->next; w->load->is_closed && n < number; n++)
			count_done(w, publisher, n);
		seen->missing =
			gap >= 63 ? ~(uint64_t)1 : (seen->missing << gap | (((uint64_t)1 << gap) - 1)) << 1;
		seen->next = number + 1;
		return true;
	}
	if (back < 64 && seen->missing >> back & 1) {
		seen->missing &= ~((uint64_t)1 << back);
		add(&w->count.reordered, 1);
		add(&w->count.delivered, 1);
	} else {
		add(&w->count.duplicates, 1);
	}
	return false;
}

static struct bench_seen *seen_of(const struct bench_load *l, struct bench_subscriber *s, uint32_t publisher)
{
	if (publisher >= l->npublishers)
		return NULL;
	if (l->is_fan_out)
		return &s->seen[publisher];
	if (publisher == s->c.id || (l->stride > 1 && publisher == s->c.id % l->npublishers))
		return &s->seen[0];
	return publisher % l->nsubscribers == s->c.id ? &s->seen[publisher / l->nsubscribers] : NULL;
}

static void record(const struct bench_load *l, struct bench_hist *h, uint64_t sent_ns, uint64_t now_ns)
{
	if (sent_ns < atomic_load_explicit(&l->begin_ns, memory_order_relaxed) ||
	    sent_ns >= atomic_load_explicit(&l->end_ns, memory_order_relaxed))
		return;
	bench_hist_add(h, now_ns > sent_ns ? now_ns - sent_ns : 0);
}

static void on_retained(struct bench_worker *w, const uint8_t *p, uint32_t publisher, uint64_t number)
{
	struct bench_load *l = w->load;
	uint64_t topic, bit;

	if (!(p[0] & 1) || publisher >= l->npublishers || number >= l->publishers[publisher].limit) {
		add(&w->count.wrong, 1);
		return;
	}
	topic = l->publishers[publisher].base + number;
	bit = (uint64_t)1 << topic % 64;
	add(l->topics_seen[topic / 64] & bit ? &w->count.duplicates : &w->count.delivered, 1);
	l->topics_seen[topic / 64] |= bit;
}

/* What a message is of: publisher, run and number of its payload. */
static void on_payload(struct bench_worker *w, struct bench_subscriber *s, const uint8_t *p,
		       const uint8_t *payload)
{
	struct bench_load *l = w->load;
	struct bench_seen *seen;
	uint32_t publisher, run;
	uint64_t number;

	memcpy(&publisher, payload, 4);
	memcpy(&run, payload + 4, 4);
	memcpy(&number, payload + 8, 8);
	if (run != l->run) {
		add(&w->count.wrong, 1);
		return;
	}
	if (l->topics_seen) {
		on_retained(w, p, publisher, number);
		return;
	}
	if (l->stride > 1 && number % l->stride != s->c.id / l->npublishers) {
		add(&w->count.wrong, 1);
		return;
	}
	number /= l->stride;
	if (!(seen = seen_of(l, s, publisher)) ||
	    number > seen->next + (l->is_closed ? w->o->window : JUMP_MAX)) {
		add(&w->count.wrong, 1);
		return;
	}
	if (number == seen->next) {
		seen->next++;
		seen->missing <<= 1;
	} else if (!out_of_turn(w, seen, publisher, number)) {
		return;
	}
	add(&w->count.delivered, 1);
	if (l->is_closed)
		count_done(w, publisher, number);
	record(l, &w->delivery, intended_ns(l, &l->publishers[publisher], number), w->now_ns);
}

static void reply(struct bench_worker *w, unsigned first, const uint8_t *id)
{
	uint8_t *at = w->replies + w->nreplies;

	at[0] = (uint8_t)first;
	at[1] = 2;
	at[2] = id[0];
	at[3] = id[1];
	w->nreplies += 4;
}

/* Bytes of a property list with its length; more than `len` when it is damaged. */
static size_t props_size(const uint8_t *p, size_t len)
{
	size_t size = 0;

	for (size_t i = 0; i < 4 && i < len; i++) {
		size |= (size_t)(p[i] & 0x7f) << 7 * i;
		if (p[i] < 0x80)
			return size + i + 1;
	}
	return len + 1;
}

static void on_publish(struct bench_worker *w, struct bench_conn *c, const struct mqtt_frame *f)
{
	const uint8_t *body = f->body, *id = NULL;
	size_t at = f->body_len >= 2 ? 2u + get_u16be(body) : SIZE_MAX / 2;
	unsigned qos = f->flags >> 1 & 3;

	if (qos > 0 && at + 2 <= f->body_len) {
		id = body + at;
		at += 2;
	}
	if (w->o->version == MQTT_V5 && at < f->body_len)
		at += props_size(body + at, f->body_len - at);
	if (c->role != BENCH_SUBSCRIBER || at > f->body_len || (qos > 0 && !id)) {
		add(&w->count.wrong, 1);
		return;
	}
	if (w->o->mode == BENCH_SUB)
		add(&w->count.delivered, 1);
	else if (qos != w->o->qos || f->body_len - at != w->o->size)
		add(&w->count.wrong, 1);
	else
		on_payload(w, subscriber_of(c), body - (f->size - f->body_len), body + at);
	if (qos > 0)
		reply(w, qos == 1 ? 0x40 : 0x50, id);
}

/* An acknowledgement. Those to a publisher must come in the order of its messages (4.6). */
static void on_ack(struct bench_worker *w, struct bench_conn *c, const struct mqtt_frame *f)
{
	bool is_refusal = f->body_len > 2 && f->body[2] >= 0x80;
	struct bench_publisher *p;
	uint64_t *in_order;

	if (f->body_len < 2 || (f->type == MQTT_PUBREL) != (c->role == BENCH_SUBSCRIBER)) {
		add(&w->count.wrong, 1);
		return;
	}
	if (f->type == MQTT_PUBREL) {
		reply(w, 0x70, f->body);
		return;
	}
	p = publisher_of(c);
	in_order = f->type == MQTT_PUBREC ? &p->rel : &p->acked;
	if (get_u16be(f->body) != *in_order % MQTT_PACKET_IDS + 1)
		add(&w->count.wrong, 1);
	if (is_refusal)
		add(&w->count.refused, 1);
	if (f->type == MQTT_PUBREC) {
		++*in_order;
		if (!is_refusal) {
			reply(w, 0x62, f->body);
			return;
		}
	}
	record(w->load, &w->ack, intended_ns(w->load, p, p->acked), w->now_ns);
	p->acked++;
	add(&w->count.acked, 1);
}

static void on_packet(struct bench_worker *w, struct bench_conn *c, const struct mqtt_frame *f)
{
	struct mqtt_disconnect bye;

	switch (f->type) {
	case MQTT_PUBLISH:
		on_publish(w, c, f);
		break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		on_ack(w, c, f);
		break;
	case MQTT_SUBACK:
	case MQTT_PINGRESP:
		break;
	case MQTT_DISCONNECT:
		if (mqtt_disconnect_decode(f, w->o->version, &bye) == OK)
			broken(w, c, mqtt_reason_text(bye.reason));
		else
			broken(w, c, "the broker sent a malformed DISCONNECT");
		break;
	default:
		broken(w, c, "the broker sent a packet that no client expects");
	}
}

static void keep_part(struct bench_worker *w, struct bench_conn *c, const uint8_t *p, size_t len)
{
	if (c->part_room < len) {
		c->part_room = len <= BENCH_HEAD_MAX ? BENCH_HEAD_MAX : w->load->packet_max;
		free(c->part);
		if (!(c->part = malloc(c->part_room))) {
			c->part_room = 0;
			broken(w, c, err_text(ERR_NOMEM));
			return;
		}
	}
	memcpy(c->part, p, len);
	c->have = len;
}

static void parse(struct bench_worker *w, struct bench_conn *c, const uint8_t *p, size_t len)
{
	struct mqtt_frame f;
	int rc;

	c->have = 0;
	while ((rc = mqtt_frame_read(p, len, (uint32_t)w->load->packet_max, &f)) == OK) {
		on_packet(w, c, &f);
		if (c->fd < 0)
			return;
		p += f.size;
		len -= f.size;
	}
	if (rc != ERR_AGAIN) {
		broken(w, c,
		       "the broker sent a packet that is larger than any that was published, or malformed");
		return;
	}
	if (len > 0)
		keep_part(w, c, p, len);
	if (w->nreplies > 0) {
		transmit(w, c, w->replies, w->nreplies);
		w->nreplies = 0;
	}
}

/* Tell the publishers that their windows have moved. */
void bench_tell_publishers(struct bench_worker *w)
{
	uint64_t wake = 0;

	for (unsigned i = 0; i < w->ntouched; i++) {
		uint32_t publisher = w->touched[i];
		struct bench_publisher *p = &w->load->publishers[publisher];
		struct bench_done *d = &w->flows[publisher];
		uint64_t done = atomic_load_explicit(&d->done, memory_order_relaxed);

		d->is_touched = false;
		if (p->worker == w->index) {
			refill(w, p);
		} else if (done - d->told >= w->o->batch || done >= p->limit) {
			d->told = done;
			wake |= (uint64_t)1 << p->worker;
		}
	}
	w->ntouched = 0;
	for (; wake; wake &= wake - 1) {
		struct bench_worker *other = &w->load->workers[__builtin_ctzll(wake)];

		atomic_store(&other->is_kicked, true);
		if (atomic_load(&other->is_asleep))
			(void)!write(other->wake, &(uint64_t){1}, 8);
	}
}

/* One read of whatever is there; epoll tells again when there is more. */
static void readable(struct bench_worker *w, struct bench_conn *c)
{
	uint8_t *to = w->in + w->load->packet_max, *start = to - c->have;
	ssize_t n = recv(c->fd, to, BENCH_READ_MAX, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		broken(w, c, n == 0 ? "the broker closed the connection" : strerror(errno));
		return;
	}
	w->now_ns = bench_now_ns();
	atomic_store_explicit(&w->count.last_ns, w->now_ns, memory_order_relaxed);
	if (c->have > 0)
		memcpy(start, c->part, c->have);
	w->nreplies = 0;
	parse(w, c, start, c->have + (size_t)n);
	if (c->role == BENCH_PUBLISHER)
		refill(w, publisher_of(c));
	if (!w->load->is_fan_out)
		bench_tell_publishers(w);
}

/* Does nothing but the socket hold this publisher back? */
static bool is_unbounded(const struct bench_worker *w, struct bench_conn *c)
{
	const struct bench_load *l = w->load;

	return c->role == BENCH_PUBLISHER && w->o->qos == 0 && w->o->rate <= 0 &&
	       !(l->is_closed && l->nsubscribers > 0) && publisher_of(c)->next < publisher_of(c)->limit &&
	       atomic_load_explicit(&l->phase, memory_order_relaxed) == BENCH_RUN;
}

static void writable(struct bench_worker *w, struct bench_conn *c)
{
	size_t left = c->out_len - c->out_at;

	if (left > 0) {
		c->out_at += try_send(w, c, c->out + c->out_at, left);
		if (c->fd < 0 || c->out_at < c->out_len)
			return;
		c->out_at = c->out_len = 0;
		add(&w->count.stuck, (uint64_t)-1);
	}
	watch(w, c, is_unbounded(w, c));
	if (c->fd >= 0 && c->role == BENCH_PUBLISHER)
		refill(w, publisher_of(c));
}

void bench_refill_own(struct bench_worker *w)
{
	for (unsigned i = 0; i < w->nown; i++) {
		struct bench_publisher *p = &w->load->publishers[w->own[i]];

		refill(w, p);
		if (p->c.fd >= 0 && is_unbounded(w, &p->c))
			watch(w, &p->c, true);
	}
}

void bench_conn_ready(struct bench_worker *w, struct bench_conn *c, uint32_t events)
{
	if (c->fd >= 0 && events & EPOLLOUT)
		writable(w, c);
	if (c->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		readable(w, c);
}
