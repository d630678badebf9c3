#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc_fail.h"
#include "loop/loop_sim.h"
#include "mqtt/handover.h"

/* ---- one thread: what goes in comes out ---- */

struct bench {
	struct sim_world *world;
	struct loop *loop;
	struct lane lane;
	struct loop_source drained;
	unsigned arrived, drains;
	unsigned taken;
	uint64_t last;
};

static struct bench *of_lane(struct loop_source *s)
{
	return container_of(s, struct bench, lane.arrived);
}

static void arrived(struct loop_source *s)
{
	of_lane(s)->arrived++;
}

static void drained(struct loop_source *s)
{
	container_of(s, struct bench, drained)->drains++;
}

static void bench_up(struct bench *b)
{
	*b = (struct bench){0};
	assert_int_equal(sim_world_create(1, &b->world), OK);
	assert_int_equal(sim_loop_create(b->world, &b->loop), OK);
	lane_init(&b->lane, 3, 5);
	loop_source_add(b->loop, &b->lane.arrived, arrived);
	loop_source_add(b->loop, &b->drained, drained);
	b->lane.drained = &b->drained;
}

static void bench_down(struct bench *b)
{
	loop_source_remove(&b->lane.arrived);
	loop_source_remove(&b->drained);
	lane_fini(&b->lane);
	sim_world_destroy(b->world);
}

static void bench_run(struct bench *b)
{
	(void)!sim_run(b->world, 10000, NULL, NULL);
}

static void put(struct lane *l, const struct publication *p, const struct share_route *share)
{
	assert_int_equal(lane_reserve(l, lane_record_size(p, share)), OK);
	lane_put(l, p, share);
}

static struct publication publication_of(uint64_t number, const char *topic, struct span payload)
{
	return (struct publication){.topic = span_str(topic), .payload = payload, .number = number};
}

static void check_everything(void *arg, struct lane *l, struct publication *p, struct share_route *share)
{
	struct bench *b = arg;

	assert_ptr_equal(l, &b->lane);
	assert_int_equal(p->origin, 3);
	b->taken++;
	if (b->taken == 1) {
		assert_null(share);
		assert_true(span_equal(p->topic, span_str("a/b")));
		assert_true(span_equal(p->payload, span_str("payload")));
		assert_true(span_equal(p->props, span_str("props")));
		assert_int_equal(p->qos, 2);
		assert_true(p->retain && !p->command && !p->blob);
		assert_int_equal(p->publisher, 77);
		assert_int_equal(p->expires_ms, 88);
		assert_int_equal(p->number, 1);
	} else {
		assert_non_null(share);
		assert_true(span_equal(share->key, span_str("group/a/b")));
		assert_int_equal(share->tried, 9);
		assert_int_equal(share->stage, SHARE_FULL);
		assert_true(p->command && !p->retain);
		assert_true(span_equal(p->payload, span_of("", 0)));
	}
}

/* The two records that check_everything() expects. */
static void put_everything(struct bench *b)
{
	struct publication p = publication_of(1, "a/b", span_str("payload"));
	struct share_route share = {.key = span_str("group/a/b"), .tried = 9, .stage = SHARE_FULL};

	p.props = span_str("props");
	p.qos = 2;
	p.retain = true;
	p.publisher = 77;
	p.expires_ms = 88;
	put(&b->lane, &p, NULL);
	p = publication_of(2, "a/b", span_of(NULL, 0));
	p.command = true;
	put(&b->lane, &p, &share);
}

static void a_record_arrives_as_it_was_put(void **state)
{
	struct bench b;

	(void)state;
	bench_up(&b);
	put_everything(&b);
	lane_take(&b.lane, check_everything, &b); /* not passed yet */
	assert_int_equal(b.taken, 0);
	lane_flush(&b.lane, 2);
	assert_true(b.lane.backlog > 0);
	bench_run(&b);
	assert_int_equal(b.arrived, 1);
	lane_take(&b.lane, check_everything, &b);
	assert_int_equal(b.taken, 2);
	assert_int_equal(b.lane.backlog, 0);
	bench_down(&b);
}

static void what_is_taken_before_it_is_passed_needs_no_notice(void **state)
{
	struct bench b;
	struct publication p = publication_of(3, "a/b", span_of(NULL, 0));
	struct chunk *chunk;

	(void)state;
	bench_up(&b);
	put_everything(&b);
	chunk = b.lane.open;
	lane_take_open(&b.lane, check_everything, &b);
	assert_int_equal(b.taken, 2);
	lane_take_open(&b.lane, check_everything, &b);
	assert_int_equal(b.taken, 2);
	assert_int_equal(b.lane.backlog, 0);
	bench_run(&b);
	assert_int_equal(b.arrived, 0);
	put(&b.lane, &p, NULL);
	assert_ptr_equal(b.lane.open, chunk);
	bench_down(&b);
}

static void blobs_are_counted_and_released_also_when_nobody_takes_them(void **state)
{
	struct bench b;
	struct blob *blob = blob_create(span_str("shared"));
	struct publication p = publication_of(1, "t", span_of(blob->data, blob->len));

	(void)state;
	bench_up(&b);
	p.blob = blob;
	put(&b.lane, &p, NULL);
	put(&b.lane, &p, NULL);
	assert_int_equal(blob->refs, 3);
	bench_down(&b); /* in the open chunk */
	assert_int_equal(blob->refs, 1);
	bench_up(&b);
	put(&b.lane, &p, NULL);
	lane_flush(&b.lane, 1);
	bench_down(&b); /* passed and not taken */
	assert_int_equal(blob->refs, 1);
	blob_unref(blob);
}

static void count_one(void *arg, struct lane *l, struct publication *p, struct share_route *share)
{
	struct bench *b = arg;

	(void)l;
	(void)share;
	b->taken++;
	assert_true(p->number > b->last);
	b->last = p->number;
}

static void a_number_is_past_when_all_up_to_it_was_handled(void **state)
{
	struct bench b;
	struct publication p = publication_of(5, "t", span_of(NULL, 0));

	(void)state;
	bench_up(&b);
	assert_true(lane_is_past(&b.lane, 0));
	assert_false(lane_is_past(&b.lane, 1));
	lane_flush(&b.lane, 4); /* nothing of 1..4 was for this lane */
	assert_true(lane_is_past(&b.lane, 4));
	assert_false(lane_is_past(&b.lane, 5));
	put(&b.lane, &p, NULL);
	assert_false(lane_is_past(&b.lane, 5));
	p.number = 9;
	put(&b.lane, &p, NULL);
	lane_flush(&b.lane, 12);
	assert_false(lane_is_past(&b.lane, 5));
	lane_take(&b.lane, count_one, &b);
	assert_true(lane_is_past(&b.lane, 12));
	assert_false(lane_is_past(&b.lane, 13));
	bench_down(&b);
}

static void a_chunk_that_was_only_reserved_does_not_hold_up_what_comes_behind_it(void **state)
{
	struct bench b;
	uint8_t *large = calloc(1, 60000);
	struct publication p = publication_of(1, "t", span_of(NULL, 0));

	(void)state;
	bench_up(&b);
	assert_int_equal(lane_reserve(&b.lane, lane_record_size(&p, NULL)), OK);
	p.props = span_of(large, 60000);
	put(&b.lane, &p, NULL);
	lane_flush(&b.lane, 1);
	lane_take(&b.lane, count_one, &b);
	assert_int_equal(b.taken, 1);
	/* nor one behind: what stands before it goes */
	p.number = 2;
	put(&b.lane, &p, NULL);
	assert_int_equal(lane_reserve(&b.lane, 100), OK);
	lane_flush(&b.lane, 2);
	lane_take(&b.lane, count_one, &b);
	assert_int_equal(b.taken, 2);
	assert_int_equal(b.lane.backlog, 0);
	bench_down(&b);
	free(large);
}

static void the_sender_is_told_once_when_the_backlog_is_gone(void **state)
{
	struct bench b;
	struct publication p = publication_of(1, "t", span_str("x"));

	(void)state;
	bench_up(&b);
	put(&b.lane, &p, NULL);
	lane_flush(&b.lane, 1);
	lane_take(&b.lane, count_one, &b);
	bench_run(&b);
	assert_int_equal(b.drains, 0); /* it did not wait */
	p.number = 2;
	put(&b.lane, &p, NULL);
	lane_flush(&b.lane, 2);
	atomic_store(&b.lane.sender_waits, true);
	lane_take(&b.lane, count_one, &b);
	bench_run(&b);
	assert_int_equal(b.drains, 1);
	assert_false(b.lane.sender_waits);
	bench_down(&b);
}

static void chunks_come_back_and_are_used_again(void **state)
{
	struct bench b;
	uint8_t payload[1000] = {0};
	struct publication p = publication_of(0, "t", span_of(payload, sizeof(payload)));

	(void)state;
	bench_up(&b);
	for (unsigned turn = 0; turn < 100; turn++) {
		if (turn == 2)
			alloc_fail_at(1); /* from here on none may be needed */
		for (unsigned i = 0; i < 200; i++) {
			p.number++;
			put(&b.lane, &p, NULL);
		}
		lane_flush(&b.lane, p.number);
		lane_take(&b.lane, count_one, &b);
	}
	assert_false(alloc_fail_end());
	assert_int_equal(b.taken, 20000);
	bench_down(&b);
}

static void without_memory_reserving_fails_and_nothing_is_lost(void **state)
{
	struct bench b;
	uint8_t payload[5000] = {0};
	struct publication p = publication_of(0, "t", span_of(payload, sizeof(payload)));
	uint64_t sent = 0;
	bool hit = true;

	(void)state;
	bench_up(&b);
	for (long n = 1; hit; n++) {
		alloc_fail_at(n);
		for (unsigned i = 0; i < 20; i++) {
			p.number++;
			if (lane_reserve(&b.lane, lane_record_size(&p, NULL)) < 0)
				continue;
			lane_put(&b.lane, &p, NULL);
			sent++;
		}
		hit = alloc_fail_end();
		lane_flush(&b.lane, p.number);
		if (n % 2 == 0) /* so that more chunks are out */
			lane_take(&b.lane, count_one, &b);
	}
	lane_take(&b.lane, count_one, &b);
	assert_int_equal(b.taken, sent);
	bench_down(&b);
}

/* ---- two threads ---- */

#define RECORDS 1000000u

struct end {
	struct loop *loop;
	struct lane *out, *in; /* out: this thread sends; in: it receives */
	struct loop_source drained;
	struct loop_hook turn_end;
	uint64_t sent, got;
	uint64_t random;
	struct blob *blob;
	bool wrong;
};

static void check_order(void *arg, struct lane *l, struct publication *p, struct share_route *share)
{
	struct end *e = arg;
	uint64_t number = ++e->got;

	(void)l;
	e->wrong |= p->number != number || share != NULL;
	if (number % 97 == 0)
		e->wrong |= !p->blob || p->payload.len != 100000 || p->payload.p[99999] != 'b';
	else if (number % 53 == 0)
		e->wrong |= p->payload.len != 40000 || p->payload.p[39999] != 'l';
	else
		e->wrong |= p->payload.len != 8 || memcmp(p->payload.p, &number, 8) != 0;
}

static void end_arrived(struct loop_source *s)
{
	struct lane *l = container_of(s, struct lane, arrived);
	struct end *e = l->owner;

	lane_take(l, check_order, e);
	if (e->got == RECORDS && e->sent == RECORDS)
		loop_stop(e->loop);
}

/* Some records each turn, unless the other end is far behind. */
static void end_turn(struct loop_hook *h)
{
	struct end *e = container_of(h, struct end, turn_end);
	static const uint8_t large[40000] = {[39999] = 'l'};
	unsigned n = (unsigned)(e->random = e->random * 6364136223846793005u + 1) % 3000;

	if (atomic_load(&e->out->backlog) > 4u << 20)
		n = 0;
	for (; n > 0 && e->sent < RECORDS; n--) {
		uint64_t number = ++e->sent;
		struct publication p = publication_of(number, "topic", span_of(&number, 8));

		if (number % 97 == 0) {
			p.blob = e->blob;
			p.payload = span_of(e->blob->data, e->blob->len);
		} else if (number % 53 == 0) {
			p.payload = span_of(large, sizeof(large));
		}
		if (lane_reserve(e->out, lane_record_size(&p, NULL)) < 0)
			abort();
		lane_put(e->out, &p, NULL);
	}
	lane_flush(e->out, e->sent);
	if (e->sent < RECORDS)
		loop_again(e->loop);
	else if (e->got == RECORDS)
		loop_stop(e->loop);
}

static void nothing(struct loop_source *s)
{
	(void)s;
}

static void *end_run(void *arg)
{
	struct end *e = arg;

	return (void *)(intptr_t)loop_run(e->loop);
}

static void two_threads_exchange_a_million_records_in_order(void **state)
{
	struct lane lanes[2];
	struct end ends[2];
	pthread_t threads[2];
	uint8_t *bytes = malloc(100000);

	(void)state;
	memset(bytes, 'b', 100000);
	for (unsigned i = 0; i < 2; i++)
		lane_init(&lanes[i], (uint16_t)i, (uint16_t)!i);
	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &ends[i];

		*e = (struct end){.out = &lanes[i], .in = &lanes[!i], .random = i};
		e->blob = blob_create(span_of(bytes, 100000));
		assert_int_equal(loop_create(&e->loop), OK);
		loop_source_add(e->loop, &e->in->arrived, end_arrived);
		loop_source_add(e->loop, &e->drained, nothing);
		loop_hook_add(e->loop, LOOP_TURN_END, &e->turn_end, end_turn);
		e->in->owner = e;
		e->out->drained = &e->drained;
	}
	for (unsigned i = 0; i < 2; i++) {
		loop_notify(&ends[i].drained); /* the first turn */
		assert_int_equal(pthread_create(&threads[i], NULL, end_run, &ends[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &ends[i];

		assert_false(e->wrong);
		assert_int_equal(e->got, RECORDS);
		assert_int_equal(lanes[i].backlog, 0);
		assert_int_equal(e->blob->refs, 1);
		assert_true(lane_is_past(&lanes[i], RECORDS));
		blob_unref(e->blob);
		loop_source_remove(&e->in->arrived);
		loop_source_remove(&e->drained);
		loop_hook_remove(&e->turn_end);
		loop_destroy(e->loop);
		lane_fini(&lanes[i]);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_arrives_as_it_was_put),
		cmocka_unit_test(what_is_taken_before_it_is_passed_needs_no_notice),
		cmocka_unit_test(blobs_are_counted_and_released_also_when_nobody_takes_them),
		cmocka_unit_test(a_number_is_past_when_all_up_to_it_was_handled),
		cmocka_unit_test(a_chunk_that_was_only_reserved_does_not_hold_up_what_comes_behind_it),
		cmocka_unit_test(the_sender_is_told_once_when_the_backlog_is_gone),
		cmocka_unit_test(chunks_come_back_and_are_used_again),
		cmocka_unit_test(without_memory_reserving_fails_and_nothing_is_lost),
		cmocka_unit_test(two_threads_exchange_a_million_records_in_order),
	};

	return cmocka_run_group_tests_name("mqtt_handover", tests, NULL, NULL);
}
