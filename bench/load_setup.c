/* Connections of the load generator, made one after the other with blocking calls before the clock runs. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define SUBSCRIBE_FILTERS 50u /* in one packet */
#define TOPIC_MAX         64u

struct out {
	uint8_t bytes[8192];
	size_t len;
};

static void put(struct out *o, const void *bytes, size_t len)
{
	if (o->len + len > sizeof(o->bytes))
		fail("a packet of the set-up is too long");
	memcpy(o->bytes + o->len, bytes, len);
	o->len += len;
}

static void put_u8(struct out *o, unsigned v)
{
	put(o, &(uint8_t){(uint8_t)v}, 1);
}

static void put_u16(struct out *o, unsigned v)
{
	put_u8(o, v >> 8);
	put_u8(o, v & 0xff);
}

static void put_string(struct out *o, const char *s)
{
	put_u16(o, (unsigned)strlen(s));
	put(o, s, strlen(s));
}

/* Fixed header and length in front of a body. */
static size_t frame(uint8_t *to, unsigned first, const struct out *body)
{
	size_t left = body->len, n = 0;

	to[n++] = (uint8_t)first;
	do {
		to[n++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
		left >>= 7;
	} while (left);
	memcpy(to + n, body->bytes, body->len);
	return n + body->len;
}

static void send_packet(int fd, unsigned first, const struct out *body)
{
	uint8_t bytes[sizeof(body->bytes) + 5];
	size_t len = frame(bytes, first, body), at = 0;

	while (at < len) {
		ssize_t n = send(fd, bytes + at, len - at, MSG_NOSIGNAL);
		if (n <= 0)
			fail("send: %s", strerror(errno));
		at += (size_t)n;
	}
}

static void recv_all(int fd, uint8_t *to, size_t len)
{
	ssize_t n = recv(fd, to, len, MSG_WAITALL);

	if (n != (ssize_t)len)
		fail("the broker closed a connection during the set-up");
}

/* The answer `first` of exactly `len` bytes of body. */
static void await(int fd, unsigned first, uint8_t *body, size_t len)
{
	uint8_t head[2];

	recv_all(fd, head, 2);
	if (head[0] != first || head[1] != len)
		fail("expected packet %02x of %zu bytes, got %02x of %u", first, len, head[0], head[1]);
	recv_all(fd, body, len);
}

static int dial(const struct plan *p)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(p->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket: %s", strerror(errno));
	if (inet_pton(AF_INET, p->host, &to.sin_addr) != 1)
		fail("not an IPv4 address: %s", p->host);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 30}, sizeof(struct timeval));
	return fd;
}

static void conn_open(struct conn *c, const struct plan *p, struct flow *flow, bool is_publisher)
{
	struct out body = {.len = 0};
	uint8_t answer[2];
	char id[64];

	snprintf(id, sizeof(id), "%s%c%u", p->prefix, is_publisher ? 'p' : 's', flow->id);
	put_string(&body, "MQTT");
	put_u8(&body, 4);
	put_u8(&body, 2); /* clean session */
	put_u16(&body, 0);
	put_string(&body, id);
	c->fd = dial(p);
	c->flow = flow;
	c->is_publisher = is_publisher;
	send_packet(c->fd, 0x10, &body);
	await(c->fd, 0x20, answer, 2);
	if (answer[1] != 0)
		fail("CONNACK says %u", answer[1]);
}

/*
 * Topic and filter number `i` of a flow. One: exact. Several: a third each exact, with one +, with + and #, every
 * topic matching one filter only.
 */
static void topic_name(char *to, const struct plan *p, uint32_t flow, unsigned i, bool is_filter)
{
	if (p->mode == MODE_FANIN && is_filter)
		snprintf(to, TOPIC_MAX, "%s/#", p->prefix);
	else if (p->filters <= 1)
		snprintf(to, TOPIC_MAX, "%s/%u", p->prefix, p->mode == MODE_FANOUT ? 0 : flow);
	else if (i % 3 == 0)
		snprintf(to, TOPIC_MAX, "%s/x/%u/%u", p->prefix, flow, i);
	else if (i % 3 == 1)
		snprintf(to, TOPIC_MAX, "%s/y/%u/%u/%s/v", p->prefix, flow, i, is_filter ? "+" : "m");
	else
		snprintf(to, TOPIC_MAX, "%s/z/%u/%s/%u/%s", p->prefix, flow, is_filter ? "+" : "m", i,
			 is_filter ? "#" : "a/b");
}

static void subscribe(const struct plan *p, const struct flow *flow, unsigned first, unsigned count)
{
	struct out body = {.len = 0};
	uint8_t answer[2 + SUBSCRIBE_FILTERS];
	char filter[TOPIC_MAX];

	put_u16(&body, 1);
	for (unsigned i = first; i < first + count; i++) {
		topic_name(filter, p, flow->id, i, true);
		put_string(&body, filter);
		put_u8(&body, p->qos);
	}
	send_packet(flow->subscriber.fd, 0x82, &body);
	await(flow->subscriber.fd, 0x90, answer, 2 + count);
	for (unsigned i = 0; i < count; i++) {
		if (answer[2 + i] != p->qos)
			fail("SUBACK grants %u instead of QoS %u", answer[2 + i], p->qos);
	}
}

static void packet_make(struct packet *to, const struct plan *p, uint32_t flow, unsigned i)
{
	struct out body = {.len = 0};
	uint8_t payload[PAYLOAD] = {0};
	uint8_t bytes[sizeof(body.bytes) + 5];
	char topic[TOPIC_MAX];
	size_t len;

	topic_name(topic, p, flow, i, false);
	put_string(&body, topic);
	if (p->qos > 0)
		put_u16(&body, 0);
	memcpy(payload, &flow, sizeof(flow));
	put(&body, payload, PAYLOAD);
	len = frame(bytes, 0x30 | p->qos << 1, &body);
	if (len > PACKET_MAX)
		fail("a topic is too long");
	memcpy(to->bytes, bytes, len);
	to->len = (uint16_t)len;
	to->id_at = (uint16_t)(p->qos > 0 ? len - PAYLOAD - 2 : 0);
}

/* The packets of a publisher, in an order that jumps about among its topics. */
static void packets_make(struct flow *f, const struct plan *p)
{
	unsigned seed = f->id + 1;

	f->npackets = p->filters > 1 ? p->filters : 1;
	f->packets = need(calloc(f->npackets, sizeof(*f->packets)));
	for (unsigned i = 0; i < f->npackets; i++)
		packet_make(&f->packets[i], p, f->id, i);
	for (unsigned i = f->npackets - 1; i > 0; i--) {
		unsigned j = (unsigned)rand_r(&seed) % (i + 1);
		struct packet t = f->packets[i];
		f->packets[i] = f->packets[j];
		f->packets[j] = t;
	}
}

void load_connect(struct load *load)
{
	const struct plan *p = load->plan;

	load->flows = need(calloc(p->flows, sizeof(*load->flows)));
	for (unsigned i = 0; i < p->flows; i++) {
		struct flow *f = &load->flows[i];
		f->id = i;
		f->publisher.fd = f->subscriber.fd = -1;
		if (p->mode != MODE_FANIN || i == 0)
			conn_open(&f->subscriber, p, f, false);
		if (p->mode == MODE_IDLE || (p->mode == MODE_FANOUT && i > 0))
			continue;
		conn_open(&f->publisher, p, f, true);
		packets_make(f, p);
	}
}

/* The topic of flow `flow`, or of all in fan-in. */
static void subscribe_slow(const struct plan *p, struct flow *f, unsigned i, int *fd)
{
	struct plan other = *p;
	struct flow slow = {.id = f->id};

	snprintf(other.prefix, sizeof(other.prefix), "w%.8s%u", p->prefix, i % 1000);
	conn_open(&slow.subscriber, &other, &slow, false);
	subscribe(p, &slow, 0, 1);
	*fd = slow.subscriber.fd;
}

void load_subscribe(struct load *load)
{
	const struct plan *p = load->plan;

	load->slow = need(calloc(p->slow + 1, sizeof(*load->slow)));
	for (unsigned i = 0; i < p->slow; i++)
		subscribe_slow(p, &load->flows[i % p->flows], i, &load->slow[i]);
	for (unsigned i = 0; i < p->flows && load->flows[i].subscriber.fd >= 0; i++) {
		for (unsigned at = 0; at < p->filters; at += SUBSCRIBE_FILTERS) {
			unsigned left = p->filters - at;
			subscribe(p, &load->flows[i], at,
				  left < SUBSCRIBE_FILTERS ? left : SUBSCRIBE_FILTERS);
		}
	}
}

void load_close(struct load *load)
{
	for (unsigned i = 0; i < load->plan->flows; i++) {
		struct flow *f = &load->flows[i];
		if (f->publisher.fd >= 0)
			close(f->publisher.fd);
		if (f->subscriber.fd >= 0)
			close(f->subscriber.fd);
		free(f->publisher.reply);
		free(f->subscriber.reply);
		free(f->packets);
	}
	for (unsigned i = 0; i < load->plan->slow; i++)
		close(load->slow[i]);
	free(load->slow);
	free(load->flows);
}
