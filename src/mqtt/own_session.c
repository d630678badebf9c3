/* Sessions of the program's own, the buffers of uplinks: limits of their own, and what is told of them (policy.h). */
#include <stdlib.h>

#include "mqtt/shelf.h"
#include "mqtt/topic_tree.h"

int own_session_init(struct session *s)
{
	struct mqtt_policy *policy = s->worker->broker->config.policy;
	struct mqtt_session_terms *terms;

	if (!s->id_len || s->id[0] != '$' || !policy || !policy->session)
		return OK;
	terms = policy->session(policy, session_id(s));
	if (!terms)
		return OK;
	s->own = malloc(sizeof(*s->own));
	if (!s->own)
		return ERR_NOMEM;
	*s->own = (struct own_session){.session = s, .terms = terms};
	list_init(&s->own->in_worker);
	list_append(&s->worker->own_sessions, &s->own->in_worker);
	return OK;
}

static void tell(struct mqtt_session_terms *t, uint64_t messages, uint64_t bytes, uint64_t subscriptions)
{
	atomic_store_explicit(&t->queued_messages, messages, memory_order_relaxed);
	atomic_store_explicit(&t->queued_bytes, bytes, memory_order_relaxed);
	atomic_store_explicit(&t->subscriptions, subscriptions, memory_order_relaxed);
}

void own_session_fini(struct session *s)
{
	if (!s->own)
		return;
	tell(s->own->terms, 0, 0, 0);
	list_remove(&s->own->in_worker);
	free(s->own);
	s->own = NULL;
}

void own_sessions_tell(struct worker *w)
{
	list_for_each (n, &w->own_sessions) {
		const struct own_session *o = container_of(n, struct own_session, in_worker);
		const struct session *s = o->session;

		tell(o->terms, s->inflight.count + waiting_len(s), waiting_bytes(s), s->nsubs);
	}
}

/* ---- filters ---- */

/* The bytes of a filter, and its levels from the last to the first in front of `end` if it is not NULL. */
static size_t filter_write(const struct topic_node *n, char *end)
{
	bool is_last = true;
	size_t len = 0;

	for (const struct topic_node *up = topic_node_parent(n); up; n = up, up = topic_node_parent(n)) {
		struct span level = topic_node_level(n);

		if (!is_last && end)
			end[-(ptrdiff_t)len - 1] = '/';
		len += !is_last;
		is_last = false;
		len += level.len;
		if (end && level.len)
			memcpy(end - len, level.p, level.len);
	}
	return len;
}

static char *filters_list(const struct session *s)
{
	size_t len = 1, at = 0;
	char *text;

	list_for_each (n, &s->subs) {
		const struct sub *sub = container_of(n, struct sub, in_session);

		if (!sub->options.is_shared)
			len += filter_write(sub->of.node, NULL) + 1;
	}
	text = malloc(len);
	if (!text)
		return NULL;
	list_for_each (n, &s->subs) {
		const struct sub *sub = container_of(n, struct sub, in_session);

		if (sub->options.is_shared)
			continue;
		at += filter_write(sub->of.node, NULL);
		(void)filter_write(sub->of.node, text + at);
		text[at++] = '\0';
	}
	text[at] = '\0';
	return text;
}

void own_session_attached(struct session *s)
{
	char *text;

	if (!s->own)
		return;
	text = filters_list(s);
	if (!text)
		return; /* filters that are not wanted any more stay for this time */
	free(atomic_exchange(&s->own->terms->filters, text));
}
