#include "tools/store_groups.h"

#include <stdlib.h>
#include <string.h>

#include "tools/store_clients.h"
#include "tools/store_reader.h"

#define RETAINED_LINES 256u
#define RETAINED_BYTES (1u << 20)
#define NONE           UINT32_MAX

struct place {
	uint64_t offset;
	uint32_t next; /* line of the same group, by its place here */
};

struct chain {
	uint32_t first, last, n;
};

struct store_groups {
	struct store_reader reader;
	struct store_clients clients; /* `id` is the session's chain */
	struct place *places;         /* of lines, the first one is 0 */
	size_t nplaces, room;
	struct chain *chains; /* 0: retained messages */
	size_t nchains, chains_room;
	size_t at; /* the chain that comes next, from 1; past the last one: retained messages */
};

/* Room for one more, in an array that grows by doubling. */
static int make_room(void **array, size_t *room, size_t n, size_t size)
{
	size_t more = *room ? 2 * *room : 1024;
	void *fresh;

	if (n < *room)
		return OK;
	fresh = reallocarray(*array, more, size);
	if (!fresh)
		return ERR_NOMEM;
	*array = fresh;
	*room = more;
	return OK;
}

/* *out: its chain, which has no lines yet. */
static int add_chain(struct store_groups *g, size_t *out)
{
	int rc = make_room((void **)&g->chains, &g->chains_room, g->nchains, sizeof(*g->chains));

	if (rc < 0)
		return rc;
	*out = g->nchains++;
	g->chains[*out] = (struct chain){.first = NONE};
	return OK;
}

static int chain_of(struct store_groups *g, const struct store_line *l, size_t *out)
{
	struct store_client *c = store_clients_find(&g->clients, l->client);
	int rc;

	*out = 0;
	if (l->op.kind == STORE_OP_RETAINED)
		return OK;
	if ((c == NULL) != (l->op.kind == STORE_OP_SESSION))
		return store_reader_problem(&g->reader, "the file has changed meanwhile");
	if (c) {
		*out = c->id;
		return OK;
	}
	if ((rc = store_clients_add(&g->clients, l->client, 0, &c)) < 0 || (rc = add_chain(g, out)) < 0)
		return rc;
	c->id = (uint32_t)*out;
	return OK;
}

static int note(struct store_groups *g, const struct store_line *l, uint64_t offset)
{
	uint32_t place = (uint32_t)g->nplaces;
	struct chain *c;
	size_t chain = 0;
	int rc;

	if (g->nplaces == NONE)
		return store_reader_problem(&g->reader, "more lines than can be imported at once");
	rc = make_room((void **)&g->places, &g->room, g->nplaces, sizeof(*g->places));
	if (rc == OK)
		rc = l->kind == STORE_LINE_CHANGE ? chain_of(g, l, &chain) : OK;
	if (rc < 0)
		return rc;
	g->places[g->nplaces++] = (struct place){.offset = offset, .next = NONE};
	if (l->kind != STORE_LINE_CHANGE)
		return OK;
	c = &g->chains[chain];
	if (c->first == NONE)
		c->first = place;
	else
		g->places[c->last].next = place;
	c->last = place;
	c->n++;
	return OK;
}

static int read_places(struct store_groups *g)
{
	struct store_line line;
	uint64_t offset = 0;
	size_t bytes = 0;
	bool is_last = false;
	int rc = OK;

	while (rc == OK && !is_last) {
		if ((rc = store_reader_next(&g->reader, &line, &bytes)) < 0)
			return rc;
		rc = note(g, &line, offset);
		is_last = line.kind == STORE_LINE_END;
		store_line_fini(&line);
		offset += bytes + 1;
	}
	return rc;
}

int store_groups_open(FILE *from, struct store_problem *p, struct store_groups **out)
{
	struct store_groups *g = calloc(1, sizeof(*g));
	size_t retained;
	int rc;

	*p = (struct store_problem){0};
	if (!g)
		return ERR_NOMEM;
	g->reader = (struct store_reader){.from = from, .p = p};
	store_clients_init(&g->clients);
	g->at = 1;
	rc = add_chain(g, &retained);
	if (rc == OK)
		rc = read_places(g);
	if (rc < 0)
		store_groups_close(g);
	else
		*out = g;
	return rc;
}

void store_groups_close(struct store_groups *g)
{
	if (!g)
		return;
	store_clients_fini(&g->clients);
	store_reader_fini(&g->reader);
	free(g->places);
	free(g->chains);
	free(g);
}

void store_group_fini(struct store_group *g)
{
	for (size_t i = 0; i < g->n; i++)
		store_line_fini(&g->lines[i]);
	free(g->lines);
	*g = (struct store_group){0};
}

static int read_at(struct store_groups *g, uint32_t place, struct store_group *out)
{
	struct store_line *l = &out->lines[out->n];
	size_t bytes = 0;
	int rc;

	if (fseeko(g->reader.from, (off_t)g->places[place].offset, SEEK_SET) != 0)
		return ERR_IO;
	g->reader.line = place;
	if ((rc = store_reader_next(&g->reader, l, &bytes)) < 0)
		return rc;
	out->n++;
	out->bytes += bytes;
	return l->kind == STORE_LINE_CHANGE
		       ? OK
		       : store_reader_problem(&g->reader, "the file has changed meanwhile");
}

/* Is the first line what it was, and are the others of the same session? */
static int check(struct store_groups *g, const struct store_group *out, bool retained)
{
	for (size_t i = 0; i < out->n; i++) {
		const struct store_line *l = &out->lines[i];
		bool fits = retained ? l->op.kind == STORE_OP_RETAINED
				     : (l->op.kind == STORE_OP_SESSION) == (i == 0) &&
					       l->op.kind != STORE_OP_RETAINED &&
					       span_equal(l->client, out->lines[0].client);

		if (!fits)
			return store_reader_problem(&g->reader, "the file has changed meanwhile");
	}
	return OK;
}

static struct chain *next_chain(struct store_groups *g)
{
	return g->at < g->nchains ? &g->chains[g->at++] : &g->chains[0];
}

int store_groups_next(struct store_groups *g, struct store_group *out)
{
	struct chain *c = next_chain(g);
	bool retained = c == g->chains;
	size_t most = retained && c->n > RETAINED_LINES ? RETAINED_LINES : c->n;
	int rc = OK;

	*out = (struct store_group){0};
	if (c->first == NONE)
		return OK;
	out->lines = calloc(most, sizeof(*out->lines));
	if (!out->lines)
		return ERR_NOMEM;
	while (rc == OK && out->n < most && (!retained || out->bytes < RETAINED_BYTES)) {
		rc = read_at(g, c->first, out);
		c->first = g->places[c->first].next;
		c->n--;
	}
	if (rc == OK)
		rc = check(g, out, retained);
	if (rc < 0)
		store_group_fini(out);
	return rc;
}
