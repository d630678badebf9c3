/*
 * How fast the database is, on a core of its own, without the engine above it:
 *
 *   build/store_sqlite_bench [FOLDER [fsync|os [PAYLOAD]]]
 *
 * Figures are rows a second and the processor's time per row.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/backend.h"

#define SESSIONS 1000u

static struct {
	struct store_backend *b;
	const char *folder;
	enum store_durability durability;
	char payload[65536];
	size_t len;
	int64_t ms;
} bench;

static double now_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct timing {
	double wall, cpu;
};

static struct timing start(void)
{
	return (struct timing){now_s(CLOCK_MONOTONIC), now_s(CLOCK_PROCESS_CPUTIME_ID)};
}

static void stop(struct timing t, const char *what, uint64_t rows)
{
	double wall = now_s(CLOCK_MONOTONIC) - t.wall, cpu = now_s(CLOCK_PROCESS_CPUTIME_ID) - t.cpu;

	printf("%-52s %9.0f /s  %6.2f us of cpu each  %7.1f MB\n", what, (double)rows / wall,
	       cpu / (double)rows * 1e6, (double)bench.b->ops->bytes(bench.b) / 1e6);
	fflush(stdout);
	while (bench.b->ops->tidy(bench.b))
		;
}

static void must(int rc, const char *what)
{
	if (rc == OK)
		return;
	fprintf(stderr, "%s: %s\n", what, err_text(rc));
	exit(1);
}

static void open_store(void)
{
	struct store_sqlite_options o = {.folder = bench.folder, .durability = bench.durability};
	char why[512];
	int rc = store_sqlite_open(&o, &bench.b, why, sizeof(why));

	if (rc < 0)
		fprintf(stderr, "%s\n", why);
	must(rc, "open");
}

static void begin(void)
{
	must(bench.b->ops->begin(bench.b), "begin");
}

static void apply(const struct store_op *op)
{
	must(bench.b->ops->apply(bench.b, op), "apply");
}

static void commit(void)
{
	must(bench.b->ops->commit(bench.b, bench.ms++), "commit");
}

static struct store_msg message(void)
{
	return (struct store_msg){.topic = span_str("plant1/line3/press7/temp"),
				  .payload = span_of(bench.payload, bench.len),
				  .qos = 1};
}

static void put_sessions(void)
{
	char client[32];

	begin();
	for (uint32_t i = 1; i <= SESSIONS; i++) {
		struct store_op op = {.kind = STORE_OP_SESSION, .session = {.id = i, .expiry_s = UINT32_MAX}};

		op.session.client_id =
			span_of(client, (size_t)snprintf(client, sizeof(client), "client%u", i));
		apply(&op);
	}
	commit();
}

/* A message of its own for each of the sessions in turn. */
static void distinct(uint64_t *seq, unsigned per_commit, uint64_t rows)
{
	struct timing t = start();
	char what[64];

	for (uint64_t i = 0; i < rows; i += per_commit) {
		begin();
		for (uint64_t j = i; j < i + per_commit; j++) {
			struct store_op op = {.kind = STORE_OP_ROW,
					      .row = {.session = (uint32_t)(j % SESSIONS) + 1,
						      .seq = *seq + j / SESSIONS,
						      .qos = 1,
						      .msg = message()}};

			apply(&op);
		}
		commit();
	}
	*seq += rows / SESSIONS;
	snprintf(what, sizeof(what), "one message to one of 1000 sessions, %u a commit", per_commit);
	stop(t, what, rows);
}

static void shared(uint64_t *seq, uint64_t *id, unsigned per_commit, uint64_t messages)
{
	struct timing t = start();
	char what[64];

	for (uint64_t i = 0; i < messages; i += per_commit) {
		begin();
		for (uint64_t j = i; j < i + per_commit; j++) {
			struct store_op op = {.kind = STORE_OP_MSG,
					      .shared = {.msg_id = ++*id, .msg = message()}};

			apply(&op);
			op = (struct store_op){.kind = STORE_OP_ROW,
					       .row = {.seq = (*seq)++, .qos = 1, .msg_id = *id}};
			for (uint32_t k = 1; k <= 100; k++) {
				op.row.session = k;
				apply(&op);
			}
		}
		commit();
	}
	snprintf(what, sizeof(what), "one message to 100 sessions, %u messages a commit", per_commit);
	stop(t, what, messages * 100);
}

static bool found(void *arg, const struct store_row *row)
{
	uint64_t *n = arg;

	(void)row;
	return ++n[0] % 100 != 0;
}

static uint64_t read_back(uint64_t end)
{
	struct timing t = start();
	uint64_t n = 0;

	for (uint32_t s = 1; s <= SESSIONS; s++)
		for (uint64_t from = 1; from < end; from += 100) {
			uint64_t before = n;

			must(bench.b->ops->read(bench.b, s, from, found, &n), "read");
			if (n == before)
				break;
		}
	stop(t, "reading back, 100 rows a time", n);
	return n;
}

static void drop(uint64_t end, uint64_t step, uint64_t rows)
{
	struct timing t = start();
	char what[64];

	for (uint64_t below = step; below < end + step; below += step) {
		begin();
		for (uint32_t s = 1; s <= SESSIONS; s++) {
			struct store_op op = {.kind = STORE_OP_DROP_ROWS,
					      .row = {.session = s, .seq = below}};

			apply(&op);
		}
		commit();
	}
	snprintf(what, sizeof(what), "deleting by watermark, %" PRIu64 " rows of each session", step);
	stop(t, what, rows);
}

static void retained(uint64_t count)
{
	struct timing t = start();
	char topic[64];

	for (uint64_t i = 0; i < count; i += 1000) {
		begin();
		for (uint64_t j = i; j < i + 1000; j++) {
			uint64_t mixed = j * UINT64_C(2654435761) % count;
			struct store_op op = {.kind = STORE_OP_RETAINED, .retained = {.stamp = j + 1}};

			op.retained.msg.topic = span_of(
				topic, (size_t)snprintf(topic, sizeof(topic),
							"plant%" PRIu64 "/line%" PRIu64 "/tag%" PRIu64,
							mixed % 10, mixed / 10 % 100, mixed));
			op.retained.msg.payload = span_of(bench.payload, 40);
			apply(&op);
		}
		commit();
	}
	stop(t, "retained messages, 1000 a commit", count);
}

static int told(void *arg, const struct store_retained *r)
{
	uint64_t *n = arg;

	(void)r;
	++*n;
	return OK;
}

static int told_session(void *arg, const struct store_session *s)
{
	uint64_t *n = arg;

	*n += s->rows;
	return OK;
}

static void reopen(void)
{
	static const struct store_loader loader = {.retained = told, .session = told_session};
	struct timing t;
	uint64_t n = 0;

	bench.b->ops->close(bench.b);
	t = start();
	open_store();
	must(bench.b->ops->load(bench.b, &loader, &n), "load");
	stop(t, "opening and loading: retained and queued rows", n);
	printf("    %" PRIu64 " in %.3f s\n", n, now_s(CLOCK_MONOTONIC) - t.wall);
}

int main(int argc, char **argv)
{
	static const struct store_loader nothing = {0};
	uint64_t seq = 1, id = 0, rows;

	bench.folder = argc > 1 ? argv[1] : "/tmp/lineside-store-bench";
	bench.durability = argc > 2 && strcmp(argv[2], "os") == 0 ? STORE_OS : STORE_FSYNC;
	bench.len = argc > 3 ? strtoul(argv[3], NULL, 10) : 128;
	if (bench.len > sizeof(bench.payload))
		return 2;
	memset(bench.payload, 'x', sizeof(bench.payload));
	open_store();
	must(bench.b->ops->load(bench.b, &nothing, NULL), "load");
	put_sessions();
	distinct(&seq, 100, 100000);
	distinct(&seq, 300, 300000);
	distinct(&seq, 1000, 300000);
	rows = read_back(seq);
	drop(seq, 10, rows);
	shared(&seq, &id, 1, 5000);
	shared(&seq, &id, 10, 20000);
	shared(&seq, &id, 50, 20000);
	rows = read_back(seq);
	drop(seq, 100, rows);
	retained(1000000);
	distinct(&seq, 1000, 100000);
	reopen();
	bench.b->ops->close(bench.b);
	return 0;
}
