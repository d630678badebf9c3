/* Connections of the load generator: made one after the other with blocking calls, before the clock runs. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench.h"

#define SUBSCRIBE_FILTERS 50u /* in one packet */
#define FILTER_ROOM       (BENCH_TOPIC_MAX + 1)
#define PACKET_ROOM       16384u /* SUBSCRIBE_FILTERS of the longest */
#define ANSWER_S          30
#define DESCRIPTORS_ELSE  64u /* epolls, standard streams */
#define SLOW_BUFFER       4096
#define CONNECTS_AT_ONCE  64u

int bench_fault(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	bench_complain(fmt, ap);
	va_end(ap);
	return ERR_IO;
}

uint64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int no_memory(void)
{
	return bench_fault("%s", err_text(ERR_NOMEM));
}

/* ---- packets there and back ---- */

static int send_all(const struct bench_conn *c, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return bench_fault("sending to the broker: %s", strerror(errno));
		bytes += n;
		len -= (size_t)n;
	}
	return OK;
}

static int recv_all(const struct bench_conn *c, uint8_t *to, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(c->fd, to, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return bench_fault("the broker did not answer within %d s", ANSWER_S);
		if (n < 0)
			return bench_fault("waiting for an answer: %s", strerror(errno));
		if (n == 0)
			return bench_fault("the broker closed a connection during the set-up");
		to += n;
		len -= (size_t)n;
	}
	return OK;
}

/* The next packet, not a byte more: what follows belongs to the worker. Its bytes live in `room`. */
static int recv_packet(const struct bench_conn *c, uint8_t *room, size_t size, struct mqtt_frame *f)
{
	size_t have = 2;
	int rc;

	if ((rc = recv_all(c, room, have)) < 0)
		return rc;
	while ((rc = mqtt_frame_read(room, have, (uint32_t)size, f)) == ERR_AGAIN) {
		size_t want = f->size > 0 ? f->size - have : 1;

		if ((rc = recv_all(c, room + have, want)) < 0)
			return rc;
		have += want;
	}
	return rc < 0 ? bench_fault("the broker's answer: %s", err_text(rc)) : OK;
}

/* The next packet, which must be of `type`. */
static int await(const struct bench_conn *c, enum mqtt_type type, uint8_t *room, size_t size,
		 struct mqtt_frame *f)
{
	int rc = recv_packet(c, room, size, f);

	if (rc == OK && f->type != type)
		return bench_fault("packet of type %u instead of %u", f->type, type);
	return rc;
}

/* ---- connections ---- */

static int resolve(struct bench_load *l)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *found;
	char port[8];
	int rc;

	snprintf(port, sizeof(port), "%u", l->o->port);
	if ((rc = getaddrinfo(l->o->host, port, &hints, &found)) != 0)
		return bench_fault("%s: %s (-h)", l->o->host, gai_strerror(rc));
	memcpy(&l->to, found->ai_addr, found->ai_addrlen);
	l->to_len = found->ai_addrlen;
	freeaddrinfo(found);
	return OK;
}

static int cannot_connect(const struct bench_load *l)
{
	const char *hint = errno == EADDRNOTAVAIL ? "no local port is free (net.ipv4.ip_local_port_range)"
			   : errno == EMFILE      ? "no descriptor is free: raise ulimit -n"
						  : "is a broker running there (-h, -p)?";

	return bench_fault("cannot connect to %s port %u: %s; %s", l->o->host, l->o->port, strerror(errno),
			   hint);
}

static int dial(const struct bench_load *l, struct bench_conn *c)
{
	const struct timeval patience = {.tv_sec = ANSWER_S};

	if ((c->fd = socket(l->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
		return cannot_connect(l);
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (c->role == BENCH_SLOW)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &(int){SLOW_BUFFER}, sizeof(int));
	if (connect(c->fd, (const struct sockaddr *)&l->to, l->to_len) < 0)
		return cannot_connect(l);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	return OK;
}

int bench_reach(const struct bench_load *l)
{
	struct bench_conn c = {.fd = -1, .role = BENCH_SUBSCRIBER};
	int rc = dial(l, &c);

	if (c.fd >= 0)
		close(c.fd);
	return rc;
}

size_t bench_connect_packet(const struct bench_load *l, uint8_t *to, const char *client_id,
			    enum bench_session session)
{
	const struct bench_options *o = l->o;
	struct mqtt_connect p = {
		.version = o->version,
		.clean_start = session == BENCH_CLEAN,
		.client_id = span_str(client_id),
		.has_username = o->username != NULL,
		.has_password = o->password != NULL,
		.username = span_str(o->username ? o->username : ""),
		.password = span_str(o->password ? o->password : ""),
	};
	struct wr w = wr_of(to, BENCH_CONNECT_MAX);

	if (session == BENCH_KEPT)
		mqtt_props_set_num(&p.props, MQTT_P_SESSION_EXPIRY, 3600);
	return mqtt_connect_encode(&w, &p) < 0 ? 0 : BENCH_CONNECT_MAX - w.left;
}

const char *bench_refusal(const struct bench_load *l, uint8_t reason)
{
	/* 3.1.1, table 3.1 */
	static const char *const v3[] = {
		"accepted",           "unacceptable protocol version", "client identifier rejected",
		"server unavailable", "bad user name or password",     "not authorized"};

	if (l->o->version == MQTT_V5)
		return mqtt_reason_text(reason);
	return reason < sizeof(v3) / sizeof(v3[0]) ? v3[reason] : "unknown return code";
}

static int check_connack(const struct bench_load *l, const struct bench_conn *c, const struct mqtt_connack *a)
{
	unsigned best_qos = mqtt_props_num(&a->props, MQTT_P_MAXIMUM_QOS, 2);

	if (a->reason != 0)
		return bench_fault("the broker refused connection %u: %s", c->id + 1,
				   bench_refusal(l, a->reason));
	if (best_qos < l->o->qos)
		return bench_fault("the broker serves no QoS above %u", best_qos);
	return OK;
}

/* Dial and send CONNECT; the answer is for connect_finish(). */
static int connect_begin(struct bench_load *l, struct bench_conn *c, enum bench_session session)
{
	static const char roles[] = {[BENCH_PUBLISHER] = 'p', [BENCH_SUBSCRIBER] = 's', [BENCH_SLOW] = 'x'};
	uint8_t packet[BENCH_CONNECT_MAX];
	char id[80];
	size_t len;
	int rc;

	snprintf(id, sizeof(id), "%s%c%u", l->prefix, roles[c->role], c->id);
	if ((len = bench_connect_packet(l, packet, id, session)) == 0)
		return bench_fault("user name and password are too long");
	if ((rc = dial(l, c)) < 0)
		return rc;
	return send_all(c, packet, len);
}

static int connect_finish(struct bench_load *l, struct bench_conn *c)
{
	uint8_t packet[BENCH_CONNECT_MAX];
	struct mqtt_connack answer;
	struct mqtt_frame f;
	int rc;

	if ((rc = await(c, MQTT_CONNACK, packet, sizeof(packet), &f)) < 0)
		return rc;
	if ((rc = mqtt_connack_decode(&f, l->o->version, &answer)) < 0)
		return bench_fault("CONNACK: %s", err_text(rc));
	if (c->role == BENCH_PUBLISHER)
		((struct bench_publisher *)(void *)c)->unacked_max =
			mqtt_props_num(&answer.props, MQTT_P_RECEIVE_MAXIMUM, BENCH_WINDOW_MAX);
	return check_connack(l, c, &answer);
}

int bench_connect(struct bench_load *l, struct bench_conn *c, enum bench_session session)
{
	int rc = connect_begin(l, c, session);

	return rc < 0 ? rc : connect_finish(l, c);
}

/* Wait until connection `done` of the set-up may be made. */
static void pace(const struct bench_load *l, uint64_t started_ns, unsigned done)
{
	uint64_t at;
	struct timespec t;

	if (l->o->connect_rate == 0)
		return;
	at = started_ns + (uint64_t)done * 1000000000u / l->o->connect_rate;
	t = (struct timespec){.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		continue;
}

int bench_connect_publishers(struct bench_load *l)
{
	uint64_t started = bench_now_ns();
	int rc = OK;

	for (unsigned i = 0; rc == OK && i < l->npublishers; i++) {
		pace(l, started, i);
		rc = bench_connect(l, &l->publishers[i].c, BENCH_CLEAN);
	}
	return rc;
}

int bench_connect_subscribers(struct bench_load *l, enum bench_session session)
{
	uint64_t started = bench_now_ns();
	unsigned begun = 0;
	int rc = OK;

	/* Several at a time: a broker may have to store a session before it answers. */
	for (unsigned i = 0; rc == OK && i < l->nsubscribers; i++) {
		while (rc == OK && begun < l->nsubscribers && begun < i + CONNECTS_AT_ONCE) {
			pace(l, started, begun);
			rc = connect_begin(l, &l->subscribers[begun++].c, session);
		}
		if (rc == OK)
			rc = connect_finish(l, &l->subscribers[i].c);
	}
	return rc;
}

int bench_ping(struct bench_conn *c)
{
	uint8_t packet[64];
	struct wr w = wr_of(packet, sizeof(packet));
	struct mqtt_frame f;
	int rc;

	if ((rc = mqtt_empty_encode(&w, MQTT_PINGREQ)) < 0 ||
	    (rc = send_all(c, packet, sizeof(packet) - w.left)) < 0)
		return rc;
	return await(c, MQTT_PINGRESP, packet, sizeof(packet), &f);
}

size_t bench_disconnect_packet(const struct bench_load *l, uint8_t *to)
{
	const struct mqtt_disconnect bye = {.reason = MQTT_RC_SUCCESS};
	struct wr w = wr_of(to, BENCH_DISCONNECT_MAX);

	return mqtt_disconnect_encode(&w, l->o->version, MQTT_DISCONNECT, &bye) < 0
		       ? 0
		       : BENCH_DISCONNECT_MAX - w.left;
}

void bench_disconnect(const struct bench_load *l, struct bench_conn *c)
{
	uint8_t packet[BENCH_DISCONNECT_MAX];

	if (c->fd < 0)
		return;
	(void)!send(c->fd, packet, bench_disconnect_packet(l, packet), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(c->fd);
	c->fd = -1;
	c->have = c->out_at = c->out_len = 0;
}

/* ---- topics ---- */

/* "bench/%i" with each %i replaced. */
static void topic_expand(char *to, const char *text, unsigned number)
{
	size_t at = 0;

	while (*text && at < BENCH_TOPIC_MAX - 12) {
		if (text[0] == '%' && text[1] == 'i') {
			at += (size_t)snprintf(to + at, 12, "%u", number);
			text += 2;
		} else {
			to[at++] = *text++;
		}
	}
	to[at] = '\0';
}

/*
 * Topic (or filter) `i` of pair `n`. Several filters: a third each exact, with one +, with + and #, and every topic
 * matches one filter only.
 */
static void pair_topic(char *to, const struct bench_load *l, unsigned n, unsigned i, bool is_filter)
{
	if (l->o->filters <= 1)
		snprintf(to, FILTER_ROOM, "%s/%u", l->prefix, n);
	else if (i % 3 == 0)
		snprintf(to, FILTER_ROOM, "%s/x/%u/%u", l->prefix, n, i);
	else if (i % 3 == 1)
		snprintf(to, FILTER_ROOM, "%s/y/%u/%u/%s/v", l->prefix, n, i, is_filter ? "+" : "m");
	else
		snprintf(to, FILTER_ROOM, "%s/z/%u/%s/%u/%s", l->prefix, n, is_filter ? "+" : "m", i,
			 is_filter ? "#" : "a/b");
}

static void topic_of(char *to, const struct bench_load *l, unsigned publisher, unsigned i)
{
	switch (l->o->mode) {
	case BENCH_FAN_IN:
		snprintf(to, FILTER_ROOM, "%s/%u/%u", l->prefix, publisher % l->nsubscribers, publisher);
		break;
	case BENCH_RETAINED: /* the digits are written over with each send */
		snprintf(to, FILTER_ROOM, "%s/r/00000000", l->prefix);
		break;
	case BENCH_OFFLINE:
		snprintf(to, FILTER_ROOM, "%s/%u", l->prefix, publisher + i * l->npublishers);
		break;
	default:
		if (l->o->topic)
			topic_expand(to, l->o->topic, publisher);
		else
			pair_topic(to, l, publisher, i, false);
	}
}

static void filter_of(char *to, const struct bench_load *l, unsigned subscriber, unsigned i)
{
	if (l->o->topic)
		topic_expand(to, l->o->topic, subscriber);
	else if (l->o->mode == BENCH_FAN_IN)
		snprintf(to, FILTER_ROOM, "%s/%u/+", l->prefix, subscriber);
	else if (l->is_fan_out)
		snprintf(to, FILTER_ROOM, "%s/%u", l->prefix, i);
	else
		pair_topic(to, l, subscriber, i, true);
}

static int subscribe_send(struct bench_load *l, struct bench_conn *c, char (*filters)[FILTER_ROOM],
			  unsigned count)
{
	struct mqtt_sub_item items[SUBSCRIBE_FILTERS];
	uint8_t packet[PACKET_ROOM];
	struct wr w = wr_of(packet, sizeof(packet));
	struct mqtt_props none;

	mqtt_props_clear(&none);
	for (unsigned i = 0; i < count; i++)
		items[i] = (struct mqtt_sub_item){.filter = span_str(filters[i]), .qos = (uint8_t)l->o->qos};
	if (mqtt_subscribe_encode(&w, l->o->version, 1, &none, items, count) < 0)
		return bench_fault("a SUBSCRIBE of %u filters does not fit", count);
	return send_all(c, packet, sizeof(packet) - w.left);
}

int bench_subscribe_send(struct bench_load *l, struct bench_conn *c, const char *filter)
{
	char filters[1][FILTER_ROOM];

	snprintf(filters[0], sizeof(filters[0]), "%s", filter);
	return subscribe_send(l, c, filters, 1);
}

static int check_suback(const struct bench_load *l, const struct mqtt_frame *f, unsigned count)
{
	struct mqtt_suback answer;
	int rc = mqtt_suback_decode(f, l->o->version, &answer);

	if (rc < 0)
		return bench_fault("SUBACK: %s", err_text(rc));
	if (answer.codes.len != count)
		return bench_fault("SUBACK answers %zu filters instead of %u", answer.codes.len, count);
	for (unsigned i = 0; i < count; i++) {
		if (answer.codes.p[i] >= 0x80)
			return bench_fault("the broker refused a subscription: %s",
					   l->o->version == MQTT_V5 ? mqtt_reason_text(answer.codes.p[i])
								    : "failure");
		if (answer.codes.p[i] != l->o->qos)
			return bench_fault("the broker grants QoS %u instead of %u", answer.codes.p[i],
					   l->o->qos);
	}
	return OK;
}

static int subscribe(struct bench_load *l, struct bench_conn *c, unsigned subscriber, unsigned first,
		     unsigned count)
{
	char filters[SUBSCRIBE_FILTERS][FILTER_ROOM];
	uint8_t room[PACKET_ROOM];
	struct mqtt_frame f;
	int rc;

	for (unsigned i = 0; i < count; i++)
		filter_of(filters[i], l, subscriber, first + i);
	if ((rc = subscribe_send(l, c, filters, count)) < 0 ||
	    (rc = await(c, MQTT_SUBACK, room, sizeof(room), &f)) < 0)
		return rc;
	return check_suback(l, &f, count);
}

static unsigned filters_of_each(const struct bench_load *l)
{
	return l->is_fan_out ? l->npublishers : l->o->filters;
}

int bench_subscribe_all(struct bench_load *l)
{
	unsigned each = filters_of_each(l);

	for (unsigned s = 0; s < l->nsubscribers; s++) {
		for (unsigned at = 0; at < each; at += SUBSCRIBE_FILTERS) {
			unsigned left = each - at;
			int rc = subscribe(l, &l->subscribers[s].c, s, at,
					   left < SUBSCRIBE_FILTERS ? left : SUBSCRIBE_FILTERS);
			if (rc < 0)
				return rc;
		}
	}
	return OK;
}

int bench_connect_slow(struct bench_load *l)
{
	int rc = OK;

	for (unsigned i = 0; rc == OK && i < l->nslow; i++) {
		unsigned subscriber = i % l->nsubscribers;

		if ((rc = bench_connect(l, &l->slow[i], BENCH_CLEAN)) == OK)
			rc = subscribe(l, &l->slow[i], subscriber, 0, 1);
	}
	return rc;
}

/* ---- packets of the publishers ---- */

static int head_make(struct bench_head *to, const struct bench_load *l, const char *topic,
		     uint32_t payload_len, bool retain)
{
	struct mqtt_publish m = {
		.qos = (uint8_t)l->o->qos,
		.retain = retain,
		.packet_id = l->o->qos > 0 ? 1 : 0,
		.topic = span_str(topic),
		.payload = span_of(l->filler, payload_len),
	};
	struct wr w = wr_of(to->bytes, sizeof(to->bytes));
	size_t behind_id = l->o->version == MQTT_V5 ? 1 : 0; /* the empty list of properties */

	mqtt_props_clear(&m.props);
	if (mqtt_publish_head_encode(&w, l->o->version, &m) < 0)
		return bench_fault("the topic %s is too long", topic);
	to->len = (uint16_t)(sizeof(to->bytes) - w.left);
	to->id_at = (uint16_t)(l->o->qos > 0 ? to->len - behind_id - 2 : 0);
	to->digits_at =
		(uint16_t)(l->o->mode == BENCH_RETAINED ? to->len - behind_id - (l->o->qos > 0 ? 2 : 0) - 8
							: 0);
	return OK;
}

/* An order that jumps about among the topics, the same in each run. */
static void shuffle(struct bench_head *heads, unsigned n, unsigned seed)
{
	for (unsigned i = n - 1; i > 0; i--) {
		unsigned j = (unsigned)rand_r(&seed) % (i + 1);
		struct bench_head t = heads[i];

		heads[i] = heads[j];
		heads[j] = t;
	}
}

int bench_publisher_prepare(struct bench_load *l, struct bench_publisher *p, uint32_t payload_len,
			    bool retain)
{
	char topic[FILTER_ROOM];
	int rc = OK;

	p->payload_len = payload_len;
	for (unsigned i = 0; rc == OK && i < p->nheads; i++) {
		topic_of(topic, l, p->c.id, i);
		rc = head_make(&p->heads[i], l, topic, payload_len, retain);
	}
	if (rc == OK && l->o->mode != BENCH_OFFLINE) /* whose sessions have their turns */
		shuffle(p->heads, p->nheads, p->c.id + 1);
	return rc;
}

/* ---- layout ---- */

static void conn_init(struct bench_conn *c, unsigned id, enum bench_role role)
{
	*c = (struct bench_conn){.fd = -1, .id = id, .role = role};
}

static unsigned stamps_of(const struct bench_options *o)
{
	unsigned n = 1;

	while (n < o->window)
		n *= 2;
	return n;
}

static int publisher_init(struct bench_load *l, unsigned i)
{
	const struct bench_options *o = l->o;
	struct bench_publisher *p = &l->publishers[i];
	bool has_own_topics = o->mode == BENCH_EXCHANGE || o->mode == BENCH_SUBSCRIBE;
	uint64_t first = o->limit * i / l->npublishers;

	conn_init(&p->c, i, BENCH_PUBLISHER);
	p->limit = o->limit > 0 ? o->limit * (i + 1) / l->npublishers - first : UINT64_MAX;
	p->base = (uint32_t)first;
	p->nheads = has_own_topics && o->filters > 1 ? o->filters : l->stride;
	if (!(p->heads = calloc(p->nheads, sizeof(*p->heads))))
		return no_memory();
	if (o->rate <= 0 && !(p->stamps = calloc(stamps_of(o), sizeof(*p->stamps))))
		return no_memory();
	return bench_publisher_prepare(l, p, o->size, o->mode == BENCH_RETAINED);
}

static int subscriber_init(struct bench_load *l, unsigned i)
{
	struct bench_subscriber *s = &l->subscribers[i];
	unsigned n = l->is_fan_out ? l->npublishers : l->npublishers / l->nsubscribers + 1;

	conn_init(&s->c, i, BENCH_SUBSCRIBER);
	return (s->seen = calloc(n + 1, sizeof(*s->seen))) ? OK : no_memory();
}

/*
 * In turn: a broker serves its connections in some order, and no thread is to have all of the first half of a round. A publisher lives
 * with its subscriber, where that spreads the work.
 */
static void assign_workers(struct bench_load *l)
{
	for (unsigned i = 0; i < l->nsubscribers; i++)
		l->subscribers[i].worker = i % l->nworkers;
	for (unsigned i = 0; i < l->npublishers; i++) {
		struct bench_publisher *p = &l->publishers[i];

		p->readers = 0;
		if (!l->is_fan_out && l->nsubscribers > 0)
			p->readers = (uint64_t)1 << l->subscribers[i % l->nsubscribers].worker;
		for (unsigned s = 0; l->is_fan_out && s < l->nsubscribers; s++)
			p->readers |= (uint64_t)1 << l->subscribers[s].worker;
		if (!l->is_fan_out && l->nsubscribers >= l->nworkers)
			p->worker = l->subscribers[i % l->nsubscribers].worker;
		else
			p->worker = i % l->nworkers;
	}
}

static int workers_init(struct bench_load *l)
{
	unsigned conns = l->o->mode == BENCH_CONNECT ? l->o->clients : l->npublishers + l->nsubscribers;

	l->nworkers = l->o->workers < conns ? l->o->workers : conns > 0 ? conns : 1;
	if (!(l->workers = aligned_alloc(BENCH_CACHE, l->nworkers * sizeof(*l->workers))))
		return no_memory();
	memset(l->workers, 0, l->nworkers * sizeof(*l->workers));
	assign_workers(l);
	return OK;
}

static int raise_descriptors(const struct bench_load *l)
{
	unsigned long wanted = (unsigned long)l->npublishers + l->nsubscribers + l->nslow + DESCRIPTORS_ELSE;
	struct rlimit files;

	if (l->o->mode == BENCH_CONNECT)
		wanted += l->o->clients;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return bench_fault("descriptor limit: %s", strerror(errno));
	if (files.rlim_max < wanted)
		return bench_fault("this needs %lu descriptors and the hard limit is %lu: raise ulimit -n, "
				   "or take fewer clients",
				   wanted, (unsigned long)files.rlim_max);
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) < 0 ? bench_fault("descriptor limit: %s", strerror(errno))
						    : OK;
}

static int people_init(struct bench_load *l)
{
	int rc = OK;

	l->publishers = calloc(l->npublishers + 1, sizeof(*l->publishers));
	l->subscribers = calloc(l->nsubscribers + 1, sizeof(*l->subscribers));
	l->slow = calloc(l->nslow + 1, sizeof(*l->slow));
	if (!l->publishers || !l->subscribers || !l->slow)
		return no_memory();
	/* First those that cannot fail: closing looks at all of them. */
	for (unsigned i = 0; i < l->npublishers; i++)
		l->publishers[i].c.fd = -1;
	for (unsigned i = 0; i < l->nsubscribers; i++)
		l->subscribers[i].c.fd = -1;
	for (unsigned i = 0; i < l->nslow; i++)
		conn_init(&l->slow[i], i, BENCH_SLOW);
	for (unsigned i = 0; rc == OK && i < l->npublishers; i++)
		rc = publisher_init(l, i);
	for (unsigned i = 0; rc == OK && i < l->nsubscribers; i++)
		rc = subscriber_init(l, i);
	return rc;
}

/* What tells messages of this run from others; the same for two runs of which one fetches what the other left. */
static uint32_t run_of(const struct bench_options *o)
{
	uint32_t run = 2166136261u;

	for (const char *p = o->prefix; (o->leave || o->resume) && *p; p++)
		run = (run ^ (uint8_t)*p) * 16777619u;
	if (!o->leave && !o->resume && getrandom(&run, sizeof(run), GRND_NONBLOCK) != (ssize_t)sizeof(run))
		run = (uint32_t)bench_now_ns();
	return run;
}

int bench_load_open(struct bench_load *l, const struct bench_options *o)
{
	int rc;

	*l = (struct bench_load){
		.o = o,
		.signals = -1,
		.npublishers = o->publishers,
		.nsubscribers = o->subscribers,
		.nslow = o->slow,
		.is_fan_out = o->mode == BENCH_FAN_OUT || o->to_all,
		.stride = o->mode == BENCH_OFFLINE && !o->to_all ? o->subscribers / o->publishers : 1,
		.packet_max = BENCH_HEAD_MAX + (o->mode == BENCH_SUB ? BENCH_PAYLOAD_MAX : o->size)};
	if (o->rate > 0)
		l->gap_ns = 1e9 * o->batch / o->rate;
	l->run = run_of(o);
	if (o->prefix)
		snprintf(l->prefix, sizeof(l->prefix), "%s", o->prefix);
	else
		snprintf(l->prefix, sizeof(l->prefix), "b%d", (int)getpid() % 1000000);
	if ((rc = raise_descriptors(l)) < 0 || (rc = resolve(l)) < 0)
		return rc;
	if (!(l->filler = calloc(1, o->size)))
		return no_memory();
	if ((rc = people_init(l)) < 0)
		return rc;
	return workers_init(l);
}

static void conn_close(const struct bench_load *l, struct bench_conn *c)
{
	bench_disconnect(l, c);
	free(c->part);
	free(c->out);
}

void bench_load_close(struct bench_load *l)
{
	for (unsigned i = 0; l->publishers && i < l->npublishers; i++) {
		conn_close(l, &l->publishers[i].c);
		free(l->publishers[i].heads);
		free(l->publishers[i].stamps);
	}
	for (unsigned i = 0; l->subscribers && i < l->nsubscribers; i++) {
		conn_close(l, &l->subscribers[i].c);
		free(l->subscribers[i].seen);
	}
	for (unsigned i = 0; l->slow && i < l->nslow; i++)
		conn_close(l, &l->slow[i]);
	free(l->publishers);
	free(l->subscribers);
	free(l->slow);
	free(l->workers);
	free(l->topics_seen);
	free(l->filler);
}
