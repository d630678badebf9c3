/* A worker's subscriptions and the interest of all workers, which it keeps up to date. */
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
#include "mqtt/sub_tree.h"

#define SEED     5
#define LEVELS   8
#define LANES    3
#define SESSIONS 4
#define FILTERS  24

/* The tree does not look into sessions. */
struct session {
	struct list subs;
	bool online, stored;
};

struct lot {
	struct epoch_domain *domain;
	struct epoch_reader *readers[LANES];
	struct interest *interest;
	struct sub_tree *trees[LANES];
	struct session sessions[LANES][SESSIONS];
	struct topic_levels *levels;
};

static void lot_up(struct lot *x)
{
	assert_int_equal(epoch_domain_create(&x->domain), OK);
	assert_int_equal(interest_create(SEED, &x->interest), OK);
	interest_set_lanes(x->interest, LANES);
	x->levels = topic_levels_create(LEVELS);
	for (unsigned i = 0; i < LANES; i++) {
		assert_int_equal(epoch_reader_create(x->domain, &x->readers[i]), OK);
		assert_int_equal(
			sub_tree_create(x->interest, x->readers[i], SEED, (uint16_t)i, LEVELS, &x->trees[i]),
			OK);
		for (unsigned s = 0; s < SESSIONS; s++) {
			list_init(&x->sessions[i][s].subs);
			x->sessions[i][s].online = s % 2;
			x->sessions[i][s].stored = s >= SESSIONS / 2;
		}
	}
}

static void remove_all(struct lot *x, unsigned lane)
{
	for (unsigned s = 0; s < SESSIONS; s++) {
		struct session *session = &x->sessions[lane][s];

		while (!list_empty(&session->subs))
			sub_tree_remove(x->trees[lane],
					container_of(session->subs.next, struct sub, in_session),
					session->online);
	}
}

static void lot_down(struct lot *x)
{
	for (unsigned i = 0; i < LANES; i++) {
		remove_all(x, i);
		assert_int_equal(sub_tree_count(x->trees[i]), 0);
		sub_tree_destroy(x->trees[i]);
		epoch_reader_destroy(x->readers[i]);
	}
	interest_destroy(x->interest);
	epoch_domain_destroy(x->domain);
	free(x->levels);
}

static void housekeeping(struct lot *x)
{
	for (unsigned i = 0; i < LANES; i++) {
		interest_prune(x->interest, x->readers[i]);
		epoch_quiescent(x->readers[i]);
	}
}

/* ---- against a list ---- */

static const char *const filters[FILTERS] = {
	"a",
	"b",
	"a/b",
	"a/+",
	"+",
	"#",
	"a/#",
	"+/b",
	"+/#",
	"$s/+",
	"$s/#",
	"/",
	"+/+",
	"a/b/c",
	"a/+/c",
	"a/b/#",
	"$share/g/a",
	"$share/g/a/+",
	"$share/h/a",
	"$share/h/+/b",
	"$share/g/#",
	"$share/h/$s/+",
	"$share/g/a/b",
	"$share/i/a/b",
};
static const char *const topics[] = {"a", "b", "a/b", "a/b/c", "$s/x", "/", "a/", "c/d/e/f"};

struct model {
	bool has[LANES][SESSIONS][FILTERS];
	uint8_t qos[LANES][SESSIONS][FILTERS];
};

struct found {
	unsigned subs[SESSIONS]; /* plain subscriptions of each, and the sum of their QoS */
	unsigned qos[SESSIONS];
	struct session *sessions;
	unsigned shares;
	uint32_t online[LANES], away[LANES];
	uint64_t kept; /* by groups */
};

static void found_sub(void *arg, struct sub *s)
{
	struct found *f = arg;

	f->subs[s->session - f->sessions]++;
	f->qos[s->session - f->sessions] += s->options.qos;
}

static void found_share(void *arg, struct interest_share *s)
{
	struct found *f = arg;

	f->shares++;
	f->kept |= interest_share_kept(s);
	for (unsigned i = 0; i < LANES; i++) {
		f->online[i] += interest_share_members(s, i).online;
		f->away[i] += interest_share_members(s, i).away;
	}
}

static bool is_wanted(const char *filter, const char *topic, bool *shared)
{
	struct span group, rest;

	*shared = mqtt_filter_shared(span_str(filter), &group, &rest);
	return mqtt_filter_matches(*shared ? rest : span_str(filter), span_str(topic));
}

/* Does any session of the store there get it with a QoS above 0? */
static bool is_kept(const struct lot *x, const struct model *m, unsigned lane, const char *topic,
		    bool by_group)
{
	bool kept = false;

	for (unsigned s = 0; s < SESSIONS; s++)
		for (unsigned i = 0; i < FILTERS; i++) {
			bool shared, wanted = is_wanted(filters[i], topic, &shared) && m->has[lane][s][i];

			kept |= wanted && shared == by_group && x->sessions[lane][s].stored &&
				m->qos[lane][s][i] > 0;
		}
	return kept;
}

static void check_lane(struct lot *x, const struct model *m, unsigned lane, const char *topic, uint64_t lanes,
		       uint64_t kept, struct found *shares)
{
	struct found f = {.sessions = x->sessions[lane]};
	struct sub_found what = {.sub = found_sub, .arg = &f};
	struct topic_walk_entry stack[LEVELS + 2];
	bool any = false;
	uint64_t told, told_kept;

	sub_tree_match(x->trees[lane], x->levels, stack, &what, &told, &told_kept);
	assert_true(told == lanes && told_kept == kept);
	for (unsigned s = 0; s < SESSIONS; s++) {
		unsigned n = 0, qos = 0;

		for (unsigned i = 0; i < FILTERS; i++) {
			bool shared, wanted = is_wanted(filters[i], topic, &shared) && m->has[lane][s][i];

			n += wanted && !shared;
			qos += wanted && !shared ? m->qos[lane][s][i] : 0;
			if (wanted && shared && x->sessions[lane][s].online)
				shares->online[lane]--;
			else if (wanted && shared)
				shares->away[lane]--;
		}
		assert_int_equal(f.subs[s], n);
		assert_int_equal(f.qos[s], qos);
		any |= n > 0;
	}
	assert_int_equal(lanes >> lane & 1, any);
	assert_int_equal(kept >> lane & 1, is_kept(x, m, lane, topic, false));
	assert_int_equal(shares->kept >> lane & 1, is_kept(x, m, lane, topic, true));
	assert_int_equal(shares->online[lane], 0);
	assert_int_equal(shares->away[lane], 0);
}

static void check_topic(struct lot *x, const struct model *m, const char *topic)
{
	struct topic_walk_entry stack[LEVELS + 2];
	struct found shares = {0};
	struct interest_found what = {.share = found_share, .arg = &shares};
	uint64_t lanes, kept;
	unsigned groups = 0;

	assert_true(topic_levels_split(x->levels, SEED, span_str(topic)));
	interest_match(x->interest, 0, x->levels, stack, &what, &lanes, &kept);
	for (unsigned i = 0; i < FILTERS; i++) {
		bool shared, wanted = is_wanted(filters[i], topic, &shared), has = false;

		for (unsigned at = 0; at < LANES * SESSIONS; at++)
			has |= m->has[at / SESSIONS][at % SESSIONS][i];
		groups += wanted && shared && has;
	}
	assert_int_equal(shares.shares, groups); /* and none that is gone */
	for (unsigned lane = 0; lane < LANES; lane++)
		check_lane(x, m, lane, topic, lanes, kept, &shares);
}

static uint64_t next_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15u;
	return hash_fold(*state, 0xd6e8feb86659fd93u);
}

static void change_one(struct lot *x, struct model *m, uint64_t random)
{
	unsigned lane = (unsigned)(random >> 8) % LANES, at = (unsigned)(random >> 16) % SESSIONS;
	unsigned i = (unsigned)(random >> 24) % FILTERS;
	struct session *s = &x->sessions[lane][at];
	struct sub *sub = sub_tree_find(x->trees[lane], s, span_str(filters[i]));
	struct sub_options o = {.qos = (uint8_t)(random >> 40) % 3, .is_stored = s->stored};
	bool existed;

	assert_int_equal(sub != NULL, m->has[lane][at][i]);
	switch (random % 8) {
	case 0:
		s->online = !s->online;
		sub_tree_presence(x->trees[lane], &s->subs, s->online);
		break;
	case 1:
	case 2:
	case 3:
		if (sub)
			sub_tree_remove(x->trees[lane], sub, s->online);
		m->has[lane][at][i] = false;
		break;
	default:
		assert_int_equal(sub_tree_add(x->trees[lane], s, &s->subs, s->online, span_str(filters[i]),
					      &o, &sub, &existed),
				 OK);
		assert_int_equal(existed, m->has[lane][at][i]);
		m->has[lane][at][i] = true;
		m->qos[lane][at][i] = o.qos;
	}
}

static void all_workers_know_what_the_lists_of_subscriptions_say(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct model m = {0};
		uint64_t random = seed;
		struct lot x;

		lot_up(&x);
		for (unsigned step = 0; step < 2000; step++) {
			change_one(&x, &m, next_random(&random));
			if (step % 10 == 0)
				check_topic(&x, &m, topics[next_random(&random) % 8]);
			if (step % 37)
				continue;
			housekeeping(&x);
		}
		lot_down(&x);
	}
}

static void a_filter_with_too_many_levels_is_refused(void **state)
{
	struct lot x;
	struct sub_options o = {0};
	struct sub *sub;
	bool existed;

	(void)state;
	lot_up(&x);
	assert_int_equal(sub_tree_add(x.trees[0], &x.sessions[0][0], &x.sessions[0][0].subs, true,
				      span_str("1/2/3/4/5/6/7/8/9"), &o, &sub, &existed),
			 ERR_RANGE);
	assert_null(sub_tree_find(x.trees[0], &x.sessions[0][0], span_str("1/2/3/4/5/6/7/8/9")));
	assert_int_equal(sub_tree_add(x.trees[0], &x.sessions[0][0], &x.sessions[0][0].subs, false,
				      span_str("$share/g/1/2/3/4/5/6/7/8"), &o, &sub, &existed),
			 OK);
	lot_down(&x);
}

static void without_memory_nothing_has_changed(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct model m = {0};
		struct lot x;

		lot_up(&x);
		alloc_fail_at(n);
		for (unsigned i = 0; i < 2 * FILTERS; i++) {
			struct session *s = &x.sessions[0][SESSIONS / 2 - 1 + i / FILTERS];
			struct sub_options o = {.qos = 1, .is_stored = s->stored};
			struct sub *sub;
			bool existed;
			int rc = sub_tree_add(x.trees[0], s, &s->subs, s->online,
					      span_str(filters[i % FILTERS]), &o, &sub, &existed);

			assert_true(rc == OK || rc == ERR_NOMEM);
			m.has[0][s - x.sessions[0]][i % FILTERS] = rc == OK;
			m.qos[0][s - x.sessions[0]][i % FILTERS] = 1;
		}
		hit = alloc_fail_end();
		for (unsigned i = 0; i < 8; i++)
			check_topic(&x, &m, topics[i]);
		lot_down(&x);
	}
}

/* ---- very many: with a step for each of the others, these take hours ---- */

#define VERY_MANY 300000u

static struct sub *add_one(struct lot *x, struct session *s, const char *filter)
{
	struct sub_options o = {0};
	struct sub *sub;
	bool existed;

	assert_int_equal(sub_tree_add(x->trees[0], s, &s->subs, true, span_str(filter), &o, &sub, &existed),
			 OK);
	assert_false(existed);
	return sub;
}

static void very_many_subscribers_of_one_filter_take_linear_time(void **state)
{
	static const char *const both[] = {"a/+/c", "$share/g/a/+/c"};
	struct session *many = calloc(VERY_MANY, sizeof(*many));
	struct lot x;

	(void)state;
	assert_non_null(many);
	lot_up(&x);
	for (unsigned i = 0; i < VERY_MANY; i++) {
		list_init(&many[i].subs);
		add_one(&x, &many[i], both[0]);
		add_one(&x, &many[i], both[1]);
	}
	assert_int_equal(sub_tree_count(x.trees[0]), 2 * VERY_MANY);
	for (unsigned i = 0; i < VERY_MANY; i++) {
		struct session *s =
			&many[i % 2 ? i : VERY_MANY - 2 - i]; /* odd ones from below, even ones from above */

		for (unsigned k = 0; k < 2; k++) {
			struct sub *sub = sub_tree_find(x.trees[0], s, span_str(both[k]));

			assert_ptr_equal(sub->session, s);
			sub_tree_remove(x.trees[0], sub, true);
		}
	}
	housekeeping(&x);
	lot_down(&x);
	free(many);
}

static void very_many_filters_of_one_session_take_linear_time(void **state)
{
	struct lot x;
	struct session *s;
	char filter[40];

	(void)state;
	lot_up(&x);
	s = &x.sessions[0][0];
	for (unsigned i = 0; i < VERY_MANY; i++) {
		snprintf(filter, sizeof(filter), "%s%u%s", i % 3 == 2 ? "$share/g/" : "", i,
			 i % 3 ? "" : "/+");
		add_one(&x, s, filter);
	}
	for (unsigned i = 0; i < VERY_MANY; i += 2) {
		snprintf(filter, sizeof(filter), "%s%u%s", i % 3 == 2 ? "$share/g/" : "", i,
			 i % 3 ? "" : "/+");
		sub_tree_remove(x.trees[0], sub_tree_find(x.trees[0], s, span_str(filter)), true);
	}
	housekeeping(&x);
	assert_int_equal(sub_tree_count(x.trees[0]), VERY_MANY / 2);
	remove_all(&x, 0); /* the session ends */
	housekeeping(&x);
	lot_down(&x);
}

/* ---- a thread for each lane ---- */

struct hand {
	struct lot *x;
	struct topic_levels *levels;
	unsigned lane;
	const struct sub *wanted, *seen;
	bool wrong;
};

/* None of another worker. */
static void seen_sub(void *arg, struct sub *s)
{
	struct hand *h = arg;
	const struct session *mine = h->x->sessions[h->lane];

	h->wrong |= s->session < mine || s->session >= mine + SESSIONS;
	if (s == h->wanted)
		h->seen = s;
}

static void seen_share(void *arg, struct interest_share *s)
{
	struct hand *h = arg;

	h->wrong |= s->key.len < 3 || s->key.p[1] != '/';
}

static void *hand_run(void *arg)
{
	struct hand *h = arg;
	struct lot *x = h->x;
	struct sub_tree *tree = x->trees[h->lane];
	uint64_t random = h->lane;

	for (unsigned step = 0; step < 80000; step++) {
		uint64_t r = next_random(&random);
		struct session *s = &x->sessions[h->lane][(r >> 16) % SESSIONS];
		const char *filter = filters[(r >> 24) % FILTERS], *topic = topics[(r >> 32) % 8];
		struct sub *sub = sub_tree_find(tree, s, span_str(filter));
		struct topic_walk_entry stack[LEVELS + 2];
		struct sub_found found = {.sub = seen_sub, .share = seen_share, .arg = h};
		struct sub_options o = {.qos = (uint8_t)(r >> 41) % 2, .is_stored = s->stored};
		uint64_t lanes, kept;
		bool existed, shared;

		if (sub)
			sub_tree_remove(tree, sub, s->online);
		else if (sub_tree_add(tree, s, &s->subs, s->online, span_str(filter), &o, &sub, &existed) < 0)
			h->wrong = true;
		(void)!topic_levels_split(h->levels, SEED, span_str(topic));
		h->seen = NULL;
		h->wanted = sub_tree_find(tree, s, span_str(filter));
		sub_tree_match(tree, h->levels, stack, &found, &lanes, &kept);
		/* one's own change shows at once */
		if (is_wanted(filter, topic, &shared) && !shared && h->wanted)
			h->wrong |= !(lanes >> h->lane & 1) || h->seen != h->wanted ||
				    (sub_is_kept(h->wanted) && !(kept >> h->lane & 1));
		if (r >> 40 & 1) {
			interest_prune(x->interest, x->readers[h->lane]);
			epoch_quiescent(x->readers[h->lane]);
		}
	}
	epoch_offline(x->readers[h->lane]);
	return NULL;
}

static void workers_change_and_look_up_interest_at_once(void **state)
{
	struct lot x;
	struct hand hands[LANES];
	pthread_t threads[LANES];
	struct model none = {0};

	(void)state;
	lot_up(&x);
	for (unsigned i = 0; i < LANES; i++) {
		hands[i] = (struct hand){.x = &x, .levels = topic_levels_create(LEVELS), .lane = i};
		assert_int_equal(pthread_create(&threads[i], NULL, hand_run, &hands[i]), 0);
	}
	for (unsigned i = 0; i < LANES; i++) {
		pthread_join(threads[i], NULL);
		assert_false(hands[i].wrong);
		free(hands[i].levels);
		epoch_online(x.readers[i]);
	}
	for (unsigned i = 0; i < LANES; i++)
		remove_all(&x, i);
	for (unsigned i = 0; i < 8; i++)
		check_topic(&x, &none, topics[i]);
	lot_down(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_workers_know_what_the_lists_of_subscriptions_say),
		cmocka_unit_test(a_filter_with_too_many_levels_is_refused),
		cmocka_unit_test(without_memory_nothing_has_changed),
		cmocka_unit_test(very_many_subscribers_of_one_filter_take_linear_time),
		cmocka_unit_test(very_many_filters_of_one_session_take_linear_time),
		cmocka_unit_test(workers_change_and_look_up_interest_at_once),
	};

	return cmocka_run_group_tests_name("mqtt_sub_tree", tests, NULL, NULL);
}
