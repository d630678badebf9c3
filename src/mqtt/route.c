#include "mqtt/route.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "mqtt/conn.h"
#include "mqtt/promise.h"
#include "mqtt/refusal.h"
#include "mqtt/retained_disk.h"

/*
 * What a topic matched the last times it was published: the workers to tell and the sessions here. An entry is good
 * while nobody anywhere subscribed or unsubscribed. Topics with share groups, no-local subscriptions or subscription
 * identifiers are looked up each time.
 */
#define CACHE_ENTRIES   4096u                 /* power of two */
#define CACHE_TARGETS   (64u * CACHE_ENTRIES) /* in all entries together */
#define CACHE_TOPIC     1024u /* bytes; who makes topics longer than this does not get to keep them in memory */
#define CACHE_STEP      64u   /* an entry's block is a multiple, so that the next topic often fits */
#define CACHE_SPARE     4u    /* and at most so many times as large as it has to be */
#define CACHE_STEPS_MIN 4u    /* nodes visited to find nobody: fewer are not worth an entry */
#define NO_LINK         UINT32_MAX

/* One session that gets the message, however many of its subscriptions match. */
struct target {
	struct session *session;
	uint8_t qos; /* the highest of its subscriptions [MQTT-3.3.4-2] */
	bool retain_as_published;
	uint32_t first_id, nids; /* chain in routes.links */
};

struct id_link {
	uint32_t id, next;
};

struct cached_route {
	uint64_t local, global; /* generations */
	uint64_t lanes, kept;
	uint32_t topic_len, ntargets;
	size_t room;    /* bytes of the block */
	uint8_t *topic; /* behind the targets, in one block */
	struct target targets[];
};

/*
 * A topic is kept when it was missed twice in a row among those of its slot: one that does not come back soon costs no entry, and
 * does not push out one that does.
 */
struct cache_slot {
	uint32_t tag, missed; /* of the route; of the topic that was missed last: parts of their hashes */
	struct cached_route *route;
};

struct routes {
	struct target *targets;
	struct id_link *links;
	uint32_t *ids; /* of one target, in a row */
	uint32_t targets_room, links_room;
	uint32_t ntargets, nlinks;
	uint64_t stamp;
	/* of the publication in hand */
	struct worker *worker;
	uint64_t publisher;
	uint64_t lanes;
	uint64_t
		kept; /* of `lanes`, own one included: where a session of the store gets it with QoS above 0 */
	struct interest_share **shares;
	uint32_t nshares, shares_room;
	bool cacheable;
	struct cache_slot cache[CACHE_ENTRIES];
	uint32_t cached; /* targets in it */
};

int routes_create(struct routes **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? OK : ERR_NOMEM;
}

static int64_t route_bytes(const struct cached_route *c)
{
	return c ? budget_block(c->room) : 0;
}

static void cache_clear(struct routes *r, struct budget_share *budget)
{
	for (uint32_t i = 0; i < CACHE_ENTRIES; i++) {
		budget_count(budget, -route_bytes(r->cache[i].route));
		free(r->cache[i].route);
		r->cache[i] = (struct cache_slot){0};
	}
	r->cached = 0;
}

void routes_destroy(struct routes *r, struct budget_share *budget)
{
	if (r) {
		cache_clear(r, budget);
		free(r->targets);
		free(r->links);
		free(r->ids);
		free(r->shares);
	}
	free(r);
}

static bool grow(void **array, uint32_t *room, uint32_t want, size_t size)
{
	uint32_t n = *room ? *room : 16;
	void *more;

	if (want <= *room)
		return true;
	while (n < want)
		n *= 2;
	more = realloc(*array, n * size);
	if (!more)
		return false;
	*array = more;
	*room = n;
	return true;
}

int route_reserve(struct worker *w, uint32_t nsessions, uint32_t nsubs)
{
	struct routes *r = w->routes;
	uint32_t ids_room = r->links_room;

	if (!grow((void **)&r->targets, &r->targets_room, nsessions, sizeof(*r->targets)) ||
	    !grow((void **)&r->ids, &ids_room, nsubs, sizeof(*r->ids)) ||
	    !grow((void **)&r->links, &r->links_room, nsubs, sizeof(*r->links)))
		return ERR_NOMEM;
	return OK;
}

/* ---- who wants it ---- */

static void target_add_id(struct routes *r, struct target *t, uint32_t id)
{
	r->links[r->nlinks] = (struct id_link){.id = id, .next = t->nids ? t->first_id : NO_LINK};
	t->first_id = r->nlinks++;
	t->nids++;
}

static void found_sub(void *arg, struct sub *sub)
{
	struct routes *r = arg;
	struct session *s = sub->session;
	struct target *t;

	if (sub->options.no_local) {
		r->cacheable = false;
		if (s->uid == r->publisher)
			return; /* [MQTT-3.8.3-3] */
	}
	if (s->match_stamp != r->stamp) {
		s->match_stamp = r->stamp;
		s->match_index = r->ntargets;
		r->targets[r->ntargets++] = (struct target){.session = s};
	}
	t = &r->targets[s->match_index];
	if (sub->options.qos > t->qos)
		t->qos = sub->options.qos;
	t->retain_as_published |= sub->options.retain_as_published;
	if (sub->options.id) {
		r->cacheable = false;
		target_add_id(r, t, sub->options.id);
	}
}

static void found_share(void *arg, struct interest_share *share)
{
	struct routes *r = arg;

	r->cacheable = false;
	if (grow((void **)&r->shares, &r->shares_room, r->nshares + 1, sizeof(struct interest_share *)))
		r->shares[r->nshares++] = share;
	else
		worker_count(r->worker, dropped_memory, 1);
}

/* Fill targets, lanes and, when asked for, shares with who wants the topic in w->levels. */
static void match(struct worker *w, const struct publication *p, bool shares)
{
	struct routes *r = w->routes;
	struct sub_found found = {.sub = found_sub, .share = shares ? found_share : NULL, .arg = r};

	r->worker = w;
	r->publisher = p->publisher;
	r->ntargets = r->nlinks = r->nshares = 0;
	r->stamp++;
	r->cacheable = true;
	w->steps += sub_tree_match(w->subs, w->levels, w->walk, &found, &r->lanes, &r->kept);
	w->steps += r->nlinks;
}

/* Without a session there has been no room for targets yet: `to` or `from` is NULL then. */
static void targets_copy(struct target *to, const struct target *from, uint32_t n)
{
	if (n)
		memcpy(to, from, n * sizeof(*to));
}

static uint32_t cache_tag(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

static struct cache_slot *cache_slot(struct worker *w, uint64_t hash)
{
	return &w->routes->cache[hash & (CACHE_ENTRIES - 1)];
}

/* Fill the targets from the cache. */
static bool cache_get(struct worker *w, struct span topic, uint64_t hash, uint64_t global)
{
	struct routes *r = w->routes;
	const struct cache_slot *slot = cache_slot(w, hash);
	const struct cached_route *c = slot->tag == cache_tag(hash) ? slot->route : NULL;

	if (!c || c->global != global || c->local != sub_tree_generation(w->subs) ||
	    !span_equal(span_of(c->topic, c->topic_len), topic))
		return false;
	r->lanes = c->lanes;
	r->kept = c->kept;
	r->ntargets = c->ntargets;
	targets_copy(r->targets, c->targets, c->ntargets);
	r->nshares = 0;
	return true;
}

/* The slot's entry with room for `size` bytes; NULL: out of memory, and it is as it was. */
static struct cached_route *cache_room(struct cache_slot *slot, size_t size, struct budget_share *budget)
{
	struct cached_route *c = slot->route;
	int64_t before = route_bytes(c);

	if (c && c->room >= size && c->room <= CACHE_SPARE * size)
		return c;
	size = (size + CACHE_STEP - 1) / CACHE_STEP * CACHE_STEP;
	c = realloc(c, size);
	if (!c)
		return NULL;
	c->room = size;
	slot->route = c;
	budget_count(budget, route_bytes(c) - before);
	return c;
}

static void cache_put(struct worker *w, struct span topic, uint64_t hash, uint64_t global)
{
	struct routes *r = w->routes;
	struct cache_slot *slot = cache_slot(w, hash);
	uint32_t tag = cache_tag(hash), old = slot->route ? slot->route->ntargets : 0;
	struct cached_route *c;

	if (!r->cacheable || r->ntargets > CACHE_TARGETS || topic.len > CACHE_TOPIC)
		return;
	if (slot->tag != tag && slot->missed != tag) {
		slot->missed = tag;
		return;
	}
	if (r->cached - old + r->ntargets > CACHE_TARGETS) {
		cache_clear(r, &w->budget);
		old = 0;
	}
	c = cache_room(slot, sizeof(*c) + r->ntargets * sizeof(*r->targets) + topic.len, &w->budget);
	if (!c)
		return;
	r->cached += r->ntargets - old;
	*c = (struct cached_route){
		.local = sub_tree_generation(w->subs),
		.global = global,
		.lanes = r->lanes,
		.kept = r->kept,
		.topic_len = (uint32_t)topic.len,
		.room = c->room,
		.ntargets = r->ntargets,
		.topic = (uint8_t *)(c->targets + r->ntargets),
	};
	targets_copy(c->targets, r->targets, r->ntargets);
	memcpy(c->topic, topic.p, topic.len);
	slot->tag = tag;
}

/* The topic in hand into w->levels. */
static int split(struct worker *w, const struct publication *p)
{
	return topic_levels_split(w->levels, w->broker->config.seed, p->topic) ? OK : ERR_RANGE;
}

/* Everybody who wants a message that starts here. The generation is read first: what changes later is not cached as seen. */
static int look_up(struct worker *w, struct publication *p, bool is_split)
{
	struct broker *b = w->broker;
	uint64_t global = interest_generation(b->interest), steps = w->steps;

	p->topic_hash = hash_span(b->config.seed, p->topic);
	if (cache_get(w, p->topic, p->topic_hash, global))
		return OK;
	if (!is_split && split(w, p) < 0)
		return ERR_RANGE;
	match(w, p, true);
	if (w->routes->ntargets || w->routes->lanes || w->steps - steps > CACHE_STEPS_MIN)
		cache_put(w, p->topic, p->topic_hash, global);
	return OK;
}

/* ---- delivering here ---- */

static void deliver_target(struct worker *w, struct publication *p, const struct target *t)
{
	struct routes *r = w->routes;
	struct delivery d = {
		.qos = t->qos < p->qos ? t->qos : p->qos,
		.retain = p->retain && t->retain_as_published, /* [MQTT-3.3.1-12], [MQTT-3.3.1-13] */
		.nids = t->nids,
		.ids = r->ids,
	};

	if (t->session->feeds && p->retain)
		session_feeds_note(t->session, p);
	for (uint32_t i = 0, at = t->first_id; i < t->nids; i++, at = r->links[at].next)
		r->ids[i] = r->links[at].id;
	session_deliver(t->session, p, &d);
}

static void deliver_here(struct worker *w, struct publication *p)
{
	if (publication_expired(p, loop_now_ms(w->loop))) {
		worker_count(w, dropped_expired, 1);
		return;
	}
	w->steps += w->routes->ntargets;
	p->many = w->routes->ntargets > 1;
	for (uint32_t i = 0; i < w->routes->ntargets; i++)
		deliver_target(w, p, &w->routes->targets[i]);
}

/* Its work is counted now: a row of such messages must not make a turn without end. */
static void deliver_later(struct worker *w, const struct publication *p)
{
	lane_put(broker_lane(w->broker, w->index, w->index), p, NULL);
	w->delayed = true;
	w->steps += w->routes->ntargets;
}

void route_settle(struct worker *w)
{
	uint64_t steps = w->steps;

	w->may_delay = false;
	if (!w->delayed)
		return;
	w->delayed = false;
	route_flush(w);
	lane_take_open(broker_lane(w->broker, w->index, w->index), route_record, w);
	w->progressed = true; /* what is not owed to anybody here is settled by now */
	w->steps = steps;     /* they were counted */
}

/* ---- share groups (4.8.2) ---- */

static uint64_t bit_of(uint32_t lane)
{
	return UINT64_C(1) << lane;
}

/* How many members may be asked there. One that is about to be away counts as online, and one may have come back since. */
static uint32_t lane_members(const struct interest_share *share, const struct share_route *route,
			     uint32_t lane)
{
	struct share_members n = interest_share_members(share, lane);

	if (route->tried & bit_of(lane))
		return 0;
	return (route->stage != SHARE_FULL ? n.online : 0) + (route->stage != SHARE_SEND ? n.away : 0);
}

/* A lane by the weight of its members; BROKER_LANES_MAX: there is none. */
static uint32_t pick_lane(struct worker *w, const struct interest_share *share,
			  const struct share_route *route)
{
	uint64_t total = 0, at;
	uint32_t last = BROKER_LANES_MAX;

	for (uint32_t i = 0; i < w->broker->nlanes; i++)
		total += lane_members(share, route, i);
	if (total == 0)
		return BROKER_LANES_MAX;
	at = worker_random(w) % total;
	for (uint32_t i = 0; i < w->broker->nlanes; i++) {
		uint32_t n = lane_members(share, route, i);

		if (at < n)
			return i;
		at -= n;
		if (n)
			last = i;
	}
	return last; /* the counts changed meanwhile */
}

static void member_deliver(struct worker *w, struct publication *p, struct sub_member *m)
{
	struct sub *sub = &m->sub;
	struct delivery d = {
		.qos = sub->options.qos < p->qos ? sub->options.qos : p->qos,
		.retain = p->retain && sub->options.retain_as_published,
		.nids = sub->options.id ? 1 : 0,
		.ids = &sub->options.id,
	};

	/* the members take turns */
	list_remove(&m->in_group);
	list_append(&sub->of.group->members, &m->in_group);
	if (publication_expired(p, loop_now_ms(w->loop)))
		worker_count(w, dropped_expired, 1);
	else
		session_deliver(sub->session, p, &d);
}

/* A session that is not open keeps what comes, unless it ends with its connection, which may be on its way out just now. */
static bool member_takes(const struct session *s, uint8_t qos, enum share_stage stage)
{
	if (session_can_take(s, qos))
		return true;
	if (stage == SHARE_SEND || qos == 0 || s->expiry_s == 0 || (s->conn && s->conn->state == CONN_OPEN))
		return false;
	return stage == SHARE_FULL || !session_queue_is_full(s);
}

static bool member_find(struct worker *w, struct publication *p, const struct share_route *route)
{
	struct sub_group *g = sub_tree_group(w->subs, route->key);

	if (!g)
		return false;
	list_for_each (n, &g->members) {
		struct sub_member *m = container_of(n, struct sub_member, in_group);
		const struct sub *sub = &m->sub;
		uint8_t qos = sub->options.qos < p->qos ? sub->options.qos : p->qos;

		if (member_takes(sub->session, qos, route->stage)) {
			member_deliver(w, p, m);
			return true;
		}
	}
	return false;
}

static struct interest_share *share_of(struct routes *r, struct span key)
{
	for (uint32_t i = 0; i < r->nshares; i++)
		if (span_equal(r->shares[i]->key, key))
			return r->shares[i];
	return NULL;
}

static void lane_send(struct worker *w, uint32_t to, const struct publication *p,
		      const struct share_route *share)
{
	struct lane *l = broker_lane(w->broker, w->index, to);

	lane_put(l, p, share);
	w->touched |= bit_of(to);
	w->handed_bytes += lane_record_weight(p, share);
	worker_count(w, handed_over, 1);
}

/*
 * Bring a message to one member of a group: here if the pick falls on this worker, else over a lane; a worker that has nobody
 * passes it on until all are tried, then begins the next stage. Over a lane it goes as publish `own` of this worker; a member here
 * is owed the publish that it was.
 */
static bool share_route(struct worker *w, struct publication *p, struct interest_share *share,
			struct share_route *route, uint64_t own)
{
	struct publication passed;

	for (;;) {
		uint32_t to = pick_lane(w, share, route);

		if (to == BROKER_LANES_MAX) {
			if (route->stage == SHARE_FULL || p->qos == 0) /* QoS 0 is kept for nobody */
				return false;
			route->stage++;
			route->tried = 0;
			continue;
		}
		if (to != w->index) {
			if (lane_reserve(broker_lane(w->broker, w->index, to), lane_record_size(p, route)) <
			    0)
				return false;
			passed = *p;
			passed.number = own;
			lane_send(w, to, &passed, route);
			p->asked |= bit_of(to);
			return true;
		}
		if (member_find(w, p, route))
			return true;
		route->tried |= bit_of(w->index);
	}
}

static void share_publish(struct worker *w, struct publication *p, struct interest_share *share,
			  bool *matched)
{
	struct share_route route = {.key = share->key};

	if (share_route(w, p, share, &route, p->number))
		*matched = true;
	else
		worker_count(w, dropped_no_member, 1);
}

/*
 * Of a retained message, it is seen by all before the message is stored: a subscriber who does not see the number yet is found
 * (feed.c).
 */
static uint64_t number_next(struct worker *w, bool retain)
{
	uint64_t number = atomic_load_explicit(&w->published, memory_order_relaxed) + 1;

	atomic_store_explicit(&w->published, number, retain ? memory_order_seq_cst : memory_order_relaxed);
	return number;
}

static void share_record(struct worker *w, struct publication *p, struct share_route *route)
{
	struct routes *r = w->routes;
	struct sub_found shares = {.share = found_share, .arg = r};
	struct interest_share *share;
	uint64_t lanes, kept, own;

	if (member_find(w, p, route))
		return;
	route->tried |= bit_of(w->index);
	own = number_next(w, false);
	p->asked = 0;
	r->worker = w;
	r->nshares = 0;
	if (topic_levels_split(w->levels, w->broker->config.seed, p->topic))
		sub_tree_match(w->subs, w->levels, w->walk, &shares, &lanes, &kept);
	share = share_of(r, route->key);
	if (!share || !share_route(w, p, share, route, own))
		worker_count(w, dropped_no_member, 1);
	w->handed = own;
	if (p->asked)
		relay_add(w, p->origin, p->number, own, p->asked);
}

/* ---- publishing ---- */

/* A client's new topic is refused when memory is short; one that has a value may get another. w->levels is the topic's. */
static bool may_retain(struct worker *w, const struct publication *p)
{
	return worker_memory(w) == BUDGET_OK || p->own || retained_get(w->broker->retained, w->levels);
}

/* w->levels is the topic's, as in the next two. */
static int clear_retained(struct worker *w, struct publication *p)
{
	struct retained_change change;
	int rc = retained_clear(w->broker->retained, w->reader, w->levels, &change);

	return rc == OK ? retained_put(w, p, &change) : rc;
}

static int set_retained(struct worker *w, struct publication *p)
{
	/* what the gateway says itself is as much as its configuration makes it */
	enum retained_from from = p->own ? RETAINED_OWN : RETAINED_CLIENT;
	struct retained_change change;
	int rc = ERR_FULL;

	if (may_retain(w, p))
		rc = retained_set(w->broker->retained, w->reader, w->levels, p, from, &change);
	if (rc < 0)
		return rc;
	if (p->expires_ms && !loop_timer_pending(&w->sweeping))
		loop_timer_set(w->loop, &w->sweeping, SWEEP_MS);
	return retained_put(w, p, &change);
}

static int store_retained(struct worker *w, struct publication *p)
{
	int rc;

	if (p->payload.len == 0)
		return clear_retained(w, p); /* [MQTT-3.3.1-6] */
	rc = set_retained(w, p);
	if (rc != ERR_FULL)
		return rc;
	worker_count(w, dropped_retained, 1);
	if (p->refusable)
		return rc;
	/* it is delivered all the same; what it would have replaced is older, and nobody's last value any more */
	return clear_retained(w, p);
}

static int reserve_lanes(struct worker *w, uint64_t lanes, const struct publication *p)
{
	size_t size = lane_record_size(p, NULL);

	for (; lanes; lanes &= lanes - 1) {
		uint32_t to = (uint32_t)__builtin_ctzll(lanes);

		if (lane_reserve(broker_lane(w->broker, w->index, to), size) < 0)
			return ERR_NOMEM;
	}
	return OK;
}

/* Shall it wait here until it was handed over? What comes behind one that waits does, too. */
static bool shall_wait(const struct worker *w, uint64_t others)
{
	return w->delayed ||
	       (w->may_delay && others && w->routes->ntargets >= w->broker->config.hand_over_first);
}

/* Must it be on disk, or received for good, before it is acknowledged, whoever wants it? */
static bool is_kept_itself(const struct publication *p)
{
	return (p->retain && !p->command) || p->conditional;
}

/* Clearing a retained message makes room; there is a reserve for the little that is written for it. */
static bool makes_room(const struct worker *w, const struct publication *p)
{
	return p->retain && !p->command && !p->conditional && p->payload.len == 0 &&
	       store_health(w->disk) == STORE_FULL;
}

/* Does a session of the store get it? */
static bool is_kept_by_others(const struct routes *r, const struct publication *p)
{
	uint64_t kept = r->kept;

	for (uint32_t i = 0; i < r->nshares; i++)
		kept |= interest_share_kept(r->shares[i]);
	return kept && !p->command;
}

/* Retained before matched: a subscriber does it the other way round, so that one of them sees the other. */
static int publish(struct worker *w, struct publication *p, bool *matched)
{
	struct routes *r = w->routes;
	bool stores = p->retain && !p->command;
	bool refuses = p->refusable && store_refusal(w);
	uint64_t others;
	bool wait;
	int rc = stores ? split(w, p) : OK;

	if (refuses && is_kept_itself(p) && !makes_room(w, p))
		return ERR_IO;
	if (rc == OK && stores)
		rc = store_retained(w, p);
	if (p->retain)
		loop_interleave(w->loop);
	if (rc == OK)
		rc = look_up(w, p, stores);
	if (p->retain)
		loop_interleave(w->loop);
	if (rc == OK && w->delayed && r->nshares > 0) { /* a member of a group gets it at once */
		route_settle(w);
		rc = look_up(w, p, false);
	}
	if (rc == OK && refuses && is_kept_by_others(r, p))
		rc = ERR_IO;
	if (rc < 0)
		return rc;
	others = r->lanes & ~bit_of(w->index);
	wait = r->nshares == 0 && shall_wait(w, others);
	if (reserve_lanes(w, wait ? others | bit_of(w->index) : others, p) < 0)
		return ERR_NOMEM;
	p->asked = others & r->kept;
	*matched = r->ntargets > 0 || others;
	for (; others; others &= others - 1)
		lane_send(w, (uint32_t)__builtin_ctzll(others), p, NULL);
	if (wait)
		deliver_later(w, p);
	else
		deliver_here(w, p);
	for (uint32_t i = 0; i < r->nshares; i++)
		share_publish(w, p, r->shares[i], matched);
	return OK;
}

/* With a large payload in a blob, so that nobody copies it. */
static int publish_large(struct worker *w, struct publication *p, bool *matched)
{
	struct blob *blob;
	int rc;

	if (worker_memory(w) == BUDGET_FULL)
		return ERR_FULL;
	blob = blob_create(p->payload);
	if (!blob)
		return ERR_NOMEM;
	blob_count(blob, &w->broker->budget);
	p->blob = blob;
	rc = publish(w, p, matched);
	p->blob = NULL;
	blob_unref(blob);
	return rc;
}

int route_publish(struct worker *w, struct publication *p, bool *matched)
{
	bool is_large = p->payload.len >= BLOB_MIN && !p->blob;
	int rc;

	*matched = false;
	p->origin = p->first_origin = w->index;
	p->number = p->first_number = number_next(w, p->retain);
	rc = is_large ? publish_large(w, p, matched) : publish(w, p, matched);
	w->handed = p->number; /* it is in no lane when it failed: nobody waits for it */
	return rc;
}

/* What another worker published: for everybody here, or one member of a group. */
void route_record(void *worker, struct lane *l, struct publication *p, struct share_route *share)
{
	struct worker *w = worker;
	uint64_t hash;

	(void)l;
	if (share) {
		share_record(w, p, share);
		return;
	}
	hash = p->topic_hash ^ 1; /* not the entry of what starts here */
	if (!cache_get(w, p->topic, hash, 0)) {
		if (!topic_levels_split(w->levels, w->broker->config.seed, p->topic))
			return;
		match(w, p, false);
		cache_put(w, p->topic, hash, 0);
	}
	deliver_here(w, p);
}

void route_flush(struct worker *w)
{
	struct broker *b = w->broker;

	for (uint32_t to = 0; to < b->nlanes; to++) {
		struct lane *l = broker_lane(b, w->index, to);

		if (to == w->index)
			continue;
		/* not `published`: one may be in hand that goes into the lanes later */
		lane_flush(l, w->handed);
		if (!(w->touched & bit_of(to)) || atomic_load(&l->backlog) <= b->config.backlog_bytes)
			continue;
		w->stopped_reading = true;
		atomic_store(&l->sender_waits, true);
		/* taken before the receiver could see the flag: then nobody else takes it down */
		if (atomic_load(&l->backlog) == 0 && atomic_exchange(&l->sender_waits, false))
			loop_notify(&w->drained);
	}
	w->touched = 0;
	w->handed_bytes = 0;
	/* what was put in this turn held them up; with the lanes below their limits, nobody else wakes us for them */
	if (!list_empty(&w->unread) && !w->stopped_reading)
		loop_again(w->loop);
}
