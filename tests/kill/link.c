#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "link.h"

#define READ_MAX    65536u
#define CONNECT_MAX 256u

uint64_t link_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void link_init(struct link *l, uint16_t port, enum mqtt_version version, const struct link_ops *ops,
	       void *owner)
{
	*l = (struct link){.ops = ops, .owner = owner, .version = version, .fd = -1, .port = port};
}

void link_fini(struct link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	free(l->in);
	free(l->out);
}

static void enter(struct link *l, enum link_state state)
{
	l->state = state;
	l->since_ns = link_now_ns();
}

/* Grow to `room`; a harness without memory ends. */
static void grow(uint8_t **buf, size_t *room, size_t wanted)
{
	if (*room >= wanted)
		return;
	*room = wanted * 2;
	if (!(*buf = realloc(*buf, *room))) {
		fprintf(stderr, "no memory\n");
		exit(2);
	}
}

/* ---- out ---- */

struct wr link_room(struct link *l, size_t size)
{
	grow(&l->out, &l->out_room, l->out_len + size);
	return wr_of(l->out + l->out_len, size);
}

void link_wrote(struct link *l, const struct wr *w)
{
	assert(!w->bad);
	l->out_len = (size_t)(w->p - l->out);
}

void link_ack(struct link *l, enum mqtt_type type, uint16_t packet_id)
{
	const struct mqtt_ack ack = {.packet_id = packet_id};
	struct wr w = link_room(l, 16);

	if (mqtt_ack_encode(&w, l->version, type, &ack) == OK)
		link_wrote(l, &w);
}

void link_ping(struct link *l)
{
	struct wr w = link_room(l, 16);

	if (mqtt_empty_encode(&w, MQTT_PINGREQ) == OK)
		link_wrote(l, &w);
}

bool link_flush(struct link *l)
{
	size_t at = 0;

	while (l->fd >= 0 && at < l->out_len) {
		ssize_t n = send(l->fd, l->out + at, l->out_len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		/* What the broker sent before it died is still to be read: reading finds the end. */
		if (n < 0)
			break;
		at += (size_t)n;
	}
	if (at > 0)
		memmove(l->out, l->out + at, l->out_len - at);
	l->out_len -= at;
	return l->out_len > 0;
}

/* ---- life ---- */

void link_dial(struct link *l)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(l->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct mqtt_connect p = {
		.version = l->version, .clean_start = true, .client_id = span_str(l->client_id)};
	struct wr w;

	assert(l->state == LINK_DOWN);
	if ((l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
		return;
	if (connect(l->fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
		close(l->fd);
		l->fd = -1;
		return;
	}
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	l->have = l->out_len = 0;
	mqtt_props_clear(&p.props);
	l->ops->greet(l->owner, &p);
	w = link_room(l, CONNECT_MAX);
	if (mqtt_connect_encode(&w, &p) == OK)
		link_wrote(l, &w);
	enter(l, LINK_GREETING);
	link_flush(l);
}

void link_cut(struct link *l)
{
	bool was_open = l->state == LINK_OPEN;

	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	enter(l, LINK_DOWN);
	if (was_open)
		l->ops->closed(l->owner);
}

void link_leave(struct link *l)
{
	const struct mqtt_disconnect bye = {0};
	struct wr w = link_room(l, 16);

	if (mqtt_disconnect_encode(&w, l->version, MQTT_DISCONNECT, &bye) == OK)
		link_wrote(l, &w);
	link_flush(l);
	link_cut(l);
}

/* ---- in ---- */

static void on_packet(struct link *l, const struct mqtt_frame *f)
{
	struct mqtt_connack ack;

	if (l->state == LINK_OPEN) {
		l->ops->packet(l->owner, f);
	} else if (f->type == MQTT_CONNACK && mqtt_connack_decode(f, l->version, &ack) == OK &&
		   ack.reason == 0) {
		enter(l, LINK_OPEN);
		l->ops->opened(l->owner, ack.session_present);
	} else {
		link_cut(l); /* refused, as while it starts: again later */
	}
}

static void parse(struct link *l)
{
	struct mqtt_frame f;
	size_t at = 0;
	int rc = ERR_AGAIN;

	while (l->fd >= 0 && (rc = mqtt_frame_read(l->in + at, l->have - at, MQTT_REMAINING_MAX, &f)) == OK) {
		on_packet(l, &f);
		at += f.size;
	}
	if (l->fd < 0)
		return;
	if (rc != ERR_AGAIN) {
		fprintf(stderr, "%s: bytes that are no packet\n", l->client_id);
		exit(1);
	}
	memmove(l->in, l->in + at, l->have - at);
	l->have -= at;
}

void link_readable(struct link *l)
{
	ssize_t n;

	grow(&l->in, &l->in_room, l->have + READ_MAX);
	n = recv(l->fd, l->in + l->have, READ_MAX, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		link_cut(l);
		return;
	}
	l->have += (size_t)n;
	parse(l);
}
