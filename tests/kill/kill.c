/*
 * Loads a broker with publishers and persistent subscribers, kills it with SIGKILL at random moments, also while it starts,
 * starts it again, and compares what was acknowledged with what was delivered.
 *
 *     kill_load -p PORT [-k KILLS] [-s SEED] [-m SPAN_MS] [-r RATE] [-w PATIENCE_S] COMMAND...
 *
 *     -k  how often (8). 0: never; connections are cut all the same, and the load ends after SPAN_MS
 *     -m  the longest time between a start and its end (1500)
 *     -r  of all publishers, messages a second (5000)
 *     -w  what does not come while nothing else moved for so long is lost (20)
 *
 * One JSON object on stdout tells what happened. Exit: 0 every promise was kept; 1 not; 2 it could not run.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"
#include "ledger.h"
#include "publisher.h"
#include "subscriber.h"
#include "witness.h"

#define MS          1000000u
#define REDIAL_NS   (3u * MS)
#define CUT_MS      400u /* between two cuts of some connection, at most */
#define START_MAX_S 60u
#define TURN_MS     1

/* Online, in and out, slow, hardly ever there, and one that comes in the middle. */
static const struct subscriber_plan plans[] = {
	{.name = "online-1", .version = MQTT_V5, .qos = 1, .publisher = SUBSCRIBER_ALL},
	{.name = "online-2", .version = MQTT_V311, .qos = 2, .publisher = SUBSCRIBER_ALL},
	{.name = "online-narrow", .version = MQTT_V5, .qos = 2, .publisher = 1, .receive_maximum = 20},
	{.name = "visitor-1",
	 .version = MQTT_V311,
	 .qos = 1,
	 .publisher = SUBSCRIBER_ALL,
	 .here_ms = 1500,
	 .away_ms = 4000},
	{.name = "visitor-2",
	 .version = MQTT_V5,
	 .qos = 2,
	 .publisher = SUBSCRIBER_ALL,
	 .here_ms = 1500,
	 .away_ms = 4000},
	{.name = "visitor-short",
	 .version = MQTT_V311,
	 .qos = 2,
	 .publisher = 3,
	 .here_ms = 100,
	 .away_ms = 300},
	{.name = "slow-1", .version = MQTT_V5, .qos = 1, .publisher = 4, .receive_maximum = 8, .ack_ms = 60},
	{.name = "slow-2", .version = MQTT_V5, .qos = 2, .publisher = 5, .receive_maximum = 8, .ack_ms = 30},
	{.name = "slow-old", .version = MQTT_V311, .qos = 2, .publisher = 7, .ack_ms = 200},
	{.name = "rare-1", .version = MQTT_V5, .qos = 1, .publisher = 0, .here_ms = 300, .away_ms = 30000},
	{.name = "absent-1", .version = MQTT_V311, .qos = 1, .publisher = 6, .is_absent = true},
	{.name = "absent-2", .version = MQTT_V5, .qos = 2, .publisher = 7, .is_absent = true},
	{.name = "late-2", .version = MQTT_V5, .qos = 2, .publisher = SUBSCRIBER_ALL, .late_ms = 3000},
};

#define SUBSCRIBERS (sizeof(plans) / sizeof(plans[0]))
#define LINKS       (LEDGER_PUBLISHERS + SUBSCRIBERS + 1)

enum stage { STAGE_SUBSCRIBE, STAGE_KILL, STAGE_DRAIN, STAGE_LOOK, STAGE_END };

struct world {
	uint16_t port;
	unsigned kills, span_ms, patience_s;
	double rate;
	uint64_t seed, random;
	struct ledger ledger;
	struct publisher publishers[LEDGER_PUBLISHERS];
	struct subscriber subscribers[SUBSCRIBERS];
	struct witness witness;
	struct broker broker;
	struct link *links[LINKS];
	enum stage stage;
	unsigned killed, killed_in_start;
	uint64_t begin_ns, kill_ns, cut_ns, turn_ns; /* kill: 0: when it is up, it is drawn */
	uint64_t moved, moved_ns;
};

static uint64_t draw(struct world *w, uint64_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random % below;
}

static void world_init(struct world *w)
{
	/* A few fast ones and a few slow ones, whose messages those that are slow or away get. */
	static const double shares[LEDGER_PUBLISHERS] = {0.25, 0.2, 0.2, 0.2, 0.04, 0.03, 0.04, 0.04};
	unsigned n = 0;

	ledger_init(&w->ledger);
	for (unsigned i = 0; i < LEDGER_PUBLISHERS; i++) {
		publisher_init(&w->publishers[i], &w->ledger, i, w->port, w->rate * shares[i]);
		w->links[n++] = &w->publishers[i].link;
	}
	for (unsigned i = 0; i < SUBSCRIBERS; i++) {
		subscriber_init(&w->subscribers[i], &w->ledger, &plans[i], w->port, draw(w, UINT32_MAX));
		w->links[n++] = &w->subscribers[i].link;
	}
	witness_init(&w->witness, &w->ledger, w->port);
	w->links[n] = &w->witness.link;
}

static void world_fini(struct world *w)
{
	for (unsigned i = 0; i < LEDGER_PUBLISHERS; i++)
		publisher_fini(&w->publishers[i]);
	for (unsigned i = 0; i < SUBSCRIBERS; i++)
		subscriber_fini(&w->subscribers[i]);
	witness_fini(&w->witness);
	ledger_fini(&w->ledger);
}

/* ---- connections ---- */

static bool is_wanted(const struct world *w, unsigned link, uint64_t now_ns)
{
	if (link < LEDGER_PUBLISHERS)
		return true;
	if (link < LEDGER_PUBLISHERS + SUBSCRIBERS)
		return subscriber_is_wanted(&w->subscribers[link - LEDGER_PUBLISHERS], now_ns);
	return w->witness.is_wanted;
}

static void dial_all(struct world *w, uint64_t now_ns)
{
	for (unsigned i = 0; i < LINKS; i++) {
		struct link *l = w->links[i];

		if (l->state != LINK_DOWN || now_ns - l->since_ns < REDIAL_NS || !is_wanted(w, i, now_ns))
			continue;
		link_dial(l);
		l->since_ns = now_ns;
	}
}

static void transfer(struct world *w)
{
	struct pollfd fds[LINKS];

	for (unsigned i = 0; i < LINKS; i++) {
		bool is_stuck = link_flush(w->links[i]);

		fds[i] = (struct pollfd){.fd = w->links[i]->fd,
					 .events = (short)(POLLIN | (is_stuck ? POLLOUT : 0))};
	}
	if (poll(fds, LINKS, TURN_MS) <= 0)
		return;
	for (unsigned i = 0; i < LINKS; i++) {
		if (w->links[i]->fd >= 0 && fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			link_readable(w->links[i]);
	}
}

/* Networks fail too. */
static void cut_some(struct world *w, uint64_t now_ns)
{
	struct link *l = w->links[draw(w, LINKS)];

	if (now_ns < w->cut_ns || w->stage != STAGE_KILL)
		return;
	w->cut_ns = now_ns + draw(w, CUT_MS) * MS;
	if (l->state == LINK_OPEN)
		link_cut(l);
}

/* ---- the broker's lives ---- */

static void next_life(struct world *w)
{
	broker_start(&w->broker);
	w->ledger.life++;
	w->kill_ns = 0;
	w->witness.is_wanted = w->stage == STAGE_KILL ? draw(w, 2) : w->stage == STAGE_LOOK;
	if (w->stage == STAGE_KILL && draw(w, 5) == 0)
		w->kill_ns = w->broker.started_ns + draw(w, w->broker.start_took_ns * 3 / 2 + MS);
}

static void notice_up(struct world *w, uint64_t now_ns)
{
	for (unsigned i = 0; i < LINKS && w->broker.up_ns == 0; i++) {
		if (w->links[i]->state == LINK_OPEN && w->links[i]->since_ns > w->broker.started_ns) {
			w->broker.up_ns = now_ns;
			w->broker.start_took_ns = now_ns - w->broker.started_ns;
		}
	}
	if (w->broker.up_ns == 0 && now_ns - w->broker.started_ns > START_MAX_S * 1000ull * MS) {
		ledger_fault(&w->ledger, LEDGER_STALLED, "start", 0, w->killed);
		w->stage = STAGE_END;
	}
}

static void end_life(struct world *w)
{
	if (w->kills > 0) {
		broker_kill(&w->broker);
		next_life(w);
		return;
	}
	w->witness.is_wanted = w->stage == STAGE_LOOK;
	for (unsigned i = 0; i < LINKS; i++)
		link_cut(w->links[i]);
}

/* Short lives are more likely than long ones. */
static void kill_sometimes(struct world *w, uint64_t now_ns)
{
	uint64_t u = draw(w, 1000);

	if (w->stage != STAGE_KILL)
		return;
	if (w->kill_ns == 0 && w->broker.up_ns > 0)
		w->kill_ns = w->broker.up_ns + (w->kills > 0 ? u * u : MS) * w->span_ms;
	if (w->kill_ns == 0 || now_ns < w->kill_ns)
		return;
	w->killed += w->kills > 0;
	w->killed_in_start += w->kills > 0 && w->broker.up_ns == 0;
	if (w->killed == w->kills)
		w->stage = STAGE_DRAIN;
	end_life(w);
}

/* ---- the course ---- */

static bool all_granted(const struct world *w)
{
	for (unsigned i = 0; i < SUBSCRIBERS; i++) {
		if (!w->subscribers[i].is_granted && plans[i].late_ms == 0)
			return false;
	}
	return true;
}

static bool has_all_arrived(struct world *w, bool report)
{
	bool is_complete = true;

	for (unsigned i = 0; i < LEDGER_PUBLISHERS; i++) {
		if (!publisher_is_idle(&w->publishers[i]))
			return false;
	}
	for (unsigned i = 0; i < SUBSCRIBERS; i++)
		is_complete &=
			w->subscribers[i].is_granted && subscriber_is_complete(&w->subscribers[i], report);
	return is_complete;
}

static bool has_looked(const struct world *w)
{
	for (unsigned i = 0; i < SUBSCRIBERS; i++) {
		if (w->subscribers[i].link.state != LINK_OPEN || !w->subscribers[i].is_quiet)
			return false;
	}
	return !w->witness.is_wanted;
}

static void begin_load(struct world *w)
{
	w->stage = STAGE_KILL;
	for (unsigned i = 0; i < LEDGER_PUBLISHERS; i++)
		w->publishers[i].is_stopped = false;
}

static void settle(struct world *w)
{
	for (unsigned i = 0; i < LEDGER_PUBLISHERS; i++)
		w->publishers[i].is_stopped = true;
	for (unsigned i = 0; i < SUBSCRIBERS; i++)
		subscriber_settle(&w->subscribers[i]);
}

/* One more death, and what comes then must be nothing new. */
static void look_again(struct world *w)
{
	w->stage = STAGE_LOOK;
	end_life(w);
}

static bool is_stalled(struct world *w, uint64_t now_ns)
{
	const struct ledger *g = &w->ledger;
	uint64_t moved = g->acked + g->delivered + g->redelivered + g->resent + w->killed + w->stage;

	if (moved != w->moved || w->broker.up_ns == 0)
		w->moved_ns = now_ns;
	w->moved = moved;
	return now_ns - w->moved_ns > w->patience_s * 1000ull * MS;
}

/* What did not come in time is lost. */
static void give_up(struct world *w)
{
	for (unsigned i = 0; i < LEDGER_PUBLISHERS; i++) {
		if (!publisher_is_idle(&w->publishers[i]))
			ledger_fault(&w->ledger, LEDGER_STALLED, w->publishers[i].link.client_id, i,
				     w->publishers[i].base);
	}
	for (unsigned i = 0; i < SUBSCRIBERS; i++) {
		subscriber_is_complete(&w->subscribers[i], true);
		if (w->subscribers[i].link.state != LINK_OPEN || !w->subscribers[i].is_granted)
			ledger_fault(&w->ledger, LEDGER_STALLED, w->subscribers[i].link.client_id, 0,
				     w->stage);
	}
	if (w->stage == STAGE_LOOK)
		witness_miss(&w->witness);
}

static void go_on(struct world *w, uint64_t now_ns)
{
	switch (w->stage) {
	case STAGE_SUBSCRIBE:
		if (all_granted(w))
			begin_load(w);
		break;
	case STAGE_KILL:
		break;
	case STAGE_DRAIN:
		settle(w);
		if (w->broker.up_ns > 0 && has_all_arrived(w, false))
			look_again(w);
		break;
	case STAGE_LOOK:
		if (w->broker.up_ns > 0 && has_looked(w))
			w->stage = STAGE_END;
		break;
	case STAGE_END:
		return;
	}
	if (!is_stalled(w, now_ns))
		return;
	give_up(w);
	if (w->stage == STAGE_DRAIN)
		look_again(w);
	else
		w->stage = STAGE_END;
}

static void turn(struct world *w)
{
	uint64_t now = link_now_ns();
	double seconds = (double)(now - w->turn_ns) / 1e9;

	w->turn_ns = now;
	dial_all(w, now);
	for (unsigned i = 0; i < LEDGER_PUBLISHERS; i++)
		publisher_tick(&w->publishers[i], seconds);
	for (unsigned i = 0; i < SUBSCRIBERS; i++)
		subscriber_tick(&w->subscribers[i], now);
	transfer(w);
	if (broker_has_died(&w->broker)) {
		ledger_fault(&w->ledger, LEDGER_DIED, "broker", 0, w->killed);
		w->stage = STAGE_END;
		return;
	}
	notice_up(w, now);
	cut_some(w, now);
	kill_sometimes(w, now);
	go_on(w, now);
}

static void report(const struct world *w)
{
	const struct ledger *g = &w->ledger;
	uint64_t sent = 0;

	for (unsigned i = 0; i < LEDGER_PUBLISHERS; i++)
		sent += g->publishers[i].next;
	printf("{\"seed\": %" PRIu64
	       ", \"kills\": %u, \"in_start\": %u, \"seconds\": %.1f, \"sent\": %" PRIu64
	       ", \"acknowledged\": %" PRIu64 ", \"delivered\": %" PRIu64 ", \"delivered_again\": %" PRIu64
	       ", \"sent_again\": %" PRIu64 ", \"retained_looks\": %" PRIu64,
	       w->seed, w->killed, w->killed_in_start, (double)(link_now_ns() - w->begin_ns) / 1e9, sent,
	       g->acked, g->delivered, g->redelivered, g->resent, w->witness.looks);
	for (unsigned i = 0; i < LEDGER_NFAULTS; i++)
		printf(", \"%s\": %" PRIu64, ledger_fault_key(i), g->faults[i]);
	printf("}\n");
}

static bool options(struct world *w, int argc, char **argv)
{
	int c;

	*w = (struct world){.kills = 8, .seed = 1, .span_ms = 1500, .rate = 5000, .patience_s = 20};
	while ((c = getopt(argc, argv, "+p:k:s:m:r:w:")) != -1) {
		switch (c) {
		case 'p':
			w->port = (uint16_t)atoi(optarg);
			break;
		case 'k':
			w->kills = (unsigned)atoi(optarg);
			break;
		case 's':
			w->seed = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			w->span_ms = (unsigned)atoi(optarg);
			break;
		case 'r':
			w->rate = atof(optarg);
			break;
		case 'w':
			w->patience_s = (unsigned)atoi(optarg);
			break;
		default:
			return false;
		}
	}
	w->broker.command = argv + optind;
	w->random = w->seed * 0x9e3779b97f4a7c15u | 1;
	return w->port > 0 && optind < argc;
}

int main(int argc, char **argv)
{
	static struct world w;
	int status = 0;

	if (!options(&w, argc, argv)) {
		fprintf(stderr,
			"usage: %s -p PORT [-k KILLS] [-s SEED] [-m SPAN_MS] [-r RATE] [-w PATIENCE_S] "
			"COMMAND...\n",
			argv[0]);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	w.begin_ns = w.turn_ns = w.moved_ns = link_now_ns();
	world_init(&w);
	next_life(&w);
	while (w.stage != STAGE_END)
		turn(&w);
	if (w.broker.pid > 0)
		status = broker_stop(&w.broker);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		ledger_fault(&w.ledger, LEDGER_DIED, "broker at SIGTERM", 0, w.killed);
		fprintf(stderr, "wait status %#x\n", (unsigned)status);
	}
	report(&w);
	status = ledger_faults(&w.ledger) > 0;
	world_fini(&w);
	return status;
}
