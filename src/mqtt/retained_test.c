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
	struct retained_limits limits;
	struct retained_change change; /* the last one */
};

static void shelf_up(struct shelf *s)
{
	assert_int_equal(epoch_domain_create(&s->domain), OK);
	assert_int_equal(epoch_reader_create(s->domain, &s->me), OK);
	assert_int_equal(retained_create(SEED, &s->limits, &s->store), OK);
	s->levels = topic_levels_create(LEVELS);
}

static void shelf_down(struct shelf *s)
{
	free(s->levels);
	epoch_reader_destroy(s->me);
	epoch_domain_destroy(s->domain);
	retained_destroy(s->store);
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

	return retained_set(s->store, s->me, split(s, topic), &p, RETAINED_CLIENT, &s->change);
}

static void clear(struct shelf *s, const char *topic)
{
	assert_int_equal(retained_clear(s->store, s->me, split(s, topic), &s->change), OK);
}

static const struct retained *get(struct shelf *s, const char *topic)
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

static void stamps_grow_by_one_and_a_slot_stays_until_it_is_cleared(void **state)
{
	struct shelf s = {0};
	const struct retained *old;

	(void)state;
	shelf_up(&s);
	assert_null(get(&s, "a"));
	assert_int_equal(set(&s, "a", 1), OK);
	old = get(&s, "a");
	assert_int_equal(old->stamp, 1);
	assert_ptr_equal(retained_at(s.store, old->slot), old);
	assert_int_equal(set(&s, "a", 2), OK);
	assert_int_equal(get(&s, "a")->stamp, 2);
	assert_int_equal(get(&s, "a")->slot, old->slot);
	assert_memory_equal(old->bytes, "aa", 2); /* until this thread is quiescent */
	assert_int_equal(retained_count(s.store), 1);
	assert_int_equal(retained_bytes(s.store), 2);
	clear(&s, "a");
	clear(&s, "a");
	clear(&s, "never");
	assert_null(get(&s, "a"));
	assert_null(retained_at(s.store, old->slot));
	assert_int_equal(retained_count(s.store), 0);
	assert_int_equal(retained_bytes(s.store), 0);
	/* one that may still be looked at is not taken for another topic */
	assert_int_equal(set(&s, "b", 3), OK);
	assert_int_equal(get(&s, "b")->slot, 1);
	housekeeping(&s);
	housekeeping(&s);
	assert_int_equal(set(&s, "c", 4), OK);
	assert_int_equal(get(&s, "c")->slot, 0);
	assert_int_equal(retained_slots(s.store), 2);
	shelf_down(&s);
}

/* As a disk needs it that hears of them in any order; and of a topic that was never there, too. */
static void stamps_of_a_store_grow_over_clears_and_topics(void **state)
{
	struct shelf s = {0};

	(void)state;
	shelf_up(&s);
	retained_begin_stamps(s.store, 100);
	assert_int_equal(set(&s, "a", 1), OK);
	assert_int_equal(s.change.stamp, 101);
	assert_false(s.change.of_client);
	assert_int_equal(set(&s, "b", 1), OK);
	assert_int_equal(set(&s, "a", 2), OK);
	assert_int_equal(s.change.stamp, 103);
	assert_int_equal(get(&s, "a")->stamp, 103);
	assert_true(s.change.of_client);
	for (uint64_t last = 103, i = 0; i < 3; i++, last = s.change.stamp) {
		clear(&s, i == 2 ? "never" : "a");
		assert_true(s.change.stamp > last);
		assert_int_equal(s.change.of_client, i == 0);
	}
	retained_begin_stamps(s.store, 50); /* never back */
	assert_int_equal(set(&s, "a", 3), OK);
	assert_true(s.change.stamp > 106);
	retained_begin_stamps(s.store, 5000);
	clear(&s, "a");
	assert_int_equal(s.change.stamp, 5002); /* one was taken in case that there is no value */
	shelf_down(&s);
}

static void what_comes_from_the_disk_counts_but_is_not_refused(void **state)
{
	struct shelf s = {.limits = {.messages = 1}};
	struct publication p = {.topic = span_str("b"), .payload = span_str("b")};

	(void)state;
	shelf_up(&s);
	assert_int_equal(set(&s, "a", 1), OK);
	assert_int_equal(retained_set(s.store, s.me, split(&s, "b"), &p, RETAINED_DISK, &s.change), OK);
	assert_int_equal(set(&s, "c", 1), ERR_FULL);
	assert_int_equal(set(&s, "b", 1), OK);
	assert_true(s.change.of_client);
	clear(&s, "a");
	assert_int_equal(set(&s, "c", 1), ERR_FULL);
	clear(&s, "b");
	assert_int_equal(set(&s, "c", 1), OK);
	shelf_down(&s);
}

static void a_view_shows_what_was_stored(void **state)
{
	struct blob *blob = blob_create(span_str("large"));
	struct publication got, p = {.topic = span_str("a/b"),
				     .props = span_str("props"),
				     .payload = span_of(blob->data, blob->len),
				     .blob = blob,
				     .qos = 2,
				     .retain = true,
				     .origin = 3,
				     .number = 77,
				     .publisher = 9,
				     .expires_ms = UINT64_C(1) << 40};
	struct shelf s = {0};

	(void)state;
	shelf_up(&s);
	for (unsigned with_blob = 0; with_blob < 2; with_blob++) {
		p.blob = with_blob ? blob : NULL;
		assert_int_equal(
			retained_set(s.store, s.me, split(&s, "a/b"), &p, RETAINED_CLIENT, &s.change), OK);
		retained_view(get(&s, "a/b"), &got);
		assert_true(span_equal(got.topic, p.topic) && span_equal(got.props, p.props) &&
			    span_equal(got.payload, p.payload));
		assert_ptr_equal(got.blob, p.blob);
		assert_true(got.qos == 2 && got.retain && got.origin == 3 && got.number == 77 &&
			    got.publisher == 9 && got.expires_ms == p.expires_ms);
		assert_int_equal(retained_bytes(s.store), 3 + 5 + 5);
	}
	shelf_down(&s);
	assert_int_equal(blob->refs, 1);
	blob_unref(blob);
}

static void limits_refuse_what_is_new_or_larger_and_change_nothing(void **state)
{
	static const struct {
		struct retained_limits limits;
		const char *topic;
		int verdict;
	} cases[] = {
		{{.messages = 2}, "new", ERR_FULL}, {{.messages = 2}, "n/e/w", ERR_FULL},
		{{.messages = 2}, "aa", OK},        {{.messages = 3}, "new", OK},
		{{.bytes = 8 + 6}, "new", OK},      {{.bytes = 8 + 5}, "new", ERR_FULL},
		{{.bytes = 8}, "aa", OK},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct shelf s = {.limits = cases[i].limits};

		shelf_up(&s);
		assert_int_equal(set(&s, "aa", 1), OK);
		assert_int_equal(set(&s, "bb", 1), OK);
		assert_int_equal(set(&s, cases[i].topic, 2), cases[i].verdict);
		if (cases[i].verdict < 0) {
			assert_null(get(&s, cases[i].topic));
			assert_int_equal(retained_count(s.store), 2);
			assert_int_equal(retained_bytes(s.store), 8);
			housekeeping(&s);
			assert_int_equal(retained_set(s.store, s.me, split(&s, cases[i].topic),
						      &(struct publication){.topic = span_str("c")},
						      RETAINED_OWN, &s.change),
					 OK);
			clear(&s, cases[i].topic);
			/* there is room again */
			clear(&s, "aa");
			assert_int_equal(set(&s, "cc", 3), OK);
		}
		shelf_down(&s);
	}
}

static void a_larger_value_above_the_limit_leaves_the_old_one(void **state)
{
	struct shelf s = {.limits = {.bytes = 2}};
	struct publication p = {.topic = span_str("a"), .payload = span_str("longer")};

	(void)state;
	shelf_up(&s);
	assert_int_equal(set(&s, "a", 1), OK);
	assert_int_equal(retained_set(s.store, s.me, split(&s, "a"), &p, RETAINED_CLIENT, &s.change),
			 ERR_FULL);
	assert_int_equal(get(&s, "a")->number, 1);
	assert_int_equal(retained_bytes(s.store), 2);
	shelf_down(&s);
}

static int set_own(struct shelf *s, const char *topic)
{
	struct publication p = {.topic = span_str(topic), .payload = span_str("own")};

	return retained_set(s->store, s->me, split(s, topic), &p, RETAINED_OWN, &s->change);
}

static void what_is_not_limited_takes_no_room_from_what_is(void **state)
{
	struct shelf s = {.limits = {.messages = 2, .bytes = 8}};

	(void)state;
	shelf_up(&s);
	assert_int_equal(set_own(&s, "o1"), OK);
	assert_int_equal(set_own(&s, "o2"), OK);
	assert_int_equal(set_own(&s, "o3"), OK);
	assert_int_equal(set(&s, "aa", 1), OK);
	assert_int_equal(set(&s, "bb", 1), OK);
	assert_int_equal(set(&s, "cc", 1), ERR_FULL);
	assert_int_equal(retained_count(s.store), 5);
	assert_int_equal(retained_bytes(s.store), 23);
	/* a topic that changes hands changes the side on which it counts */
	assert_int_equal(set(&s, "o1", 2), ERR_FULL);
	assert_int_equal(set_own(&s, "aa"), OK);
	assert_int_equal(set(&s, "o1", 2), OK);
	assert_int_equal(set(&s, "aa", 2), ERR_FULL);
	clear(&s, "o2");
	assert_int_equal(set(&s, "cc", 2), ERR_FULL);
	clear(&s, "bb");
	assert_int_equal(set(&s, "cc", 2), OK);
	shelf_down(&s);
}

static int set_until(struct shelf *s, const char *topic, uint64_t expires_ms)
{
	struct publication p = {.topic = span_str(topic), .payload = span_str("x"), .expires_ms = expires_ms};

	return retained_set(s->store, s->me, split(s, topic), &p, RETAINED_CLIENT, &s->change);
}

static void count_gone(void *arg, const struct retained *v, uint64_t stamp)
{
	(*(unsigned *)arg) += stamp == v->stamp + 1;
}

static void what_expired_is_swept_a_few_at_a_time(void **state)
{
	struct shelf s = {0};
	unsigned gone = 0;
	struct topic_levels *scratch = topic_levels_create(LEVELS);

	(void)state;
	shelf_up(&s);
	assert_int_equal(set(&s, "stays", 1), OK);
	assert_false(retained_sweep(s.store, s.me, 1000, 100, scratch, count_gone,
				    &gone)); /* nothing can expire */
	assert_int_equal(set_until(&s, "a", 1000), OK);
	assert_int_equal(set_until(&s, "b/c", 1001), OK);
	assert_int_equal(set_until(&s, "d", 10), OK);
	assert_int_equal(set(&s, "d", 2), OK); /* and then not any more */
	assert_true(retained_sweep(s.store, s.me, 999, 100, scratch, count_gone, &gone));
	assert_int_equal(retained_count(s.store), 4);
	for (unsigned i = 0; i < 4; i++)
		assert_true(retained_sweep(s.store, s.me, 1000, 1, scratch, count_gone, &gone));
	assert_null(get(&s, "a"));
	assert_non_null(get(&s, "b/c"));
	assert_int_equal(retained_count(s.store), 3);
	assert_true(retained_sweep(s.store, s.me, 1001, 100, scratch, count_gone, &gone));
	assert_null(get(&s, "b/c"));
	assert_false(retained_sweep(s.store, s.me, 5000, 100, scratch, count_gone, &gone));
	assert_int_equal(retained_count(s.store), 2);
	assert_int_equal(retained_bytes(s.store), 10 + 2);
	assert_int_equal(gone, 2);
	housekeeping(&s);
	shelf_down(&s);
	free(scratch);
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
	struct span topic = retained_topic(value);

	for (unsigned i = 0; i < search->n; i++)
		if (span_equal(topic, span_str(search->all[i].topic))) {
			search->all[i].found += value->number == search->all[i].number;
			return OK;
		}
	fail_msg("found what was never set");
	return OK;
}

static void check_filter(struct shelf *s, struct search *search, const char *filter)
{
	for (unsigned i = 0; i < search->n; i++)
		search->all[i].found = 0;
	assert_int_equal(
		retained_match(s->store, split(s, filter), UINT64_MAX, found_model, search, &(uint64_t){0}),
		OK);
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
		struct shelf s = {0};

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
				clear(&s, name);
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

static int count_one(void *arg, struct retained *value)
{
	(void)value;
	++*(uint64_t *)arg;
	return OK;
}

static int stop_at_once(void *arg, struct retained *value)
{
	(void)value;
	++*(unsigned *)arg;
	return ERR_FULL;
}

static void the_walk_ends_when_it_is_told_to(void **state)
{
	struct shelf s = {0};
	unsigned calls = 0;
	uint64_t found = 0;

	(void)state;
	shelf_up(&s);
	assert_int_equal(set(&s, "a", 1), OK);
	assert_int_equal(set(&s, "b", 1), OK);
	assert_int_equal(
		retained_match(s.store, split(&s, "#"), UINT64_MAX, stop_at_once, &calls, &(uint64_t){0}),
		ERR_FULL);
	assert_int_equal(calls, 1);
	assert_int_equal(retained_match(s.store, split(&s, "#"), 1, count_one, &found, &(uint64_t){0}),
			 ERR_FULL);
	assert_int_equal(found, 1);
	assert_int_equal(retained_match(s.store, split(&s, "#"), 5, count_one, &found, &(uint64_t){0}), OK);
	shelf_down(&s);
}

static void without_memory_the_old_value_stays(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct shelf s = {0};
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
		(void)!retained_match(s.store, split(&s, "#"), UINT64_MAX, stop_at_once, &calls,
				      &(uint64_t){0});
		hit = alloc_fail_end();
		assert_int_equal(get(&s, "a/b")->number, was);
		shelf_down(&s);
	}
	for (long n = 1; n < 4; n++) {
		struct retained_store *none;
		int rc;

		alloc_fail_at(n);
		rc = retained_create(SEED, &(struct retained_limits){0}, &none);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		retained_destroy(none);
	}
}

/* ---- four threads ---- */

#define THREADS 4
#define STEPS   150000u

/* What a disk would keep that is told of all changes, in any order. */
struct disk {
	pthread_mutex_t busy;
	unsigned count;
	struct kept {
		char topic[32];
		uint64_t stamp;
		bool is_set;
	} kept[128];
};

static struct kept *disk_find(struct disk *d, struct span topic)
{
	struct kept *k = d->kept;

	while (k < d->kept + d->count && !span_equal(span_str(k->topic), topic))
		k++;
	if (k == d->kept + d->count) {
		assert_true(d->count < sizeof(d->kept) / sizeof(d->kept[0]));
		memcpy(k->topic, topic.p, topic.len);
		d->count++;
	}
	return k;
}

static void disk_put(struct disk *d, struct span topic, uint64_t stamp, bool is_set)
{
	struct kept *k;

	pthread_mutex_lock(&d->busy);
	k = disk_find(d, topic);
	if (stamp > k->stamp) {
		k->stamp = stamp;
		k->is_set = is_set;
	}
	pthread_mutex_unlock(&d->busy);
}

struct hand {
	struct shelf s;
	struct disk *disk;
	pthread_barrier_t *all;
	bool checks;
	uint64_t random;
	uint64_t sent;
	const char *only; /* the one topic, or NULL: many */
	bool wrong;
	struct retained *held[4];
};

static void check_whole(struct hand *h, const struct retained *v)
{
	struct publication p;

	retained_view(v, &p);
	h->wrong |= !span_equal(p.topic, p.payload) || !v->stamp;
}

static int found_whole(void *arg, struct retained *value)
{
	struct hand *h = arg;

	check_whole(h, value);
	h->wrong |= value->slot >= retained_slots(h->s.store);
	if (next_random(&h->random) % 8 == 0) { /* kept beyond the epoch, as a feed does */
		struct retained **slot = &h->held[next_random(&h->random) % 4];

		if (*slot)
			check_whole(h, *slot);
		retained_unref(*slot);
		*slot = retained_ref(value);
	}
	return OK;
}

static void look_at_some_slots(struct hand *h)
{
	uint32_t end = retained_slots(h->s.store);

	for (uint32_t i = (uint32_t)(next_random(&h->random) % 64); i < end; i += 7) {
		const struct retained *v = retained_at(h->s.store, i);

		if (v)
			check_whole(h, v);
	}
}

static void check_set(struct hand *h, const char *name)
{
	int rc = set(&h->s, name, ++h->sent);

	if (rc == OK)
		disk_put(h->disk, span_str(name), h->s.change.stamp, true);
	h->wrong |= rc < 0 && (rc != ERR_FULL || !h->s.limits.messages);
	/* the hands may be above it for a moment, each by one that is taken back */
	h->wrong |= h->s.limits.messages && retained_count(h->s.store) > h->s.limits.messages + THREADS;
}

static void gone(void *arg, const struct retained *v, uint64_t stamp)
{
	struct hand *h = arg;

	disk_put(h->disk, retained_topic(v), stamp, false);
}

/* Cleared, or set to what has expired, and swept. */
static void forget(struct hand *h, const char *name, uint64_t what)
{
	struct publication p = {.topic = span_str(name), .payload = span_str(name), .expires_ms = 1};

	if (what >> 8 & 3) {
		h->wrong |= retained_clear(h->s.store, h->s.me, split(&h->s, name), &h->s.change) != OK;
		disk_put(h->disk, span_str(name), h->s.change.stamp, false);
		return;
	}
	if (retained_set(h->s.store, h->s.me, split(&h->s, name), &p, RETAINED_CLIENT, &h->s.change) == OK)
		disk_put(h->disk, span_str(name), h->s.change.stamp, true);
	(void)retained_sweep(h->s.store, h->s.me, 1, UINT32_MAX, h->s.levels, gone, h);
}

/* A start would find what there was in the end. */
static void disk_check(struct disk *d, struct shelf *s)
{
	unsigned set = 0;

	for (unsigned i = 0; i < d->count; i++) {
		const struct retained *v = get(s, d->kept[i].topic);

		assert_int_equal(v != NULL, d->kept[i].is_set);
		assert_int_equal(v ? v->stamp : 0, d->kept[i].is_set ? d->kept[i].stamp : 0);
		set += v != NULL;
	}
	assert_int_equal(set, retained_count(s->store));
}

/* Now and then all stop: what a start would find is what there is. */
static void hands_meet(struct hand *h)
{
	pthread_barrier_wait(h->all);
	if (h->checks)
		disk_check(h->disk, &h->s);
	pthread_barrier_wait(h->all);
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
			check_set(h, name);
		else if (what % 8 < 7)
			forget(h, name, what);
		else
			h->wrong |= retained_match(h->s.store, split(&h->s, name), UINT64_MAX, found_whole, h,
						   &(uint64_t){0}) < 0;
		if ((what >> 40) % 8 == 0)
			look_at_some_slots(h);
		if (what >> 32 & 1)
			housekeeping(&h->s);
		if (i % 8 == 7)
			hands_meet(h);
	}
	for (unsigned i = 0; i < 4; i++)
		retained_unref(h->held[i]);
	epoch_offline(h->s.me);
	return NULL;
}

static void share_shelf(const char *only, const struct retained_limits *limits)
{
	static struct disk disk;
	struct shelf s = {.limits = *limits};
	pthread_barrier_t all;
	struct hand hands[THREADS];
	pthread_t threads[THREADS];
	uint64_t left = 0;

	shelf_up(&s);
	disk = (struct disk){.busy = PTHREAD_MUTEX_INITIALIZER};
	retained_begin_stamps(s.store, 0);
	pthread_barrier_init(&all, NULL, THREADS);
	epoch_offline(s.me);
	for (unsigned i = 0; i < THREADS; i++) {
		hands[i] = (struct hand){
			.s = s, .disk = &disk, .all = &all, .checks = i == 0, .random = i, .only = only};
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
	pthread_barrier_destroy(&all);
	epoch_online(s.me);
	/* the count is of what is there */
	assert_int_equal(
		retained_match(s.store, split(&s, "#"), UINT64_MAX, count_one, &left, &(uint64_t){0}), OK);
	assert_int_equal(
		retained_match(s.store, split(&s, "$s/#"), UINT64_MAX, count_one, &left, &(uint64_t){0}), OK);
	assert_int_equal(retained_count(s.store), left);
	disk_check(&disk, &s);
	shelf_down(&s);
}

static void four_threads_set_clear_and_read_whole_values(void **state)
{
	(void)state;
	share_shelf(NULL, &(struct retained_limits){0});
}

static void four_threads_clear_the_same_topic_once_each_time(void **state)
{
	(void)state;
	share_shelf("a", &(struct retained_limits){0});
}

static void four_threads_meet_at_the_limit(void **state)
{
	(void)state;
	share_shelf(NULL, &(struct retained_limits){.messages = 5, .bytes = 30});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stamps_grow_by_one_and_a_slot_stays_until_it_is_cleared),
		cmocka_unit_test(stamps_of_a_store_grow_over_clears_and_topics),
		cmocka_unit_test(what_comes_from_the_disk_counts_but_is_not_refused),
		cmocka_unit_test(a_view_shows_what_was_stored),
		cmocka_unit_test(limits_refuse_what_is_new_or_larger_and_change_nothing),
		cmocka_unit_test(a_larger_value_above_the_limit_leaves_the_old_one),
		cmocka_unit_test(what_is_not_limited_takes_no_room_from_what_is),
		cmocka_unit_test(what_expired_is_swept_a_few_at_a_time),
		cmocka_unit_test(a_filter_finds_what_it_finds_in_a_list_of_topics),
		cmocka_unit_test(the_walk_ends_when_it_is_told_to),
		cmocka_unit_test(without_memory_the_old_value_stays),
		cmocka_unit_test(four_threads_set_clear_and_read_whole_values),
		cmocka_unit_test(four_threads_clear_the_same_topic_once_each_time),
		cmocka_unit_test(four_threads_meet_at_the_limit),
	};

	return cmocka_run_group_tests_name("mqtt_retained", tests, NULL, NULL);
}
