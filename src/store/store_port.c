#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/store_impl.h"

#define RESERVE_CHUNKS 4  /* only for what must not fail: some 1,300 changes */
#define SPARE_CHUNKS   16 /* kept, so that most batches cost no allocation */

/* ---- chunks ---- */

static void spare_push(struct store_port *p, struct batch *chunk)
{
	chunk->next = p->spare;
	p->spare = chunk;
	p->nspare++;
}

static struct batch *spare_pop(struct store_port *p)
{
	struct batch *chunk = p->spare;

	p->spare = chunk->next;
	p->nspare--;
	*chunk = (struct batch){.room = chunk->room};
	return chunk;
}

static void take_returned(struct store_port *p)
{
	struct batch *chunk, *next;

	if (!atomic_load_explicit(&p->returned, memory_order_relaxed))
		return;
	chunk = atomic_exchange_explicit(&p->returned, NULL, memory_order_acquire);
	for (; chunk; chunk = next) {
		next = chunk->next;
		atomic_fetch_sub_explicit(&p->nreturned, 1, memory_order_relaxed);
		if (p->nspare < SPARE_CHUNKS)
			spare_push(p, chunk);
		else
			free(chunk);
	}
}

static void refill_reserve(struct store_port *p)
{
	take_returned(p);
	while (p->nspare < RESERVE_CHUNKS + 1) {
		struct batch *chunk = batch_chunk_create(BATCH_CHUNK_ROOM);

		if (!chunk)
			return;
		spare_push(p, chunk);
	}
}

/*
 * A chunk with room for one record; those that must not fail may use the reserve. NULL: no memory. When even the reserve is used up,
 * a state would be lost that was told to somebody: then rather all of the process, for what is on disk is consistent.
 */
static struct batch *get_chunk(struct store_port *p, size_t size, bool surely)
{
	if (p->nspare <= RESERVE_CHUNKS)
		refill_reserve(p);
	if (p->nspare <= (surely ? 0 : RESERVE_CHUNKS)) {
		if (!surely)
			return NULL;
		log_error("store", "out of memory for changes that cannot be taken back; stopping");
		abort();
	}
	return size > BATCH_CHUNK_ROOM ? batch_chunk_create((uint32_t)size) : spare_pop(p);
}

static struct batch *add_chunk(struct store_port *p, size_t size, bool surely)
{
	struct batch *chunk = get_chunk(p, size, surely);

	if (!chunk)
		return NULL;
	if (p->open)
		p->open_last->more = chunk;
	else
		p->open = chunk;
	p->open_last = chunk;
	return chunk;
}

/* ---- putting ---- */

static int put(struct store_port *p, enum store_op_kind kind, const void *what, bool surely)
{
	size_t size = record_size(kind, what, false);
	struct batch *chunk = p->open_last;

	if ((!chunk || chunk->room - chunk->used < size) && !(chunk = add_chunk(p, size, surely)))
		return ERR_NOMEM;
	record_write((uint8_t *)chunk->data + chunk->used, size, kind, what, false);
	chunk->used += (uint32_t)size;
	p->open->bytes += size;
	p->put_bytes += size;
	return OK;
}

static int try_put(struct store_port *p, enum store_op_kind kind, const void *what)
{
	return put(p, kind, what, false);
}

/* Of those whose records are small and always have room. */
static void put_surely(struct store_port *p, enum store_op_kind kind, const void *what)
{
	int rc = put(p, kind, what, true);

	assert(rc == OK);
}

int store_take_session_id(struct store_port *p, uint32_t *id)
{
	return session_ids_take(&p->store->ids, id);
}

int store_put_session(struct store_port *p, const struct store_session *s)
{
	return try_put(p, STORE_OP_SESSION, s);
}

void store_drop_session(struct store_port *p, uint32_t session)
{
	put_surely(p, STORE_OP_DROP_SESSION, &session);
	p->open->drops_sessions = true;
}

int store_put_sub(struct store_port *p, const struct store_sub *sub)
{
	return try_put(p, STORE_OP_SUB, sub);
}

int store_drop_sub(struct store_port *p, uint32_t session, struct span filter)
{
	return try_put(p, STORE_OP_DROP_SUB, &(struct store_sub){.session = session, .filter = filter});
}

int store_put_msg(struct store_port *p, const struct store_msg *m, uint64_t *id)
{
	struct store_op op = {.shared = {.msg = *m}};
	int rc;

	if (p->msg_next == p->msg_end) {
		/* A segment is of one port, so that its messages are of about one time. */
		p->msg_next = atomic_fetch_add(&p->store->next_segment, 1) * STORE_SEGMENT_MSGS;
		p->msg_end = p->msg_next + STORE_SEGMENT_MSGS;
	}
	op.shared.msg_id = p->msg_next;
	rc = try_put(p, STORE_OP_MSG, &op.shared);
	if (rc == OK)
		*id = p->msg_next++;
	return rc;
}

int store_put_row(struct store_port *p, const struct store_row *row)
{
	int rc = try_put(p, STORE_OP_ROW, row);

	if (rc == OK)
		p->open->rows++;
	return rc;
}

void store_put_state(struct store_port *p, uint32_t session, uint64_t seq, uint8_t state, uint16_t packet_id)
{
	put_surely(
		p, STORE_OP_STATE,
		&(struct store_row){.session = session, .seq = seq, .state = state, .packet_id = packet_id});
}

void store_drop_rows(struct store_port *p, uint32_t session, uint64_t below_seq)
{
	put_surely(p, STORE_OP_DROP_ROWS, &(struct store_row){.session = session, .seq = below_seq});
}

void store_drop_row(struct store_port *p, uint32_t session, uint64_t seq)
{
	put_surely(p, STORE_OP_DROP_ROW, &(struct store_row){.session = session, .seq = seq});
}

void store_put_received(struct store_port *p, uint32_t session, uint16_t packet_id)
{
	put_surely(p, STORE_OP_RECEIVED, &(struct store_row){.session = session, .packet_id = packet_id});
}

void store_drop_received(struct store_port *p, uint32_t session, uint16_t packet_id)
{
	put_surely(p, STORE_OP_DROP_RECEIVED,
		   &(struct store_row){.session = session, .packet_id = packet_id});
}

void store_confirm(struct store_port *p, uint64_t number)
{
	put_surely(p, STORE_OP_CONFIRM, &(struct store_row){.origin = p->index, .number = number});
}

int store_put_retained(struct store_port *p, const struct store_retained *r)
{
	return try_put(p, STORE_OP_RETAINED, r);
}

int store_clear_retained(struct store_port *p, struct span topic, uint64_t stamp)
{
	return try_put(p, STORE_OP_CLEAR, &(struct store_retained){.msg.topic = topic, .stamp = stamp});
}

/* ---- tickets ---- */

uint64_t store_ticket(const struct store_port *p)
{
	return p->submitted + (p->open != NULL);
}

void store_submit(struct store_port *p)
{
	struct batch *b = p->open, *first;

	if (!b)
		return;
	b->port = p;
	b->ticket = ++p->submitted;
	b->submits = 1;
	p->open = p->open_last = NULL;
	atomic_fetch_add_explicit(&p->store->counts->waiting, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->store->counts->waiting_bytes, b->bytes, memory_order_relaxed);
	first = atomic_load_explicit(&p->passed, memory_order_relaxed);
	do
		b->next = first;
	while (!atomic_compare_exchange_weak_explicit(&p->passed, &first, b, memory_order_acq_rel,
						      memory_order_relaxed));
	/* Not the first: the store was told of that one, and takes all. */
	if (!first)
		loop_notify(&p->store->work);
}

uint64_t store_durable(const struct store_port *p)
{
	if (p->store->options.durability == STORE_NONE)
		return UINT64_MAX;
	return atomic_load_explicit(&p->durable, memory_order_acquire);
}

enum store_health store_health(const struct store_port *p)
{
	return atomic_load_explicit(&p->store->health, memory_order_relaxed);
}

uint64_t store_backlog(const struct store_port *p)
{
	return p->put_bytes - count_of(&p->durable_bytes);
}

void store_count_elided(struct store_port *p, uint64_t n)
{
	count_add(&p->elided, n);
}

/* ---- reads ---- */

void store_read_rows(struct store_port *p, struct store_read *r)
{
	struct store_read *first = atomic_load_explicit(&p->asked, memory_order_relaxed);

	/* What counts as durable must be found, written or not. */
	if (p->store->options.durability == STORE_NONE)
		store_submit(p);
	r->port = p;
	r->ticket = p->store->options.durability == STORE_NONE ? p->submitted : 0;
	r->rc = OK;
	r->bytes = span_of(NULL, 0);
	r->rows = 0;
	r->at = rd_of(NULL, 0);
	do
		r->next = first;
	while (!atomic_compare_exchange_weak_explicit(&p->asked, &first, r, memory_order_acq_rel,
						      memory_order_relaxed));
	if (!first)
		loop_notify(&p->store->work);
}

/* Oldest first. */
static struct store_read *take_answered(struct store_port *p)
{
	struct store_read *r = atomic_exchange_explicit(&p->answered, NULL, memory_order_acquire);
	struct store_read *oldest = NULL, *next;

	for (; r; r = next) {
		next = r->next;
		r->next = oldest;
		oldest = r;
	}
	return oldest;
}

static void port_wake(struct loop_source *source)
{
	struct store_port *p = container_of(source, struct store_port, wake);
	struct store_read *r = take_answered(p), *next;
	uint64_t durable = store_durable(p);
	unsigned health = store_health(p);

	if (durable != p->seen_durable || health != p->seen_health) {
		p->seen_durable = durable;
		p->seen_health = health;
		p->ops->progress(p->arg);
	}
	for (; r; r = next) {
		next = r->next;
		r->done(r);
	}
}

/* ---- from the store's loop ---- */

void port_answer(struct store_port *p, struct store_read *r)
{
	struct store_read *first = atomic_load_explicit(&p->answered, memory_order_relaxed);

	do
		r->next = first;
	while (!atomic_compare_exchange_weak_explicit(&p->answered, &first, r, memory_order_acq_rel,
						      memory_order_relaxed));
	loop_notify(&p->wake);
}

static void give_back_chunk(struct store_port *p, struct batch *chunk)
{
	struct batch *first;

	if (chunk->room != BATCH_CHUNK_ROOM ||
	    atomic_load_explicit(&p->nreturned, memory_order_relaxed) >= SPARE_CHUNKS) {
		free(chunk);
		return;
	}
	atomic_fetch_add_explicit(&p->nreturned, 1, memory_order_relaxed);
	first = atomic_load_explicit(&p->returned, memory_order_relaxed);
	do
		chunk->next = first;
	while (!atomic_compare_exchange_weak_explicit(&p->returned, &first, chunk, memory_order_acq_rel,
						      memory_order_relaxed));
}

void port_give_back(struct store_port *p, struct batch *b)
{
	while (b) {
		struct batch *more = b->more;

		give_back_chunk(p, b);
		b = more;
	}
}

/* ---- life ---- */

int store_port_open(struct store *s, uint16_t index, struct loop *loop, const struct store_port_ops *ops,
		    void *arg, struct store_port **out)
{
	struct store_port *p = aligned_alloc(64, sizeof(*p));

	if (!p)
		return ERR_NOMEM;
	memset(p, 0, sizeof(*p));
	p->store = s;
	p->loop = loop;
	p->ops = ops;
	p->arg = arg;
	p->index = index;
	p->seen_durable = store_durable(p);
	p->seen_health = store_health(p);
	refill_reserve(p);
	if (p->nspare < RESERVE_CHUNKS) {
		while (p->nspare > 0)
			free(spare_pop(p));
		free(p);
		return ERR_NOMEM;
	}
	loop_source_add(loop, &p->wake, port_wake);
	list_init(&p->node);
	list_append(&s->ports, &p->node);
	*out = p;
	return OK;
}

void store_port_close(struct store_port *p)
{
	struct store_read *r, *next;

	if (!p)
		return;
	store_take(p->store, p);
	store_forget_port(p->store, p);
	for (r = take_answered(p); r; r = next) {
		next = r->next;
		store_read_fini(r);
	}
	loop_source_remove(&p->wake);
	list_remove(&p->node);
	count_add(&p->store->counts->elided, count_of(&p->elided));
	batch_destroy(p->open);
	take_returned(p);
	while (p->nspare > 0)
		free(spare_pop(p));
	free(p);
}
