/* The disk in memory against a model of flat tables, by random changes; and what the random ones hardly meet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/alloc_fail.h"
#include "store/store_mem.h"

/* ---- the model ---- */

#define SESSIONS 6 /* 1.. */
#define SEQS     60
#define FILTERS  3
#define PACKETS  8
#define TOPICS   4
#define ORIGINS  2

struct model_row {
	bool is_there;
	uint8_t qos, state;
	uint16_t packet_id, origin;
	uint64_t number;
	uint64_t value; /* in its payload */
};

struct model_session {
	bool is_there;
	uint32_t expiry_s;
	uint8_t sub_qos[FILTERS]; /* + 1; 0: none */
	bool received[PACKETS];
	struct model_row rows[SEQS];
};

struct model {
	struct model_session sessions[SESSIONS];
	struct {
		uint64_t stamp, value; /* value 0: there is none */
	} retained[TOPICS];
	uint64_t confirmed[ORIGINS];
	uint64_t last_stamp;
};

static void model_restart(struct model *m)
{
	for (unsigned s = 0; s < SESSIONS; s++)
		for (unsigned i = 0; i < SEQS; i++) {
			struct model_row *row = &m->sessions[s].rows[i];

			if (row->number > m->confirmed[row->origin])
				row->is_there = false;
			row->number = 0;
		}
	memset(m->confirmed, 0, sizeof(m->confirmed));
}

/* ---- random changes of both ---- */

struct run {
	struct store_mem_disk *disk;
	struct store_backend *b;
	struct model now, next; /* committed; with what is under way */
	uint64_t random;
	uint64_t values, stamps, msg_ids;
	uint64_t shared_id, shared_value; /* of this commit; 0: none */
	int64_t wall_ms;
};

static unsigned draw(struct run *r, unsigned bound)
{
	r->random = r->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(r->random >> 33) % bound;
}

static void apply(struct run *r, const struct store_op *op)
{
	assert_int_equal(r->b->ops->apply(r->b, op), OK);
}

static struct store_msg msg_of(const uint64_t *value)
{
	return (struct store_msg){
		.topic = span_str("t"), .payload = span_of(value, sizeof(*value)), .qos = 1};
}

static struct span filter_of(unsigned f)
{
	static const char *const filters[FILTERS] = {"a", "a/b", "#"};

	return span_str(filters[f]);
}

static struct span topic_of(unsigned t)
{
	static const char *const topics[TOPICS] = {"a", "a/b", "b", "c"};

	return span_str(topics[t]);
}

static void change_session(struct run *r, unsigned s)
{
	struct model_session *m = &r->next.sessions[s];
	struct store_op op = {.kind = STORE_OP_SESSION, .session = {.id = s + 1, .client_id = topic_of(0)}};

	if (m->is_there && draw(r, 4) == 0) {
		op = (struct store_op){.kind = STORE_OP_DROP_SESSION, .id = s + 1};
		*m = (struct model_session){0};
	} else {
		m->is_there = true;
		m->expiry_s = op.session.expiry_s = draw(r, 1000);
	}
	apply(r, &op);
}

static void change_sub(struct run *r, unsigned s)
{
	unsigned f = draw(r, FILTERS), qos = draw(r, 3);
	struct store_op op = {.kind = STORE_OP_SUB,
			      .sub = {.session = s + 1, .filter = filter_of(f), .qos = (uint8_t)qos}};
	bool drop = draw(r, 2);

	if (drop)
		op.kind = STORE_OP_DROP_SUB;
	r->next.sessions[s].sub_qos[f] = drop ? 0 : (uint8_t)(1 + qos);
	apply(r, &op);
}

static void put_row(struct run *r, unsigned s)
{
	unsigned seq = 1 + draw(r, SEQS - 1);
	struct model_row *m = &r->next.sessions[s].rows[seq];
	struct store_op op = {.kind = STORE_OP_ROW, .row = {.session = s + 1, .seq = seq, .qos = 1}};

	*m = (struct model_row){.is_there = true, .qos = 1, .value = ++r->values};
	op.row.msg = msg_of(&m->value);
	if (r->shared_id && draw(r, 2)) {
		op.row.msg_id = r->shared_id;
		op.row.msg = (struct store_msg){0};
		m->value = r->shared_value;
	}
	if (draw(r, 3) == 0) {
		m->origin = op.row.origin = (uint16_t)draw(r, ORIGINS);
		m->number = op.row.number = 1 + draw(r, 100);
	}
	apply(r, &op);
}

static void change_rows(struct run *r, unsigned s)
{
	static const enum store_op_kind kinds[] = {STORE_OP_STATE, STORE_OP_DROP_ROW, STORE_OP_DROP_ROWS};
	unsigned seq = 1 + draw(r, SEQS - 1), k = draw(r, 3);
	struct model_row *m = &r->next.sessions[s].rows[seq];
	struct store_op op = {.kind = kinds[k], .row = {.session = s + 1, .seq = seq}};

	if (op.kind == STORE_OP_STATE) {
		/* It goes no way back. */
		m->state = m->state == STORE_RELEASED || draw(r, 2) ? STORE_RELEASED : STORE_SENT;
		op.row.state = m->state;
		op.row.packet_id = m->packet_id = (uint16_t)(1 + draw(r, 65535));
		if (m->state == STORE_RELEASED)
			m->value = 0;
	} else if (op.kind == STORE_OP_DROP_ROW) {
		m->is_there = false;
	} else {
		seq = draw(r, 4) ? seq / 4 : seq;
		op.row.seq = seq;
		for (unsigned i = 0; i < seq; i++)
			r->next.sessions[s].rows[i].is_there = false;
	}
	apply(r, &op);
}

static void change_received(struct run *r, unsigned s)
{
	unsigned id = draw(r, PACKETS);
	bool drop = draw(r, 2);
	struct store_op op = {.kind = drop ? STORE_OP_DROP_RECEIVED : STORE_OP_RECEIVED,
			      .row = {.session = s + 1, .packet_id = (uint16_t)id}};

	r->next.sessions[s].received[id] = !drop;
	apply(r, &op);
}

static void change_retained(struct run *r)
{
	unsigned t = draw(r, TOPICS);
	uint64_t stamp = ++r->stamps - draw(r, 5), value = ++r->values;
	struct store_op op = {.kind = STORE_OP_RETAINED, .retained = {.stamp = stamp}};

	/* Stamps differ. */
	r->stamps += 5;
	op.retained.msg = msg_of(&value);
	op.retained.msg.topic = topic_of(t);
	if (draw(r, 3) == 0) {
		op.kind = STORE_OP_CLEAR;
		value = 0;
	}
	if (draw(r, 4) == 0)
		op.retained.stamp = stamp = stamp > 50 ? stamp - 50 : 1; /* comes late */
	if (stamp >= r->next.retained[t].stamp) {
		r->next.retained[t].stamp = stamp;
		r->next.retained[t].value = value;
	}
	if (stamp > r->next.last_stamp)
		r->next.last_stamp = stamp;
	apply(r, &op);
}

static void change_others(struct run *r)
{
	unsigned o = draw(r, ORIGINS);
	struct store_op op;

	if (draw(r, 2)) {
		op = (struct store_op){.kind = STORE_OP_CONFIRM,
				       .row = {.origin = (uint16_t)o, .number = 1 + draw(r, 100)}};
		if (op.row.number > r->next.confirmed[o])
			r->next.confirmed[o] = op.row.number;
	} else {
		r->shared_value = ++r->values;
		r->shared_id = ++r->msg_ids;
		op = (struct store_op){.kind = STORE_OP_MSG,
				       .shared = {.msg_id = r->shared_id, .msg = msg_of(&r->shared_value)}};
	}
	apply(r, &op);
}

static void change(struct run *r)
{
	unsigned s = draw(r, SESSIONS), what = draw(r, 12);

	if (what == 0 || !r->next.sessions[s].is_there)
		change_session(r, s);
	else if (what == 1)
		change_sub(r, s);
	else if (what < 6)
		put_row(r, s);
	else if (what < 8)
		change_rows(r, s);
	else if (what == 8)
		change_received(r, s);
	else if (what == 9)
		change_retained(r);
	else
		change_others(r);
}

static void commit(struct run *r)
{
	bool fail = draw(r, 5) == 0, early = fail && draw(r, 2);

	r->next = r->now;
	r->shared_id = 0;
	r->wall_ms += draw(r, 3000);
	assert_int_equal(r->b->ops->begin(r->b), OK);
	for (unsigned n = draw(r, 20); n > 0; n--)
		change(r);
	if (fail) {
		store_mem_fail(r->disk, 1, ERR_FULL);
		if (!early)
			assert_int_equal(r->b->ops->commit(r->b, r->wall_ms), ERR_FULL);
		store_mem_fail(r->disk, 0, OK);
		r->b->ops->rollback(r->b);
		return;
	}
	assert_int_equal(r->b->ops->commit(r->b, r->wall_ms), OK);
	r->now = r->next;
}

/* ---- comparing ---- */

struct seen {
	struct run *r;
	unsigned session; /* index */
	uint64_t seq;     /* last of a read */
	unsigned sessions, subs, received, inflight, retained, rows;
};

static bool see_row(void *arg, const struct store_row *row)
{
	struct seen *seen = arg;
	const struct model_row *m = &seen->r->now.sessions[seen->session].rows[row->seq];
	uint64_t value = 0;

	assert_true(row->seq > seen->seq && row->seq < SEQS && m->is_there);
	seen->seq = row->seq;
	seen->rows++;
	if (row->msg.payload.len == sizeof(value))
		memcpy(&value, row->msg.payload.p, sizeof(value));
	assert_true(value == m->value);
	assert_int_equal(row->qos, m->qos);
	assert_int_equal(row->state, m->state);
	assert_int_equal(row->packet_id, m->packet_id);
	assert_true(row->number == m->number);
	return true;
}

static unsigned rows_from(const struct model_session *m, unsigned from)
{
	unsigned n = 0;

	for (unsigned i = from; i < SEQS; i++)
		n += m->rows[i].is_there;
	return n;
}

static void compare_rows(struct run *r)
{
	for (unsigned s = 0; s < SESSIONS; s++) {
		unsigned from = draw(r, SEQS);
		struct seen seen = {.r = r, .session = s, .seq = from ? from - 1 : 0};

		assert_int_equal(r->b->ops->read(r->b, s + 1, from, see_row, &seen), OK);
		assert_int_equal(seen.rows, rows_from(&r->now.sessions[s], from));
	}
}

static int see_session(void *arg, const struct store_session *s)
{
	struct seen *seen = arg;
	const struct model_session *m = &seen->r->now.sessions[s->id - 1];
	unsigned n = 0;

	seen->sessions++;
	assert_true(m->is_there);
	assert_int_equal(s->expiry_s, m->expiry_s);
	for (unsigned i = 0; i < SEQS; i++) {
		assert_true(!m->rows[i].is_there || (i >= s->first_seq && i < s->next_seq));
		n += m->rows[i].is_there && m->rows[i].state != STORE_RELEASED;
	}
	assert_int_equal(s->rows, n);
	assert_int_equal(s->row_bytes, n * (1 + sizeof(uint64_t)));
	assert_int_equal(s->first_seq == s->next_seq, rows_from(m, 0) == 0);
	return OK;
}

static int see_sub(void *arg, const struct store_sub *sub)
{
	struct seen *seen = arg;
	unsigned f = 0;

	while (!span_equal(filter_of(f), sub->filter))
		f++;
	assert_int_equal(sub->qos + 1, seen->r->now.sessions[sub->session - 1].sub_qos[f]);
	seen->subs++;
	return OK;
}

static int see_received(void *arg, uint32_t session, uint16_t packet_id)
{
	struct seen *seen = arg;

	assert_true(seen->r->now.sessions[session - 1].received[packet_id]);
	seen->received++;
	return OK;
}

static int see_inflight(void *arg, const struct store_row *row)
{
	struct seen *seen = arg;
	const struct model_row *m = &seen->r->now.sessions[row->session - 1].rows[row->seq];

	assert_true(m->is_there);
	assert_int_equal(row->state, m->state);
	assert_int_not_equal(row->state, STORE_WAITS);
	assert_int_equal(row->packet_id, m->packet_id);
	assert_int_equal(row->msg.payload.len, 0);
	seen->inflight++;
	return OK;
}

static int see_retained(void *arg, const struct store_retained *retained)
{
	struct seen *seen = arg;
	unsigned t = 0;

	while (!span_equal(topic_of(t), retained->msg.topic))
		t++;
	assert_true(retained->stamp == seen->r->now.retained[t].stamp);
	assert_memory_equal(retained->msg.payload.p, &seen->r->now.retained[t].value, sizeof(uint64_t));
	seen->retained++;
	return OK;
}

static const struct store_loader see_all = {see_session, see_sub, see_received, see_inflight, see_retained};

static struct seen expected(const struct model *m)
{
	struct seen n = {0};

	for (unsigned s = 0; s < SESSIONS; s++) {
		const struct model_session *session = &m->sessions[s];

		n.sessions += session->is_there;
		for (unsigned f = 0; f < FILTERS; f++)
			n.subs += session->sub_qos[f] > 0;
		for (unsigned p = 0; p < PACKETS; p++)
			n.received += session->received[p];
		for (unsigned i = 0; i < SEQS; i++)
			n.inflight += session->rows[i].is_there && session->rows[i].state != STORE_WAITS;
	}
	for (unsigned t = 0; t < TOPICS; t++)
		n.retained += m->retained[t].value > 0;
	return n;
}

static void restart(struct run *r)
{
	struct seen seen = {.r = r}, want;

	r->b->ops->close(r->b);
	model_restart(&r->now);
	want = expected(&r->now);
	assert_int_equal(store_mem_open(r->disk, &r->b), OK);
	assert_int_equal(r->b->ops->load(r->b, &see_all, &seen), OK);
	assert_int_equal(seen.sessions, want.sessions);
	assert_int_equal(seen.subs, want.subs);
	assert_int_equal(seen.received, want.received);
	assert_int_equal(seen.inflight, want.inflight);
	assert_int_equal(seen.retained, want.retained);
	assert_true(r->b->ops->last_stamp(r->b) == r->now.last_stamp);
	assert_true(r->b->ops->last_msg_id(r->b) <= r->msg_ids);
	/* The new run puts no stamps that are not above. */
	for (unsigned t = 0; t < TOPICS; t++)
		if (r->now.retained[t].value == 0)
			r->now.retained[t].stamp = 0;
	r->stamps = r->now.last_stamp + 100;
}

static void random_changes_are_as_in_the_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct run *r = calloc(1, sizeof(*r));

		assert_non_null(r);
		r->random = seed;
		r->stamps = 100;
		r->wall_ms = 1000000;
		assert_int_equal(store_mem_disk_create(&r->disk), OK);
		assert_int_equal(store_mem_open(r->disk, &r->b), OK);
		for (unsigned step = 0; step < 100; step++) {
			commit(r);
			compare_rows(r);
			if (draw(r, 15) == 0)
				restart(r);
		}
		restart(r);
		r->b->ops->close(r->b);
		store_mem_disk_destroy(r->disk);
		free(r);
	}
}

/* ---- shared messages ---- */

static void commit_ops(struct store_backend *b, int64_t wall_ms, const struct store_op *ops, unsigned n)
{
	assert_int_equal(b->ops->begin(b), OK);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(b->ops->apply(b, &ops[i]), OK);
	assert_int_equal(b->ops->commit(b, wall_ms), OK);
}

static void a_message_stays_a_while_after_its_last_row(void **state)
{
	const struct store_op put[] = {
		{.kind = STORE_OP_SESSION, .session = {.id = 1}},
		{.kind = STORE_OP_MSG, .shared = {.msg_id = 7, .msg.topic = span_str("topic")}},
		{.kind = STORE_OP_ROW, .row = {.session = 1, .seq = 1, .msg_id = 7}},
	};
	const struct store_op drop = {.kind = STORE_OP_DROP_ROW, .row = {.session = 1, .seq = 1}};
	struct store_backend *b;
	uint64_t bytes;

	(void)state;
	assert_int_equal(store_mem_create(&b), OK);
	commit_ops(b, 0, put, 3);
	commit_ops(b, 100000, &drop, 1);
	/* One that was late. */
	commit_ops(b, 100000 + STORE_MSG_GRACE_MS - 1, &put[2], 1);
	commit_ops(b, 200000, NULL, 0);
	bytes = b->ops->bytes(b);
	commit_ops(b, 200000, &drop, 1);
	assert_true(b->ops->bytes(b) < bytes);
	bytes = b->ops->bytes(b);
	commit_ops(b, 200000 + STORE_MSG_GRACE_MS, NULL, 0);
	assert_true(b->ops->bytes(b) < bytes);
	assert_int_equal(b->ops->last_msg_id(b), 7);
	b->ops->close(b);
}

static void what_is_dropped_leaves_nothing(void **state)
{
	const struct store_op ops[] = {
		{.kind = STORE_OP_SESSION, .session = {.id = 1, .client_id = span_str("c")}},
		{.kind = STORE_OP_SUB, .sub = {.session = 1, .filter = span_str("f")}},
		{.kind = STORE_OP_RECEIVED, .row = {.session = 1, .packet_id = 5}},
		{.kind = STORE_OP_ROW, .row = {.session = 1, .seq = 1}},
		{.kind = STORE_OP_DROP_SESSION, .id = 1},
		{.kind = STORE_OP_DROP_SESSION, .id = 2},
		{.kind = STORE_OP_DROP_ROWS, .row = {.session = 2, .seq = 1}},
		{.kind = STORE_OP_STATE, .row = {.session = 1, .seq = 1}},
	};
	struct store_backend *b;

	(void)state;
	assert_int_equal(store_mem_create(&b), OK);
	commit_ops(b, 1, ops, sizeof(ops) / sizeof(ops[0]));
	assert_int_equal(b->ops->bytes(b), 0);
	b->ops->close(b);
}

static void memory_that_is_short_is_told(void **state)
{
	struct store_mem_disk *disk;
	struct store_backend *b;

	(void)state;
	for (long n = 1; n <= 2; n++) {
		alloc_fail_at(n);
		assert_int_equal(store_mem_create(&b), ERR_NOMEM);
		assert_true(alloc_fail_end());
	}
	assert_int_equal(store_mem_disk_create(&disk), OK);
	alloc_fail_at(1);
	assert_int_equal(store_mem_open(disk, &b), ERR_NOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(store_mem_open(disk, &b), OK);
	assert_int_equal(b->ops->begin(b), OK);
	alloc_fail_at(1);
	assert_int_equal(b->ops->apply(b, &(struct store_op){.kind = STORE_OP_SESSION, .session = {.id = 1}}),
			 ERR_NOMEM);
	assert_true(alloc_fail_end());
	b->ops->rollback(b);
	b->ops->close(b);
	store_mem_disk_destroy(disk);
	store_mem_disk_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes_are_as_in_the_model),
		cmocka_unit_test(a_message_stays_a_while_after_its_last_row),
		cmocka_unit_test(what_is_dropped_leaves_nothing),
		cmocka_unit_test(memory_that_is_short_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
