#include <string.h>

#include "tools/store_clients.h"
#include "tools/store_copy.h"
#include "tools/store_line.h"

struct exporting {
	FILE *to;
	struct store_counts *n;
	struct store_clients clients;
	uint64_t lines;
	struct store_client *client; /* whose rows are read */
	int rc;
};

static int print(struct exporting *e, struct span client, const struct store_op *op)
{
	e->lines++;
	return store_line_print(e->to, client, op);
}

static int print_of(struct exporting *e, uint32_t session, const struct store_op *op)
{
	const struct store_client *c = store_clients_find_id(&e->clients, session);

	if (!c)
		return OK;
	e->n->subs += op->kind == STORE_OP_SUB;
	e->n->received += op->kind == STORE_OP_RECEIVED;
	return print(e, store_client_name(c), op);
}

static int found_session(void *arg, const struct store_session *s)
{
	struct store_op op = {.kind = STORE_OP_SESSION, .session = *s};
	struct exporting *e = arg;
	struct store_client *c;
	int rc;

	if (!s->client_id.len) /* being imported just now */
		return OK;
	rc = store_clients_add(&e->clients, s->client_id, s->id, &c);
	if (rc < 0)
		return rc;
	c->next_seq = s->next_seq > s->first_seq ? s->first_seq : 0; /* 0: there are no rows to look for */
	e->n->sessions++;
	return print(e, s->client_id, &op);
}

static int found_sub(void *arg, const struct store_sub *sub)
{
	struct store_op op = {.kind = STORE_OP_SUB, .sub = *sub};
	struct exporting *e = arg;

	return print_of(e, sub->session, &op);
}

static int found_received(void *arg, uint32_t session, uint16_t packet_id)
{
	struct store_op op = {.kind = STORE_OP_RECEIVED, .row = {.session = session, .packet_id = packet_id}};
	struct exporting *e = arg;

	return print_of(e, session, &op);
}

static int found_retained(void *arg, const struct store_retained *r)
{
	struct store_op op = {.kind = STORE_OP_RETAINED, .retained = *r};
	struct exporting *e = arg;

	e->n->retained++;
	return print(e, span_of(NULL, 0), &op);
}

static bool found_row(void *arg, const struct store_row *row)
{
	struct store_op op = {.kind = STORE_OP_ROW, .row = *row};
	struct exporting *e = arg;

	e->n->messages++;
	e->rc = print(e, store_client_name(e->client), &op);
	return e->rc == OK;
}

static int print_rows(struct exporting *e, struct store_backend *b)
{
	int rc = OK;

	list_for_each (n, &e->clients.all) {
		e->client = container_of(n, struct store_client, node);
		if (rc == OK && e->client->next_seq)
			rc = b->ops->read(b, e->client->id, e->client->next_seq, found_row, e);
		rc = rc == OK ? e->rc : rc;
	}
	return rc;
}

int store_export(struct store_backend *b, FILE *to, struct store_counts *n)
{
	static const struct store_loader loader = {.session = found_session,
						   .sub = found_sub,
						   .received = found_received,
						   .retained = found_retained};
	struct exporting e = {.to = to, .n = n, .lines = 1};
	int rc;

	*n = (struct store_counts){0};
	store_clients_init(&e.clients);
	rc = store_line_print_begin(to);
	if (rc == OK)
		rc = b->ops->load(b, &loader, &e);
	if (rc == OK)
		rc = print_rows(&e, b);
	if (rc == OK)
		rc = store_line_print_end(to, e.lines);
	if (rc == OK && fflush(to) != 0)
		rc = ERR_IO;
	store_clients_fini(&e.clients);
	return rc;
}
