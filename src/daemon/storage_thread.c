#include "daemon/storage_thread.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/loop_thread.h"
#include "store/backend.h"

struct storage_thread {
	struct loop *loop;
	struct store *store;
	struct loop_thread thread;
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

int storage_thread_start(struct storage_thread *t)
{
	return loop_thread_start(&t->thread, t->loop, "storage", "nothing is stored any more");
}

void storage_thread_stop(struct storage_thread *t)
{
	(void)loop_thread_stop(&t->thread);
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
