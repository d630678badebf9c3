/*
 * Clients are told to use another server: each worker is given the reference, ends its connections and refuses new ones.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mqtt/conn.h"
#include "mqtt/worker.h"

struct redirect_call {
	struct worker_call call;
	struct redirect *redirect; /* NULL: there is none any more */
};

static void redirect_run(struct worker *w, struct worker_call *call)
{
	struct redirect_call *r = container_of(call, struct redirect_call, call);

	free(w->redirect);
	w->redirect = r->redirect;
	free(r);
	if (!w->redirect)
		return;
	/* those whose CONNECT has not come are refused when it does */
	list_for_each (n, &w->conns) {
		struct conn *c = container_of(n, struct conn, in_worker);

		if (c->state != CONN_NEW && !c->own)
			conn_close(c, w->redirect->reason, "clients are sent to another server");
	}
}

static void redirect_cancel(struct worker_call *call)
{
	struct redirect_call *r = container_of(call, struct redirect_call, call);

	free(r->redirect);
	free(r);
}

static struct redirect_call *call_create(const char *to, bool for_good)
{
	struct redirect_call *r = malloc(sizeof(*r));
	size_t size;

	if (!r)
		return NULL;
	*r = (struct redirect_call){.call = {.run = redirect_run, .cancel = redirect_cancel}};
	if (!to)
		return r;
	size = strlen(to) + 1;
	r->redirect = malloc(sizeof(*r->redirect) + size);
	if (!r->redirect) {
		free(r);
		return NULL;
	}
	r->redirect->reason = for_good ? MQTT_RC_SERVER_MOVED : MQTT_RC_USE_ANOTHER_SERVER;
	memcpy(r->redirect->text, to, size);
	return r;
}

int broker_redirect(struct broker *b, const char *to, bool for_good)
{
	struct redirect_call *calls[BROKER_LANES_MAX];
	uint32_t n = 0;

	assert(!to || (strlen(to) > 0 && strlen(to) <= REDIRECT_BYTES_MAX));
	while (n < b->nworkers && (calls[n] = call_create(to, for_good)))
		n++;
	if (n < b->nworkers) {
		while (n > 0)
			redirect_cancel(&calls[--n]->call);
		return ERR_NOMEM;
	}
	for (uint32_t i = 0; i < n; i++)
		worker_call(b->workers[i], &calls[i]->call);
	return OK;
}
