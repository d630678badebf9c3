#include "net/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

struct resolve {
	/* The lock is held for a few instructions: the helper must not notify a source that is being removed. */
	pthread_mutex_t lock;
	struct loop *loop; /* NULL: nobody to tell. Under the lock */
	bool finished;     /* Under the lock */
	unsigned refs;     /* the asker and the helper. Under the lock */

	struct loop_source source;
	void (*done)(void *arg, const union tcp_addr *addrs, unsigned naddrs);
	void *arg;

	char *host;
	uint16_t port;
	unsigned naddrs;                         /* the helper's until finished */
	union tcp_addr addrs[RESOLVE_ADDRS_MAX]; /* the same */
};

static void unref_unlock(struct resolve *r)
{
	bool last = --r->refs == 0;

	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r->host);
	free(r);
}

static void look_up(struct resolve *r)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char port[8];

	snprintf(port, sizeof(port), "%u", (unsigned)r->port);
	if (getaddrinfo(r->host, port, &hints, &found) != 0)
		return;
	for (const struct addrinfo *a = found; a && r->naddrs < RESOLVE_ADDRS_MAX; a = a->ai_next)
		if (a->ai_addrlen <= sizeof(r->addrs[0]))
			memcpy(&r->addrs[r->naddrs++], a->ai_addr, a->ai_addrlen);
	freeaddrinfo(found);
}

static void finish(struct resolve *r)
{
	pthread_mutex_lock(&r->lock);
	r->finished = true;
	if (r->loop)
		loop_notify(&r->source);
	unref_unlock(r);
}

static void *helper(void *arg)
{
	look_up(arg);
	finish(arg);
	return NULL;
}

static void report(struct loop_source *s)
{
	struct resolve *r = container_of(s, struct resolve, source);

	r->done(r->arg, r->addrs, r->naddrs); /* may cancel r */
}

int resolve_start(const char *host, uint16_t port,
		  void (*done)(void *arg, const union tcp_addr *addrs, unsigned naddrs), void *arg,
		  struct resolve **out)
{
	struct resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return ERR_NOMEM;
	r->host = strdup(host);
	if (!r->host) {
		free(r);
		return ERR_NOMEM;
	}
	pthread_mutex_init(&r->lock, NULL);
	r->port = port;
	r->done = done;
	r->arg = arg;
	r->refs = 2;
	if (thread_start_helper(helper, r) < 0)
		finish(r);
	*out = r;
	return OK;
}

void resolve_attach(struct resolve *r, struct loop *loop)
{
	pthread_mutex_lock(&r->lock);
	loop_source_add(loop, &r->source, report);
	r->loop = loop;
	if (r->finished)
		loop_notify(&r->source);
	pthread_mutex_unlock(&r->lock);
}

void resolve_detach(struct resolve *r)
{
	bool attached;

	pthread_mutex_lock(&r->lock);
	attached = r->loop != NULL;
	r->loop = NULL;
	pthread_mutex_unlock(&r->lock);
	if (attached)
		loop_source_remove(&r->source);
}

void resolve_cancel(struct resolve *r)
{
	if (!r)
		return;
	resolve_detach(r);
	pthread_mutex_lock(&r->lock);
	unref_unlock(r);
}
