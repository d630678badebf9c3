/*
 *   session:   BEGIN --put in pieces--> PUT --on disk--> NAME --on disk--> done
 *   retained:  RETAINED, in pieces --on disk--> done
 *
 * Each step is a call on a worker: the one that has the client id, which may become another one between steps.
 */
#include "mqtt/import.h"

#include "base/hash.h"
#include "mqtt/promise.h"
#include "mqtt/restore.h"
#include "mqtt/retained_disk.h"

#define PIECE_OPS   256u
#define PIECE_BYTES (1u << 20)

enum import_step { IMPORT_BEGIN, IMPORT_PUT, IMPORT_NAME, IMPORT_RETAINED, IMPORT_WRITTEN };

static void end_with(struct broker_import *i, int rc, const char *why)
{
	i->rc = rc;
	i->why = why;
	i->done(i);
}

static void end(struct broker_import *i, int rc)
{
	end_with(i, rc, err_text(rc));
}

/* ---- waiting for the disk ---- */

static void await_disk(struct worker *w, struct broker_import *i, enum import_step next)
{
	i->step = next;
	i->ticket = store_ticket(w->disk);
	list_append(&w->imports, &i->node);
	w->progressed = true; /* where nobody waits for the disk, it is there at once */
}

void imports_look(struct worker *w)
{
	uint64_t durable = store_durable(w->disk);
	struct list *n;

	while ((n = list_first(&w->imports))) {
		struct broker_import *i = container_of(n, struct broker_import, node);

		if (i->ticket > durable)
			return;
		list_remove(n);
		if (i->step == IMPORT_WRITTEN)
			end(i, OK);
		else
			worker_call(w, &i->call);
	}
}

static void import_cancel(struct worker_call *c)
{
	end_with(container_of(c, struct broker_import, call), ERR_IO, "the gateway stops");
}

void imports_cancel(struct worker *w)
{
	struct list *n;

	while ((n = list_take_first(&w->imports)))
		import_cancel(&container_of(n, struct broker_import, node)->call);
}

/* ---- sessions ---- */

static struct span client_of(const struct broker_import *i)
{
	return i->ops[0].session.client_id;
}

/*
 * The worker that has the client id goes on with it. true: this is the one, and the id is registered; else it went there, or ended.
 */
static bool is_at_home(struct worker *w, struct broker_import *i)
{
	uint16_t home;

	if (registry_claim(w->broker->registry, client_of(i), w->index, &home) < 0) {
		if (i->id)
			store_drop_session(w->disk, i->id);
		end(i, ERR_NOMEM);
		return false;
	}
	if (home != w->index)
		worker_call(w->broker->workers[home], &i->call);
	return home == w->index;
}

/* The session of this client that is there; of one that is over there is only its will. */
static bool is_there(const struct session *s)
{
	return s && !s->is_over;
}

static void leave(struct worker *w, struct broker_import *i)
{
	if (!session_find(w, client_of(i)))
		registry_release(w->broker->registry, client_of(i), w->index);
}

static void give_up(struct worker *w, struct broker_import *i, int rc, const char *why)
{
	store_drop_session(w->disk, i->id);
	leave(w, i);
	end_with(i, rc, why);
}

static int put_nameless(struct worker *w, struct broker_import *i)
{
	struct store_session s = {.away_ms = 1};
	int rc = store_take_session_id(w->disk, &i->id);

	if (rc < 0)
		return rc;
	s.id = i->id;
	rc = store_put_session(w->disk, &s);
	if (rc < 0) {
		store_drop_session(w->disk, i->id);
		i->id = 0;
	}
	return rc;
}

static uint64_t row_bytes(const struct store_row *row)
{
	return row->msg.topic.len + row->msg.props.len + row->msg.payload.len;
}

static int put_op(struct worker *w, struct broker_import *i, struct store_op *op)
{
	switch (op->kind) {
	case STORE_OP_SUB:
		op->sub.session = i->id;
		return store_put_sub(w->disk, &op->sub);
	case STORE_OP_RECEIVED:
		store_put_received(w->disk, i->id, op->row.packet_id);
		return OK;
	default:
		op->row.session = i->id;
		op->row.seq = ++i->seq;
		return store_put_row(w->disk, &op->row);
	}
}

static void put_some(struct worker *w, struct broker_import *i)
{
	size_t most = i->at + PIECE_OPS;
	uint64_t bytes = 0;

	for (; i->at < i->nops && i->at < most && bytes < PIECE_BYTES; i->at++) {
		struct store_op *op = &i->ops[i->at];
		int rc = put_op(w, i, op);

		if (rc < 0) {
			give_up(w, i, rc, err_text(rc));
			return;
		}
		bytes += op->kind == STORE_OP_ROW ? row_bytes(&op->row) : 0;
	}
	i->step = IMPORT_PUT;
	if (i->at < i->nops)
		worker_call(w, &i->call);
	else
		await_disk(w, i, IMPORT_NAME);
}

static void begin(struct worker *w, struct broker_import *i)
{
	bool stays;
	int rc;

	if (!is_at_home(w, i))
		return;
	stays = is_there(session_find(w, client_of(i))) && !i->replace;
	leave(w, i);
	if (stays) {
		i->kept = 1;
		end(i, OK);
		return;
	}
	rc = put_nameless(w, i);
	i->at = 1;
	if (rc < 0)
		end(i, rc);
	else
		put_some(w, i);
}

/* What a later start has to know of it. */
static struct store_session session_of(const struct worker *w, const struct broker_import *i)
{
	struct store_session s = i->ops[0].session;

	s.id = i->id;
	/* it was connected where it comes from: from now on it is away */
	if (!s.away_ms && (s.expiry_s != EXPIRY_NEVER || s.will))
		s.away_ms = store_now_ms(w->broker->config.store, loop_wall_ms(w->loop));
	s.first_seq = 1;
	s.next_seq = i->seq + 1;
	s.rows = s.row_bytes = 0;
	for (size_t k = 1; k < i->nops; k++) {
		if (i->ops[k].kind != STORE_OP_ROW || i->ops[k].row.state == STORE_RELEASED)
			continue;
		s.rows++;
		s.row_bytes += row_bytes(&i->ops[k].row);
	}
	return s;
}

static int add_to(struct session *s, const struct store_op *op)
{
	bool fresh;

	switch (op->kind) {
	case STORE_OP_SUB:
		return session_restore_sub(s, &op->sub);
	case STORE_OP_RECEIVED:
		return session_received_add(s, op->row.packet_id, &fresh);
	default:
		return op->row.state == STORE_WAITS ? OK : session_restore_inflight(s, &op->row);
	}
}

/* In memory as it is on disk. NULL: out of memory. */
static struct session *make(struct worker *w, const struct broker_import *i, const struct store_session *in)
{
	struct session *s = session_restore(w, in);
	int rc = OK;

	for (size_t k = 1; s && rc == OK && k < i->nops; k++)
		rc = add_to(s, &i->ops[k]);
	if (rc == OK)
		return s;
	session_free(s);
	return NULL;
}

static bool is_room(const struct worker *w)
{
	const struct broker *b = w->broker;

	return worker_memory(w) == BUDGET_OK && atomic_load(&b->sessions) < b->config.max_sessions;
}

static void give_name(struct worker *w, struct broker_import *i)
{
	struct session *old, *s;
	struct store_session in;
	int64_t now;

	if (!is_at_home(w, i))
		return;
	old = session_find(w, client_of(i));
	if (is_there(old) && !i->replace) { /* its client came meanwhile */
		i->kept = 1;
		give_up(w, i, OK, NULL);
		return;
	}
	if (!old && !is_room(w)) {
		give_up(w, i, ERR_FULL, "max_sessions or memory_limit is reached");
		return;
	}
	in = session_of(w, i);
	s = make(w, i, &in);
	if (!s || store_put_session(w->disk, &in) < 0) {
		if (s)
			session_free(s);
		give_up(w, i, ERR_NOMEM, err_text(ERR_NOMEM));
		return;
	}
	if (old && !old->conn)
		session_forget_will(old); /* that of the file waits in its place */
	if (old)
		session_discard(old);
	await_disk(w, i, IMPORT_WRITTEN);
	now = store_now_ms(w->broker->config.store, loop_wall_ms(w->loop));
	session_age(s, in.away_ms && in.away_ms < now ? in.away_ms : now, now);
}

/* ---- retained messages ---- */

static void take_retained(struct worker *w, struct broker_import *i)
{
	size_t most = i->at + PIECE_OPS;
	uint64_t bytes = 0;

	for (; i->at < i->nops && i->at < most && bytes < PIECE_BYTES; i->at++) {
		const struct store_retained *r = &i->ops[i->at].retained;
		int rc = worker_memory(w) == BUDGET_OK ? retained_import(w, r, i->replace) : ERR_FULL;

		i->kept += rc == ERR_EXISTS;
		if (rc < 0 && rc != ERR_EXISTS) {
			end_with(i, rc, rc == ERR_FULL ? "memory_limit is reached" : err_text(rc));
			return;
		}
		bytes += r->msg.topic.len + r->msg.payload.len;
	}
	if (i->at < i->nops)
		worker_call(w, &i->call);
	else
		await_disk(w, i, IMPORT_WRITTEN);
}

/* ---- steps ---- */

/* What is put now is not written soon, if at all. */
static const char *trouble_of(const struct worker *w)
{
	switch (store_health(w->disk)) {
	case STORE_FULL:
		return "the store is full";
	case STORE_FAILING:
		return "the store cannot be written";
	default:
		return NULL;
	}
}

static void import_run(struct worker *w, struct worker_call *c)
{
	struct broker_import *i = container_of(c, struct broker_import, call);
	bool starts = i->at == 0 && !i->id;
	const char *trouble = starts ? trouble_of(w) : NULL;

	if (trouble)
		end_with(i, store_health(w->disk) == STORE_FULL ? ERR_FULL : ERR_IO, trouble);
	else if (i->step == IMPORT_BEGIN)
		begin(w, i);
	else if (i->step == IMPORT_PUT)
		put_some(w, i);
	else if (i->step == IMPORT_NAME)
		give_name(w, i);
	else
		take_retained(w, i);
}

void broker_import(struct broker *b, struct broker_import *i)
{
	bool is_session = i->ops[0].kind == STORE_OP_SESSION;
	uint64_t hash = hash_span(b->config.seed, is_session ? client_of(i) : i->ops[0].retained.msg.topic);

	i->call = (struct worker_call){.run = import_run, .cancel = import_cancel};
	i->step = is_session ? IMPORT_BEGIN : IMPORT_RETAINED;
	i->at = i->kept = 0;
	i->seq = 0;
	i->id = 0;
	list_init(&i->node);
	worker_call(b->workers[(hash >> 32) % b->nworkers], &i->call);
}
