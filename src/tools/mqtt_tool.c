#include "tools/mqtt_tool.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "net/stream_tcp.h"
#include "tools/mqtt_trace.h"

void mqtt_tool_error(const struct mqtt_tool *t, const char *fmt, ...)
{
	va_list args;

	if (t->o.quiet)
		return;
	fprintf(stderr, "lineside %s: ", t->o.name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
}

bool mqtt_tool_information(const struct mqtt_options *o, int *status)
{
	if (o->want_help)
		mqtt_options_help(o, stdout);
	else if (o->want_version)
		printf("lineside %s\n", LINESIDE_VERSION);
	else
		return false;
	*status = fflush(stdout) == 0 ? 0 : 1;
	return true;
}

void mqtt_tool_leave(struct mqtt_tool *t, int status, bool finish_first)
{
	const struct mqtt_prop_set *set = &t->o.props[PROPS_DISCONNECT];

	if (t->is_leaving)
		return;
	t->is_leaving = true;
	t->status = status;
	if (mqtt_client_disconnect(t->client, finish_first, 0, &set->props) < 0 ||
	    (!finish_first && !mqtt_client_is_connected(t->client)))
		loop_stop(t->loop);
}

/* ---- events of the client ---- */

static const char *refusal_text(enum mqtt_version v, uint8_t reason)
{
	/* 3.1.1, table 3.1 */
	static const char *const v3[] = {
		"accepted",           "unacceptable protocol version", "client identifier rejected",
		"server unavailable", "bad user name or password",     "not authorized"};

	if (v == MQTT_V5)
		return mqtt_reason_text(reason);
	return reason < sizeof(v3) / sizeof(v3[0]) ? v3[reason] : "unknown return code";
}

static void say_reason_string(const struct mqtt_tool *t, const struct mqtt_props *p)
{
	char quoted[256];

	if (p && mqtt_props_has(p, MQTT_P_REASON_STRING))
		mqtt_tool_error(t, "the broker says %s",
				log_quote(quoted, sizeof(quoted), p->str[MQTT_P_REASON_STRING]));
}

static void on_connected(void *arg, const struct mqtt_client_connected *e)
{
	struct mqtt_tool *t = arg;
	size_t n = e->client_id.len < sizeof(t->id) - 1 ? e->client_id.len : sizeof(t->id) - 1;

	if (n)
		memcpy(t->id, e->client_id.p, n);
	t->id[n] = '\0';
	t->has_connected = true;
	if (t->connected)
		t->connected(t);
}

static void say_lost(const struct mqtt_tool *t, const struct mqtt_client_disconnected *e)
{
	char where[STREAM_PEER_MAX + 256];
	const char *why = e->reason ? mqtt_reason_text(e->reason) : err_text(e->err);

	if (e->err == ERR_IO && !e->reason)
		why = t->has_connected ? "broken" : "refused, unreachable, or no such name";

	t->dialer->describe(t->dialer, where, sizeof(where));
	if (e->is_refused)
		mqtt_tool_error(t, "the broker at %s refused the connection: %s", where,
				refusal_text(t->o.client.connect.version, e->reason));
	else if (!t->has_connected)
		mqtt_tool_error(t, "cannot connect to %s: %s. Is a broker running there (-h, -p)?", where,
				why);
	else if (e->was_connected)
		mqtt_tool_error(t, "the connection to %s is lost: %s; trying again", where, why);
	say_reason_string(t, e->props);
}

static void on_disconnected(void *arg, const struct mqtt_client_disconnected *e)
{
	struct mqtt_tool *t = arg;

	if (e->err == OK) {
		loop_stop(t->loop);
		return;
	}
	say_lost(t, e);
	/* As mosquitto's tools: what never worked, or was refused, is not tried again; what was lost is. */
	if (!e->is_refused && t->has_connected && e->retry_ms >= 0)
		return;
	t->status = e->is_refused ? e->reason : 1;
	t->is_leaving = true;
	loop_stop(t->loop);
}

static void on_message(void *arg, const struct mqtt_publish *m)
{
	struct mqtt_tool *t = arg;

	if (t->message && !t->is_leaving)
		t->message(t, m);
}

static void on_published(void *arg, void *token, int err, uint8_t reason, const struct mqtt_props *props)
{
	struct mqtt_tool *t = arg;

	(void)token;
	say_reason_string(t, props);
	if (t->published)
		t->published(t, err, reason);
}

static void on_answered(void *arg, const struct mqtt_client_answer *e)
{
	struct mqtt_tool *t = arg;

	say_reason_string(t, e->props);
	if (t->answered)
		t->answered(t, e);
}

static void on_packet(void *arg, bool is_sent, const struct mqtt_frame *f)
{
	struct mqtt_tool *t = arg;

	mqtt_trace(t->id[0] ? t->id : "(null)", t->o.client.connect.version, is_sent, f);
}

/* ---- life ---- */

static void signal_ready(struct loop_fd *f, unsigned events)
{
	struct mqtt_tool *t = container_of(f, struct mqtt_tool, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(f->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (t->is_signalled) { /* the second time: at once */
		loop_stop(t->loop);
		return;
	}
	t->is_signalled = true;
	mqtt_tool_leave(t, 0, false);
}

static int signals_open(struct mqtt_tool *t)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return ERR_IO;
	t->signals.ready = signal_ready;
	if ((t->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
		return ERR_IO;
	return loop_fd_add(t->loop, &t->signals);
}

static int client_open(struct mqtt_tool *t)
{
	const struct mqtt_client_events events = {
		.connected = on_connected,
		.disconnected = on_disconnected,
		.message = on_message,
		.published = on_published,
		.answered = on_answered,
		.packet = t->o.debug ? on_packet : NULL,
	};
	uint64_t seed;
	int rc;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
		seed = (uint64_t)loop_wall_ms(t->loop) ^ (uint64_t)getpid();
	t->o.client.seed = seed;
	t->o.client.queue_bytes =
		SIZE_MAX / 2; /* the tool publishes one message, or stops reading at queue_messages */
	struct span id = t->o.client.connect.client_id;

	snprintf(t->id, sizeof(t->id), "%.*s", (int)id.len, id.p ? (const char *)id.p : "");
	if ((rc = mqtt_client_create(t->loop, t->dialer, &t->o.client, &events, t, &t->client)) < 0)
		return rc;
	return mqtt_client_start(t->client);
}

int mqtt_tool_open(struct mqtt_tool *t, bool catch_signals)
{
	int rc;

	t->signals.fd = -1;
	if ((rc = loop_create(&t->loop)) < 0 || (catch_signals && (rc = signals_open(t)) < 0) ||
	    (rc = dialer_tcp_create(t->o.host, t->o.port, &t->dialer)) < 0 || (rc = client_open(t)) < 0)
		mqtt_tool_error(t, "%s", err_text(rc));
	return rc;
}

int mqtt_tool_run(struct mqtt_tool *t)
{
	int rc = loop_run(t->loop);

	if (rc < 0) {
		mqtt_tool_error(t, "%s", err_text(rc));
		return 1;
	}
	return t->status;
}

void mqtt_tool_close(struct mqtt_tool *t)
{
	t->published = NULL;
	t->answered = NULL;
	mqtt_client_destroy(t->client);
	if (t->dialer)
		t->dialer->destroy(t->dialer);
	if (t->signals.fd >= 0 && t->loop) {
		loop_fd_remove(t->loop, &t->signals);
		close(t->signals.fd);
	}
	loop_destroy(t->loop);
	mqtt_options_fini(&t->o);
}
