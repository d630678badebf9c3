#include "store/sqlite_test.h"

#include <sqlite3.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "store/care.h"

static void an_empty_store_has_nothing(void **state)
{
	struct store_backend *b = place_open(*state);

	assert_told(b, "");
	assert_int_equal(b->ops->last_stamp(b), 0);
	assert_int_equal(b->ops->last_msg_id(b), 0);
	assert_int_equal(b->ops->health(b), STORE_OK);
	b->ops->close(b);
}

static void what_was_put_is_told_after_a_restart(void **state)
{
	struct store_will will = {.msg = {.topic = text("w/t"),
					  .props = text("PP"),
					  .payload = text("gone"),
					  .qos = 1,
					  .retain = true},
				  .delay_s = 5,
				  .expires = true,
				  .expiry_s = 9};
	struct store_op s = op_session(3, "c3"),
			sub = {.kind = STORE_OP_SUB, .sub = {.session = 3, .filter = text("a/#")}};
	struct store_op rec = {.kind = STORE_OP_RECEIVED, .row = {.session = 3, .packet_id = 65535}};
	struct store_backend *b = place_open(*state);

	load(b);
	s.session.will = &will;
	s.session.away_ms = 77;
	s.session.expiry_s = UINT32_MAX;
	sub.sub.qos = 2;
	sub.sub.no_local = sub.sub.retain_as_published = true;
	sub.sub.retain_handling = 2;
	sub.sub.id = 268435455;
	PUT(b, s, op_session(16777215, "last"), sub, rec, op_row(3, 7, "t", "one"), op_msg(5, "tt", "shared"),
	    op_shared(3, 8, 5), op_shared(16777215, STORE_SEQ_MAX - 1, 5), op_retained("r", "v", 4));
	b->ops->close(b);
	b = place_open(*state);
	assert_told(
		b,
		"session 3 client=c3 expiry=4294967295 away=77 will=w/t props=PP payload=gone qos=1 retain=1"
		" delay=5 expires=1,9 seq=7-9 rows=2 bytes=12\n"
		"session 16777215 client=last expiry=60 away=0 seq=549755813886-549755813887 rows=1 bytes=8\n"
		"sub 3 filter=a/# qos=2 nl=1 rap=1 rh=2 id=268435455\n"
		"received 3 65535\n"
		"retained topic=r payload=v stamp=4\n");
	assert_rows(b, 3, 0, "7:one 8:shared ");
	assert_rows(b, 3, 8, "8:shared ");
	assert_rows(b, 16777215, 0, "549755813886:shared ");
	assert_int_equal(b->ops->last_stamp(b), 4);
	assert_int_equal(b->ops->last_ms(b), 1000);
	assert_true(b->ops->last_msg_id(b) >= 5);
	b->ops->close(b);
}

static void what_is_rolled_back_did_not_happen(void **state)
{
	struct store_backend *b = place_open(*state);
	struct store_op ops[] = {op_session(1, "c"), op_msg(1, "t", "m"), op_row(1, 1, "t", "x"),
				 op_shared(1, 2, 1), op_retained("r", "v", 1)};

	load(b);
	assert_int_equal(b->ops->begin(b), OK);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		assert_int_equal(b->ops->apply(b, &ops[i]), OK);
	b->ops->rollback(b);
	PUT(b, op_session(2, "d"));
	assert_rows(b, 1, 0, "");
	b->ops->close(b);
	b = place_open(*state);
	assert_told(b, "session 2 client=d expiry=60 away=0 seq=1-1 rows=0 bytes=0\n");
	b->ops->close(b);
}

static void a_session_goes_with_all_that_belongs_to_it(void **state)
{
	struct store_op sub = {.kind = STORE_OP_SUB, .sub = {.session = 1, .filter = text("a")}};
	struct store_op rec = {.kind = STORE_OP_RECEIVED, .row = {.session = 1, .packet_id = 1}};
	struct store_op drop = {.kind = STORE_OP_DROP_SESSION, .id = 1};
	struct store_backend *b = place_open(*state);

	load(b);
	PUT(b, op_session(1, "a"), op_session(2, "b"), sub, rec, op_row(1, 1, "t", "x"),
	    op_row(2, 1, "t", "y"));
	/* The id is given anew at once. */
	PUT(b, op_row(1, 2, "t", "z"), drop, op_session(1, "n"), op_row(1, 1, "t", "new"));
	b->ops->close(b);
	b = place_open(*state);
	assert_told(b, "session 1 client=n expiry=60 away=0 seq=1-2 rows=1 bytes=4\n"
		       "session 2 client=b expiry=60 away=0 seq=1-2 rows=1 bytes=2\n");
	assert_rows(b, 1, 0, "1:new ");
	b->ops->close(b);
}

static void rows_go_below_the_watermark_and_one_by_one(void **state)
{
	struct store_op one = {.kind = STORE_OP_DROP_ROW, .row = {.session = 1, .seq = 6}};
	struct store_backend *b = place_open(*state);

	load(b);
	PUT(b, op_session(1, "a"), op_session(2, "b"));
	for (uint64_t i = 1; i <= 8; i++)
		PUT(b, op_row(2, i, "t", "b"), op_row(1, i, "t", "a"));
	PUT(b, op_drop_rows(1, 4), one);
	assert_rows(b, 1, 0, "4:a 5:a 7:a 8:a ");
	assert_rows(b, 2, 0, "1:b 2:b 3:b 4:b 5:b 6:b 7:b 8:b ");
	/* Come and gone in one commit. */
	PUT(b, op_row(1, 9, "t", "n"), op_row(1, 10, "t", "n"), op_drop_rows(1, 8), op_row(1, 11, "t", "n"),
	    op_drop_rows(1, 10));
	assert_rows(b, 1, 0, "10:n 11:n ");
	b->ops->close(b);
}

static void states_of_qos_2_are_kept(void **state)
{
	struct store_op sent = {.kind = STORE_OP_STATE,
				.row = {.session = 1, .seq = 2, .state = STORE_SENT, .packet_id = 65535}};
	struct store_op released = {
		.kind = STORE_OP_STATE,
		.row = {.session = 1, .seq = 1, .state = STORE_RELEASED, .packet_id = 40000}};
	struct store_backend *b = place_open(*state);

	load(b);
	PUT(b, op_session(1, "a"), op_row(1, 1, "t", "x"), op_row(1, 2, "t", "y"), op_row(1, 3, "t", "z"));
	PUT(b, sent, released);
	b->ops->close(b);
	b = place_open(*state);
	assert_told(b, "session 1 client=a expiry=60 away=0 seq=1-4 rows=2 bytes=4\n"
		       "inflight 1 seq=1 state=2 id=40000\n"
		       "inflight 1 seq=2 state=1 id=65535\n");
	assert_rows(b, 1, 0, "1: 2:y 3:z ");
	b->ops->close(b);
}

static void rows_of_a_publish_that_was_not_confirmed_are_forgotten(void **state)
{
	struct store_op row[4], confirm = {.kind = STORE_OP_CONFIRM, .row = {.origin = 1, .number = 10}};
	struct store_backend *b = place_open(*state);

	for (unsigned i = 0; i < 4; i++) {
		row[i] = op_row(1, i + 1, "t", "x");
		row[i].row.origin = i < 3;
		row[i].row.number = 9 + i;
	}
	load(b);
	PUT(b, op_session(1, "a"), row[0], row[1], row[2], row[3], confirm, op_row(1, 5, "t", "y"));
	b->ops->close(b);
	b = place_open(*state);
	/* 11 of origin 1 and 12 of origin 0 are not confirmed. */
	assert_told(b, "session 1 client=a expiry=60 away=0 seq=1-6 rows=3 bytes=6\n");
	assert_rows(b, 1, 0, "1:x 2:x 5:y ");
	/* What counted at one start counts for ever, and numbers begin anew. */
	row[0].row.seq = 6;
	row[0].row.number = 1;
	PUT(b, row[0]);
	b->ops->close(b);
	b = place_open(*state);
	load(b);
	assert_rows(b, 1, 0, "1:x 2:x 5:y ");
	b->ops->close(b);
}

static void the_newest_retained_value_stands(void **state)
{
	struct store_backend *b = place_open(*state);

	load(b);
	PUT(b, op_retained("a", "2", 2), op_retained("a", "1", 1), op_retained("b", "3", 3),
	    op_clear("b", 5));
	PUT(b, op_retained("b", "late", 4), op_clear("a", 1), op_clear("never", 9),
	    op_retained("never", "late", 8));
	assert_told(b, "retained topic=a payload=2 stamp=2\n");
	assert_int_equal(b->ops->last_stamp(b), 9);
	/* Tombstones go, the stamp stays. */
	PUT(b, op_session(1, "x"));
	b->ops->close(b);
	b = place_open(*state);
	load(b);
	assert_int_equal(b->ops->last_stamp(b), 9);
	b->ops->close(b);
}

static void subscription_ids_come_back_with_the_row(void **state)
{
	uint32_t two[] = {2, 1, 268435455}, one[] = {1, 7};
	struct store_op a = op_row(1, 1, "t", "x"), c = op_row(1, 3, "t", "z");
	struct store_backend *b = place_open(*state);

	a.row.sub_ids = two;
	c.row.sub_ids = one;
	load(b);
	PUT(b, op_session(1, "s"), c, op_row(1, 2, "t", "y"), a);
	assert_rows(b, 1, 0, "1:x#1#268435455 2:y 3:z#7 ");
	b->ops->close(b);
}

static void reading_stops_when_it_is_told_to(void **state)
{
	struct rows x = {.stop_at = 2};
	struct store_backend *b = place_open(*state);

	load(b);
	PUT(b, op_session(1, "s"), op_row(1, 1, "t", "x"), op_row(1, 2, "t", "y"), op_row(1, 3, "t", "z"));
	assert_int_equal(b->ops->read(b, 1, 0, rows_found, &x), OK);
	assert_string_equal(x.text, "1:x 2:y ");
	PUT(b, op_row(1, 4, "t", "z")); /* nothing is left open that would be in the way */
	b->ops->close(b);
}

static void count_fault(void *arg, const char *line)
{
	(void)line;
	++*(unsigned *)arg;
}

/* One number from the database, over a connection of its own. */
static int64_t number_in(const struct place *p, const char *sql)
{
	char path[128];
	sqlite3_stmt *st;
	int64_t n;
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/lineside.db", p->folder);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

static void the_command_line_works_beside_a_running_gateway(void **state)
{
	static char big[20001];
	struct place *p = *state;
	struct store_backend *b = place_open(p);
	struct care_sizes before, after;
	unsigned faults = 0;

	memset(big, 'x', 20000);
	load(b);
	PUT(b, op_session(1, "c"), op_retained("r", "v", 1), op_clear("gone", 2));
	for (uint64_t i = 1; i <= 100; i++)
		PUT(b, op_row(1, i, "t", big));
	PUT(b, op_drop_rows(1, 100));
	assert_int_equal(number_in(p, "SELECT value FROM meta WHERE key = 'boot'"), 1);
	assert_int_equal(number_in(p, "SELECT value FROM meta WHERE key = 'clean'"), 0);
	assert_int_equal(number_in(p, "SELECT count(*) FROM queue"), 1);
	assert_int_equal(care_sizes(p->folder, &before, p->why, sizeof(p->why)), OK);
	assert_int_equal(before.format, 1);
	assert_true(before.free_bytes > 1000000);
	assert_int_equal(care_check(p->folder, count_fault, &faults, p->why, sizeof(p->why)), OK);
	assert_int_equal(faults, 0);
	assert_int_equal(care_compact(p->folder, p->why, sizeof(p->why)), OK);
	assert_int_equal(care_sizes(p->folder, &after, p->why, sizeof(p->why)), OK);
	assert_true(after.bytes < 200000 && after.bytes < before.bytes);
	/* It goes on as if nothing had been. */
	PUT(b, op_row(1, 101, "t", "more"));
	assert_int_equal(count_rows(b, 1), 2);
	b->ops->close(b);
	assert_int_equal(number_in(p, "SELECT value FROM meta WHERE key = 'clean'"), 1);
	assert_int_equal(care_sizes("/nonexistent", &after, p->why, sizeof(p->why)), ERR_NOT_FOUND);
	assert_int_equal(care_check("/nonexistent", count_fault, &faults, p->why, sizeof(p->why)),
			 ERR_NOT_FOUND);
	assert_int_equal(care_compact("/nonexistent", p->why, sizeof(p->why)), ERR_NOT_FOUND);
}

static void the_log_does_not_grow_without_bound(void **state)
{
	static char big[10001];
	struct place *p = *state;
	struct store_backend *b = place_open(p);
	struct care_sizes sizes;

	memset(big, 'x', 10000);
	p->max_bytes = 32 << 20; /* a log of an eighth of it */
	b->ops->close(b);
	b = place_open(p);
	load(b);
	PUT(b, op_session(1, "c"));
	for (uint64_t i = 1; i <= 3000; i++)
		PUT(b, op_row(1, i, "t", big), op_drop_rows(1, i > 10 ? i - 10 : 1));
	assert_int_equal(care_sizes(p->folder, &sizes, p->why, sizeof(p->why)), OK);
	assert_true(sizes.log_bytes < 9 << 20);
	assert_true(sizes.bytes < 1 << 20);
	b->ops->close(b);
}

static int use(struct place *p)
{
	uint32_t ids[] = {1, 7};
	struct store_op ops[] = {op_session(1, "c"), op_msg(300, "t", "m"), op_shared(1, 1, 300),
				 op_row(1, 2, "t", "x"), op_retained("r", "v", 1)};
	struct store_backend *b = NULL;
	static const struct store_loader nothing = {0};
	int rc = place_try(p, &b);

	ops[3].row.sub_ids = ids;
	if (rc < 0)
		return rc;
	if ((rc = b->ops->load(b, &nothing, NULL)) == OK)
		rc = try_put(b, 1000, ops, sizeof(ops) / sizeof(ops[0]));
	b->ops->close(b);
	return rc;
}

static void without_memory_nothing_is_half_done(void **state)
{
	struct place *p = *state;
	bool hit = true;
	int refused = 0;

	for (long n = 1; hit; n++) {
		int rc;

		alloc_fail_at(n);
		rc = use(p);
		hit = alloc_fail_end();
		assert_true(rc == OK || rc == ERR_NOMEM);
		refused += rc == ERR_NOMEM;
	}
	assert_true(refused > 5);
	assert_int_equal(use(p), OK);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_make, place_unmake)
	static const struct CMUnitTest tests[] = {
		T(an_empty_store_has_nothing),
		T(what_was_put_is_told_after_a_restart),
		T(what_is_rolled_back_did_not_happen),
		T(a_session_goes_with_all_that_belongs_to_it),
		T(rows_go_below_the_watermark_and_one_by_one),
		T(states_of_qos_2_are_kept),
		T(rows_of_a_publish_that_was_not_confirmed_are_forgotten),
		T(the_newest_retained_value_stands),
		T(subscription_ids_come_back_with_the_row),
		T(reading_stops_when_it_is_told_to),
		T(the_command_line_works_beside_a_running_gateway),
		T(the_log_does_not_grow_without_bound),
		T(without_memory_nothing_is_half_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
