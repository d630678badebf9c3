#include "tools/bench_churn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS      128
#define WAIT_NS     50000000
#define PATIENCE_NS 10000000000u
#define ANSWER_MAX  1024u

enum state { FREE, CONNECTING, ASKING, LEAVING };

struct slot {
	enum state state;
	int fd;
	uint32_t id;
	uint64_t begin_ns; /* when the connection was, or should have been, begun */
	uint8_t answer[ANSWER_MAX];
	size_t have;
};

struct churn_worker {
	struct bench_churn *churn;
	pthread_t thread;
	int epoll;
	struct slot *slots;
	struct slot **free;
	unsigned nslots, nfree, index;
	uint64_t turn; /* with a rate: the next connection is `turn` of this thread */
	uint64_t connects, failed, refused;
	struct bench_hist latency;
	char fault[128];
};

static bool counts(const struct churn_worker *w, const struct slot *s)
{
	return s->begin_ns >= atomic_load_explicit(&w->churn->begin_ns, memory_order_relaxed);
}

static void release(struct churn_worker *w, struct slot *s)
{
	close(s->fd);
	s->fd = -1;
	s->state = FREE;
	w->free[w->nfree++] = s;
}

static void failed(struct churn_worker *w, struct slot *s, uint64_t *counter, const char *why)
{
	if (!*w->fault)
		snprintf(w->fault, sizeof(w->fault), "%s", why);
	++*counter;
	release(w, s);
}

static void watch(struct churn_worker *w, struct slot *s, int op, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	if (epoll_ctl(w->epoll, op, s->fd, &e) < 0)
		failed(w, s, &w->failed, strerror(errno));
}

static void begin(struct churn_worker *w, uint64_t intended_ns)
{
	const struct bench_load *l = w->churn->load;
	struct slot *s = w->free[--w->nfree];

	s->begin_ns = intended_ns;
	s->have = 0;
	s->state = CONNECTING;
	s->fd = socket(l->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0 ||
	    (connect(s->fd, (const struct sockaddr *)&l->to, l->to_len) < 0 && errno != EINPROGRESS)) {
		failed(w, s, &w->failed, strerror(errno));
		return;
	}
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	watch(w, s, EPOLL_CTL_ADD, EPOLLOUT);
}

static void ask(struct churn_worker *w, struct slot *s)
{
	const struct bench_load *l = w->churn->load;
	uint8_t packet[BENCH_CONNECT_MAX];
	socklen_t size = sizeof(int);
	int fault = 0;
	char id[80];
	size_t len;

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &fault, &size) < 0 || fault != 0) {
		failed(w, s, &w->failed, strerror(fault ? fault : errno));
		return;
	}
	snprintf(id, sizeof(id), "%sc%u", l->prefix, s->id);
	len = bench_connect_packet(l, packet, id, BENCH_CLEAN);
	if (len == 0 || send(s->fd, packet, len, MSG_NOSIGNAL) != (ssize_t)len) {
		failed(w, s, &w->failed, "CONNECT could not be sent");
		return;
	}
	s->state = ASKING;
	watch(w, s, EPOLL_CTL_MOD, EPOLLIN);
}

static void leave(struct churn_worker *w, struct slot *s)
{
	uint8_t packet[BENCH_DISCONNECT_MAX];
	size_t len = bench_disconnect_packet(w->churn->load, packet);

	if (send(s->fd, packet, len, MSG_NOSIGNAL) != (ssize_t)len) {
		failed(w, s, &w->failed, "DISCONNECT could not be sent");
		return;
	}
	s->state = LEAVING;
}

static void answered(struct churn_worker *w, struct slot *s)
{
	const struct bench_load *l = w->churn->load;
	struct mqtt_connack a;
	struct mqtt_frame f;
	int rc = mqtt_frame_read(s->answer, s->have, ANSWER_MAX, &f);

	if (rc == ERR_AGAIN)
		return;
	if (rc < 0 || f.type != MQTT_CONNACK || mqtt_connack_decode(&f, l->o->version, &a) < 0) {
		failed(w, s, &w->failed, "the answer was no CONNACK");
		return;
	}
	if (a.reason != 0) {
		failed(w, s, &w->refused, bench_refusal(l, a.reason));
		return;
	}
	atomic_fetch_add_explicit(&l->workers[w->index].count.delivered, 1,
				  memory_order_relaxed); /* for the progress line */
	if (counts(w, s)) {
		w->connects++;
		bench_hist_add(&w->latency, bench_now_ns() - s->begin_ns);
	}
	leave(w, s);
}

static void readable(struct churn_worker *w, struct slot *s)
{
	ssize_t n = recv(s->fd, s->answer + s->have, sizeof(s->answer) - s->have, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (s->state == LEAVING) {
		if (n <= 0)
			release(w, s);
		return;
	}
	if (n <= 0) {
		failed(w, s, &w->failed, n == 0 ? "the broker closed the connection" : strerror(errno));
		return;
	}
	s->have += (size_t)n;
	answered(w, s);
}

static void give_up_old(struct churn_worker *w)
{
	uint64_t now = bench_now_ns();

	for (unsigned i = 0; i < w->nslots; i++) {
		if (w->slots[i].state != FREE && now - w->slots[i].begin_ns > PATIENCE_NS)
			failed(w, &w->slots[i], &w->failed, "no answer within 10 s");
	}
}

/* When the next connection is to be made: with a rate by the clock, else now. */
static uint64_t next_ns(const struct churn_worker *w, uint64_t now)
{
	double rate = w->churn->load->o->rate;
	double number = (double)(w->turn * w->churn->nworkers + w->index);

	return rate > 0 ? w->churn->load->start_ns + (uint64_t)(number * 1e9 / rate) : now;
}

/* Begin what may begin; returns how long the thread may sleep. */
static uint64_t begin_due(struct churn_worker *w)
{
	uint64_t now = bench_now_ns(), at;

	/* A connection that fails at once gives its slot back: not for ever in one go. */
	for (unsigned i = 0; i < w->nslots && w->nfree > 0; i++) {
		if ((at = next_ns(w, now)) > now)
			return at - now < WAIT_NS ? at - now : WAIT_NS;
		w->turn++;
		begin(w, at);
	}
	return WAIT_NS;
}

static void *churn_run(void *arg)
{
	struct churn_worker *w = arg;
	struct epoll_event events[EVENTS];

	while (!atomic_load_explicit(&w->churn->is_ending, memory_order_relaxed)) {
		struct timespec t = {.tv_nsec = (long)begin_due(w)};
		int n = epoll_pwait2(w->epoll, events, EVENTS, &t, NULL);

		for (int i = 0; i < n; i++) {
			struct slot *s = events[i].data.ptr;

			if (s->state == CONNECTING)
				ask(w, s);
			else if (s->state != FREE)
				readable(w, s);
		}
		if (n <= 0)
			give_up_old(w);
	}
	return NULL;
}

static int worker_init(struct churn_worker *w, struct bench_churn *c, unsigned index)
{
	unsigned all = c->load->o->clients;
	unsigned first = (unsigned)((uint64_t)all * index / c->nworkers);

	w->churn = c;
	w->index = index;
	w->nslots = (unsigned)((uint64_t)all * (index + 1) / c->nworkers) - first;
	w->slots = calloc(w->nslots, sizeof(*w->slots));
	w->free = calloc(w->nslots, sizeof(*w->free));
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!w->slots || !w->free || w->epoll < 0)
		return bench_fault("%s", err_text(w->epoll < 0 ? ERR_IO : ERR_NOMEM));
	for (unsigned i = 0; i < w->nslots; i++) {
		w->slots[i].fd = -1;
		w->slots[i].id = first + i;
		w->free[w->nfree++] = &w->slots[i];
	}
	return OK;
}

static void worker_fini(struct churn_worker *w)
{
	for (unsigned i = 0; w->slots && i < w->nslots; i++) {
		if (w->slots[i].fd >= 0)
			close(w->slots[i].fd);
	}
	if (w->epoll >= 0)
		close(w->epoll);
	free(w->slots);
	free(w->free);
}

/* End `started` threads, and take apart all. */
static void end(struct bench_churn *c, unsigned started)
{
	atomic_store(&c->is_ending, true);
	for (unsigned i = 0; i < started; i++)
		pthread_join(c->workers[i].thread, NULL);
	for (unsigned i = 0; i < c->nworkers; i++)
		worker_fini(&c->workers[i]);
}

int bench_churn_start(struct bench_churn *c, struct bench_load *l)
{
	unsigned started = 0;
	int rc = OK;

	memset(c, 0, sizeof(*c));
	c->load = l;
	c->nworkers = l->nworkers;
	l->start_ns = bench_now_ns();
	atomic_store(&c->begin_ns, UINT64_MAX);
	if (!(c->workers = calloc(c->nworkers, sizeof(*c->workers))))
		return bench_fault("%s", err_text(ERR_NOMEM));
	for (unsigned i = 0; i < c->nworkers; i++)
		c->workers[i].epoll = -1;
	for (unsigned i = 0; rc == OK && i < c->nworkers; i++)
		rc = worker_init(&c->workers[i], c, i);
	while (rc == OK && started < c->nworkers) {
		struct churn_worker *w = &c->workers[started];

		if (pthread_create(&w->thread, NULL, churn_run, w) != 0)
			rc = bench_fault("cannot start a thread");
		else
			started++;
	}
	if (rc < 0) {
		end(c, started);
		free(c->workers);
	}
	return rc;
}

void bench_churn_measure(struct bench_churn *c)
{
	atomic_store(&c->begin_ns, bench_now_ns());
}

void bench_churn_stop(struct bench_churn *c)
{
	end(c, c->nworkers);
	for (unsigned i = 0; i < c->nworkers; i++) {
		const struct churn_worker *w = &c->workers[i];

		c->connects += w->connects;
		c->failed += w->failed;
		c->refused += w->refused;
		bench_hist_merge(&c->latency, &w->latency);
		if (!*c->fault)
			memcpy(c->fault, w->fault, sizeof(c->fault));
	}
	free(c->workers);
}
