#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tools/store_clients.h"
#include "tools/store_copy.h"
#include "tools/store_reader.h"

#define BATCH_LINES 4096u
#define BATCH_BYTES (16u << 20)

/* ---- checking ---- */

/* Packet ids that a session has in use, in one direction: a second of the same kind cannot be. */
struct used_id {
	struct hmap_node node;
	uint64_t key;
};

struct checking {
	struct store_reader reader;
	struct store_counts *n;
	struct store_clients clients;
	struct hmap used;
};

static int use_packet_id(struct checking *c, uint32_t session, bool is_received, uint16_t packet_id)
{
	uint64_t key = (uint64_t)session << 17 | (uint64_t)is_received << 16 | packet_id;
	uint64_t hash = hash_bytes(1, &key, sizeof(key));
	struct used_id *u;

	for (struct hmap_node *n = hmap_find(&c->used, hash); n; n = hmap_next(n))
		if (container_of(n, struct used_id, node)->key == key)
			return store_reader_problem(&c->reader, "\"packet_id\": %u is that of a line before",
						    packet_id);
	u = calloc(1, sizeof(*u));
	if (!u)
		return ERR_NOMEM;
	u->key = key;
	hmap_insert(&c->used, &u->node, hash);
	return OK;
}

static void used_fini(struct hmap *used)
{
	size_t from = 0;
	struct hmap_node *n;

	while ((n = hmap_any(used, &from))) {
		hmap_remove(used, n);
		free(container_of(n, struct used_id, node));
	}
	hmap_fini(used);
}

static int check_session(struct checking *c, const struct store_line *l)
{
	struct store_client *client;
	int rc;

	if (store_clients_find(&c->clients, l->client))
		return store_reader_problem(&c->reader,
					    "\"client\": there is a session of this client before");
	if ((rc = store_clients_add(&c->clients, l->client, 0, &client)) < 0)
		return rc;
	c->n->sessions++;
	rc = store_clients_number(&c->clients, client);
	return rc == ERR_FULL ? store_reader_problem(&c->reader, "more sessions than a store can have") : rc;
}

static int check_change(struct checking *c, const struct store_line *l)
{
	struct store_client *client;

	if (l->op.kind == STORE_OP_SESSION)
		return check_session(c, l);
	if (l->op.kind == STORE_OP_RETAINED) {
		c->n->retained++;
		return OK;
	}
	client = store_clients_find(&c->clients, l->client);
	if (!client)
		return store_reader_problem(&c->reader,
					    "\"client\": the session of this client is not in a line before");
	if (l->op.kind == STORE_OP_SUB) {
		c->n->subs++;
	} else if (l->op.kind == STORE_OP_RECEIVED) {
		c->n->received++;
		return use_packet_id(c, client->id, true, l->op.row.packet_id);
	} else {
		c->n->messages++;
		if (l->op.row.state != STORE_WAITS)
			return use_packet_id(c, client->id, false, l->op.row.packet_id);
	}
	return OK;
}

/* ERR_EXISTS: that was the last line. */
static int check_line(struct checking *c, const struct store_line *l)
{
	struct store_reader *r = &c->reader;

	if ((l->kind == STORE_LINE_BEGIN) != (r->line == 1))
		return store_reader_problem(r, r->line == 1 ? "the first line of an export is missing"
							    : "the first line of an export, in its midst");
	if (l->kind == STORE_LINE_CHANGE)
		return check_change(c, l);
	if (l->kind == STORE_LINE_BEGIN)
		return OK;
	if (l->lines != r->line - 1)
		return store_reader_problem(
			r, "%llu lines should be before this one: some are missing or too many",
			(unsigned long long)l->lines);
	return ERR_EXISTS;
}

static int check_end(struct store_reader *r)
{
	int c;

	while ((c = getc(r->from)) != EOF)
		if (c != '\n') {
			r->line++;
			return store_reader_problem(r, "more lines behind the last line of an export");
		}
	return ferror(r->from) ? ERR_IO : OK;
}

int store_import_check(FILE *from, struct store_counts *n, struct store_problem *p)
{
	struct checking c = {.reader = {.from = from, .p = p}, .n = n};
	struct store_line line;
	size_t bytes = 0;
	int rc;

	*n = (struct store_counts){0};
	*p = (struct store_problem){0};
	store_clients_init(&c.clients);
	do {
		if ((rc = store_reader_next(&c.reader, &line, &bytes)) < 0)
			break;
		rc = check_line(&c, &line);
		store_line_fini(&line);
	} while (rc == OK);
	if (rc == ERR_EXISTS)
		rc = check_end(&c.reader);
	store_clients_fini(&c.clients);
	used_fini(&c.used);
	store_reader_fini(&c.reader);
	return rc;
}

/* ---- importing ---- */

struct importing {
	struct store_reader reader;
	struct store_backend *b;
	struct store_clients clients;
	struct hmap topics; /* hashes of those that are there */
	struct store_import_result *out;
	struct store_line *lines; /* of the open transaction, which looks at them until it ends */
	size_t nlines, bytes;
	bool is_open;
	uint64_t stamp; /* of the next retained message */
	bool replace;
	int64_t wall_ms;
};

static int found_session(void *arg, const struct store_session *s)
{
	struct importing *i = arg;
	struct store_client *c;

	return store_clients_add(&i->clients, s->client_id, s->id, &c);
}

static int found_retained(void *arg, const struct store_retained *r)
{
	struct hmap_node *n = calloc(1, sizeof(*n));
	struct importing *i = arg;

	if (!n)
		return ERR_NOMEM;
	hmap_insert(&i->topics, n, hash_span(1, r->msg.topic));
	return OK;
}

static void topics_fini(struct hmap *topics)
{
	size_t from = 0;
	struct hmap_node *n;

	while ((n = hmap_any(topics, &from))) {
		hmap_remove(topics, n);
		free(n);
	}
	hmap_fini(topics);
}

/* End the transaction: `rc` is what it came to so far. */
static int finish(struct importing *i, int rc)
{
	if (i->is_open && rc == OK)
		rc = i->b->ops->commit(i->b, i->wall_ms);
	if (i->is_open && rc < 0)
		i->b->ops->rollback(i->b);
	i->is_open = false;
	for (size_t k = 0; k < i->nlines; k++)
		store_line_fini(&i->lines[k]);
	i->nlines = i->bytes = 0;
	return rc;
}

static int take_session(struct importing *i, struct store_line *l)
{
	struct store_client *c = store_clients_find(&i->clients, l->client);
	struct store_op drop = {.kind = STORE_OP_DROP_SESSION};
	int rc;

	if (!c) {
		if ((rc = store_clients_add(&i->clients, l->client, 0, &c)) < 0 ||
		    (rc = store_clients_number(&i->clients, c)) < 0)
			return rc;
	} else if (!i->replace) {
		c->is_left = true;
		i->out->kept++;
		return OK;
	} else {
		drop.id = c->id;
		if ((rc = i->b->ops->apply(i->b, &drop)) < 0)
			return rc;
	}
	l->op.session.id = c->id;
	i->out->taken.sessions++;
	return i->b->ops->apply(i->b, &l->op);
}

static int take_of_session(struct importing *i, struct store_line *l)
{
	struct store_client *c = store_clients_find(&i->clients, l->client);
	struct store_counts *n = &i->out->taken;

	if (!c)
		return store_reader_problem(&i->reader, "the file has changed meanwhile");
	if (c->is_left)
		return OK;
	if (l->op.kind == STORE_OP_SUB) {
		l->op.sub.session = c->id;
		n->subs++;
	} else {
		l->op.row.session = c->id;
		n->received += l->op.kind == STORE_OP_RECEIVED;
		n->messages += l->op.kind == STORE_OP_ROW;
		if (l->op.kind == STORE_OP_ROW)
			l->op.row.seq = c->next_seq++;
	}
	return i->b->ops->apply(i->b, &l->op);
}

/* Stamps begin at 2, so what is there stands against one with 1. */
static int take_retained(struct importing *i, struct store_line *l)
{
	bool is_there = hmap_find(&i->topics, hash_span(1, l->op.retained.msg.topic)) != NULL;

	l->op.retained.stamp = is_there && !i->replace ? 1 : i->stamp++;
	if (is_there && !i->replace)
		i->out->kept_retained++;
	else
		i->out->taken.retained++;
	return i->b->ops->apply(i->b, &l->op);
}

static int take(struct importing *i, struct store_line *l)
{
	switch (l->op.kind) {
	case STORE_OP_SESSION:
		return take_session(i, l);
	case STORE_OP_RETAINED:
		return take_retained(i, l);
	default:
		return take_of_session(i, l);
	}
}

/* The next line; ERR_EXISTS: that was the last. */
static int take_line(struct importing *i)
{
	struct store_line *l = &i->lines[i->nlines];
	size_t bytes = 0;
	int rc = store_reader_next(&i->reader, l, &bytes);

	if (rc < 0)
		return rc;
	if (l->kind != STORE_LINE_CHANGE) {
		rc = l->kind == STORE_LINE_END ? ERR_EXISTS : OK;
		store_line_fini(l);
		return rc;
	}
	if (!i->is_open && (rc = i->b->ops->begin(i->b)) < 0) {
		store_line_fini(l);
		return rc;
	}
	i->is_open = true;
	i->nlines++;
	i->bytes += bytes;
	if ((rc = take(i, l)) < 0)
		return rc;
	return i->nlines == BATCH_LINES || i->bytes > BATCH_BYTES ? finish(i, OK) : OK;
}

int store_import(struct store_backend *b, FILE *from, bool replace, int64_t wall_ms,
		 struct store_import_result *out, struct store_problem *p)
{
	static const struct store_loader loader = {.session = found_session, .retained = found_retained};
	struct importing i = {
		.reader = {.from = from, .p = p}, .b = b, .out = out, .replace = replace, .wall_ms = wall_ms};
	int rc;

	*out = (struct store_import_result){0};
	*p = (struct store_problem){0};
	store_clients_init(&i.clients);
	i.lines = calloc(BATCH_LINES, sizeof(*i.lines));
	rc = i.lines ? b->ops->load(b, &loader, &i) : ERR_NOMEM;
	i.stamp = rc == OK ? b->ops->last_stamp(b) + 2 : 0;
	while (rc == OK)
		rc = take_line(&i);
	rc = finish(&i, rc == ERR_EXISTS ? OK : rc);
	free(i.lines);
	store_clients_fini(&i.clients);
	topics_fini(&i.topics);
	store_reader_fini(&i.reader);
	return rc;
}
