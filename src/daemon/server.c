#include "daemon/server.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "admin/control_request.h"
#include "daemon/control.h"
#include "daemon/field_thread.h"
#include "daemon/heap.h"
#include "daemon/import.h"
#include "daemon/limits.h"
#include "daemon/own_topics.h"
#include "daemon/reload.h"
#include "daemon/signals.h"
#include "daemon/status.h"
#include "daemon/storage_thread.h"
#include "daemon/trace_command.h"
#include "daemon/uplink_terms.h"
#include "daemon/uplink_thread.h"
#include "daemon/workers.h"
#include "mqtt/broker.h"
#include "net/stream_tcp.h"

#define CLOSING_POLL_MS 20u
#define CLOSING_MAX_MS  2000u

/*
 *   STARTING --field, then uplinks run--> RUNNING <--all workers saw the new topics-- SETTLING
 *      |                      |   \--SIGHUP--> RELOADING --field, then uplinks run it--^
 *      |                      |                   \--not taken--> RUNNING
 *      \--failed--> ENDING <--/ SIGTERM, SIGINT
 *                     \--field ended--> PASSING --its last words are with the workers--> FLUSHING
 *                           --workers took them--> LEAVING --uplinks ended--> CLOSING
 *                           --clients are gone, or late--> the main loop stops
 */
enum server_state {
	SERVER_STARTING,
	SERVER_RUNNING,
	SERVER_RELOADING,
	SERVER_SETTLING,
	SERVER_ENDING,
	SERVER_PASSING,
	SERVER_FLUSHING,
	SERVER_LEAVING,
	SERVER_CLOSING
};

struct server { /* the main thread's, but for what the threads own */
	const struct server_options *options;
	struct gateway_config *first; /* what listeners, broker and topics are made of, until the end */
	struct gateway_config *cfg;   /* what the field side runs; the first one until a reload */
	struct gateway_config *next;
	enum server_state state;
	bool is_stop_wanted, is_reload_wanted;
	int rc;

	struct loop *loop;
	struct signals signals;
	struct loop_source answered, reported, marked;
	struct loop_source uplinks_answered, uplinks_reported;
	struct loop_timer closing, sampling;
	uint64_t closing_until_ms;

	struct workers *workers;
	struct own_topics *topics;
	struct own_table *next_table, *old_table;
	struct storage_thread *storage; /* NULL: all is in memory */
	struct broker *broker;
	struct field_thread *field;
	struct uplink_terms *uplink_terms;
	struct uplink_thread *uplinks;
	struct acceptor acceptor;
	struct listener **listeners;
	size_t nlisteners;

	struct control control;
	uint64_t start_ms;
	uint32_t max_connections;
	uint64_t memory_limit;
	struct status_rates rates;
	struct heap heap;
	struct status_reloads reloads;

	struct import *import; /* NULL: none is under way */
	struct loop_source imported;
	uint64_t import_question;
};

static void set_log_level(const struct server *s)
{
	log_set_level(s->options->has_level ? s->options->level : (enum log_level)s->cfg->log.level);
}

/* ---- stopping ---- */

static void close_listeners(struct server *s)
{
	for (size_t i = 0; i < s->nlisteners; i++)
		listener_close(s->listeners[i]);
	s->nlisteners = 0;
}

static void begin_stop(struct server *s)
{
	log_notice("daemon", "stopping");
	close_listeners(s);
	s->state = SERVER_ENDING;
	field_thread_ask(s->field, FIELD_END, NULL);
}

static void watch_closing(struct loop_timer *t)
{
	struct server *s = container_of(t, struct server, closing);
	uint32_t left = broker_connections(s->broker);

	if (left && loop_now_ms(s->loop) < s->closing_until_ms) {
		loop_timer_set(s->loop, &s->closing, CLOSING_POLL_MS);
		return;
	}
	if (left)
		log_warning("daemon", "%u clients did not take their last bytes in time", left);
	loop_stop(s->loop);
}

static void begin_closing(struct server *s)
{
	s->state = SERVER_CLOSING;
	broker_stop(s->broker);
	s->closing_until_ms = loop_now_ms(s->loop) + CLOSING_MAX_MS;
	watch_closing(&s->closing);
}

/* ---- status ---- */

static struct store *store_of(const struct server *s)
{
	return s->storage ? storage_thread_store(s->storage) : NULL;
}

static const char *state_text(enum server_state state)
{
	switch (state) {
	case SERVER_STARTING:
		return "starting";
	case SERVER_RUNNING:
		return "running";
	case SERVER_RELOADING:
	case SERVER_SETTLING:
		return "reloading";
	default:
		return "stopping";
	}
}

static void status_asked(void *arg)
{
	struct server *s = arg;

	field_thread_ask_report(s->field);
}

/* ---- import ---- */

/* NULL: it began, and is answered later. */
static const char *begin_import(struct server *s, const struct control_question *q)
{
	if (q->fd < 0)
		return "no file came with the request";
	if (!s->storage)
		return "this gateway has no storage.path: it keeps nothing";
	if (s->import)
		return "another import is under way";
	switch (import_begin(s->broker, q->fd, q->flags & CONTROL_REPLACE, &s->imported, &s->import)) {
	case OK:
		s->import_question = q->id;
		return NULL;
	case ERR_UNSUPPORTED:
		return "what is to be imported is no file";
	default:
		return "no memory, or no thread, for it";
	}
}

static void import_asked(void *arg, const struct control_question *q)
{
	struct server *s = arg;
	bool is_taken = q->fd >= 0 && s->storage && !s->import; /* the descriptor, too */
	const char *why = begin_import(s, q);
	char text[128];

	if (!is_taken && q->fd >= 0)
		close(q->fd);
	if (!why)
		return;
	snprintf(text, sizeof(text), "{\"error\":\"%s\"}", why);
	control_answer_one(s->control.socket, q->id, text);
}

static void import_ended(struct loop_source *source)
{
	struct server *s = container_of(source, struct server, imported);
	char *text = import_end(s->import);

	s->import = NULL;
	if (s->control.socket)
		control_answer_one(s->control.socket, s->import_question, text);
	free(text);
}

static void trace_asked(void *arg, const struct control_question *q)
{
	struct server *s = arg;
	char *text = trace_command(s->cfg, s->field, q);

	control_answer_one(s->control.socket, q->id, text);
	free(text);
}

static const struct control_command control_commands[] = {
	{.name = "status", .asked = status_asked},
	{.name = "import", .asked_one = import_asked, .takes = CONTROL_REPLACE},
	{.name = "trace", .asked_one = trace_asked, .takes = CONTROL_LINE},
	{.name = NULL},
};

static void field_reported(struct loop_source *source)
{
	uplink_thread_ask_report(container_of(source, struct server, reported)->uplinks);
}

static void uplinks_reported(struct loop_source *source)
{
	struct server *s = container_of(source, struct server, uplinks_reported);
	struct status_facts facts = {
		.path = s->options->path,
		.state = state_text(s->state),
		.cfg = s->cfg,
		.broker = s->broker,
		.store = store_of(s),
		.max_connections = s->max_connections,
		.memory_limit = s->memory_limit,
		.listeners = s->listeners,
		.first = s->first,
		.nlisteners = s->nlisteners,
		.start_ms = s->start_ms,
		.now_ms = loop_now_ms(s->loop),
		.rates = &s->rates,
		.reloads = s->reloads,
	};
	char *text;

	if (!s->control.socket)
		return;
	text = status_text(&facts, field_thread_take_report(s->field), uplink_thread_take_report(s->uplinks));
	control_answer(s->control.socket, "status", text);
	free(text);
}

static void take_sample(struct loop_timer *t)
{
	struct server *s = container_of(t, struct server, sampling);

	status_rates_sample(&s->rates, s->broker, store_of(s), loop_now_ms(s->loop));
	heap_look(&s->heap, broker_memory_used(s->broker));
	loop_timer_set(s->loop, &s->sampling, STATUS_SAMPLE_MS);
}

static void count_reload(struct server *s, bool is_taken)
{
	s->reloads.taken += is_taken;
	s->reloads.refused += !is_taken;
	s->reloads.last_was_refused = !is_taken;
	s->reloads.last_ms = loop_wall_ms(s->loop);
}

/* ---- sending clients elsewhere ---- */

static int redirect_clients(struct server *s)
{
	const struct config_broker *c = &s->cfg->broker;

	if (c->move_to)
		log_notice("daemon", "clients are sent to %s%s", c->move_to,
			   c->move_permanently ? " for good" : "");
	else
		log_notice("daemon", "clients are served here again");
	return broker_redirect(s->broker, c->move_to, c->move_permanently);
}

/* ---- reloading ---- */

static void drop_next(struct server *s)
{
	gateway_config_destroy(s->next);
	own_table_destroy(s->next_table);
	s->next = NULL;
	s->next_table = NULL;
}

static void begin_reload(struct server *s)
{
	if (!s->options->path) {
		log_notice("daemon", "there is no configuration file to read again");
		return;
	}
	if (reload_config(s->options->path, s->first, &s->next) < 0) {
		count_reload(s, false);
		return;
	}
	if (own_table_create(s->next, &s->next_table) < 0 || uplink_thread_prepare(s->uplinks, s->next) < 0) {
		log_error("daemon", "%s: not taken, the gateway runs on as it was", s->options->path);
		drop_next(s);
		count_reload(s, false);
		return;
	}
	s->state = SERVER_RELOADING;
	field_thread_ask(s->field, FIELD_APPLY, s->next);
}

static void go_on(struct server *s)
{
	s->state = SERVER_RUNNING;
	if (s->is_stop_wanted) {
		begin_stop(s);
	} else if (s->is_reload_wanted) {
		s->is_reload_wanted = false;
		begin_reload(s);
	}
}

static void refuse_reload(struct server *s, int answer)
{
	log_error("daemon", "%s: not taken, the gateway runs on as it was: %s", s->options->path,
		  err_text(answer));
	drop_next(s);
	count_reload(s, false);
	go_on(s);
}

/* Field side and uplinks run it. */
static void end_reload(struct server *s)
{
	bool moved;

	s->old_table = own_topics_replace(s->topics, s->next_table);
	s->next_table = NULL;
	moved = !config_move_equal(&s->cfg->broker, &s->next->broker);
	if (s->cfg != s->first)
		gateway_config_destroy(s->cfg);
	s->cfg = s->next;
	s->next = NULL;
	set_log_level(s);
	count_reload(s, true);
	control_move(&s->control, s->loop, s->cfg, control_commands, s);
	if (broker_set_sys_interval(s->broker, s->cfg->broker.sys_interval_ms) < 0)
		log_warning("daemon", "sys_interval stays as it was: out of memory");
	log_notice("daemon", "%s was read again: lines: %zu, devices: %zu, uplinks: %zu", s->options->path,
		   s->cfg->nlines, s->cfg->ndevices, s->cfg->nuplinks);
	if (moved && redirect_clients(s) < 0)
		log_error("daemon", "no memory to tell the clients: they stay as they are");
	s->state = SERVER_SETTLING;
	workers_mark(s->workers);
}

/* ---- events of the main loop ---- */

static void end_start(struct server *s, int answer)
{
	if (answer < 0) {
		log_error("daemon", "the field side did not start: %s", err_text(answer));
		s->rc = answer;
		s->is_stop_wanted = true;
	} else {
		log_notice("daemon", "lineside %s runs gateway %s: lines: %zu, devices: %zu, uplinks: %zu",
			   LINESIDE_VERSION, s->cfg->gateway.name, s->cfg->nlines, s->cfg->ndevices,
			   s->cfg->nuplinks);
	}
	go_on(s);
}

static void field_answered(struct loop_source *source)
{
	struct server *s = container_of(source, struct server, answered);
	int answer = field_thread_answer(s->field);

	switch (s->state) {
	case SERVER_STARTING:
		if (answer < 0)
			end_start(s, answer);
		else
			uplink_thread_ask(s->uplinks, UPLINKS_APPLY);
		break;
	case SERVER_RELOADING:
		if (answer < 0)
			refuse_reload(s, answer);
		else
			uplink_thread_ask(s->uplinks, UPLINKS_APPLY);
		break;
	case SERVER_ENDING:
		s->state = SERVER_PASSING;
		field_thread_ask(s->field, FIELD_PASS, NULL);
		break;
	case SERVER_PASSING:
		s->state = SERVER_FLUSHING;
		workers_mark(s->workers);
		break;
	default:
		break;
	}
}

/* What is wrong with one uplink was logged, and is no reason to stop the rest. */
static void uplinks_answered(struct loop_source *source)
{
	struct server *s = container_of(source, struct server, uplinks_answered);

	if (s->state == SERVER_STARTING)
		end_start(s, OK);
	else if (s->state == SERVER_RELOADING)
		end_reload(s);
	else if (s->state == SERVER_LEAVING)
		begin_closing(s);
}

static void workers_marked(struct loop_source *source)
{
	struct server *s = container_of(source, struct server, marked);

	if (s->state == SERVER_SETTLING) {
		own_table_destroy(s->old_table);
		s->old_table = NULL;
		go_on(s);
	} else if (s->state == SERVER_FLUSHING) {
		s->state = SERVER_LEAVING;
		uplink_thread_ask(s->uplinks, UPLINKS_END);
	}
}

static void signal_arrived(struct signals *signals, int signo)
{
	struct server *s = container_of(signals, struct server, signals);

	if (signo == SIGHUP) {
		if (s->state == SERVER_RUNNING)
			begin_reload(s);
		else
			s->is_reload_wanted = true;
		return;
	}
	if (s->state >= SERVER_ENDING) {
		log_notice("daemon", "stopping at once");
		loop_stop(s->loop);
	} else if (s->state == SERVER_RUNNING) {
		begin_stop(s);
	} else {
		s->is_stop_wanted = true;
	}
}

static void stream_accepted(struct acceptor *a, struct stream *stream)
{
	broker_accept(container_of(a, struct server, acceptor)->broker, stream);
}

/* ---- starting ---- */

static int open_main_loop(struct server *s)
{
	int rc;

	if ((rc = loop_create(&s->loop)) < 0)
		return rc;
	loop_source_add(s->loop, &s->answered, field_answered);
	loop_source_add(s->loop, &s->reported, field_reported);
	loop_source_add(s->loop, &s->marked, workers_marked);
	loop_source_add(s->loop, &s->imported, import_ended);
	loop_source_add(s->loop, &s->uplinks_answered, uplinks_answered);
	loop_source_add(s->loop, &s->uplinks_reported, uplinks_reported);
	loop_timer_init(&s->sampling, take_sample);
	s->start_ms = loop_now_ms(s->loop);
	loop_timer_init(&s->closing, watch_closing);
	s->signals.arrived = signal_arrived;
	return signals_open(&s->signals, s->loop);
}

static void memory_in_use(struct broker_memory *out)
{
	out->current = limits_memory_in_use(&out->maximum);
}

static const enum broker_queue_policy queue_policies[] = {
	[CONFIG_QUEUE_DROP_NEWEST] = BROKER_DROP_NEWEST,
	[CONFIG_QUEUE_DROP_OLDEST] = BROKER_DROP_OLDEST,
	[CONFIG_QUEUE_DISCONNECT] = BROKER_DISCONNECT,
};

static void fill_broker_config(struct server *s, uint32_t nworkers, struct broker_config *b)
{
	const struct config_broker *c = &s->cfg->broker;

	broker_config_default(b);
	b->spread_after = c->spread_after;
	b->max_packet_size = c->max_packet_size;
	b->max_inflight = c->max_inflight;
	b->max_queued_messages = c->max_queued_messages;
	b->max_queued_bytes = c->max_queued_bytes;
	b->queue_policy = queue_policies[c->queue_policy];
	b->max_connections = limits_connections(s->cfg, nworkers, limits_raise_descriptors());
	b->max_subscriptions = c->max_subscriptions;
	b->max_topic_levels = c->max_topic_levels;
	s->max_connections = b->max_connections;
	b->max_retained_messages = c->max_retained_messages;
	b->max_retained_bytes = c->max_retained_bytes;
	b->connect_timeout_ms = c->connect_timeout_ms;
	b->sys_interval_ms = c->sys_interval_ms;
	b->memory = memory_in_use;
	b->max_keep_alive_s = (uint16_t)(c->max_keep_alive_ms / 1000);
	b->memory_limit = s->memory_limit = limits_memory(s->cfg, "");
	b->max_sessions = limits_sessions(s->cfg, b->memory_limit);
	b->policy = own_topics_policy(s->topics);
	b->store = store_of(s);
	b->linger_ms = s->cfg->storage.linger_ms;
	b->will_grace_ms = s->cfg->storage.will_grace_ms;
	if (getrandom(&b->seed, sizeof(b->seed), GRND_NONBLOCK) != (ssize_t)sizeof(b->seed))
		log_warning("daemon", "no random numbers from the system yet: hashes can be foreseen");
	log_notice("daemon", "limits: %u connections, %u sessions, %" PRIu64 " MiB of memory for clients",
		   b->max_connections, b->max_sessions, b->memory_limit / 1024 / 1024);
	if (b->max_connections < c->max_connections)
		log_warning("daemon", "max_connections is %u, but the descriptor limit leaves room for %u",
			    c->max_connections, b->max_connections);
}

static int make_uplinks(struct server *s, const struct broker_config *config)
{
	const struct uplink_thread_setup setup = {.broker = s->broker,
						  .terms = s->uplink_terms,
						  .root = s->first->gateway.root,
						  .max_packet_size = config->max_packet_size,
						  .seed = config->seed,
						  .answered = &s->uplinks_answered,
						  .reported = &s->uplinks_reported};
	int rc = uplink_thread_create(&setup, &s->uplinks);

	return rc < 0 ? rc : uplink_thread_prepare(s->uplinks, s->cfg);
}

/* Take over what the store kept: after all ports are open, before a loop runs. */
static int restore(struct server *s)
{
	struct timespec begin, end;
	struct broker_totals t;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	if ((rc = broker_restore(s->broker)) < 0) {
		log_error("storage", "%s: what it keeps cannot be read: %s", s->cfg->storage.path,
			  rc == ERR_FULL ? "no space left on its disk: make room there, and start again"
					 : err_text(rc));
		return rc;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	broker_totals(s->broker, &t);
	log_notice("storage",
		   "%s: sessions: %" PRIu64 ", messages that wait: %" PRIu64 ", retained: %" PRIu64
		   ", read in %.0f ms",
		   s->cfg->storage.path, t.sum.sessions, t.sum.queued_messages, t.retained_messages,
		   (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6);
	return OK;
}

static int make_broker(struct server *s)
{
	uint32_t nworkers = limits_workers(s->cfg);
	struct broker_config config;
	struct own_table *table = NULL;
	int rc;

	if ((rc = own_table_create(s->cfg, &table)) < 0)
		return rc;
	if ((rc = uplink_terms_create(&s->uplink_terms)) < 0 ||
	    (rc = own_topics_create(table, s->uplink_terms, &s->topics)) < 0) {
		own_table_destroy(table);
		return rc;
	}
	if (s->cfg->storage.path && (rc = storage_thread_open(&s->cfg->storage, &s->storage)) < 0)
		return rc;
	fill_broker_config(s, nworkers, &config);
	if ((rc = workers_create(nworkers, &s->marked, &s->workers)) < 0)
		return rc;
	if ((rc = broker_create(&config, workers_loops(s->workers), nworkers, &s->broker)) < 0)
		return rc;
	if (s->cfg->broker.move_to && (rc = redirect_clients(s)) < 0)
		return rc;
	rc = field_thread_create(s->broker, s->first->gateway.root, &s->answered, &s->reported, &s->field);
	if (rc == OK)
		rc = make_uplinks(s, &config);
	return rc == OK && s->storage ? restore(s) : rc;
}

static int open_listeners(struct server *s)
{
	s->listeners = calloc(s->cfg->nlisteners + 1, sizeof(struct listener *));
	if (!s->listeners)
		return ERR_NOMEM;
	s->acceptor.accepted = stream_accepted;
	for (size_t i = 0; i < s->cfg->nlisteners; i++) {
		const struct config_listener *l = &s->cfg->listeners[i];
		bool is_v6 = strchr(l->address, ':') != NULL;
		int rc;

		rc = listener_tcp_open(s->loop, l->address, l->port, &s->acceptor, &s->listeners[i]);
		if (rc < 0) {
			log_error("daemon", "listener %s: %s port %u: %s", l->name, l->address, l->port,
				  rc == ERR_IO ? strerror(errno) : err_text(rc));
			return rc;
		}
		s->nlisteners++;
		log_notice("daemon", "listener %s: mqtt on %s%s%s:%u", l->name, is_v6 ? "[" : "", l->address,
			   is_v6 ? "]" : "", listener_port(s->listeners[i]));
	}
	return OK;
}

static int start(struct server *s)
{
	int rc;

	if ((rc = open_main_loop(s)) < 0)
		return rc;
	if ((rc = make_broker(s)) < 0)
		return rc;
	/* Before the threads: an address in use then ends it with nothing started. */
	if ((rc = open_listeners(s)) < 0)
		return rc;
	if ((rc = control_open(&s->control, s->loop, s->cfg, control_commands, s)) < 0)
		return rc;
	if (s->storage && (rc = storage_thread_start(s->storage)) < 0)
		return rc;
	if ((rc = workers_start(s->workers)) < 0)
		return rc;
	if ((rc = field_thread_start(s->field)) < 0)
		return rc;
	if ((rc = uplink_thread_start(s->uplinks)) < 0)
		return rc;
	field_thread_ask(s->field, FIELD_APPLY, s->cfg);
	take_sample(&s->sampling);
	return OK;
}

/* What limits cost, at the end: causes of which there was none are left out. */
static void log_drops(const struct broker *b)
{
	struct broker_counters n;
	char text[1024];
	size_t len = 0;

	broker_counters(b, &n);
	const struct {
		const char *cause;
		uint64_t n;
	} drops[] = {
		{"qos0", n.dropped_qos0},
		{"queue_full", n.dropped_queue_full},
		{"queue_oldest", n.dropped_queue_oldest},
		{"commands", n.dropped_commands},
		{"expired", n.dropped_expired},
		{"too_large", n.dropped_too_large},
		{"retained", n.dropped_retained},
		{"memory", n.dropped_memory},
		{"no_member", n.dropped_no_member},
	};
	for (size_t i = 0; i < sizeof(drops) / sizeof(drops[0]); i++)
		if (drops[i].n)
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %s %" PRIu64,
						drops[i].cause, drops[i].n);
	if (len)
		log_notice("daemon", "messages dropped:%s", text);
}

/* Threads first, then what they stood on, in the reverse of make_broker(). */
static void tear_down(struct server *s)
{
	close_listeners(s);
	free(s->listeners);
	control_close(&s->control);
	if (s->field)
		field_thread_stop(s->field);
	if (s->uplinks) {
		uplink_thread_stop(s->uplinks);
		uplink_thread_leave(s->uplinks);
	}
	if (s->workers)
		workers_stop(s->workers);
	if (s->storage)
		storage_thread_stop(s->storage);
	if (s->broker)
		log_drops(s->broker);
	import_stop(s->import);
	broker_destroy(s->broker);
	free(import_end(s->import));
	field_thread_destroy(s->field);
	uplink_thread_destroy(s->uplinks);
	workers_destroy(s->workers);
	storage_thread_close(s->storage); /* which writes what the broker said last */
	own_topics_destroy(s->topics);
	uplink_terms_destroy(s->uplink_terms);
	own_table_destroy(s->old_table);
	drop_next(s);
	if (s->loop) {
		signals_close(&s->signals);
		loop_timer_cancel(s->loop, &s->closing);
		loop_timer_cancel(s->loop, &s->sampling);
		loop_source_remove(&s->answered);
		loop_source_remove(&s->reported);
		loop_source_remove(&s->marked);
		loop_source_remove(&s->imported);
		loop_source_remove(&s->uplinks_answered);
		loop_source_remove(&s->uplinks_reported);
		loop_destroy(s->loop);
	}
	if (s->cfg != s->first)
		gateway_config_destroy(s->cfg);
	gateway_config_destroy(s->first);
}

int server_run(const struct server_options *options, struct gateway_config *cfg)
{
	struct server s = {.options = options, .first = cfg, .cfg = cfg};
	int rc;

	set_log_level(&s);
	rc = start(&s);
	if (rc < 0)
		log_error("daemon", "not started: %s", err_text(rc));
	else
		rc = loop_run(s.loop);
	tear_down(&s);
	if (rc == OK && s.rc == OK)
		log_notice("daemon", "stopped");
	return rc < 0 ? rc : s.rc;
}
