/*
 * The store on a disk that fails: 1 to 4 ports put changes of all kinds, the disk fills up, fails and crashes at any operation, also
 * while the store opens; then it is opened again and compared with what was put. One thread, virtual time; LINESIDE_SEED=n
 * replays a run, LINESIDE_SEEDS=n runs as many.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "loop/loop_sim.h"
#include "seeds.h"
#include "store/backend.h"
#include "store/disk_sim.h"
#include "store_model.h"

#define SEEDS        300u
#define SECOND       UINT64_C(1000000)
#define TURNS_MAX    4096u
#define BACKLOG_MAX  300000u
#define SHARED_MAX   8u
#define SHARED_US    (2 * SECOND) /* for so long rows refer to a message that was put */
#define BROKEN_BYTES 400u

struct shared_msg {
	uint64_t id, until_us;
	uint32_t content;
};

struct port {
	struct run *run;
	unsigned index;
	struct loop *loop;
	struct store_port *store;
	struct model_port model;
	uint64_t first_turn, submitted; /* turns: the first of this life, the last that was passed on */
	uint64_t tickets[TURNS_MAX];    /* of the turns from `first_turn` on */
	struct shared_msg shared[SHARED_MAX];
	uint64_t number; /* of publishes, as origin */
	bool acts;
	/* a read in hand */
	struct store_read read;
	bool reading;
	unsigned slot;
	struct model_session asked; /* as was durable when it was asked */
};

struct run {
	uint64_t seed;
	struct sim_world *world;
	struct sim_disk *disk;
	struct loop *store_loop;
	struct store *store;
	enum store_durability durability;
	struct port ports[MODEL_PORTS];
	struct model_session found[MODEL_PORTS][MODEL_SESSIONS + 1]; /* by a load */
	struct model_retained found_retained[MODEL_TOPICS];
	unsigned nports;
	uint64_t stamp;
	uint32_t content;
	bool busy, slow;
	unsigned lives;
	char broken[BROKEN_BYTES];
};

static struct run the_run; /* large */

static struct {
	uint64_t power_cuts, process_crashes, while_opening, failing, turns, rows, reads;
} seen; /* of all seeds */

static uint64_t any(struct run *r, uint64_t bound)
{
	return sim_random(r->world, bound);
}

static void broken(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void broken(struct run *r, const char *fmt, ...)
{
	va_list args;

	if (r->broken[0])
		return;
	va_start(args, fmt);
	vsnprintf(r->broken, sizeof(r->broken), fmt, args);
	va_end(args);
}

static struct span client_of(unsigned port, unsigned slot, char text[16])
{
	return span_of(text, (size_t)snprintf(text, 16, "p%u-s%u", port, slot));
}

static struct span text_of(const char *what, unsigned n, char text[16])
{
	return span_of(text, (size_t)snprintf(text, 16, "%s/%u", what, n));
}

/* ---- what is durable ---- */

static void advance(struct port *p)
{
	uint64_t durable, turn = p->model.base_turn;

	if (p->run->durability == STORE_NONE)
		return; /* nobody promised anything */
	durable = store_durable(p->store);
	while (turn < p->model.turn && p->tickets[turn - p->first_turn] <= durable)
		turn++;
	model_advance(&p->model, turn);
}

static bool all_durable(void *arg)
{
	struct run *r = arg;

	for (unsigned i = 0; i < r->nports; i++) {
		struct port *p = &r->ports[i];

		if (store_durable(p->store) < store_ticket(p->store) || p->reading ||
		    store_backlog(p->store) > 0)
			return false;
	}
	return true;
}

static bool id_is_used(struct run *r, uint32_t id)
{
	for (unsigned i = 0; i < r->nports; i++) {
		struct port *p = &r->ports[i];

		advance(p);
		for (unsigned slot = 0; slot <= MODEL_MARK; slot++)
			if (p->model.now.sessions[slot].head.id == id ||
			    (r->durability != STORE_NONE && p->model.base.sessions[slot].head.id == id))
				return true;
	}
	return false;
}

/* ---- changes ---- */

static void put_head(struct port *p, unsigned slot, const struct model_head *head)
{
	struct model_op op = {.kind = MODEL_SESSION, .slot = slot, .head = *head};
	uint8_t bytes[MODEL_MSG_BYTES];
	struct store_will will = {
		.delay_s = head->will_delay_s, .expires = head->will % 2, .expiry_s = head->will};
	struct store_session s = {.id = head->id, .expiry_s = head->expiry_s, .away_ms = head->away_ms};
	char client[16];

	s.client_id = client_of(p->index, slot, client);
	if (head->will) {
		model_msg(head->will, bytes, &will.msg);
		will.msg.expires_ms = 0;
		s.will = &will;
	}
	assert_int_equal(store_put_session(p->store, &s), OK);
	model_put(&p->model, &op);
}

static void put_session(struct port *p, unsigned slot)
{
	struct run *r = p->run;
	struct model_head head = p->model.now.sessions[slot].head;

	if (head.id == 0) {
		assert_int_equal(store_take_session_id(p->store, &head.id), OK);
		if (id_is_used(r, head.id))
			broken(r, "port %u was given session id %u, which is in use", p->index, head.id);
	}
	head.expiry_s = sim_one_in(r->world, 4) ? UINT32_MAX : (uint32_t)(1 + any(r, 100000));
	head.away_ms = sim_one_in(r->world, 2) ? 0 : loop_wall_ms(p->loop);
	head.will = sim_one_in(r->world, 3) ? ++r->content : 0;
	head.will_delay_s = head.will ? (uint32_t)any(r, 100) : 0;
	put_head(p, slot, &head);
}

static void put_mark(struct port *p)
{
	struct model_head head = p->model.now.sessions[MODEL_MARK].head;

	if (head.id == 0)
		assert_int_equal(store_take_session_id(p->store, &head.id), OK);
	head.expiry_s = (uint32_t)(p->model.turn + 1);
	put_head(p, MODEL_MARK, &head);
}

static void drop_session(struct port *p, unsigned slot)
{
	struct model_op op = {.kind = MODEL_DROP_SESSION, .slot = slot};

	store_drop_session(p->store, p->model.now.sessions[slot].head.id);
	model_put(&p->model, &op);
}

static void put_or_drop_sub(struct port *p, unsigned slot)
{
	struct run *r = p->run;
	struct model_session *s = &p->model.now.sessions[slot];
	struct model_op op = {.kind = MODEL_SUB, .slot = slot, .at = (unsigned)any(r, MODEL_SUBS)};
	char filter[16];
	struct store_sub sub = {.session = s->head.id, .filter = text_of("f", op.at, filter)};

	if (s->subs[op.at].used && sim_one_in(r->world, 2)) {
		op.kind = MODEL_DROP_SUB;
		assert_int_equal(store_drop_sub(p->store, sub.session, sub.filter), OK);
	} else {
		op.sub = (struct model_sub){
			.used = true,
			.no_local = sim_one_in(r->world, 2),
			.retain_as_published = sim_one_in(r->world, 2),
			.qos = (uint8_t)any(r, 3),
			.retain_handling = (uint8_t)any(r, 3),
			.id = sim_one_in(r->world, 2) ? (uint32_t)any(r, 1000) : 0,
		};
		sub.qos = op.sub.qos;
		sub.no_local = op.sub.no_local;
		sub.retain_as_published = op.sub.retain_as_published;
		sub.retain_handling = op.sub.retain_handling;
		sub.id = op.sub.id;
		assert_int_equal(store_put_sub(p->store, &sub), OK);
	}
	model_put(&p->model, &op);
}

/* A message that rows share: one that is there, or a new one. */
static const struct shared_msg *share(struct port *p)
{
	struct run *r = p->run;
	struct shared_msg *s = &p->shared[any(r, SHARED_MAX)];
	uint8_t bytes[MODEL_MSG_BYTES];
	struct store_msg m;

	if (s->until_us < sim_now_us(r->world)) {
		*s = (struct shared_msg){.content = ++r->content,
					 .until_us = sim_now_us(r->world) + SHARED_US};
		model_msg(s->content, bytes, &m);
		assert_int_equal(store_put_msg(p->store, &m, &s->id), OK);
	}
	return s;
}

static const uint32_t *sub_ids_of(uint32_t n, uint32_t room[8])
{
	room[0] = n;
	for (uint32_t i = 1; i <= n; i++)
		room[i] = i * 77777 + n;
	return n ? room : NULL;
}

static void put_row(struct port *p, unsigned slot)
{
	struct run *r = p->run;
	struct model_session *s = &p->model.now.sessions[slot];
	struct model_op op = {.kind = MODEL_ROW, .slot = slot};
	uint8_t bytes[MODEL_MSG_BYTES];
	uint32_t sub_ids[8];
	struct store_row row = {.session = s->head.id};

	if (s->nrows == MODEL_ROWS)
		return;
	op.row = (struct model_row){
		.seq = s->next_seq,
		.qos = (uint8_t)(1 + any(r, 2)),
		.retain = sim_one_in(r->world, 4),
		.nsub_ids = sim_one_in(r->world, 4) ? (uint32_t)any(r, 6) : 0,
	};
	if (op.row.qos == 2 && sim_one_in(r->world, 3)) {
		op.row.state = STORE_SENT;
		op.row.packet_id = (uint16_t)(1 + any(r, 65535));
	} else if (sim_one_in(r->world, 4)) {
		op.row.origin = (uint16_t)any(r, r->nports);
		op.row.number = ++r->ports[op.row.origin].number;
	}
	row.seq = op.row.seq;
	row.qos = op.row.qos;
	row.retain = op.row.retain;
	row.state = op.row.state;
	row.packet_id = op.row.packet_id;
	row.origin = op.row.origin;
	row.number = op.row.number;
	row.sub_ids = sub_ids_of(op.row.nsub_ids, sub_ids);
	if (sim_one_in(r->world, 2)) {
		const struct shared_msg *m = share(p);

		row.msg_id = m->id;
		op.row.content = m->content;
	} else {
		op.row.content = ++r->content;
		model_msg(op.row.content, bytes, &row.msg);
	}
	assert_int_equal(store_put_row(p->store, &row), OK);
	model_put(&p->model, &op);
}

static void drop_rows(struct port *p, unsigned slot)
{
	struct run *r = p->run;
	struct model_session *s = &p->model.now.sessions[slot];
	struct model_op op = {.slot = slot};

	if (s->nrows == 0)
		return;
	op.row = s->rows[any(r, s->nrows)];
	switch (any(r, 4)) {
	case 0:
		op.kind = MODEL_DROP_ROW;
		store_drop_row(p->store, s->head.id, op.row.seq);
		break;
	case 1:
	case 2:
		op.kind = MODEL_DROP_ROWS;
		op.row.seq += any(r, 2);
		store_drop_rows(p->store, s->head.id, op.row.seq);
		break;
	default:
		if (op.row.qos != 2 || op.row.state == STORE_RELEASED)
			return;
		op.kind = MODEL_STATE;
		if (op.row.state == STORE_WAITS)
			op.row.packet_id = (uint16_t)(1 + any(r, 65535));
		op.row.state++;
		store_put_state(p->store, s->head.id, op.row.seq, op.row.state, op.row.packet_id);
	}
	model_put(&p->model, &op);
}

static void put_or_drop_received(struct port *p, unsigned slot)
{
	struct model_session *s = &p->model.now.sessions[slot];
	struct model_op op = {.slot = slot, .at = (unsigned)any(p->run, MODEL_IDS)};

	if (s->received >> op.at & 1) {
		op.kind = MODEL_DROP_RECEIVED;
		store_drop_received(p->store, s->head.id, (uint16_t)(op.at + 1));
	} else {
		op.kind = MODEL_RECEIVED;
		store_put_received(p->store, s->head.id, (uint16_t)(op.at + 1));
	}
	model_put(&p->model, &op);
}

static void confirm(struct port *p)
{
	struct model_op op = {.kind = MODEL_CONFIRM};

	op.row.number = p->model.now.confirmed + any(p->run, p->number - p->model.now.confirmed + 1);
	if (op.row.number == p->model.now.confirmed)
		return;
	store_confirm(p->store, op.row.number);
	model_put(&p->model, &op);
}

static void put_retained(struct port *p)
{
	struct run *r = p->run;
	struct model_op op = {.kind = MODEL_RETAINED, .at = (unsigned)any(r, MODEL_TOPICS)};
	uint8_t bytes[MODEL_MSG_BYTES];
	struct store_retained value;
	char topic[16];

	op.retained.stamp = value.stamp = ++r->stamp;
	if (sim_one_in(r->world, 3)) {
		assert_int_equal(store_clear_retained(p->store, text_of("r", op.at, topic), value.stamp), OK);
	} else {
		op.retained.content = ++r->content;
		model_msg(op.retained.content, bytes, &value.msg);
		value.msg.topic = text_of("r", op.at, topic);
		assert_int_equal(store_put_retained(p->store, &value), OK);
	}
	model_put(&p->model, &op);
}

static void put_something(struct port *p)
{
	struct run *r = p->run;
	unsigned slot = (unsigned)any(r, MODEL_SESSIONS);

	if (p->model.now.sessions[slot].head.id == 0) {
		put_session(p, slot);
		return;
	}
	switch (any(r, 40)) {
	case 0:
		drop_session(p, slot);
		break;
	case 1:
	case 2:
		put_session(p, slot);
		break;
	case 3:
	case 4:
	case 5:
		put_or_drop_sub(p, slot);
		break;
	case 6:
	case 7:
	case 8:
		put_or_drop_received(p, slot);
		break;
	case 9:
	case 10:
	case 11:
		confirm(p);
		break;
	case 12:
	case 13:
	case 14:
	case 15:
		put_retained(p);
		break;
	case 16:
	case 17:
	case 18:
	case 19:
	case 20:
	case 21:
	case 22:
	case 23:
	case 24:
	case 25:
		drop_rows(p, slot);
		break;
	default:
		put_row(p, slot);
	}
}

/* ---- reads while it runs ---- */

static bool row_equal(const struct store_row *got, const struct model_row *want)
{
	uint8_t bytes[MODEL_MSG_BYTES];
	uint32_t room[8];
	const uint32_t *ids = sub_ids_of(want->nsub_ids, room);
	struct store_msg m;

	if (got->qos != want->qos || got->retain != want->retain)
		return false;
	if (ids ? !got->sub_ids || memcmp(ids, got->sub_ids, (want->nsub_ids + 1) * sizeof(*ids)) != 0
		: got->sub_ids && got->sub_ids[0] != 0)
		return false;
	if (got->state == STORE_RELEASED)
		return true;
	model_msg(want->content, bytes, &m);
	return model_msg_equal(&got->msg, &m);
}

/* Rows that were there all the time and are below `end` came; `came` tells of the last one that did. */
static void check_gap(struct port *p, uint64_t came, uint64_t end)
{
	struct model_session *now = &p->model.now.sessions[p->slot];

	for (unsigned i = 0; i < p->asked.nrows; i++) {
		const struct model_row *was = &p->asked.rows[i], *is = model_find_row(now, was->seq);

		if (was->seq > came && was->seq < end && is && is->state != STORE_RELEASED)
			broken(p->run, "port %u, session %u: row %llu is on disk and was not read", p->index,
			       p->asked.head.id, (unsigned long long)was->seq);
	}
}

static void check_read_row(struct port *p, const struct store_row *row)
{
	struct model_session *now = &p->model.now.sessions[p->slot];
	const struct model_row *want = model_find_row(&p->asked, row->seq);

	if (!want)
		want = model_find_row(now, row->seq);
	if (want ? !row_equal(row, want) : row->seq < p->asked.next_seq)
		broken(p->run, "port %u, session %u: row %llu %s", p->index, p->asked.head.id,
		       (unsigned long long)row->seq, want ? "is not as it was put" : "was read and is gone");
}

static void read_done(struct store_read *read)
{
	struct port *p = container_of(read, struct port, read);
	uint32_t sub_ids[1 + STORE_SUB_IDS_MAX], n = 0;
	uint64_t came = read->from_seq - 1;
	struct store_row row;

	p->reading = false;
	if (read->rc == OK && p->model.now.sessions[p->slot].head.id == p->asked.head.id) {
		while (store_read_next(read, &row, sub_ids)) {
			check_gap(p, came, row.seq);
			check_read_row(p, &row);
			came = row.seq;
			n++;
			seen.reads++;
		}
		if (n == 0)
			check_gap(p, came, UINT64_MAX);
		if (n != read->rows || n > read->max_rows)
			broken(p->run, "a read of %u rows said %u and had %u", read->max_rows, read->rows, n);
	}
	store_read_fini(read);
}

static void read_some(struct port *p)
{
	struct run *r = p->run;
	unsigned slot = (unsigned)any(r, MODEL_SESSIONS);

	if (p->reading || p->model.now.sessions[slot].head.id == 0)
		return;
	advance(p);
	p->reading = true;
	p->slot = slot;
	p->asked = p->model.base.sessions[slot];
	p->asked.head.id = p->model.now.sessions[slot].head.id;
	if (p->model.base.sessions[slot].head.id != p->asked.head.id)
		p->asked.nrows = 0, p->asked.next_seq = 0;
	p->read = (struct store_read){
		.session = p->asked.head.id,
		.from_seq = 1 + any(r, p->asked.next_seq + 2),
		.max_rows = 1 + (uint32_t)any(r, 60),
		.max_bytes = 1 + any(r, 20000),
		.done = read_done,
	};
	store_read_rows(p->store, &p->read);
}

/* ---- turns ---- */

static void submit(struct port *p)
{
	store_submit(p->store);
	p->submitted = p->model.turn;
}

static uint64_t pause_of(struct run *r)
{
	if (r->slow)
		return any(r, 2 * SECOND);
	return 100 + any(r, sim_one_in(r->world, 3) ? 20000 : 2000);
}

static void act(void *arg)
{
	struct port *p = arg;
	struct run *r = p->run;

	p->acts = r->busy && p->model.turn - p->first_turn < TURNS_MAX - 1;
	if (!p->acts)
		return;
	advance(p);
	if (store_backlog(p->store) < BACKLOG_MAX) {
		struct model_op end = {.kind = MODEL_TURN};

		for (uint64_t n = 1 + any(r, 6); n > 0; n--)
			put_something(p);
		put_mark(p);
		p->tickets[p->model.turn - p->first_turn] = store_ticket(p->store);
		model_put(&p->model, &end);
		if (!sim_one_in(r->world, 4))
			submit(p);
	}
	if (sim_one_in(r->world, 3))
		read_some(p);
	assert_int_equal(sim_at(r->world, pause_of(r), act, p), OK);
}

static void progress(void *arg)
{
	struct port *p = arg;

	advance(p);
	seen.failing += store_health(p->store) != STORE_OK;
}

/* ---- what is found when it is opened ---- */

static bool find(struct run *r, struct span client, unsigned *port, unsigned *slot)
{
	char text[16];

	for (*port = 0; *port < r->nports; ++*port)
		for (*slot = 0; *slot <= MODEL_MARK; ++*slot)
			if (span_equal(client, client_of(*port, *slot, text)))
				return true;
	return false;
}

static struct model_session *found_session(struct run *r, uint32_t id)
{
	for (unsigned i = 0; i < r->nports; i++)
		for (unsigned slot = 0; slot <= MODEL_MARK; slot++)
			if (r->found[i][slot].head.id == id && id != 0)
				return &r->found[i][slot];
	broken(r, "something of session %u, which was not told", id);
	return NULL;
}

static uint32_t will_content(const struct store_will *w)
{
	uint8_t bytes[MODEL_MSG_BYTES];
	struct store_msg m;
	unsigned content = 0;
	char topic[32];

	snprintf(topic, sizeof(topic), "%.*s", (int)w->msg.topic.len, (const char *)w->msg.topic.p);
	if (sscanf(topic, "m/%u", &content) != 1)
		return UINT32_MAX;
	model_msg(content, bytes, &m);
	m.expires_ms = 0;
	return model_msg_equal(&m, &w->msg) && w->expires == content % 2 &&
			       (!w->expires || w->expiry_s == content)
		       ? content
		       : UINT32_MAX;
}

/* Totals of rows are kept where the rows would be, until they are compared. */
struct totals {
	uint64_t first_seq, rows, bytes;
};
static struct totals told[MODEL_PORTS][MODEL_SESSIONS + 1];

static int load_session(void *arg, const struct store_session *s)
{
	struct run *r = arg;
	unsigned port, slot;
	struct model_session *f;

	if (!find(r, s->client_id, &port, &slot)) {
		broken(r, "a session of an unknown client");
		return OK;
	}
	f = &r->found[port][slot];
	if (f->head.id)
		broken(r, "client p%u-s%u has two sessions", port, slot);
	f->head = (struct model_head){.id = s->id, .expiry_s = s->expiry_s, .away_ms = s->away_ms};
	if (s->will) {
		f->head.will = will_content(s->will);
		f->head.will_delay_s = s->will->delay_s;
	}
	f->next_seq = s->next_seq;
	told[port][slot] = (struct totals){s->first_seq, s->rows, s->row_bytes};
	return OK;
}

static int load_sub(void *arg, const struct store_sub *s)
{
	struct run *r = arg;
	struct model_session *f = found_session(r, s->session);
	char filter[16];

	for (unsigned i = 0; f && i < MODEL_SUBS; i++)
		if (span_equal(s->filter, text_of("f", i, filter)))
			f->subs[i] = (struct model_sub){
				.used = true,
				.no_local = s->no_local,
				.retain_as_published = s->retain_as_published,
				.qos = s->qos,
				.retain_handling = s->retain_handling,
				.id = s->id,
			};
	return OK;
}

static int load_received(void *arg, uint32_t session, uint16_t packet_id)
{
	struct model_session *f = found_session(arg, session);

	if (f && packet_id >= 1 && packet_id <= MODEL_IDS)
		f->received |= 1u << (packet_id - 1);
	return OK;
}

static int load_inflight(void *arg, const struct store_row *row)
{
	struct run *r = arg;
	struct model_session *f = found_session(r, row->session);

	if (!f || f->nrows == MODEL_ROWS)
		return OK;
	if (f->nrows > 0 && f->rows[f->nrows - 1].seq >= row->seq)
		broken(r, "rows in flight were told in a wrong order");
	f->rows[f->nrows++] = (struct model_row){
		.seq = row->seq, .qos = row->qos, .state = row->state, .packet_id = row->packet_id};
	return OK;
}

static int load_retained(void *arg, const struct store_retained *value)
{
	struct run *r = arg;
	uint8_t bytes[MODEL_MSG_BYTES];
	char topic[16];

	for (unsigned i = 0; i < MODEL_TOPICS; i++) {
		struct model_retained *f = &r->found_retained[i];
		struct store_msg m;

		if (!span_equal(value->msg.topic, text_of("r", i, topic)))
			continue;
		if (f->content)
			broken(r, "retained message r/%u was told twice", i);
		*f = (struct model_retained){.stamp = value->stamp, .content = UINT32_MAX};
		/* whose stamp it has, it is; compared when it is known which may be there */
		for (unsigned p = 0; p < r->nports; p++)
			if (r->ports[p].model.base.retained[i].stamp == value->stamp)
				f->content = r->ports[p].model.base.retained[i].content;
		for (unsigned p = 0; p < r->nports; p++)
			for (size_t n = 0; n < r->ports[p].model.nlog; n++) {
				const struct model_op *op = &r->ports[p].model.log[n];

				if (op->kind == MODEL_RETAINED && op->at == i &&
				    op->retained.stamp == value->stamp)
					f->content = op->retained.content;
			}
		model_msg(f->content, bytes, &m);
		m.topic = value->msg.topic;
		if (!model_msg_equal(&m, &value->msg))
			broken(r, "retained message r/%u with stamp %llu is not as it was put", i,
			       (unsigned long long)value->stamp);
	}
	return OK;
}

static const struct store_loader loader = {
	.session = load_session,
	.sub = load_sub,
	.received = load_received,
	.inflight = load_inflight,
	.retained = load_retained,
};

/* ---- comparing ---- */

/* The turn that each port's mark says; what was durable is there, and what was never put is not. */
static void find_turns(struct run *r)
{
	for (unsigned i = 0; i < r->nports; i++) {
		struct model_port *m = &r->ports[i].model;
		uint64_t turn = r->found[i][MODEL_MARK].head.expiry_s;

		if (turn < m->base_turn || turn > m->turn) {
			broken(r, "port %u: turn %llu is there, not one of %llu (durable) to %llu", i,
			       (unsigned long long)turn, (unsigned long long)m->base_turn,
			       (unsigned long long)m->turn);
			return;
		}
		seen.turns += turn - m->base_turn;
		model_advance(m, turn);
		model_forget_rest(m);
	}
}

/* Rows of a number that its origin did not confirm do not count. */
static void forget_unconfirmed(struct run *r, struct model_session *s)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < s->nrows; i++) {
		struct model_row *row = &s->rows[i];

		if (row->number > r->ports[row->origin].model.base.confirmed)
			continue;
		row->number = 0;
		row->origin = 0;
		s->rows[kept++] = *row;
	}
	s->nrows = kept;
}

static void begin_boot(struct run *r)
{
	for (unsigned i = 0; i < r->nports; i++)
		for (unsigned slot = 0; slot < MODEL_SESSIONS; slot++)
			forget_unconfirmed(r, &r->ports[i].model.base.sessions[slot]);
	for (unsigned i = 0; i < r->nports; i++) {
		struct port *p = &r->ports[i];

		p->model.base.confirmed = 0;
		p->number = 0;
		p->model.now = p->model.base;
		p->submitted = 0;
		memset(p->shared, 0, sizeof(p->shared));
		p->first_turn = p->model.base_turn;
	}
}

static bool sub_equal(const struct model_sub *a, const struct model_sub *b)
{
	return a->used == b->used &&
	       (!a->used || (a->no_local == b->no_local && a->retain_as_published == b->retain_as_published &&
			     a->qos == b->qos && a->retain_handling == b->retain_handling && a->id == b->id));
}

static bool head_equal(const struct model_head *a, const struct model_head *b)
{
	return a->id == b->id && a->expiry_s == b->expiry_s && a->away_ms == b->away_ms &&
	       a->will == b->will && a->will_delay_s == b->will_delay_s;
}

/* What of the rows is told at the start. */
static const char *compare_rows(const struct model_session *want, const struct model_session *got,
				const struct totals *t)
{
	struct totals sum = {0};
	unsigned inflight = 0;

	for (unsigned i = 0; i < want->nrows; i++) {
		const struct model_row *row = &want->rows[i];
		uint8_t bytes[MODEL_MSG_BYTES];
		struct store_msg m;

		if (row->state != STORE_WAITS) {
			const struct model_row *g = &got->rows[inflight];

			if (inflight == got->nrows || g->seq != row->seq || g->state != row->state ||
			    g->packet_id != row->packet_id)
				return "rows in flight";
			inflight++;
		}
		if (row->state == STORE_RELEASED)
			continue;
		model_msg(row->content, bytes, &m);
		sum.rows++;
		sum.bytes += m.topic.len + m.payload.len;
	}
	if (inflight != got->nrows)
		return "more rows in flight";
	if (want->nrows > 0 && (t->first_seq > want->rows[0].seq || t->first_seq == 0 ||
				got->next_seq <= want->rows[want->nrows - 1].seq))
		return "the range of its rows";
	return sum.rows != t->rows     ? "the number of its rows"
	       : sum.bytes != t->bytes ? "the bytes of its rows"
				       : NULL;
}

static void compare_session(struct run *r, unsigned port, unsigned slot)
{
	struct model_session *want = &r->ports[port].model.base.sessions[slot], *got = &r->found[port][slot];
	const char *what = NULL;

	if (!head_equal(&want->head, &got->head))
		what = want->head.id ? "it" : "that it ended";
	for (unsigned i = 0; i < MODEL_SUBS && !what; i++)
		if (!sub_equal(&want->subs[i], &got->subs[i]))
			what = "its subscriptions";
	if (!what && want->received != got->received)
		what = "its received packet ids";
	if (!what)
		what = compare_rows(want, got, &told[port][slot]);
	if (what)
		broken(r, "session %u of p%u-s%u: %s is not as it was put", want->head.id, port, slot, what);
	/* a gap of the numbers may be used again when the rows are gone */
	if (want->nrows == 0 && want->head.id)
		want->next_seq = r->ports[port].model.now.sessions[slot].next_seq =
			got->next_seq ? got->next_seq : 1;
}

static void compare_retained(struct run *r)
{
	for (unsigned i = 0; i < MODEL_TOPICS; i++) {
		struct model_retained newest = {0}, *f = &r->found_retained[i];

		for (unsigned p = 0; p < r->nports; p++)
			if (r->ports[p].model.base.retained[i].stamp > newest.stamp)
				newest = r->ports[p].model.base.retained[i];
		if (f->content != newest.content || (f->content && f->stamp != newest.stamp))
			broken(r, "retained r/%u: stamp %llu is there, not %llu%s", i,
			       (unsigned long long)f->stamp, (unsigned long long)newest.stamp,
			       newest.content ? "" : ", which cleared it");
		if (newest.stamp > r->stamp)
			r->stamp = newest.stamp;
	}
}

static void compare(struct run *r)
{
	find_turns(r);
	if (r->broken[0])
		return;
	begin_boot(r);
	for (unsigned i = 0; i < r->nports; i++)
		for (unsigned slot = 0; slot <= MODEL_MARK; slot++)
			compare_session(r, i, slot);
	compare_retained(r);
	if (store_last_stamp(r->store) > r->stamp)
		broken(r, "the last stamp is said to be %llu, and %llu was the highest",
		       (unsigned long long)store_last_stamp(r->store), (unsigned long long)r->stamp);
	r->stamp = store_last_stamp(r->store);
}

/* ---- all rows, as a broker resumes a session ---- */

static void read_all_done(struct store_read *read)
{
	struct port *p = container_of(read, struct port, read);
	uint32_t sub_ids[1 + STORE_SUB_IDS_MAX];
	struct store_row row;

	p->reading = false;
	if (read->rc < 0)
		broken(p->run, "reading after the start failed: %s", err_text(read->rc));
	read->from_seq = 0;
	while (store_read_next(read, &row, sub_ids)) {
		struct model_row *want;

		while (p->asked.nrows > 0 && p->asked.rows[0].state == STORE_RELEASED &&
		       p->asked.rows[0].seq < row.seq)
			memmove(&p->asked.rows[0], &p->asked.rows[1],
				--p->asked.nrows * sizeof(p->asked.rows[0]));
		want = p->asked.nrows > 0 ? &p->asked.rows[0] : NULL;
		if (!want || want->seq != row.seq || want->state != row.state ||
		    (row.state != STORE_WAITS && want->packet_id != row.packet_id) || !row_equal(&row, want))
			broken(p->run, "port %u, session %u: row %llu comes, and %llu should", p->index,
			       p->asked.head.id, (unsigned long long)row.seq,
			       (unsigned long long)(want ? want->seq : 0));
		if (p->run->broken[0])
			break;
		seen.rows++;
		memmove(&p->asked.rows[0], &p->asked.rows[1], --p->asked.nrows * sizeof(p->asked.rows[0]));
		read->from_seq = row.seq + 1;
	}
	store_read_fini(read);
}

static bool is_read(void *arg)
{
	return !((struct port *)arg)->reading;
}

static void read_all_of(struct port *p, const struct model_session *s)
{
	struct run *r = p->run;
	uint64_t from = 1;

	p->asked = *s;
	while (from > 0 && !r->broken[0]) {
		p->reading = true;
		p->read = (struct store_read){
			.session = s->head.id,
			.from_seq = from,
			.max_rows = 1 + (uint32_t)any(r, 30),
			.max_bytes = 1 + any(r, 20000),
			.done = read_all_done,
		};
		store_read_rows(p->store, &p->read);
		if (sim_run(r->world, 10 * SECOND, is_read, p) < 0) {
			if (!sim_disk_crashed(r->disk))
				broken(r, "a read was not answered");
			return;
		}
		from = p->read.from_seq;
	}
	for (unsigned i = 0; i < p->asked.nrows; i++)
		if (p->asked.rows[i].state != STORE_RELEASED)
			broken(r, "port %u, session %u: row %llu does not come", p->index, s->head.id,
			       (unsigned long long)p->asked.rows[i].seq);
}

static void read_all(struct run *r)
{
	for (unsigned i = 0; i < r->nports && !r->broken[0]; i++)
		for (unsigned slot = 0; slot < MODEL_SESSIONS; slot++)
			if (r->ports[i].model.base.sessions[slot].head.id)
				read_all_of(&r->ports[i], &r->ports[i].model.base.sessions[slot]);
}

/* ---- opening and closing ---- */

static const struct store_port_ops port_ops = {.progress = progress};

static int open_store(struct run *r)
{
	struct store_sqlite_options o = {
		.folder = "/store", .durability = r->durability, .vfs = sim_disk_vfs(r->disk)};
	struct store_options so = {.durability = r->durability};
	struct store_backend *backend;
	char why[200] = "";
	int rc = store_sqlite_open(&o, &backend, why, sizeof(why));

	if (rc < 0) {
		if (!sim_disk_crashed(r->disk))
			broken(r, "open: %s: %s", err_text(rc), why);
		return rc;
	}
	assert_int_equal(store_create(r->store_loop, backend, &so, &r->store), OK);
	memset(r->found, 0, sizeof(r->found));
	memset(r->found_retained, 0, sizeof(r->found_retained));
	memset(told, 0, sizeof(told));
	rc = store_load(r->store, &loader, r);
	if (rc < 0 && !sim_disk_crashed(r->disk))
		broken(r, "load: %s", err_text(rc));
	for (unsigned i = 0; rc == OK && i < r->nports; i++) {
		struct port *p = &r->ports[i];

		assert_int_equal(store_port_open(r->store, (uint16_t)i, p->loop, &port_ops, p, &p->store),
				 OK);
	}
	return rc;
}

static void close_store(struct run *r)
{
	for (unsigned i = 0; i < r->nports; i++) {
		struct port *p = &r->ports[i];

		store_port_close(p->store);
		p->store = NULL;
		p->reading = false;
	}
	store_destroy(r->store);
	r->store = NULL;
}

/* Without a crash all that was passed on was written in the end. */
static void stop_store(struct run *r)
{
	close_store(r);
	for (unsigned i = 0; i < r->nports && !sim_disk_crashed(r->disk); i++)
		if (r->ports[i].submitted > r->ports[i].model.base_turn)
			model_advance(&r->ports[i].model, r->ports[i].submitted);
}

static void restart(struct run *r)
{
	bool power = r->durability == STORE_FSYNC && !sim_one_in(r->world, 3);

	seen.power_cuts += power;
	seen.process_crashes += !power;
	sim_disk_restart(r->disk, power ? SIM_DISK_POWER_CUT : SIM_DISK_PROCESS_CRASH);
}

/* Until it succeeds: some are cut off on the way. */
static void open_at_last(struct run *r)
{
	for (unsigned tries = 0; !r->broken[0]; tries++) {
		if (tries < 3 && sim_one_in(r->world, 3))
			sim_disk_crash_at(r->disk, 1 + any(r, 80));
		if (open_store(r) == OK && !sim_disk_crashed(r->disk))
			break;
		close_store(r);
		seen.while_opening++;
		restart(r);
	}
	sim_disk_crash_at(r->disk, 0);
}

/* ---- a life ---- */

static void trouble(struct run *r)
{
	struct sim_disk_faults f = {0};

	switch (any(r, 5)) {
	case 0:
		f.capacity = sim_disk_used(r->disk) + any(r, 20000);
		break;
	case 1:
		f.write_one_in = 1 + (uint32_t)any(r, 20);
		break;
	case 2:
		f.sync_one_in = 1 + (uint32_t)any(r, 5);
		break;
	case 3:
		f.read_one_in = 1 + (uint32_t)any(r, 20);
		break;
	default:
		f.read_only = true;
	}
	sim_disk_set_faults(r->disk, &f);
}

static bool has_crashed(void *arg)
{
	struct run *r = arg;

	return r->broken[0] || sim_disk_crashed(r->disk);
}

static void wait(struct run *r, uint64_t us)
{
	(void)!sim_run(r->world, us, has_crashed, r);
}

static void work(struct run *r)
{
	static const struct sim_disk_faults none = {0};
	bool faults = sim_one_in(r->world, 3);

	r->busy = true;
	for (unsigned i = 0; i < r->nports; i++)
		act(&r->ports[i]);
	wait(r, any(r, SECOND / 4));
	if (sim_one_in(r->world, 3)) { /* so long that messages without rows go */
		r->slow = true;
		wait(r, any(r, 30 * SECOND));
		r->slow = false;
	}
	if (sim_one_in(r->world, 3))
		sim_step_wall(r->world, (int64_t)any(r, 200000000) - 100000000);
	if (faults)
		trouble(r);
	wait(r, any(r, SECOND / 2));
	sim_disk_set_faults(r->disk, &none);
	if (faults)
		wait(r, 2 * SECOND);
	r->busy = false;
}

static void settle(struct run *r)
{
	for (unsigned i = 0; i < r->nports; i++)
		submit(&r->ports[i]);
	if (sim_run(r->world, 10 * SECOND, all_durable, r) < 0 && !sim_disk_crashed(r->disk))
		broken(r, "not everything became durable after the faults had ended");
	for (unsigned i = 0; i < r->nports; i++)
		if (!sim_disk_crashed(r->disk) && store_health(r->ports[i].store) != STORE_OK)
			broken(r, "the store still says that the disk fails");
}

/* What is still to come to an actor comes before the next life. */
static bool nobody_acts(void *arg)
{
	struct run *r = arg;

	for (unsigned i = 0; i < r->nports; i++)
		if (r->ports[i].acts)
			return false;
	return true;
}

static void live(struct run *r)
{
	bool crashes = !sim_one_in(r->world, 4);

	if (r->broken[0])
		return;
	compare(r);
	read_all(r);
	if (crashes)
		sim_disk_crash_at(r->disk, 1 + any(r, sim_one_in(r->world, 2) ? 30 : 1000));
	if (!r->broken[0])
		work(r);
	if (!has_crashed(r) && sim_one_in(r->world, 2))
		settle(r);
	(void)!sim_run(r->world, 3 * SECOND, nobody_acts, r);
	if (crashes && sim_one_in(r->world, 2))
		sim_disk_crash(r->disk); /* else it is closed, unless it crashed or does on the way */
	stop_store(r);
	if (sim_disk_crashed(r->disk))
		restart(r);
	else
		sim_disk_crash_at(r->disk, 0);
}

static void run_init(struct run *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	r->seed = seed;
	assert_int_equal(sim_world_create(seed, &r->world), OK);
	assert_int_equal(sim_disk_create(seed, &r->disk), OK);
	sim_set_notify_delay(r->world, any(r, 3000));
	if (sim_one_in(r->world, 3))
		sim_set_turn(r->world, 1 + any(r, 5000));
	assert_int_equal(sim_loop_create(r->world, &r->store_loop), OK);
	r->nports = 1 + (unsigned)any(r, MODEL_PORTS);
	for (unsigned i = 0; i < r->nports; i++) {
		r->ports[i].run = r;
		r->ports[i].index = i;
		assert_int_equal(sim_loop_create(r->world, &r->ports[i].loop), OK);
	}
	r->durability = sim_one_in(r->world, 4) ? (enum store_durability)any(r, 3) : STORE_FSYNC;
	r->lives = 2 + (unsigned)any(r, 5);
}

/* true: the store held what it had promised. */
static bool run_seed(uint64_t seed, uint64_t *trace)
{
	struct run *r = &the_run;
	bool kept;

	run_init(r, seed);
	for (unsigned i = 0; i < r->lives && !r->broken[0]; i++) {
		open_at_last(r);
		live(r);
	}
	open_at_last(r);
	if (!r->broken[0]) {
		compare(r);
		read_all(r);
	}
	close_store(r);
	sim_trace(r->world, sim_disk_ops(r->disk));
	*trace = sim_trace_hash(r->world);
	kept = !r->broken[0];
	if (!kept)
		fprintf(stderr, "# LINESIDE_SEED=%llu: %u ports, durability %d: %s\n",
			(unsigned long long)seed, r->nports, r->durability, r->broken);
	for (unsigned i = 0; i < r->nports; i++)
		model_fini(&r->ports[i].model);
	sim_world_destroy(r->world);
	sim_disk_destroy(r->disk);
	return kept;
}

static void summary(void)
{
	printf("# %llu power cuts and %llu crashes of the process, %llu of them while opening; %llu turns "
	       "that were there but not known "
	       "to be; %llu rows read while it ran, %llu after a start; %llu times told of a disk that "
	       "fails\n",
	       (unsigned long long)seen.power_cuts, (unsigned long long)seen.process_crashes,
	       (unsigned long long)seen.while_opening, (unsigned long long)seen.turns,
	       (unsigned long long)seen.reads, (unsigned long long)seen.rows,
	       (unsigned long long)seen.failing);
}

int main(void)
{
	static const struct seeds seeds = {.count = SEEDS, .run = run_seed, .summary = summary};

	log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC)); /* it is full of what the disk does */
	return seeds_main(&seeds);
}
