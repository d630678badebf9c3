/*
 * lineside modbus serve: a simulated device, until SIGTERM or SIGINT.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "net/stream_tcp.h"
#include "tools/modbus_sim.h"
#include "tools/modbus_tool.h"

#define CONNECTIONS_MAX 64u
#define STEP_MS         100u

struct serving {
	struct loop *loop;
	struct modbus_sim *sim;
	struct modbus_server *server;
	struct listener *listener;
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

static MUST_USE int serving_open(struct serving *s, const struct modbus_options *o)
{
	int rc;

	if ((rc = loop_create(&s->loop)) < 0)
		return rc;
	if ((rc = modbus_sim_create(o->seed, o->unit, o->scratch, &s->sim)) < 0)
		return rc;
	if ((rc = modbus_server_create(s->loop, &modbus_sim_model, s->sim, CONNECTIONS_MAX, &s->server)) < 0)
		return rc;
	errno = 0;
	rc = listener_tcp_open(s->loop, o->listen, o->port, modbus_server_acceptor(s->server), &s->listener);
	if (rc < 0) {
		fprintf(stderr,
			"lineside modbus serve: cannot listen at %s port %u: %s\nChoose another with "
			"-p PORT%s.\n",
			o->listen, (unsigned)o->port, errno ? strerror(errno) : err_text(rc),
			errno == EADDRNOTAVAIL ? " or --address ADDRESS" : "");
		return ERR_EXISTS; /* explained */
	}
	s->start_ms = loop_now_ms(s->loop);
	loop_timer_set(s->loop, &s->timer, STEP_MS);
	return watch_signals(s);
}

static void serving_close(struct serving *s)
{
	listener_close(s->listener);
	modbus_server_destroy(s->server);
	modbus_sim_destroy(s->sim);
	if (s->signals.fd >= 0) {
		loop_fd_remove(s->loop, &s->signals);
		close(s->signals.fd);
	}
	if (s->loop)
		loop_timer_cancel(s->loop, &s->timer);
	loop_destroy(s->loop);
}

int modbus_tool_serve(const struct modbus_options *o)
{
	struct serving s = {.signals.fd = -1};
	int rc;

	loop_timer_init(&s.timer, on_timer);
	rc = serving_open(&s, o);
	if (rc == OK) {
		printf("a simulated device at unit %u:\n", o->unit);
		modbus_sim_print_map(stdout, o->scratch);
		printf("listening on %s%s%s:%u\n", strchr(o->listen, ':') ? "[" : "", o->listen,
		       strchr(o->listen, ':') ? "]" : "", (unsigned)listener_port(s.listener));
		fflush(stdout);
		rc = loop_run(s.loop);
	}
	if (rc < 0 && rc != ERR_EXISTS)
		fprintf(stderr, "lineside modbus serve: %s\n", err_text(rc));
	serving_close(&s);
	return rc == OK ? 0 : 1;
}
