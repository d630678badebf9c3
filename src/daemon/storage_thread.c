#include "daemon/storage_thread.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/backend.h"

struct storage_thread {
	struct loop *loop;
	struct store *store;
	pthread_t thread;
	bool is_running;
};

static const enum store_durability durabilities[] = {
	[CONFIG_DURABILITY_FSYNC] = STORE_FSYNC,
	[CONFIG_DURABILITY_OS] = STORE_OS,
	[CONFIG_DURABILITY_NONE] = STORE_NONE,
};

static int open_store(struct storage_thread *t, const struct config_storage *cfg)
{
	struct store_sqlite_options where = {.folder = cfg->path,
					     .durability = durabilities[cfg->durability],
					     .max_bytes = cfg->max_bytes};
	struct store_options o = {.durability = where.durability, .max_bytes = where.max_bytes};
	struct store_backend *backend = NULL;
	char why[512] = "";
	int rc = store_sqlite_open(&where, &backend, why, sizeof(why));

	if (rc < 0) {
		log_error("storage", "%s: %s", cfg->path, *why ? why : err_text(rc));
		return rc;
	}
	rc = store_create(t->loop, backend, &o, &t->store);
	if (rc < 0)
		backend->ops->close(backend);
	return rc;
}

int storage_thread_open(const struct config_storage *cfg, struct storage_thread **out)
{
	struct storage_thread *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return ERR_NOMEM;
	rc = loop_create(&t->loop);
	if (rc == OK)
		rc = open_store(t, cfg);
	if (rc < 0) {
		storage_thread_close(t);
		return rc;
	}
	*out = t;
	return OK;
}

struct store *storage_thread_store(const struct storage_thread *t)
{
	return t->store;
}

static void *run_storage(void *arg)
{
	struct storage_thread *t = arg;

	pthread_setname_np(pthread_self(), "storage");
	if (loop_run(t->loop) < 0)
		log_error("storage", "waiting for events failed, nothing is stored any more");
	return NULL;
}

int storage_thread_start(struct storage_thread *t)
{
	int error = pthread_create(&t->thread, NULL, run_storage, t);

	if (error) {
		log_error("storage", "no thread: %s", strerror(error));
		return ERR_IO;
	}
	t->is_running = true;
	return OK;
}

void storage_thread_stop(struct storage_thread *t)
{
	if (!t->is_running)
		return;
	loop_stop(t->loop);
	pthread_join(t->thread, NULL);
	t->is_running = false;
}

void storage_thread_close(struct storage_thread *t)
{
	if (!t)
		return;
	storage_thread_stop(t);
	store_destroy(t->store);
	loop_destroy(t->loop);
	free(t);
}
