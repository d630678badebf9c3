/*
 * The retained messages of a fresh subscription.
 *
 *   unripe --the lanes are past what was published before it--> waiting --sent, or cancelled--> gone
 *
 * A feed notes at its beginning, when the subscription stands, up to which number each worker has published (`barrier`). A message
 * with a higher number finds the subscription and comes by itself; so the feed owes what is retained with a number up to that,
 * and nothing else. Once the lanes are past the barrier nothing older can come. Then the feed lists the values it found; where
 * these are very many it holds none, only its place in the numbers of the slots: when a value is read does not matter, for what
 * replaced it meanwhile comes by itself.
 *
 * Messages up to the barrier that come while the feed is unripe go their normal way. They are noted, lest they come again.
 */
#include <stdlib.h>

#include "mqtt/conn.h"
#include "mqtt/session.h"
#include "mqtt/shelf.h"

/*
 * What a list may hold besides feed_list_max values, and the nodes that may be visited for one; beyond, all slots are looked at,
 * a few per turn.
 */
#define LIST_BYTES_MAX   (4u * 1024 * 1024)
#define VISITS_PER_VALUE 4u
/* The part of feed_list_max that is looked at in a session's turn, and when the worker has done much already. */
#define LOOKS_PART      2u
#define LOOKS_BUSY_PART 128u
/* Feeds may wait for a session beyond its max_queued_bytes, so that small limits do not forbid subscriptions. */
#define FEED_BYTES_ALWAYS (4u * 1024 * 1024)
/* Until when the lanes of workers that have nothing for this one are looked at again. */
#define RIPEN_MS 1u
/* What a feed costs by itself, in the steps of a worker. */
#define STEPS 8u

struct seen { /* came by itself while the feed was unripe */
	uint64_t number;
	uint16_t origin;
};

struct retained_feed {
	struct list in_session; /* with the unripe ones, or those that wait */
	struct list in_worker;  /* unripe */
	struct session *session;
	size_t ahead; /* messages in the session's queue that come before it, behind an earlier feed */
	struct sub_options options;
	struct retained **values; /* NULL: look at the slots */
	uint32_t at, end;         /* of `values`, or of the slots' numbers */
	uint32_t room;
	uint64_t bytes;    /* counted in the session */
	int64_t memory;    /* of these, its own, counted in the budget */
	struct seen *seen; /* in order once ripe */
	uint32_t nseen, seen_room;
	uint32_t filter_len, nlanes;
	uint64_t subs;      /* generation of the subscriptions in which there was one for the filter */
	uint64_t barrier[]; /* by lane; the filter is behind it */
};

struct feeds {
	struct list unripe, waiting; /* oldest first */
	size_t ahead;                /* the sum of those that wait */
	uint64_t bytes;              /* of all */
};

static struct span feed_filter(const struct retained_feed *f)
{
	return span_of(f->barrier + f->nlanes, f->filter_len);
}

static void feed_count(struct retained_feed *f, uint64_t bytes)
{
	f->bytes += bytes;
	f->session->feeds->bytes += bytes;
}

/* The same for memory that is the feed's own; below 0: it is freed. */
static void feed_hold(struct retained_feed *f, int64_t bytes)
{
	f->memory += bytes;
	feed_count(f, (uint64_t)bytes);
	budget_count(&f->session->worker->budget, bytes);
}

bool session_feed_has_room(const struct session *s)
{
	return !s->feeds || s->feeds->bytes < s->worker->broker->config.max_queued_bytes + FEED_BYTES_ALWAYS;
}

static void feed_uncount(struct retained_feed *f, uint64_t bytes)
{
	f->bytes -= bytes;
	f->session->feeds->bytes -= bytes;
}

static void list_drop(struct retained_feed *f)
{
	for (uint32_t i = f->at; f->values && i < f->end; i++)
		retained_unref(f->values[i]);
	free(f->values);
	feed_hold(f, -(int64_t)(f->room * sizeof(struct retained *)));
	f->values = NULL;
	f->end = f->room = 0;
}

static void feed_free(struct retained_feed *f)
{
	list_drop(f);
	feed_hold(f, -f->memory);
	feed_uncount(f, f->bytes);
	list_remove(&f->in_session);
	list_remove(&f->in_worker);
	free(f->seen);
	free(f);
}

/* ---- unripe ---- */

static struct retained_feed *feed_create(struct session *s, struct span filter, const struct sub_options *o)
{
	struct broker *b = s->worker->broker;
	struct retained_feed *f;
	size_t size = sizeof(*f) + b->nlanes * sizeof(f->barrier[0]) + filter.len;

	f = malloc(size);
	if (!f)
		return NULL;
	*f = (struct retained_feed){
		.session = s, .options = *o, .filter_len = (uint32_t)filter.len, .nlanes = b->nlanes};
	list_init(&f->in_session);
	list_init(&f->in_worker);
	for (uint32_t i = 0; i < f->nlanes; i++)
		f->barrier[i] = atomic_load(&b->workers[i]->published);
	memcpy(f->barrier + f->nlanes, filter.p, filter.len);
	feed_hold(f, budget_block(size));
	return f;
}

static bool feed_is_ripe(const struct retained_feed *f)
{
	const struct worker *w = f->session->worker;

	for (uint32_t i = 0; i < f->nlanes; i++)
		if (i != w->index && !lane_is_past(broker_lane(w->broker, i, w->index), f->barrier[i]))
			return false;
	return true;
}

/* Room for one more in an array of the feed's; NULL: out of memory. */
static void *grown(struct retained_feed *f, void *array, uint32_t count, uint32_t *room, size_t size)
{
	uint32_t more = *room ? 2 * *room : 8;

	if (count < *room)
		return array;
	array = realloc(array, more * size);
	if (!array)
		return NULL;
	feed_hold(f, (int64_t)((more - *room) * size));
	*room = more;
	return array;
}

void session_feeds_note(struct session *s, const struct publication *p)
{
	list_for_each (n, &s->feeds->unripe) {
		struct retained_feed *f = container_of(n, struct retained_feed, in_session);
		struct seen *more;

		if (p->number > f->barrier[p->origin])
			continue;
		more = grown(f, f->seen, f->nseen, &f->seen_room, sizeof(*more));
		if (!more) /* it may come twice then */
			continue;
		f->seen = more;
		f->seen[f->nseen++] = (struct seen){.number = p->number, .origin = p->origin};
	}
}

static int seen_order(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	if (x->origin != y->origin)
		return x->origin < y->origin ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* ---- ripe ---- */

static bool feed_owes(const struct retained_feed *f, const struct retained *v)
{
	struct seen key = {.number = v->number, .origin = v->origin};

	if (v->number > f->barrier[v->origin])
		return false; /* it comes, or came, by itself */
	if (f->options.no_local && v->publisher == f->session->uid)
		return false; /* [MQTT-3.8.3-3] */
	return !f->nseen || !bsearch(&key, f->seen, f->nseen, sizeof(key), seen_order);
}

static int feed_found(void *arg, struct retained *value)
{
	struct retained_feed *f = arg;
	struct retained **more;

	if (!feed_owes(f, value))
		return OK;
	if (f->end == f->session->worker->broker->config.feed_list_max || f->bytes > LIST_BYTES_MAX)
		return ERR_FULL;
	more = grown(f, f->values, f->end, &f->room, sizeof(struct retained *));
	if (!more)
		return ERR_NOMEM;
	f->values = more;
	f->values[f->end++] = retained_ref(value);
	feed_count(f, retained_cost(value)); /* it may be the last one that has it by then */
	return OK;
}

/* Everything, and that is more than a list takes? */
static bool is_all(const struct retained_feed *f)
{
	const struct broker *b = f->session->worker->broker;

	return span_equal(feed_filter(f), span_str("#")) &&
	       retained_count(b->retained) > b->config.feed_list_max;
}

/* What is there: a list; where that would be long or there is no memory for it, everything. */
static void feed_look(struct retained_feed *f)
{
	struct worker *w = f->session->worker;
	struct retained_store *store = w->broker->retained;
	uint64_t before = f->bytes, visits = (uint64_t)w->broker->config.feed_list_max * VISITS_PER_VALUE;

	if (f->nseen)
		qsort(f->seen, f->nseen, sizeof(f->seen[0]), seen_order);
	if (!is_all(f) && topic_levels_split(w->levels, w->broker->config.seed, feed_filter(f)) &&
	    retained_match(store, w->levels, visits, feed_found, f, &w->steps) == OK)
		return;
	list_drop(f);
	feed_uncount(f, f->bytes - before);
	f->end = retained_slots(store);
}

/* Behind what waits for the session now, before what comes later. */
static void feed_place(struct retained_feed *f)
{
	struct session *s = f->session;
	size_t queued = waiting_len(s);

	list_remove(&f->in_session);
	list_remove(&f->in_worker);
	s->worker->steps += STEPS;
	feed_look(f);
	if (f->end == 0) {
		feed_free(f);
		return;
	}
	f->ahead = queued - s->feeds->ahead;
	s->feeds->ahead = queued;
	list_append(&s->feeds->waiting, &f->in_session);
}

static int feeds_make(struct session *s)
{
	struct feeds *all = s->feeds ? s->feeds : malloc(sizeof(*all));

	if (!all)
		return ERR_NOMEM;
	if (!s->feeds) {
		*all = (struct feeds){0};
		list_init(&all->unripe);
		list_init(&all->waiting);
		budget_count(&s->worker->budget, budget_block(sizeof(*all)));
	}
	s->feeds = all;
	return OK;
}

static void feeds_free_if_empty(struct session *s)
{
	if (!list_empty(&s->feeds->unripe) || !list_empty(&s->feeds->waiting))
		return;
	budget_count(&s->worker->budget, -budget_block(sizeof(*s->feeds)));
	free(s->feeds);
	s->feeds = NULL;
}

static void feed_ripen_later(struct retained_feed *f)
{
	struct worker *w = f->session->worker;

	list_append(&f->session->feeds->unripe, &f->in_session);
	list_append(&w->unripe, &f->in_worker);
	loop_timer_set(w->loop, &w->ripening, RIPEN_MS);
}

int session_feed_retained(struct session *s, struct span filter, const struct sub_options *o)
{
	struct retained_feed *f;
	int rc;

	/* what is counted later is published by who finds the subscription */
	if (retained_count(s->worker->broker->retained) == 0)
		return OK;
	if (feeds_make(s) < 0)
		return ERR_NOMEM;
	f = feed_create(s, filter, o);
	rc = f ? OK : ERR_NOMEM;
	if (f && list_empty(&s->feeds->unripe) && feed_is_ripe(f))
		feed_place(f);
	else if (f)
		feed_ripen_later(f);
	feeds_free_if_empty(s);
	return rc;
}

void feeds_ripen(struct worker *w)
{
	list_for_each (n, &w->unripe) {
		struct retained_feed *f = container_of(n, struct retained_feed, in_worker);
		struct session *s = f->session;

		/* those of a session in the order of its subscriptions */
		if (list_first(&s->feeds->unripe) != &f->in_session || !feed_is_ripe(f))
			continue;
		if (worker_is_busy(w)) /* what others did not pass yet may make very many ripe at once */
			break;
		feed_place(f);
		feeds_free_if_empty(s);
		if (s->conn)
			conn_dirty(s->conn);
	}
	if (!list_empty(&w->unripe) && !loop_timer_pending(&w->ripening))
		loop_timer_set(w->loop, &w->ripening, RIPEN_MS);
}

/* ---- sending ---- */

uint32_t feed_looks(const struct worker *w)
{
	uint32_t list = w->broker->config.feed_list_max;

	return 1 + (worker_is_busy(w) ? list / LOOKS_BUSY_PART : list / LOOKS_PART);
}

/* The next value, with a reference for the caller, or NULL. */
static struct retained *feed_next(struct retained_feed *f, uint32_t *looks)
{
	const struct retained_store *store = f->session->worker->broker->retained;

	while (f->at<f->end && * looks> 0) {
		struct retained *v;

		--*looks;
		if (f->values) {
			v = f->values[f->at++];
			feed_uncount(f, retained_cost(v));
			return v;
		}
		v = retained_at(store, f->at++);
		if (v && feed_owes(f, v) && mqtt_filter_matches(feed_filter(f), retained_topic(v)))
			return retained_ref(v);
	}
	return NULL;
}

static struct retained_feed *first_waiting(const struct session *s)
{
	return container_of(s->feeds->waiting.next, struct retained_feed, in_session);
}

/* What is not listed ends with its subscription. */
static bool feed_is_wanted(struct retained_feed *f)
{
	struct sub_tree *subs = f->session->worker->subs;

	if (f->values || f->subs == sub_tree_generation(subs))
		return true;
	f->subs = sub_tree_generation(subs);
	if (sub_tree_find(subs, f->session, feed_filter(f)))
		return true;
	f->at = f->end;
	return false;
}

struct retained *session_feed_next(struct session *s, uint32_t *looks, struct delivery *d)
{
	struct retained_feed *f = first_waiting(s);
	struct retained *v = feed_is_wanted(f) ? feed_next(f, looks) : NULL;

	if (v) {
		*d = (struct delivery){
			.qos = v->qos < f->options.qos ? v->qos : f->options.qos,
			.retain = true,
			.nids = f->options.id ? 1 : 0,
			.ids = &f->options.id,
		};
	} else if (f->at == f->end) {
		feed_free(f);
		feeds_free_if_empty(s);
	}
	return v;
}

bool session_is_fed(const struct session *s)
{
	return s->feeds && !list_empty(&s->feeds->waiting);
}

bool session_feed_is_first(const struct session *s)
{
	return session_is_fed(s) && first_waiting(s)->ahead == 0;
}

/* It stood ahead of the first that has any: earlier ones wait for the window while what is behind them is dropped. */
void session_feed_passed(struct session *s)
{
	list_for_each (n, &s->feeds->waiting) {
		struct retained_feed *f = container_of(n, struct retained_feed, in_session);

		if (f->ahead == 0)
			continue;
		f->ahead--;
		s->feeds->ahead--;
		return;
	}
}

/* If it stands ahead of a feed, then of the last that has any. */
void session_feed_cut(struct session *s)
{
	struct retained_feed *last = NULL;

	if (s->feeds->ahead < waiting_len(s))
		return;
	list_for_each (n, &s->feeds->waiting) {
		struct retained_feed *f = container_of(n, struct retained_feed, in_session);

		if (f->ahead > 0)
			last = f;
	}
	if (!last)
		return;
	last->ahead--;
	s->feeds->ahead--;
}

static void feeds_drop(struct list *all)
{
	list_for_each (n, all)
		feed_free(container_of(n, struct retained_feed, in_session));
}

void session_feeds_clear(struct session *s)
{
	if (!s->feeds)
		return;
	feeds_drop(&s->feeds->unripe);
	feeds_drop(&s->feeds->waiting);
	feeds_free_if_empty(s);
}
