#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/store_impl.h"

#define COMMIT_BYTES     (UINT64_C(32) << 20) /* about so much in one commit */
#define READ_TURN_BYTES  (UINT64_C(4) << 20)  /* answers of one turn */
#define BACKGROUND_US    UINT64_C(100000)     /* STORE_NONE: so long changes gather */
#define BACKGROUND_BYTES (UINT64_C(4) << 20)  /* or until there is so much */
#define RETRY_US         UINT64_C(1000000)    /* while the disk is not well */
#define RETRY_EARLY_US   UINT64_C(100000)     /* after a failure, when something new came */
#define TIDY_US          UINT64_C(20000)      /* of quiet before tidying */
#define MAX_WINDOW_US    UINT64_C(10000000)   /* in which the longest commit is told */
#define TIDY_BYTES       (UINT64_C(16) << 20) /* committed without any quiet */

/* ---- health ---- */

static void log_health(enum store_health health, int rc)
{
	if (health == STORE_OK)
		log_notice("store", "changes are written to disk again");
	else if (health == STORE_FULL)
		log_error("store",
			  "the disk is full, or the database has reached its max_bytes: make room, or let "
			  "clients take what waits for them; until then nothing new is kept for "
			  "persistent sessions");
	else
		log_error("store",
			  "cannot write (%s): check the disk, its mount and memory; what was accepted is "
			  "kept in memory and written when that is possible again",
			  err_text(rc ? rc : ERR_IO));
}

static void wake_ports(struct store *s)
{
	list_for_each (node, &s->ports)
		loop_notify(&container_of(node, struct store_port, node)->wake);
}

/* How it is with the disk; rc is what the last commit came to. */
static enum store_health judge(struct store *s, int rc)
{
	const struct store_backend_ops *ops = s->backend->ops;
	uint64_t bytes = ops->bytes(s->backend), max = s->options.max_bytes;
	enum store_health health = STORE_OK;

	atomic_store_explicit(&s->counts->bytes, bytes, memory_order_relaxed);
	if (ops->health)
		health = ops->health(s->backend);
	else if (max > 0 && bytes >= max)
		health = STORE_FULL;
	if (rc < 0 && health == STORE_OK)
		health = rc == ERR_FULL ? STORE_FULL : STORE_FAILING;
	return health;
}

static void set_health(struct store *s, enum store_health health, int rc)
{
	if (health == STORE_OK)
		s->retry_us = 0;
	else if (s->retry_us <= loop_now_us(s->loop))
		s->retry_us = loop_now_us(s->loop) + RETRY_US;
	if (health == atomic_load_explicit(&s->health, memory_order_relaxed))
		return;
	log_health(health, rc);
	atomic_store_explicit(&s->health, health, memory_order_relaxed);
	wake_ports(s);
}

/* ---- what ports have passed on ---- */

static void queue_append(struct batch_queue *q, struct batch *b)
{
	b->next = NULL;
	if (q->last)
		q->last->next = b;
	else
		q->first = b;
	q->last = b;
	q->bytes += b->bytes;
}

/*
 * While nothing can be written, batches of a few bytes come with each turn of each port; they must not cost a chunk each. Is `b`
 * now a part of the last one in the queue?
 */
static bool queue_merge(struct batch_queue *q, struct batch *b)
{
	struct batch *to = q->last;

	if (!to || to->port != b->port || to->more || b->more || to->room - to->used < b->used)
		return false;
	memcpy((uint8_t *)to->data + to->used, b->data, b->used);
	to->used += b->used;
	to->bytes += b->bytes;
	to->ticket = b->ticket;
	to->submits += b->submits;
	to->rows += b->rows;
	to->drops_sessions |= b->drops_sessions;
	q->bytes += b->bytes;
	return true;
}

static bool take_batches(struct store *s, struct store_port *p)
{
	struct batch *b = atomic_exchange_explicit(&p->passed, NULL, memory_order_acquire);
	struct batch *oldest = NULL, *next;

	for (; b; b = next) {
		next = b->next;
		b->next = oldest;
		oldest = b;
	}
	for (b = oldest; b; b = next) {
		next = b->next;
		if (s->failed && queue_merge(&s->queue, b))
			port_give_back(p, b);
		else
			queue_append(&s->queue, b);
	}
	return oldest != NULL;
}

static void take_reads(struct store *s, struct store_port *p)
{
	struct store_read *r = atomic_exchange_explicit(&p->asked, NULL, memory_order_acquire);
	struct store_read *oldest = NULL, *newest = r, *next;

	for (; r; r = next) {
		next = r->next;
		r->next = oldest;
		oldest = r;
	}
	if (!oldest)
		return;
	if (s->reads.last)
		s->reads.last->next = oldest;
	else
		s->reads.first = oldest;
	s->reads.last = newest;
}

bool store_take(struct store *s, struct store_port *p)
{
	/* In this order, so that what was put before a read is there. */
	take_reads(s, p);
	return take_batches(s, p);
}

void store_forget_port(struct store *s, struct store_port *p)
{
	struct store_read *r = s->reads.first, *next;

	for (struct batch *b = s->queue.first; b; b = b->next)
		if (b->port == p)
			b->port = NULL;
	s->reads = (struct read_queue){0};
	for (; r; r = next) {
		next = r->next;
		r->next = NULL;
		if (r->port == p)
			continue;
		if (s->reads.last)
			s->reads.last->next = r;
		else
			s->reads.first = r;
		s->reads.last = r;
	}
}

static void take_all(struct store *s)
{
	uint64_t now_us = loop_now_us(s->loop);
	bool new = false;

	list_for_each (node, &s->ports)
		new |= store_take(s, container_of(node, struct store_port, node));
	if (!new)
		return;
	if (s->failed && s->retry_us > s->failed_us + RETRY_EARLY_US)
		s->retry_us = s->failed_us + RETRY_EARLY_US;
	if (!s->background_us)
		s->background_us = now_us + BACKGROUND_US;
}

/* ---- committing ---- */

/* At the end no loop runs any more. */
static void let_others_in(struct store *s)
{
	if (!s->ending)
		loop_interleave(s->loop);
}

/* The batches of one commit: from the first in the queue up to `end`. */
struct commit {
	struct batch *end; /* NULL: all */
	uint64_t bytes;
};

static struct commit choose(const struct store *s)
{
	struct commit c = {.end = s->queue.first};

	do {
		c.bytes += c.end->bytes;
		c.end = c.end->next;
	} while (c.end && c.bytes + c.end->bytes <= s->commit_limit);
	return c;
}

static int apply_batch(struct store *s, const struct batch *b)
{
	struct batch_at at = {.chunk = b};
	struct store_will will;
	struct store_op op;
	int rc = OK;

	while (rc == OK && batch_next(&at, &op, &will))
		rc = s->backend->ops->apply(s->backend, &op);
	return rc;
}

static int write_batches(struct store *s, const struct batch *end, int64_t now_ms)
{
	const struct store_backend_ops *ops = s->backend->ops;
	int rc = ops->begin(s->backend);

	for (const struct batch *b = s->queue.first; rc == OK && b != end; b = b->next)
		rc = apply_batch(s, b);
	/* While it is on its way to the disk, the others go on. */
	let_others_in(s);
	if (rc == OK)
		rc = ops->commit(s->backend, now_ms);
	if (rc < 0)
		ops->rollback(s->backend);
	return rc;
}

static void give_session_ids(struct store *s, const struct batch *b)
{
	struct batch_at at = {.chunk = b};
	struct store_will will;
	struct store_op op;

	while (batch_next(&at, &op, &will))
		if (op.kind == STORE_OP_DROP_SESSION)
			session_ids_give(&s->ids, op.id);
}

static void batch_is_durable(struct store *s, struct batch *b)
{
	struct store_port *p = b->port;

	if (b->drops_sessions)
		give_session_ids(s, b);
	count_add(&s->counts->rows, b->rows);
	atomic_fetch_sub_explicit(&s->counts->waiting, b->submits, memory_order_relaxed);
	atomic_fetch_sub_explicit(&s->counts->waiting_bytes, b->bytes, memory_order_relaxed);
	if (!p) {
		batch_destroy(b);
		return;
	}
	count_add(&p->durable_bytes, b->bytes);
	atomic_store_explicit(&p->durable, b->ticket, memory_order_release);
	port_give_back(p, b);
	loop_notify(&p->wake);
}

static void committed(struct store *s, const struct commit *c)
{
	struct batch *b = s->queue.first, *next;

	s->queue.first = c->end;
	if (!c->end)
		s->queue.last = NULL;
	s->queue.bytes -= c->bytes;
	count_add(&s->counts->commits, 1);
	for (; b != c->end; b = next) {
		next = b->next;
		batch_is_durable(s, b);
		let_others_in(s);
	}
}

/* One commit of what is queued, in full or in part. */
static int commit(struct store *s)
{
	struct commit c = choose(s);
	int64_t now_ms = store_now_ms(s, loop_wall_ms(s->loop));
	int rc = write_batches(s, c.end, now_ms);

	s->failed = rc < 0;
	if (rc < 0) {
		count_add(&s->counts->failures, 1);
		s->failed_us = loop_now_us(s->loop);
		/* Perhaps less at a time goes through. */
		s->commit_limit /= 2;
	} else {
		atomic_store_explicit(&s->last_ms, now_ms, memory_order_relaxed);
		s->untidy_bytes += c.bytes;
		s->commit_limit = s->commit_limit < COMMIT_BYTES / 2 ? 2 * s->commit_limit + 1 : COMMIT_BYTES;
		committed(s, &c);
	}
	set_health(s, judge(s, rc), rc);
	return rc;
}

static void commit_turn(struct store *s)
{
	uint64_t now_us = loop_now_us(s->loop);

	s->reads_next = true;
	if (commit(s) < 0)
		return;
	s->began_us = now_us;
	s->background_us = s->queue.first ? now_us : 0;
	s->tidy_us = now_us + TIDY_US;
}

/* The clock stands still within a turn, so the time of a commit is known in the next one. */
static void measure(struct store *s)
{
	struct store_counts *n = s->counts;
	uint64_t us, max;

	if (!s->began_us)
		return;
	us = loop_now_us(s->loop) - s->began_us;
	s->began_us = 0;
	count_add(&n->commit_us_sum, us);
	max = count_of(&n->commit_us_max);
	if (loop_now_us(s->loop) - s->window_us > MAX_WINDOW_US) {
		atomic_store_explicit(&n->commit_us_max_before, max, memory_order_relaxed);
		s->window_us = loop_now_us(s->loop);
		max = 0;
	}
	atomic_store_explicit(&n->commit_us_max, us > max ? us : max, memory_order_relaxed);
}

/* The longest of the last one or two windows in which there were commits; anybody may ask, however often. */
static uint64_t longest(const struct store_counts *n)
{
	uint64_t max = count_of(&n->commit_us_max), before = count_of(&n->commit_us_max_before);

	return max > before ? max : before;
}

/* ---- reads ---- */

/* With STORE_NONE a read may be ahead of what is written. */
static bool is_behind(const struct store_read *r)
{
	return r->ticket > atomic_load_explicit(&r->port->durable, memory_order_relaxed);
}

static void read_turn(struct store *s)
{
	uint64_t bytes = 0;

	s->reads_next = false;
	while (s->reads.first && bytes < READ_TURN_BYTES) {
		struct store_read *r = s->reads.first;

		if (!is_behind(r))
			read_execute(r, s->backend);
		else if (s->failed)
			r->rc = ERR_IO;
		else
			return;
		bytes += r->bytes.len + sizeof(*r);
		s->reads.first = r->next;
		if (!r->next)
			s->reads.last = NULL;
		port_answer(r->port, r);
	}
}

/* ---- turns ---- */

/* Commits begin at once; with STORE_NONE they wait for more, unless a read needs them. */
static bool may_commit(const struct store *s)
{
	if (!s->queue.first || s->failed)
		return false;
	return s->options.durability != STORE_NONE || s->queue.bytes >= BACKGROUND_BYTES || s->reads.first ||
	       loop_now_us(s->loop) >= s->background_us;
}

static bool may_read(const struct store *s)
{
	return s->reads.first && (s->failed || !is_behind(s->reads.first));
}

/*
 * A commit of nothing: does writing work? As nothing new is accepted, nobody else would find out; and time passes for the backend,
 * which makes room after a while.
 */
static void probe(struct store *s)
{
	int64_t now_ms = store_now_ms(s, loop_wall_ms(s->loop));
	int rc = write_batches(s, NULL, now_ms);

	if (rc == OK)
		atomic_store_explicit(&s->last_ms, now_ms, memory_order_relaxed);
	set_health(s, judge(s, rc), rc);
}

/* Look whether the disk is well again. */
static void retry_turn(struct store *s)
{
	(void)s->backend->ops->tidy(s->backend);
	if (s->queue.first)
		commit_turn(s);
	else
		probe(s);
}

static void tidy_turn(struct store *s)
{
	bool more = s->backend->ops->tidy(s->backend);

	atomic_store_explicit(&s->counts->bytes, s->backend->ops->bytes(s->backend), memory_order_relaxed);
	s->untidy_bytes = 0;
	s->tidy_us = more ? loop_now_us(s->loop) : 0;
}

static bool is_due(const struct store *s, uint64_t at_us)
{
	return at_us && loop_now_us(s->loop) >= at_us;
}

/* One thing in each turn, so that others wait only for that. */
static void turn(struct store *s)
{
	bool retry = is_due(s, s->retry_us);

	if (may_read(s) && (s->reads_next || (!retry && !may_commit(s))))
		read_turn(s);
	else if (retry)
		retry_turn(s);
	else if (s->untidy_bytes >= TIDY_BYTES)
		tidy_turn(s);
	else if (may_commit(s))
		commit_turn(s);
	else if (!s->failed && is_due(s, s->tidy_us))
		tidy_turn(s);
}

static void wait_until(uint64_t *due_us, uint64_t at_us)
{
	if (at_us && (!*due_us || at_us < *due_us))
		*due_us = at_us;
}

/* When the next turn must be, if nothing new comes. */
static void plan(struct store *s)
{
	uint64_t now_us = loop_now_us(s->loop), due_us = 0;

	if (s->began_us || may_read(s) || may_commit(s))
		due_us = now_us;
	wait_until(&due_us, s->retry_us);
	if (s->queue.first && !s->failed)
		wait_until(&due_us, s->background_us);
	if (!s->failed)
		wait_until(&due_us, s->tidy_us);
	if (!due_us)
		loop_timer_cancel(s->loop, &s->timer);
	else
		loop_timer_set(s->loop, &s->timer, due_us > now_us ? (due_us - now_us + 999) / 1000 : 0);
}

static void run(struct store *s)
{
	assert(s->loaded);
	measure(s);
	take_all(s);
	turn(s);
	plan(s);
}

static void on_work(struct loop_source *source)
{
	run(container_of(source, struct store, work));
}

static void on_timer(struct loop_timer *t)
{
	run(container_of(t, struct store, timer));
}

/* ---- loading ---- */

struct loading {
	struct store *store;
	const struct store_loader *to;
	void *arg;
};

static int load_session(void *arg, const struct store_session *session)
{
	struct loading *l = arg;
	int rc = session_ids_mark(&l->store->ids, session->id);

	return rc == OK && l->to->session ? l->to->session(l->arg, session) : rc;
}

static int load_sub(void *arg, const struct store_sub *sub)
{
	struct loading *l = arg;

	return l->to->sub(l->arg, sub);
}

static int load_received(void *arg, uint32_t session, uint16_t packet_id)
{
	struct loading *l = arg;

	return l->to->received(l->arg, session, packet_id);
}

static int load_inflight(void *arg, const struct store_row *row)
{
	struct loading *l = arg;

	return l->to->inflight(l->arg, row);
}

static int load_retained(void *arg, const struct store_retained *r)
{
	struct loading *l = arg;

	return l->to->retained(l->arg, r);
}

int store_load(struct store *s, const struct store_loader *l, void *arg)
{
	struct loading loading = {.store = s, .to = l, .arg = arg};
	const struct store_loader loader = {
		.session = load_session,
		.sub = l->sub ? load_sub : NULL,
		.received = l->received ? load_received : NULL,
		.inflight = l->inflight ? load_inflight : NULL,
		.retained = l->retained ? load_retained : NULL,
	};
	struct store_backend *b = s->backend;
	int rc = b->ops->load(b, &loader, &loading);

	if (rc < 0)
		return rc;
	s->loaded = true;
	s->last_stamp = b->ops->last_stamp(b);
	atomic_store(&s->last_ms, b->ops->last_ms(b));
	atomic_store(&s->next_segment, b->ops->last_msg_id(b) / STORE_SEGMENT_MSGS + 1);
	set_health(s, judge(s, OK), OK);
	plan(s);
	return OK;
}

int64_t store_now_ms(const struct store *s, int64_t wall_ms)
{
	int64_t last_ms = atomic_load_explicit(&s->last_ms, memory_order_relaxed);

	return wall_ms > last_ms ? wall_ms : last_ms;
}

uint64_t store_last_stamp(const struct store *s)
{
	return s->last_stamp;
}

/* ---- figures ---- */

void store_figures(const struct store *s, struct store_figures *out)
{
	struct store_counts *n = s->counts;

	*out = (struct store_figures){
		.commits = count_of(&n->commits),
		.rows = count_of(&n->rows),
		.elided = count_of(&n->elided),
		.commit_us_sum = count_of(&n->commit_us_sum),
		.commit_us_max = longest(n),
		.waiting = count_of(&n->waiting),
		.waiting_bytes = count_of(&n->waiting_bytes),
		.bytes = count_of(&n->bytes),
		.failures = count_of(&n->failures),
		.health = atomic_load_explicit(&s->health, memory_order_relaxed),
	};
	list_for_each (node, &s->ports)
		out->elided += count_of(&container_of(node, struct store_port, node)->elided);
}

/* ---- life ---- */

int store_create(struct loop *loop, struct store_backend *b, const struct store_options *o,
		 struct store **out)
{
	struct store *s = calloc(1, sizeof(*s));
	struct store_counts *counts = calloc(1, sizeof(*counts));

	if (!s || !counts) {
		free(s);
		free(counts);
		return ERR_NOMEM;
	}
	s->loop = loop;
	s->backend = b;
	s->options = *o;
	s->counts = counts;
	s->commit_limit = COMMIT_BYTES;
	list_init(&s->ports);
	session_ids_init(&s->ids);
	loop_source_add(loop, &s->work, on_work);
	loop_timer_init(&s->timer, on_timer);
	*out = s;
	return OK;
}

/* One try of what is left; ids of sessions and figures do not matter any more. */
static void write_rest(struct store *s)
{
	struct batch *next;

	s->ending = true;
	while (s->queue.first && commit(s) == OK)
		;
	if (s->queue.first)
		log_error("store", "%llu bytes of changes could not be written and are lost",
			  (unsigned long long)s->queue.bytes);
	for (struct batch *b = s->queue.first; b; b = next) {
		next = b->next;
		batch_destroy(b);
	}
}

void store_destroy(struct store *s)
{
	if (!s)
		return;
	assert(list_empty(&s->ports));
	loop_source_remove(&s->work); /* no turn of its own meanwhile */
	loop_timer_cancel(s->loop, &s->timer);
	write_rest(s);
	loop_timer_cancel(s->loop, &s->timer);
	s->backend->ops->close(s->backend);
	session_ids_fini(&s->ids);
	free(s->counts);
	free(s);
}
