#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc_fail.h"
#include "base/hash.h"
#include "base/list.h"
#include "mqtt/retained.h"
#include "wire/mqtt.h"

#define SEED   3
#define LEVELS 16
#define TOPICS 60

struct shelf {
	struct epoch_domain *domain;
	struct epoch_reader *me;
	struct retained_store *store;
	struct topic_levels *levels;
};

static void shelf_up(struct shelf *s)
{
	assert_int_equal(epoch_domain_create(&s->domain), OK);
	assert_int_equal(epoch_reader_create(s->domain, &s->me), OK);
	assert_int_equal(retained_create(SEED, &s->store), OK);
	s->levels = topic_levels_create(LEVELS);
}

static void shelf_down(struct shelf *s)
{
	retained_destroy(s->store);
	free(s->levels);
	epoch_reader_destroy(s->me);
	epoch_domain_destroy(s->domain);
}

static const struct topic_levels *split(struct shelf *s, const char *topic)
{
	assert_true(topic_levels_split(s->levels, SEED, span_str(topic)));
	return s->levels;
}

/* The payload is the topic and a number, so that a torn value shows. */
static int set(struct shelf *s, const char *topic, uint64_t number)
{
	struct publication p = {.topic = span_str(topic), .payload = span_str(topic), .number = number};
	struct retained *fresh = retained_make(&p);

	return fresh ? retained_set(s->store, s->me, split(s, topic), fresh) : ERR_NOMEM;
}

static struct retained *get(struct shelf *s, const char *topic)
{
	return retained_get(s->store, split(s, topic));
}

static void housekeeping(struct shelf *s)
{
	retained_prune(s->store, s->me);
	epoch_quiescent(s->me);
}

static uint64_t next_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15u;
	return hash_fold(*state, 0xd6e8feb86659fd93u);
}

static void random_name(uint64_t *random, char *out, bool is_filter)
{
	static const char *const words[] = {"a", "b", "", "$s", "+", "#"};
	unsigned depth = 1 + (unsigned)(next_random(random) % 3);

	*out = '\0';
	for (unsigned i = 0; i < depth; i++) {
		unsigned kinds = !is_filter ? 4 : i + 1 == depth ? 6 : 5;

		if (i)
			strcat(out, "/");
		strcat(out, words[next_random(random) % kinds]);
	}
	if (!*out)
		strcpy(out, "a");
}

static void versions_grow_by_one_and_values_live_as_long_as_they_are_held(void **state)
{
	struct shelf s;
	struct retained *held;

	(void)state;
	shelf_up(&s);
	assert_null(get(&s, "a"));
	assert_int_equal(set(&s, "a", 1), OK);
	held = retained_ref(get(&s, "a"));
	assert_int_equal(held->version, 1);
	assert_int_equal(set(&s, "a", 2), OK);
	assert_int_equal(get(&s, "a")->version, 2);
	assert_int_equal(retained_count(s.store), 1);
	retained_clear(s.store, s.me, split(&s, "a"));
	retained_clear(s.store, s.me, split(&s, "a"));
	retained_clear(s.store, s.me, split(&s, "never"));
	assert_null(get(&s, "a"));
	assert_int_equal(retained_count(s.store), 0);
	housekeeping(&s);
	housekeeping(&s);
	assert_memory_equal(held->msg->bytes, "aa", 2);
	retained_unref(held);
	shelf_down(&s);
}

/* ---- against a list of topics ---- */

struct model {
	char topic[32];
	uint64_t number; /* 0: none */
	unsigned found;
};

struct search {
	struct model *all;
	unsigned n;
};

static int found_model(void *arg, struct retained *value)
{
	struct search *search = arg;
	struct span topic = span_of(value->msg->bytes, value->msg->topic_len);

	for (unsigned i = 0; i < search->n; i++)
		if (span_equal(topic, span_str(search->all[i].topic))) {
			search->all[i].found += value->msg->number == search->all[i].number;
			return OK;
		}
	fail_msg("found what was never set");
	return OK;
}

static void check_filter(struct shelf *s, struct search *search, const char *filter)
{
	for (unsigned i = 0; i < search->n; i++)
		search->all[i].found = 0;
	assert_int_equal(retained_match(s->store, split(s, filter), found_model, search, &(uint64_t){0}), OK);
	for (unsigned i = 0; i < search->n; i++) {
		const struct model *m = &search->all[i];
		bool wanted = m->number && mqtt_filter_matches(span_str(filter), span_str(m->topic));

		if (m->found != wanted)
			fail_msg("%s for %s: %u instead of %d", m->topic, filter, m->found, wanted);
	}
}

/* covers 3.1.1 [MQTT-4.7.2-1]; 5.0 [MQTT-4.7.2-1] */
static void a_filter_finds_what_it_finds_in_a_list_of_topics(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		static struct model all[TOPICS * 4];
		struct search search = {.all = all};
		uint64_t random = seed, count = 0;
		struct shelf s;

		memset(all, 0, sizeof(all));
		shelf_up(&s);
		for (unsigned step = 1; step < 2000; step++) {
			unsigned i = 0, what = (unsigned)(next_random(&random) % 4);
			char name[32];

			random_name(&random, name, what == 0);
			if (what == 0) {
				check_filter(&s, &search, name);
				continue;
			}
			while (i < search.n && strcmp(all[i].topic, name) != 0)
				i++;
			if (i == search.n)
				strcpy(all[search.n++].topic, name);
			count -= all[i].number != 0;
			if (what == 1)
				retained_clear(s.store, s.me, split(&s, name));
			else
				assert_int_equal(set(&s, name, step), OK);
			all[i].number = what == 1 ? 0 : step;
			count += all[i].number != 0;
			assert_int_equal(retained_count(s.store), count);
			if (step % 50 == 0)
				housekeeping(&s);
		}
		shelf_down(&s);
	}
}

static int stop_at_once(void *arg, struct retained *value)
{
	(void)value;
	++*(unsigned *)arg;
	return ERR_FULL;
}

static void the_walk_ends_when_it_is_told_to(void **state)
{
	struct shelf s;
	unsigned calls = 0;

	(void)state;
	shelf_up(&s);
	assert_int_equal(set(&s, "a", 1), OK);
	assert_int_equal(set(&s, "b", 1), OK);
	assert_int_equal(retained_match(s.store, split(&s, "#"), stop_at_once, &calls, &(uint64_t){0}),
			 ERR_FULL);
	assert_int_equal(calls, 1);
	shelf_down(&s);
}

static void without_memory_the_old_value_stays(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct shelf s;
		unsigned calls = 0, was = 0;
		char deep[64] = "d";

		shelf_up(&s);
		assert_int_equal(set(&s, "a/b", 1), OK);
		for (unsigned i = 0; i < 14; i++)
			strcat(deep, "/d");
		alloc_fail_at(n);
		was = set(&s, "a/b", 2) == OK ? 2 : 1;
		if (set(&s, deep, 3) < 0)
			assert_null(get(&s, deep));
		(void)!retained_match(s.store, split(&s, "#"), stop_at_once, &calls, &(uint64_t){0});
		hit = alloc_fail_end();
		assert_int_equal(get(&s, "a/b")->msg->number, was);
		shelf_down(&s);
	}
	for (long n = 1; n < 4; n++) {
		struct retained_store *none;
		int rc;

		alloc_fail_at(n);
		rc = retained_create(SEED, &none);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		retained_destroy(none);
	}
}

/* ---- four threads ---- */

#define THREADS 4
#define STEPS   150000u

struct hand {
	struct shelf s;
	uint64_t random;
	uint64_t sent;
	const char *only; /* the one topic, or NULL: many */
	bool wrong;
	struct retained *held[4];
};

static int found_whole(void *arg, struct retained *value)
{
	struct hand *h = arg;
	const struct msg *m = value->msg;

	h->wrong |= m->topic_len != m->payload_len ||
		    memcmp(m->bytes, m->bytes + m->topic_len, m->topic_len) != 0 || !value->version;
	if (next_random(&h->random) % 8 == 0) { /* kept beyond the epoch, as a session does */
		struct retained **slot = &h->held[next_random(&h->random) % 4];

		retained_unref(*slot);
		*slot = retained_ref(value);
	}
	return OK;
}

static void *hand_run(void *arg)
{
	struct hand *h = arg;
	char name[32];

	for (unsigned i = 0; i < STEPS; i++) {
		uint64_t what = next_random(&h->random);

		random_name(&h->random, name, what % 8 == 7);
		if (h->only)
			strcpy(name, h->only);
		if (what % 8 < 3)
			h->wrong |= set(&h->s, name, ++h->sent) < 0;
		else if (what % 8 < 7)
			retained_clear(h->s.store, h->s.me, split(&h->s, name));
		else
			h->wrong |= retained_match(h->s.store, split(&h->s, name), found_whole, h,
						   &(uint64_t){0}) < 0;
		if (what >> 32 & 1)
			housekeeping(&h->s);
	}
	for (unsigned i = 0; i < 4; i++)
		retained_unref(h->held[i]);
	epoch_offline(h->s.me);
	return NULL;
}

static int count_one(void *arg, struct retained *value)
{
	(void)value;
	++*(uint64_t *)arg;
	return OK;
}

static void share_shelf(const char *only)
{
	struct shelf s;
	struct hand hands[THREADS];
	pthread_t threads[THREADS];
	uint64_t left = 0;

	shelf_up(&s);
	epoch_offline(s.me);
	for (unsigned i = 0; i < THREADS; i++) {
		hands[i] = (struct hand){.s = s, .random = i, .only = only};
		assert_int_equal(epoch_reader_create(s.domain, &hands[i].s.me), OK);
		hands[i].s.levels = topic_levels_create(LEVELS);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hand_run, &hands[i]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_false(hands[i].wrong);
		free(hands[i].s.levels);
		epoch_reader_destroy(hands[i].s.me);
	}
	epoch_online(s.me);
	/* the count is of what is there */
	assert_int_equal(retained_match(s.store, split(&s, "#"), count_one, &left, &(uint64_t){0}), OK);
	assert_int_equal(retained_match(s.store, split(&s, "$s/#"), count_one, &left, &(uint64_t){0}), OK);
	assert_int_equal(retained_count(s.store), left);
	shelf_down(&s);
}

static void four_threads_set_clear_and_read_whole_values(void **state)
{
	(void)state;
	share_shelf(NULL);
}

static void four_threads_clear_the_same_topic_once_each_time(void **state)
{
	(void)state;
	share_shelf("a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_grow_by_one_and_values_live_as_long_as_they_are_held),
		cmocka_unit_test(a_filter_finds_what_it_finds_in_a_list_of_topics),
		cmocka_unit_test(the_walk_ends_when_it_is_told_to),
		cmocka_unit_test(without_memory_the_old_value_stays),
		cmocka_unit_test(four_threads_set_clear_and_read_whole_values),
		cmocka_unit_test(four_threads_clear_the_same_topic_once_each_time),
	};

	return cmocka_run_group_tests_name("mqtt_retained", tests, NULL, NULL);
}
