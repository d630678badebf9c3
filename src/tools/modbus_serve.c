/*
 * lineside modbus serve: simulated devices over TCP or on a serial line, until SIGTERM or SIGINT.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "modbus/slave.h"
#include "net/stream_tcp.h"
#include "tools/modbus_session.h"
#include "tools/modbus_sim.h"
#include "tools/modbus_tool.h"

#define CONNECTIONS_MAX 64u
#define STEP_MS         100u
#define REOPEN_MS       1000u

/* RTU or ASCII on a serial port, or on a connection. */
struct line {
	struct list node; /* in serving->lines */
	struct serving *serving;
	struct modbus_slave *slave;
};

struct serving {
	const struct modbus_options *o;
	struct loop *loop;
	struct modbus_sim *sim;
	struct modbus_server *server; /* Modbus/TCP; else NULL */
	struct listener *listener;    /* TCP; else NULL */
	struct acceptor acceptor;     /* RTU over TCP */
	struct dialer *port;          /* serial; else NULL */
	struct loop_timer reopen;
	struct list lines;
	struct modbus_counters counters; /* of lines that are gone */
	struct loop_timer timer;
	struct loop_fd signals;
	uint64_t start_ms;
};

static void on_timer(struct loop_timer *t)
{
	struct serving *s = container_of(t, struct serving, timer);

	modbus_sim_step(s->sim, loop_now_ms(s->loop) - s->start_ms);
	loop_timer_set(s->loop, t, STEP_MS);
}

static void on_signal(struct loop_fd *f, unsigned events)
{
	struct serving *s = container_of(f, struct serving, signals);

	if (events & LOOP_READABLE)
		loop_stop(s->loop);
}

/* SIGTERM and SIGINT become bytes of a descriptor. */
static MUST_USE int watch_signals(struct serving *s)
{
	sigset_t set;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return ERR_IO;
	s->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals.fd < 0)
		return ERR_IO;
	s->signals.ready = on_signal;
	rc = loop_fd_add(s->loop, &s->signals);
	if (rc < 0) {
		close(s->signals.fd);
		s->signals.fd = -1;
	}
	return rc;
}

/* ---- what was counted ---- */

static void add(struct modbus_counters *to, const struct modbus_counters *c)
{
#define ADD_COUNTER(member, sub, text) to->member = (uint16_t)(to->member + c->member);
	MODBUS_COUNTER_TABLE(ADD_COUNTER)
#undef ADD_COUNTER
}

static void count(void *arg, struct modbus_counters *out)
{
	const struct serving *s = arg;
	struct modbus_server_stats stats;
	struct modbus_counters c;

	*out = s->counters;
	for (const struct list *n = s->lines.next; n != &s->lines; n = n->next) {
		const struct line *l = (const void *)((const char *)n - offsetof(struct line, node));

		modbus_slave_counters(l->slave, &c);
		add(out, &c);
	}
	if (!s->server)
		return;
	modbus_server_stats(s->server, &stats);
	out->messages = out->served = (uint16_t)stats.requests;
	out->exceptions = (uint16_t)stats.exceptions;
}

/* ---- serial lines ---- */

static void line_destroy(struct line *l)
{
	struct modbus_counters c;

	modbus_slave_counters(l->slave, &c);
	add(&l->serving->counters, &c);
	list_remove(&l->node);
	modbus_slave_destroy(l->slave);
	free(l);
}

static void on_line_ended(struct modbus_slave *slave, void *arg)
{
	struct line *l = arg;
	struct serving *s = l->serving;

	(void)slave;
	line_destroy(l);
	if (s->port)
		loop_timer_set(s->loop, &s->reopen, REOPEN_MS);
}

/* The stream is the line's, or closed. */
static MUST_USE int line_open(struct serving *s, struct stream *stream)
{
	const struct modbus_slave_options options = {
		.is_ascii = modbus_mode_info(s->o->mode)->is_ascii,
		.baud = s->o->bauds[0],
		.char_bits = modbus_char_bits(s->o),
		.units = s->o->units,
	};
	struct line *l = calloc(1, sizeof(*l));
	int rc = ERR_NOMEM;

	if (l)
		rc = modbus_slave_create(s->loop, stream, &options, &modbus_sim_model, s->sim, on_line_ended,
					 l, &l->slave);
	if (rc < 0) {
		stream_close(stream);
		free(l);
		return rc;
	}
	l->serving = s;
	list_init(&l->node);
	list_append(&s->lines, &l->node);
	return OK;
}

static void on_accepted(struct acceptor *a, struct stream *stream)
{
	struct serving *s = container_of(a, struct serving, acceptor);

	if (line_open(s, stream) == OK && stream_attach(stream, s->loop) < 0)
		line_destroy(container_of(s->lines.prev, struct line, node));
}

static MUST_USE int open_port(struct serving *s)
{
	struct stream *stream;
	int rc = s->port->dial(s->port, s->loop, &stream);

	return rc < 0 ? rc : line_open(s, stream);
}

static void on_reopen(struct loop_timer *t)
{
	struct serving *s = container_of(t, struct serving, reopen);

	if (open_port(s) < 0)
		loop_timer_set(s->loop, t, REOPEN_MS);
}

/* ---- opening ---- */

static MUST_USE int serve_port(struct serving *s)
{
	int rc;

	if ((rc = modbus_dialer_create(s->o, &s->port)) < 0)
		return rc;
	rc = open_port(s);
	if (rc < 0)
		fprintf(stderr, "lineside modbus serve: %s cannot be opened\n", s->o->host);
	return rc < 0 ? ERR_EXISTS : OK; /* explained */
}

static MUST_USE int serve_tcp(struct serving *s)
{
	const struct modbus_options *o = s->o;
	struct acceptor *acceptor = &s->acceptor;
	int rc;

	if (!modbus_mode_info(o->mode)->is_framed) {
		rc = modbus_server_create(s->loop, &modbus_sim_model, s->sim, CONNECTIONS_MAX, &s->server);
		if (rc < 0)
			return rc;
		acceptor = modbus_server_acceptor(s->server);
	}
	errno = 0;
	rc = listener_tcp_open(s->loop, o->listen, o->port, acceptor, &s->listener);
	if (rc == OK)
		return OK;
	fprintf(stderr,
		"lineside modbus serve: cannot listen at %s port %u: %s\nChoose another with "
		"-p PORT%s.\n",
		o->listen, (unsigned)o->port, errno ? strerror(errno) : err_text(rc),
		errno == EADDRNOTAVAIL ? " or --address ADDRESS" : "");
	return ERR_EXISTS; /* explained */
}

static MUST_USE int serving_open(struct serving *s)
{
	const struct modbus_options *o = s->o;
	int rc;

	if ((rc = loop_create(&s->loop)) < 0)
		return rc;
	if ((rc = modbus_sim_create(o->seed, &o->units, o->scratch, &s->sim)) < 0)
		return rc;
	modbus_sim_count_with(s->sim, count, s);
	if ((rc = modbus_mode_info(o->mode)->is_serial ? serve_port(s) : serve_tcp(s)) < 0)
		return rc;
	s->start_ms = loop_now_ms(s->loop);
	loop_timer_set(s->loop, &s->timer, STEP_MS);
	return watch_signals(s);
}

static void serving_close(struct serving *s)
{
	struct list *node;

	listener_close(s->listener);
	while ((node = list_first(&s->lines)))
		line_destroy(container_of(node, struct line, node));
	if (s->port)
		s->port->destroy(s->port);
	modbus_server_destroy(s->server);
	modbus_sim_destroy(s->sim);
	if (s->signals.fd >= 0) {
		loop_fd_remove(s->loop, &s->signals);
		close(s->signals.fd);
	}
	if (s->loop) {
		loop_timer_cancel(s->loop, &s->timer);
		loop_timer_cancel(s->loop, &s->reopen);
	}
	loop_destroy(s->loop);
}

static void print_start(const struct serving *s)
{
	const struct modbus_options *o = s->o;
	char place[MODBUS_PLACE_MAX];
	const char *between = "";

	printf("simulated devices at units ");
	for (unsigned unit = 0; unit < 256; unit++) {
		if (!modbus_units_has(&o->units, unit))
			continue;
		printf("%s%u", between, unit);
		between = ", ";
	}
	printf(":\n");
	modbus_sim_print_map(stdout, o->scratch);
	if (s->listener)
		printf("listening on %s%s%s:%u\n", strchr(o->listen, ':') ? "[" : "", o->listen,
		       strchr(o->listen, ':') ? "]" : "", (unsigned)listener_port(s->listener));
	else
		printf("listening on %s\n", modbus_describe_place(o, place, sizeof(place)));
	fflush(stdout);
}

int modbus_tool_serve(const struct modbus_options *o)
{
	struct serving s = {.o = o, .signals.fd = -1, .acceptor.accepted = on_accepted};
	int rc;

	list_init(&s.lines);
	loop_timer_init(&s.timer, on_timer);
	loop_timer_init(&s.reopen, on_reopen);
	rc = serving_open(&s);
	if (rc == OK) {
		print_start(&s);
		rc = loop_run(s.loop);
	}
	if (rc < 0 && rc != ERR_EXISTS)
		fprintf(stderr, "lineside modbus serve: %s\n", err_text(rc));
	serving_close(&s);
	return rc == OK ? 0 : 1;
}
