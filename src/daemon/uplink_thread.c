#include "daemon/uplink_thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "daemon/local_dialer.h"
#include "daemon/loop_thread.h"
#include "daemon/uplink_report.h"
#include "uplinks/table.h"
#include "uplinks/uplink.h"

#define STATE_MS     60000u /* how often figures are told when nothing else happens */
#define END_MAX_MS   2000u
#define PASSWORD_MAX 65535u

/* An uplink of the configuration, or one that is on its way out. */
struct item {
	struct list node;
	struct uplink_thread *thread;
	const struct config_uplink *cfg; /* NULL: it is configured no more */
	struct uplink *uplink;           /* NULL: it does not run */
	bool is_stopping;
	struct span password; /* malloc'ed */
	char name[];
};

/* A session that is being ended. */
struct leaver {
	struct list node;
	struct uplink_thread *thread;
	struct uplink_ending *ending;
	char client_id[UPLINK_ID_MAX];
};

struct uplink_thread {
	struct uplink_thread_setup at;
	struct loop *loop;
	struct loop_thread thread;
	struct dialer *local;
	struct mqtt_port *port;

	/* The question: the asker writes it before the notify of inbox. */
	struct loop_source inbox;
	enum uplink_ask what;
	const struct gateway_config *cfg;
	struct span *passwords; /* of cfg->uplinks, malloc'ed; taken when they are applied */
	size_t npasswords;

	/* The newest report that was not taken. */
	struct loop_source report_wanted;
	_Atomic(json_t *) report;

	/* The thread's own. */
	struct list items, leavers;
	struct loop_timer telling, ending;
	bool is_ending;
};

/* ---- telling ---- */

static void publish(struct uplink_thread *t, const char *name, const char *text)
{
	char topic[1024];
	struct mqtt_publish m = {.qos = 1, .retain = true};
	int rc;

	snprintf(topic, sizeof(topic), "%s/_gateway/uplink/%s", t->at.root, name);
	m.topic = span_str(topic);
	m.payload = span_str(text);
	mqtt_props_clear(&m.props);
	mqtt_props_set_str(&m.props, MQTT_P_CONTENT_TYPE, span_str("application/json"));
	if ((rc = mqtt_port_publish(t->port, &m)) < 0)
		log_warning("uplink", "the state of %s was not published: %s", name, err_text(rc));
}

static void tell(const struct item *i)
{
	struct uplink_status s;
	json_t *json;
	char *text;

	uplink_status(i->uplink, &s);
	json = uplink_state_json(&s);
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (text)
		publish(i->thread, i->name, text);
	free(text);
}

static void tell_all(struct loop_timer *timer)
{
	struct uplink_thread *t = container_of(timer, struct uplink_thread, telling);

	list_for_each (node, &t->items) {
		const struct item *i = container_of(node, struct item, node);

		if (i->uplink)
			tell(i);
	}
	loop_timer_set(t->loop, &t->telling, STATE_MS);
}

static json_t *report_make(const struct uplink_thread *t)
{
	json_t *list = json_array();

	list_for_each (node, &t->items) {
		const struct item *i = container_of(node, struct item, node);
		struct uplink_status s;

		if (!i->uplink || !i->cfg)
			continue;
		uplink_status(i->uplink, &s);
		if (json_array_append_new(list, uplink_report_json(i->cfg, &s)) < 0) { /* takes no NULL */
			json_decref(list);
			return NULL;
		}
	}
	return list ? json_pack("{s:o}", "uplinks", list) : NULL;
}

static void make_report(struct loop_source *s)
{
	struct uplink_thread *t = container_of(s, struct uplink_thread, report_wanted);

	json_decref(atomic_exchange(&t->report, report_make(t)));
	loop_notify(t->at.reported);
}

void uplink_thread_ask_report(struct uplink_thread *t)
{
	loop_notify(&t->report_wanted);
}

json_t *uplink_thread_take_report(struct uplink_thread *t)
{
	return atomic_exchange(&t->report, NULL);
}

/* ---- sessions of uplinks that are no more ---- */

static void leaver_done(void *arg, struct uplink_ending *e, bool ended)
{
	struct leaver *l = arg;

	(void)e;
	if (ended)
		uplink_terms_ended(l->thread->at.terms, span_str(l->client_id));
	else
		log_warning("uplink", "the buffer %s could not be ended", l->client_id);
	list_remove(&l->node);
	free(l);
}

static void end_session(struct uplink_thread *t, const char *client_id)
{
	struct mqtt_session_terms *terms = uplink_terms_get(t->at.terms, span_str(client_id));
	struct leaver *l = calloc(1, sizeof(*l));
	unsigned long long queued = terms ? atomic_load(&terms->queued_messages) : 0;
	int rc = ERR_NOMEM;

	if (l) {
		list_init(&l->node);
		l->thread = t;
		snprintf(l->client_id, sizeof(l->client_id), "%s", client_id);
		rc = uplink_end_session(t->loop, t->local, client_id, leaver_done, l, &l->ending);
	}
	if (rc < 0) {
		log_warning("uplink", "the buffer %s could not be ended: %s", client_id, err_text(rc));
		free(l);
		return;
	}
	log_notice("uplink", "%s: configured no more, the buffer is ended; messages in it: %llu", client_id,
		   queued);
	list_append(&t->leavers, &l->node);
}

static bool is_of_an_item(const struct uplink_thread *t, const char *client_id)
{
	char id[UPLINK_ID_MAX];

	list_for_each (node, &t->items) {
		const struct item *i = container_of(node, struct item, node);

		for (unsigned k = 0; k < 2; k++)
			if (strcmp(uplink_session_id(i->name, k, id), client_id) == 0)
				return true;
	}
	return false;
}

static bool is_leaving(const struct uplink_thread *t, const char *client_id)
{
	list_for_each (node, &t->leavers)
		if (strcmp(container_of(node, struct leaver, node)->client_id, client_id) == 0)
			return true;
	return false;
}

static void end_sessions(struct uplink_thread *t)
{
	size_t next = 0;

	for (const char *id; (id = uplink_terms_next(t->at.terms, &next));)
		if (strncmp(id, UPLINK_ID_PREFIX, sizeof(UPLINK_ID_PREFIX) - 1) == 0 &&
		    !is_of_an_item(t, id) && !is_leaving(t, id))
			end_session(t, id);
}

/* ---- uplinks come and go ---- */

static void item_changed(void *arg)
{
	const struct item *i = arg;

	if (i->uplink && !i->thread->is_ending)
		tell(i);
}

static void item_stopped(void *arg);

static int item_places(struct item *i, struct uplink_places *p)
{
	struct uplink_thread *t = i->thread;
	const struct uplink_transport *transport = uplink_transport_find(i->cfg->scheme);
	char id[UPLINK_ID_MAX];

	*p = (struct uplink_places){.loop = t->loop, .local = t->local};
	for (unsigned k = 0; k < 2; k++) {
		p->terms[k] = uplink_terms_get(t->at.terms, span_str(uplink_session_id(i->name, k, id)));
		if (!p->terms[k])
			return ERR_NOMEM;
		uplink_terms_set(p->terms[k], i->cfg);
	}
	return transport ? transport->dialer_create(i->cfg->host, i->cfg->port, &p->remote) : ERR_UNSUPPORTED;
}

static int item_run(struct item *i)
{
	static const struct uplink_events events = {.changed = item_changed, .stopped = item_stopped};
	const struct uplink_setup setup = {.cfg = i->cfg,
					   .client_id = i->cfg->client_id,
					   .password = i->password,
					   .max_packet_size = i->thread->at.max_packet_size,
					   .seed = hash_span(i->thread->at.seed, span_str(i->name))};
	struct uplink_places places;
	int rc;

	if ((rc = item_places(i, &places)) == OK)
		rc = uplink_create(&places, &setup, &events, i, &i->uplink);
	if (rc < 0)
		log_error("uplink", "%s does not run: %s", i->name, err_text(rc));
	else
		tell(i);
	return rc;
}

static void item_free(struct item *i)
{
	list_remove(&i->node);
	uplink_destroy(i->uplink);
	free((void *)(uintptr_t)i->password.p);
	free(i);
}

static void item_remove(struct item *i)
{
	struct uplink_thread *t = i->thread;

	publish(t, i->name, ""); /* nothing is retained any more */
	item_free(i);
	end_sessions(t);
}

static void answer(struct uplink_thread *t)
{
	loop_notify(t->at.answered);
}

static bool any_runs(const struct uplink_thread *t)
{
	list_for_each (node, &t->items)
		if (container_of(node, struct item, node)->uplink)
			return true;
	return false;
}

static void end_when_none_runs(struct uplink_thread *t)
{
	if (!t->is_ending || any_runs(t))
		return;
	loop_timer_cancel(t->loop, &t->ending);
	answer(t);
}

static void item_stopped(void *arg)
{
	struct item *i = arg;
	struct uplink_thread *t = i->thread;

	i->is_stopping = false;
	tell(i); /* offline */
	uplink_destroy(i->uplink);
	i->uplink = NULL;
	if (t->is_ending)
		end_when_none_runs(t);
	else if (!i->cfg)
		item_remove(i);
	else if (item_run(i) < 0)
		log_error("uplink", "%s stays down until the configuration is read again", i->name);
}

/* Stops, and goes on as the configuration says by then. */
static void item_renew(struct item *i)
{
	if (i->uplink) {
		if (!i->is_stopping)
			uplink_stop(i->uplink);
		i->is_stopping = true;
	} else if (i->cfg) {
		(void)item_run(i); /* it has logged why not */
	} else {
		item_remove(i);
	}
}

static struct item *item_find(struct uplink_thread *t, const char *name)
{
	list_for_each (node, &t->items) {
		struct item *i = container_of(node, struct item, node);

		if (strcmp(i->name, name) == 0)
			return i;
	}
	return NULL;
}

static struct item *item_create(struct uplink_thread *t, const char *name)
{
	struct item *i = calloc(1, sizeof(*i) + strlen(name) + 1);

	if (!i)
		return NULL;
	i->thread = t;
	memcpy(i->name, name, strlen(name) + 1);
	list_append(&t->items, &i->node);
	return i;
}

/* ---- a configuration ---- */

/* Takes the password. What does not run is logged. */
static void apply_one(struct uplink_thread *t, const struct config_uplink *cfg, struct span *password)
{
	struct item *i = item_find(t, cfg->name);
	bool same = i && i->uplink && i->cfg && config_uplink_equal(i->cfg, cfg) &&
		    span_equal(i->password, *password);

	if (!i)
		i = item_create(t, cfg->name);
	if (!i) {
		log_error("uplink", "%s does not run: %s", cfg->name, err_text(ERR_NOMEM));
		return;
	}
	i->cfg = cfg;
	if (same)
		return;
	free((void *)(uintptr_t)i->password.p);
	i->password = *password;
	*password = span_of(NULL, 0);
	item_renew(i);
}

static bool is_configured(const struct gateway_config *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->nuplinks; i++)
		if (strcmp(cfg->uplinks[i].name, name) == 0)
			return true;
	return false;
}

static void apply(struct uplink_thread *t)
{
	list_for_each (node, &t->items) {
		struct item *i = container_of(node, struct item, node);

		if (is_configured(t->cfg, i->name))
			continue;
		i->cfg = NULL;
		item_renew(i);
	}
	for (size_t i = 0; i < t->cfg->nuplinks; i++)
		apply_one(t, &t->cfg->uplinks[i], &t->passwords[i]);
	end_sessions(t);
	if (!loop_timer_pending(&t->telling))
		loop_timer_set(t->loop, &t->telling, STATE_MS);
}

static void end(struct uplink_thread *t)
{
	t->is_ending = true;
	loop_timer_cancel(t->loop, &t->telling);
	loop_timer_set(t->loop, &t->ending, END_MAX_MS);
	list_for_each (node, &t->items) {
		struct item *i = container_of(node, struct item, node);

		if (i->uplink && !i->is_stopping)
			uplink_stop(i->uplink);
	}
	end_when_none_runs(t);
}

static void end_late(struct loop_timer *timer)
{
	answer(container_of(timer, struct uplink_thread, ending));
}

static void answer_question(struct loop_source *s)
{
	struct uplink_thread *t = container_of(s, struct uplink_thread, inbox);

	if (t->what == UPLINKS_END) {
		end(t);
		return;
	}
	apply(t);
	answer(t);
}

/* ---- preparing, on the main thread ---- */

static void forget_passwords(struct uplink_thread *t)
{
	for (size_t i = 0; i < t->npasswords; i++)
		free((void *)(uintptr_t)t->passwords[i].p);
	free(t->passwords);
	t->passwords = NULL;
	t->npasswords = 0;
}

/* The first line of a file. */
static int read_password(const struct config_uplink *cfg, struct span *out)
{
	FILE *file = cfg->password_file ? fopen(cfg->password_file, "re") : NULL;
	char *text = NULL;
	int rc = OK;

	if (!cfg->password_file)
		return OK;
	if (!file || !(text = malloc(PASSWORD_MAX + 2))) {
		rc = file ? ERR_NOMEM : ERR_IO;
	} else if (!fgets(text, PASSWORD_MAX + 2, file)) {
		rc = ERR_IO;
		errno = errno ? errno : ENODATA;
	} else {
		*out = span_of(text, strcspn(text, "\r\n"));
		text = NULL;
	}
	if (rc < 0)
		log_error("uplink", "%s: password_file %s: %s", cfg->name, cfg->password_file,
			  rc == ERR_IO ? strerror(errno) : err_text(rc));
	if (file)
		fclose(file);
	free(text);
	return rc;
}

/* A session that is in the store is filled before its uplink runs. */
static int set_terms(struct uplink_thread *t, const struct config_uplink *cfg)
{
	char id[UPLINK_ID_MAX];

	for (unsigned k = 0; k < 2; k++) {
		struct mqtt_session_terms *terms =
			uplink_terms_get(t->at.terms, span_str(uplink_session_id(cfg->name, k, id)));

		if (!terms)
			return ERR_NOMEM;
		if (atomic_load(&terms->max_bytes) == UINT64_MAX)
			uplink_terms_set(terms, cfg);
	}
	return OK;
}

int uplink_thread_prepare(struct uplink_thread *t, const struct gateway_config *cfg)
{
	int rc = OK;

	forget_passwords(t);
	t->passwords = calloc(cfg->nuplinks + 1, sizeof(*t->passwords));
	if (!t->passwords)
		return ERR_NOMEM;
	t->npasswords = cfg->nuplinks;
	for (size_t i = 0; rc == OK && i < cfg->nuplinks; i++) {
		errno = 0;
		rc = read_password(&cfg->uplinks[i], &t->passwords[i]);
		if (rc == OK)
			rc = set_terms(t, &cfg->uplinks[i]);
	}
	if (rc == OK)
		t->cfg = cfg;
	return rc;
}

/* ---- life ---- */

static void no_message(void *arg, const struct mqtt_publish *m)
{
	(void)arg, (void)m;
}

int uplink_thread_create(const struct uplink_thread_setup *setup, struct uplink_thread **out)
{
	static const struct mqtt_port_ops ops = {.message = no_message};
	struct uplink_thread *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return ERR_NOMEM;
	t->at = *setup;
	list_init(&t->items);
	list_init(&t->leavers);
	loop_timer_init(&t->telling, tell_all);
	loop_timer_init(&t->ending, end_late);
	if ((rc = loop_create(&t->loop)) < 0)
		goto failed;
	loop_source_add(t->loop, &t->inbox, answer_question);
	loop_source_add(t->loop, &t->report_wanted, make_report);
	if ((rc = local_dialer_create(t->at.broker, &t->local)) < 0)
		goto failed;
	if ((rc = mqtt_port_open(t->at.broker, t->loop, &ops, t, &t->port)) < 0)
		goto failed;
	*out = t;
	return OK;
failed:
	uplink_thread_destroy(t);
	return rc;
}

int uplink_thread_start(struct uplink_thread *t)
{
	return loop_thread_start(&t->thread, t->loop, "uplinks", "nothing goes up any more");
}

void uplink_thread_ask(struct uplink_thread *t, enum uplink_ask what)
{
	t->what = what;
	loop_notify(&t->inbox);
}

void uplink_thread_stop(struct uplink_thread *t)
{
	(void)loop_thread_stop(&t->thread);
}

void uplink_thread_leave(struct uplink_thread *t)
{
	list_for_each (node, &t->items)
		item_free(container_of(node, struct item, node));
	list_for_each (node, &t->leavers) {
		struct leaver *l = container_of(node, struct leaver, node);

		list_remove(node);
		uplink_ending_destroy(l->ending);
		free(l);
	}
}

void uplink_thread_destroy(struct uplink_thread *t)
{
	if (!t)
		return;
	forget_passwords(t);
	if (t->local)
		t->local->destroy(t->local);
	if (t->loop) {
		loop_timer_cancel(t->loop, &t->telling);
		loop_timer_cancel(t->loop, &t->ending);
		if (t->inbox.loop) {
			loop_source_remove(&t->inbox);
			loop_source_remove(&t->report_wanted);
		}
		loop_destroy(t->loop);
	}
	json_decref(atomic_load(&t->report));
	free(t);
}
