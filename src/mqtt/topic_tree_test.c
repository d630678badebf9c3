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
#include "mqtt/topic_tree.h"
#include "wire/mqtt.h"

#define SEED   7
#define LEVELS 16

struct wood {
	struct epoch_domain *domain;
	struct epoch_reader *me;
	struct topic_tree *tree;
	struct topic_levels *levels;
};

static void wood_up(struct wood *w)
{
	assert_int_equal(epoch_domain_create(&w->domain), OK);
	assert_int_equal(epoch_reader_create(w->domain, &w->me), OK);
	assert_int_equal(topic_tree_create(SEED, &w->tree), OK);
	w->levels = topic_levels_create(LEVELS);
	assert_non_null(w->levels);
}

static void wood_down(struct wood *w)
{
	topic_tree_destroy(w->tree, NULL);
	free(w->levels);
	epoch_reader_destroy(w->me);
	epoch_domain_destroy(w->domain);
}

static const struct topic_levels *split(struct wood *w, const char *filter)
{
	assert_true(topic_levels_split(w->levels, SEED, span_str(filter)));
	return w->levels;
}

/* NULL when memory is out. */
static struct topic_node *node_get(struct wood *w, const char *filter)
{
	struct topic_node *n;
	int rc = topic_tree_get(w->tree, w->me, split(w, filter), &n);

	assert_true(rc == OK || rc == ERR_NOMEM);
	return n;
}

static bool node_set(struct wood *w, const char *filter, void *value)
{
	struct topic_node *n;

	do {
		n = node_get(w, filter);
		if (!n)
			return false;
	} while (topic_node_cas(n, topic_node_value(n), value) != TOPIC_CAS_DONE);
	return true;
}

static void node_clear(struct wood *w, const char *filter)
{
	struct topic_node *n = topic_tree_find(w->tree, split(w, filter));

	if (!n)
		return;
	assert_int_equal(topic_node_cas(n, topic_node_value(n), NULL), TOPIC_CAS_DONE);
	topic_tree_prune_later(w->tree, n);
}

static void *node_value(struct wood *w, const char *filter)
{
	struct topic_node *n = topic_tree_find(w->tree, split(w, filter));

	return n ? topic_node_value(n) : NULL;
}

static void housekeeping(struct wood *w)
{
	topic_tree_prune(w->tree, w->me);
	epoch_quiescent(w->me);
}

static void levels_are_split_as_they_stand_up_to_the_room(void **state)
{
	struct topic_levels *l = topic_levels_create(3);

	(void)state;
	assert_true(topic_levels_split(l, SEED, span_str("a//")));
	assert_int_equal(l->count, 3);
	assert_int_equal(l->at[0].len, 1);
	assert_int_equal(l->at[1].len, 0);
	assert_int_equal(l->at[2].len, 0);
	assert_false(l->dollar);
	assert_false(topic_levels_split(l, SEED, span_str("a///")));
	assert_true(topic_levels_split(l, SEED, span_str("$a")));
	assert_true(l->dollar);
	assert_int_equal(l->count, 1);
	free(l);
}

static void what_is_empty_is_pruned_up_to_what_is_not(void **state)
{
	struct wood w;
	int x;

	(void)state;
	wood_up(&w);
	assert_true(node_set(&w, "a/b", &x));
	assert_true(node_set(&w, "a/b/c/d", &x));
	assert_true(node_set(&w, "a/b/c/e", &x));
	assert_int_equal(topic_tree_nodes(w.tree), 5);
	node_clear(&w, "a/b/c/d");
	housekeeping(&w);
	assert_int_equal(topic_tree_nodes(w.tree), 4);
	node_clear(&w, "a/b/c/e");
	housekeeping(&w);
	assert_int_equal(topic_tree_nodes(w.tree), 2);
	assert_ptr_equal(node_value(&w, "a/b"), &x);
	/* back in time */
	node_clear(&w, "a/b");
	assert_true(node_set(&w, "a/b", &x));
	housekeeping(&w);
	assert_int_equal(topic_tree_nodes(w.tree), 2);
	node_clear(&w, "a/b");
	node_clear(&w, "a/b");
	housekeeping(&w);
	assert_int_equal(topic_tree_nodes(w.tree), 0);
	wood_down(&w);
}

static void a_level_with_many_children_grows_and_shrinks(void **state)
{
	struct wood w;
	char name[16];
	int x;

	(void)state;
	wood_up(&w);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 5000; i++) {
			snprintf(name, sizeof(name), "p/%u", i);
			assert_true(node_set(&w, name, &x));
		}
		assert_int_equal(topic_tree_nodes(w.tree), 5001);
		for (unsigned i = 0; i < 5000; i++) {
			struct topic_children all;
			unsigned n = 0;

			snprintf(name, sizeof(name), "p/%u", i);
			assert_ptr_equal(node_value(&w, name), &x);
			node_clear(&w, name);
			if (i % 1000)
				continue;
			housekeeping(&w);
			all = topic_node_children(topic_tree_find(w.tree, split(&w, "p")));
			while (topic_children_next(&all))
				n++;
			assert_int_equal(n, 4999 - i);
		}
		housekeeping(&w);
		assert_int_equal(topic_tree_nodes(w.tree), 0);
	}
	wood_down(&w);
}

/* ---- against a list of filters ---- */

#define FILTERS 300

struct model {
	char filter[64];
	bool is_set;
	unsigned matched;
};

static uint64_t next_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15u;
	return hash_fold(*state, 0xd6e8feb86659fd93u);
}

static void random_filter(uint64_t *random, char *out, bool is_topic)
{
	static const char *const words[] = {"a", "b", "c", "", "$s", "long level", "+", "#"};
	unsigned depth = 1 + (unsigned)(next_random(random) % 4);

	*out = '\0';
	for (unsigned i = 0; i < depth; i++) {
		unsigned kinds = is_topic ? 6 : i + 1 == depth ? 8 : 7;

		if (i)
			strcat(out, "/");
		strcat(out, words[next_random(random) % kinds]);
	}
	if (!*out)
		strcpy(out, "a");
}

static void count_match(void *arg, void *value)
{
	(void)arg;
	((struct model *)value)->matched++;
}

static void check_match(struct wood *w, struct model *all, unsigned n, const char *topic)
{
	struct topic_walk_entry stack[LEVELS + 2];

	for (unsigned i = 0; i < n; i++)
		all[i].matched = 0;
	topic_tree_match(w->tree, split(w, topic), stack, count_match, NULL);
	for (unsigned i = 0; i < n; i++) {
		bool wanted = all[i].is_set && mqtt_filter_matches(span_str(all[i].filter), span_str(topic));

		if (all[i].matched != wanted)
			fail_msg("%s for %s: %u instead of %d", all[i].filter, topic, all[i].matched, wanted);
	}
}

/* Distinct beginnings of the filters that are set. */
static unsigned count_nodes(const struct model *all, unsigned n)
{
	static char seen[FILTERS * 4][64];
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!all[i].is_set)
			continue;
		for (size_t at = 0; at <= strlen(all[i].filter); at++) {
			char prefix[64];
			unsigned k = 0;

			if (all[i].filter[at] != '/' && all[i].filter[at] != '\0')
				continue;
			snprintf(prefix, sizeof(prefix), "%.*s", (int)at, all[i].filter);
			while (k < count && strcmp(seen[k], prefix) != 0)
				k++;
			if (k == count)
				strcpy(seen[count++], prefix);
		}
	}
	return count;
}

static void the_tree_finds_what_a_list_of_filters_finds(void **state)
{
	static struct model all[FILTERS];
	struct wood w;

	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		uint64_t random = seed;
		unsigned n = 0;

		wood_up(&w);
		memset(all, 0, sizeof(all));
		for (unsigned step = 0; step < 2000; step++) {
			char name[64];
			unsigned i = 0, what = (unsigned)(next_random(&random) % 8);

			random_filter(&random, name, what >= 5);
			while (i < n && strcmp(all[i].filter, name) != 0)
				i++;
			if (what >= 5) {
				check_match(&w, all, n, name);
			} else if (what == 4) {
				housekeeping(&w);
				assert_int_equal(topic_tree_nodes(w.tree), count_nodes(all, n));
			} else if (what >= 2 && i < n) {
				node_clear(&w, name);
				all[i].is_set = false;
			} else if (i < n || n < FILTERS) {
				if (i == n)
					strcpy(all[n++].filter, name);
				assert_true(node_set(&w, name, &all[i]));
				all[i].is_set = true;
			}
			if (i < n)
				assert_ptr_equal(node_value(&w, name), all[i].is_set ? &all[i] : NULL);
		}
		for (unsigned i = 0; i < n; i++)
			node_clear(&w, all[i].filter);
		housekeeping(&w);
		assert_int_equal(topic_tree_nodes(w.tree), 0);
		wood_down(&w);
	}
}

static void without_memory_nothing_is_left_behind(void **state)
{
	struct wood w;
	char name[32];
	int x;
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		unsigned made = 0;

		wood_up(&w);
		alloc_fail_at(n);
		for (unsigned i = 0; i < 40; i++) {
			snprintf(name, sizeof(name), "%u/%u/z", i % 3, i);
			made += node_set(&w, name, &x);
			if (i == 20)
				housekeeping(&w); /* pruning may fail, too, and go on later */
		}
		for (unsigned i = 0; i < 40; i++) {
			snprintf(name, sizeof(name), "%u/%u/z", i % 3, i);
			made -= node_value(&w, name) != NULL;
			node_clear(&w, name);
		}
		assert_int_equal(made, 0);
		housekeeping(&w);
		hit = alloc_fail_end();
		for (unsigned i = 0; i < 40; i++) { /* what could not be pruned is when it is used again */
			snprintf(name, sizeof(name), "%u/%u/z", i % 3, i);
			node_clear(&w, name);
		}
		housekeeping(&w);
		if (!hit)
			assert_int_equal(topic_tree_nodes(w.tree), 0);
		wood_down(&w);
	}
}

static void a_tree_without_memory_is_not_made(void **state)
{
	struct topic_tree *t;
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		int rc;

		alloc_fail_at(n);
		rc = topic_tree_create(SEED, &t);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		assert_true(hit == !t);
	}
	topic_tree_destroy(t, NULL);
}

/* ---- four threads ---- */

#define THREADS 4
#define STEPS   25000u

struct worker {
	struct wood w; /* its own reader and levels */
	unsigned index;
	uint64_t random;
	bool wrong;
	bool starved; /* some of its allocations fail, or some of the others' */
	_Atomic bool *go;
};

struct mark { /* a value; freed when its readers are gone */
	struct epoch_node retired;
	uint32_t whole;
};

static void mark_free(struct epoch_node *n)
{
	struct mark *m = container_of(n, struct mark, retired);

	m->whole = 0;
	free(m);
}

static void saw_mark(void *arg, void *value)
{
	struct worker *me = arg;

	me->wrong |= ((struct mark *)value)->whole != 42;
}

/* false: memory is out. */
static bool set_shared(struct worker *me, const char *filter)
{
	struct wood *w = &me->w;
	struct mark *fresh = malloc(sizeof(*fresh)), *old = NULL;
	enum topic_cas done = TOPIC_CAS_DEAD;

	if (!fresh)
		return false;
	fresh->whole = 42;
	while (done != TOPIC_CAS_DONE) {
		struct topic_node *n = node_get(w, filter);

		if (!n) {
			free(fresh);
			return false;
		}
		old = topic_node_value(n);
		done = topic_node_cas(n, old, fresh);
	}
	if (old)
		epoch_retire(w->me, &old->retired, mark_free);
	return true;
}

static void clear_shared(struct worker *me, const char *filter)
{
	struct wood *w = &me->w;
	struct topic_node *n = topic_tree_find(w->tree, split(w, filter));
	struct mark *old = n ? topic_node_value(n) : NULL;

	if (!old || topic_node_cas(n, old, NULL) != TOPIC_CAS_DONE)
		return;
	epoch_retire(w->me, &old->retired, mark_free);
	topic_tree_prune_later(w->tree, n);
}

/* What only this thread changes is there as soon as it is set, whatever others do to its neighbours. */
static void own_steps(struct worker *me, const char *filter)
{
	struct mark *m;

	if (!node_value(&me->w, filter))
		(void)set_shared(me, filter);
	else if (next_random(&me->random) % 2)
		clear_shared(me, filter);
	m = node_value(&me->w, filter);
	if (m)
		saw_mark(me, m);
	if (set_shared(me, filter))
		me->wrong |= !node_value(&me->w, filter);
	else
		me->wrong |= !me->starved;
	clear_shared(me, filter);
	me->wrong |= node_value(&me->w, filter) != NULL;
}

static void walk_children(struct worker *me)
{
	struct topic_children all = topic_node_children(topic_tree_root(me->w.tree));
	struct topic_node *n;

	while ((n = topic_children_next(&all))) {
		struct mark *m = topic_node_value(n);

		if (m)
			saw_mark(me, m);
	}
}

static void one_step(struct worker *me)
{
	struct topic_walk_entry stack[LEVELS + 2];
	uint64_t what = next_random(&me->random);
	char name[64];

	random_filter(&me->random, name, false);
	if (me->starved && (what >> 40) % 4 == 0)
		alloc_fail_at(1 + (long)(what >> 48) % 8);
	switch (what % 8) {
	case 0:
	case 1:
		(void)set_shared(me, name);
		break;
	case 2:
	case 3:
	case 4:
		clear_shared(me, name);
		break;
	case 5:
		random_filter(&me->random, name, true);
		topic_tree_match(me->w.tree, split(&me->w, name), stack, saw_mark, me);
		break;
	case 6:
		snprintf(name, sizeof(name), "a/own%u/%u", me->index, (unsigned)(what >> 8) % 20);
		own_steps(me, name);
		break;
	default:
		walk_children(me);
	}
	if (what >> 32 & 1) {
		topic_tree_prune(me->w.tree, me->w.me);
		epoch_quiescent(me->w.me);
	}
}

static void *worker_run(void *arg)
{
	struct worker *me = arg;

	while (!atomic_load(me->go))
		;
	for (unsigned i = 0; i < STEPS; i++)
		one_step(me);
	epoch_offline(me->w.me);
	return NULL;
}

static void free_mark(void *value)
{
	free(value);
}

static void clear_all(struct wood *w)
{
	static const char *const words[] = {"a", "b", "c", "", "$s", "long level", "+", "#"};
	struct worker me = {.w = *w};
	char name[64];

	for (unsigned i = 0; i < 8 * 8 * 8 * 8; i++)
		for (unsigned depth = 1; depth <= 4; depth++) {
			*name = '\0';
			for (unsigned d = 0, k = i; d < depth; d++, k /= 8) {
				if (d)
					strcat(name, "/");
				strcat(name, words[k % 8]);
			}
			clear_shared(&me, name);
		}
}

/* `tidy`: empty and prune it afterwards, else it is destroyed with what is left. */
static void stress(uint64_t seed, bool tidy, bool starved)
{
	struct wood w;
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	_Atomic bool go = false;

	wood_up(&w);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){
			.w = w, .index = i, .random = seed * THREADS + i, .starved = starved, .go = &go};
		assert_int_equal(epoch_reader_create(w.domain, &workers[i].w.me), OK);
		workers[i].w.levels = topic_levels_create(LEVELS);
		assert_int_equal(pthread_create(&threads[i], NULL, worker_run, &workers[i]), 0);
	}
	epoch_offline(w.me);
	atomic_store(&go, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	(void)alloc_fail_end();
	epoch_online(w.me);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_false(workers[i].wrong);
		free(workers[i].w.levels);
		epoch_reader_destroy(workers[i].w.me);
	}
	if (tidy) {
		clear_all(&w);
		housekeeping(&w);
		assert_int_equal(topic_tree_nodes(w.tree), 0);
	}
	topic_tree_destroy(w.tree, free_mark);
	w.tree = NULL;
	wood_down(&w);
}

static void four_threads_share_a_tree_and_leave_nothing(void **state)
{
	(void)state;
	stress(1, true, false);
	stress(2, true, false);
}

/* Who froze a table must not need memory to go on, nor may what could not be pruned stay for ever. */
static void four_threads_without_memory_now_and_then_leave_nothing(void **state)
{
	(void)state;
	stress(4, true, true);
	stress(5, true, true);
}

static void a_tree_is_destroyed_as_four_threads_left_it(void **state)
{
	(void)state;
	stress(3, false, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_are_split_as_they_stand_up_to_the_room),
		cmocka_unit_test(what_is_empty_is_pruned_up_to_what_is_not),
		cmocka_unit_test(a_level_with_many_children_grows_and_shrinks),
		cmocka_unit_test(the_tree_finds_what_a_list_of_filters_finds),
		cmocka_unit_test(without_memory_nothing_is_left_behind),
		cmocka_unit_test(a_tree_without_memory_is_not_made),
		cmocka_unit_test(four_threads_share_a_tree_and_leave_nothing),
		cmocka_unit_test(four_threads_without_memory_now_and_then_leave_nothing),
		cmocka_unit_test(a_tree_is_destroyed_as_four_threads_left_it),
	};

	return cmocka_run_group_tests_name("mqtt_topic_tree", tests, NULL, NULL);
}
