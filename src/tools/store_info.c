/*
 * lineside store info: what is in a store.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/hmap.h"
#include "store/care.h"
#include "tools/store_tool.h"
#include "tools/text.h"

#define SESSIONS_SHOWN 50u

struct session_info {
	struct hmap_node by_id;
	uint32_t id;
	uint64_t subs, received, rows, bytes;
	int64_t away_ms;
	size_t len;
	char *client;
};

struct info {
	struct session_info **all;
	size_t n, room;
	struct hmap by_id;
	uint64_t subs, received, inflight, retained, retained_bytes, rows, bytes, away;
	int64_t oldest_ms; /* since when the first of those that are away is; 0: none */
	int64_t last_ms;
	struct care_sizes sizes;
};

/* ---- reading ---- */

static uint64_t hash_of(uint32_t id)
{
	return hash_bytes(1, &id, sizeof(id));
}

static struct session_info *find(struct info *i, uint32_t id)
{
	for (struct hmap_node *n = hmap_find(&i->by_id, hash_of(id)); n; n = hmap_next(n))
		if (container_of(n, struct session_info, by_id)->id == id)
			return container_of(n, struct session_info, by_id);
	return NULL;
}

static int add(struct info *i, const struct store_session *s)
{
	struct session_info *one, **more = i->all;

	if (i->n == i->room) {
		more = realloc(i->all, (i->room * 2 + 64) * sizeof(*more));
		if (!more)
			return ERR_NOMEM;
		i->all = more;
		i->room = i->room * 2 + 64;
	}
	one = calloc(1, sizeof(*one));
	if (!one)
		return ERR_NOMEM;
	*one = (struct session_info){.id = s->id,
				     .rows = s->rows,
				     .bytes = s->row_bytes,
				     .away_ms = s->away_ms,
				     .len = s->client_id.len};
	one->client = strndup((const char *)s->client_id.p, s->client_id.len);
	if (!one->client) {
		free(one);
		return ERR_NOMEM;
	}
	i->all[i->n++] = one;
	hmap_insert(&i->by_id, &one->by_id, hash_of(s->id));
	return OK;
}

static int found_session(void *arg, const struct store_session *s)
{
	struct info *i = arg;
	int rc = add(i, s);

	if (rc < 0)
		return rc;
	i->rows += s->rows;
	i->bytes += s->row_bytes;
	i->away += s->away_ms != 0;
	if (s->away_ms && (!i->oldest_ms || s->away_ms < i->oldest_ms))
		i->oldest_ms = s->away_ms;
	return OK;
}

static int found_sub(void *arg, const struct store_sub *sub)
{
	struct info *i = arg;
	struct session_info *s = find(i, sub->session);

	i->subs++;
	if (s)
		s->subs++;
	return OK;
}

static int found_received(void *arg, uint32_t session, uint16_t packet_id)
{
	struct info *i = arg;
	struct session_info *s = find(i, session);

	(void)packet_id;
	i->received++;
	if (s)
		s->received++;
	return OK;
}

static int found_inflight(void *arg, const struct store_row *row)
{
	(void)row;
	((struct info *)arg)->inflight++;
	return OK;
}

static int found_retained(void *arg, const struct store_retained *r)
{
	struct info *i = arg;

	i->retained++;
	i->retained_bytes += r->msg.topic.len + r->msg.payload.len;
	return OK;
}

static int read_all(const struct store_tool *t, struct info *i)
{
	static const struct store_loader loader = {.session = found_session,
						   .sub = found_sub,
						   .received = found_received,
						   .inflight = found_inflight,
						   .retained = found_retained};
	struct store_backend *b = NULL;
	char why[512] = "";
	int rc = care_sizes(t->folder, &i->sizes, why, sizeof(why));

	if (rc < 0) {
		store_tool_complain(t, t->folder, why);
		return rc;
	}
	if ((rc = store_tool_open(t, &b)) < 0)
		return rc;
	rc = b->ops->load(b, &loader, i);
	i->last_ms = b->ops->last_ms(b);
	b->ops->close(b);
	if (rc < 0)
		store_tool_complain(t, t->folder, err_text(rc));
	return rc;
}

static void info_fini(struct info *i)
{
	for (size_t k = 0; k < i->n; k++) {
		free(i->all[k]->client);
		free(i->all[k]);
	}
	free(i->all);
	hmap_fini(&i->by_id);
}

/* ---- printing ---- */

/* What waits most comes first. */
static int by_waiting(const void *a, const void *b)
{
	const struct session_info *x = *(struct session_info *const *)a,
				  *y = *(struct session_info *const *)b;

	if (x->rows != y->rows)
		return x->rows < y->rows ? 1 : -1;
	return strcmp(x->client, y->client);
}

static void print_sessions(const struct info *i, FILE *to)
{
	static const char *const titles[] = {"<client", ">waiting", ">bytes", ">subscriptions",
					     "<away since"};
	struct table t;
	char buf[32];

	t.titles = titles;
	t.ncolumns = sizeof(titles) / sizeof(titles[0]);
	for (t.nrows = 0; t.nrows < i->n && t.nrows < SESSIONS_SHOWN; t.nrows++) {
		const struct session_info *s = i->all[t.nrows];

		table_set_text(&t, 0, s->client);
		table_set_num(&t, 1, (long long)s->rows);
		table_set_text(&t, 2, text_bytes((long long)s->bytes, buf, sizeof(buf)));
		table_set_num(&t, 3, (long long)s->subs);
		table_set_text(&t, 4, s->away_ms ? text_time(s->away_ms, buf, sizeof(buf)) : "connected");
	}
	table_print(&t, to);
	if (i->n > t.nrows)
		fprintf(to, "and %zu more sessions; --json tells of all\n", i->n - t.nrows);
}

static void print(const struct store_tool *t, const struct info *i)
{
	char a[32], b[32], c[32];

	printf("%-14s %s, format %lld\n", "Store", t->folder, (long long)i->sizes.format);
	printf("%-14s %s, %s of it free; log %s\n", "Database",
	       text_bytes((long long)i->sizes.bytes, a, sizeof(a)),
	       text_bytes((long long)i->sizes.free_bytes, b, sizeof(b)),
	       text_bytes((long long)i->sizes.log_bytes, c, sizeof(c)));
	printf("%-14s %s\n", "Last written", text_time(i->last_ms, a, sizeof(a)));
	printf("%-14s %zu, %llu of them away", "Sessions", i->n, (unsigned long long)i->away);
	if (i->oldest_ms)
		printf(", the first since %s", text_time(i->oldest_ms, a, sizeof(a)));
	printf("\n%-14s %llu\n", "Subscriptions", (unsigned long long)i->subs);
	printf("%-14s %llu messages, %s; %llu of QoS 2 on their way, %llu coming in\n", "Waiting",
	       (unsigned long long)i->rows, text_bytes((long long)i->bytes, a, sizeof(a)),
	       (unsigned long long)i->inflight, (unsigned long long)i->received);
	printf("%-14s %llu messages, %s\n", "Retained", (unsigned long long)i->retained,
	       text_bytes((long long)i->retained_bytes, a, sizeof(a)));
	print_sessions(i, stdout);
}

static json_t *sessions_json(const struct info *i)
{
	json_t *list = json_array();

	for (size_t k = 0; list && k < i->n; k++) {
		const struct session_info *s = i->all[k];
		json_t *one = json_pack("{s:s%, s:I, s:I, s:I, s:I, s:I}", "client", s->client, s->len,
					"messages", (json_int_t)s->rows, "bytes", (json_int_t)s->bytes,
					"subscriptions", (json_int_t)s->subs, "received",
					(json_int_t)s->received, "away_ms", (json_int_t)s->away_ms);

		if (json_array_append_new(list, one) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int print_json(const struct store_tool *t, const struct info *i)
{
	json_t *all = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I}, s:{s:I, s:I}, s:o}",
				"path", t->folder, "format", (json_int_t)i->sizes.format, "bytes",
				(json_int_t)i->sizes.bytes, "free_bytes", (json_int_t)i->sizes.free_bytes,
				"log_bytes", (json_int_t)i->sizes.log_bytes, "last_ms",
				(json_int_t)i->last_ms, "subscriptions", (json_int_t)i->subs, "inflight",
				(json_int_t)i->inflight, "waiting", "messages", (json_int_t)i->rows, "bytes",
				(json_int_t)i->bytes, "retained", "messages", (json_int_t)i->retained,
				"bytes", (json_int_t)i->retained_bytes, "sessions", sessions_json(i));
	int rc = all && json_dumpf(all, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF ? OK : ERR_IO;

	json_decref(all);
	return rc;
}

int store_tool_info(const struct store_tool *t)
{
	struct info i = {0};
	int rc = read_all(t, &i);

	if (rc == OK) {
		if (i.n)
			qsort(i.all, i.n, sizeof(struct session_info *), by_waiting);
		if (t->json)
			rc = print_json(t, &i);
		else
			print(t, &i);
	}
	info_fini(&i);
	return rc == OK && fflush(stdout) == 0 ? 0 : 1;
}
