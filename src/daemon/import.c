#include "daemon/import.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "mqtt/import.h"
#include "tools/store_groups.h"

/* Under way at once; one unit may be larger than that. */
#define UNITS_MAX 64u
#define BYTES_MAX (16u << 20)

struct import {
	struct broker *broker;
	FILE *from;
	bool replace;
	struct loop_source *ended;
	pthread_t thread;
	struct store_problem problem; /* of the file */
	/* with the workers */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool stopping;
	unsigned units; /* under way */
	uint64_t bytes;
	struct list done;
	struct store_import_result result;
	int rc;          /* the first failure */
	const char *why; /* its reason, static; NULL: see `problem` */
};

/* What the broker takes at once. */
struct unit {
	struct broker_import import;
	struct import *of;
	struct list node;
	struct store_group group;
	struct store_op ops[];
};

/* ---- units ---- */

static void unit_free(struct unit *u)
{
	store_group_fini(&u->group);
	free(u);
}

static void count(struct import *i, const struct unit *u)
{
	struct store_counts *n = &i->result.taken;

	if (u->ops[0].kind == STORE_OP_RETAINED) {
		i->result.kept_retained += u->import.kept;
		n->retained += u->import.nops - u->import.kept;
		return;
	}
	i->result.kept += u->import.kept;
	if (u->import.kept)
		return;
	n->sessions++;
	for (size_t k = 1; k < u->import.nops; k++) {
		n->subs += u->ops[k].kind == STORE_OP_SUB;
		n->received += u->ops[k].kind == STORE_OP_RECEIVED;
		n->messages += u->ops[k].kind == STORE_OP_ROW;
	}
}

/* Locked. */
static void fail(struct import *i, int rc, const char *why)
{
	if (i->rc < 0)
		return;
	i->rc = rc;
	i->why = why;
}

static void unit_done(struct broker_import *import)
{
	struct unit *u = container_of(import, struct unit, import);
	struct import *i = u->of;

	pthread_mutex_lock(&i->mutex);
	if (import->rc == OK)
		count(i, u);
	else
		fail(i, import->rc, import->why);
	list_append(&i->done, &u->node);
	i->units--;
	i->bytes -= u->group.bytes;
	pthread_cond_signal(&i->changed);
	pthread_mutex_unlock(&i->mutex);
}

/* Takes what is in `group`. */
static struct unit *unit_of(struct import *i, struct store_group *group)
{
	struct unit *u = malloc(sizeof(*u) + group->n * sizeof(u->ops[0]));

	if (!u) {
		store_group_fini(group);
		return NULL;
	}
	*u = (struct unit){.of = i, .group = *group};
	for (size_t k = 0; k < group->n; k++)
		u->ops[k] = group->lines[k].op;
	u->import = (struct broker_import){
		.ops = u->ops, .nops = group->n, .replace = i->replace, .done = unit_done};
	return u;
}

/* ---- the thread ---- */

/* Those that were done, which are freed here: it takes time. */
static void free_done(struct import *i)
{
	struct list done, *n;

	list_init(&done);
	list_splice(&done, &i->done);
	pthread_mutex_unlock(&i->mutex);
	while ((n = list_take_first(&done)))
		unit_free(container_of(n, struct unit, node));
	pthread_mutex_lock(&i->mutex);
}

/* Until there is room for so many bytes, or nothing is under way. Locked. */
static void await_room(struct import *i, uint64_t bytes, unsigned units)
{
	while (i->units && (i->units >= units || i->bytes + bytes > BYTES_MAX)) {
		pthread_cond_wait(&i->changed, &i->mutex);
		free_done(i);
	}
}

/* Pass it on; takes it. */
static int pass(struct import *i, struct unit *u)
{
	int rc;

	pthread_mutex_lock(&i->mutex);
	await_room(i, u->group.bytes, UNITS_MAX);
	if (i->stopping)
		fail(i, ERR_IO, "the gateway stops");
	rc = i->rc;
	if (rc == OK) {
		i->units++;
		i->bytes += u->group.bytes;
		broker_import(i->broker, &u->import); /* with the lock: not after import_stop() */
	}
	pthread_mutex_unlock(&i->mutex);
	if (rc < 0)
		unit_free(u);
	return rc;
}

static int pass_all(struct import *i, struct store_groups *groups)
{
	int rc = OK;

	for (;;) {
		struct store_group group;
		struct unit *u;

		if (rc < 0 || (rc = store_groups_next(groups, &group)) < 0 || !group.n)
			break;
		u = unit_of(i, &group);
		rc = u ? pass(i, u) : ERR_NOMEM;
	}
	pthread_mutex_lock(&i->mutex);
	await_room(i, 0, 1);
	free_done(i);
	pthread_mutex_unlock(&i->mutex);
	return rc;
}

static int import_file(struct import *i)
{
	struct store_groups *groups = NULL;
	struct store_counts counts;
	int rc;

	errno = 0;
	if (fseeko(i->from, 0, SEEK_SET) != 0 || fflush(i->from) != 0)
		return ERR_IO;
	if ((rc = store_import_check(i->from, &counts, &i->problem)) < 0)
		return rc;
	if (fseeko(i->from, 0, SEEK_SET) != 0)
		return ERR_IO;
	if ((rc = store_groups_open(i->from, &i->problem, &groups)) < 0)
		return rc;
	rc = pass_all(i, groups);
	store_groups_close(groups);
	return rc;
}

static void *run(void *arg)
{
	struct import *i = arg;
	int rc;

	pthread_setname_np(pthread_self(), "import");
	rc = import_file(i);
	pthread_mutex_lock(&i->mutex);
	if (rc < 0)
		fail(i, rc, rc == ERR_MALFORMED ? NULL : err_text(rc));
	pthread_mutex_unlock(&i->mutex);
	loop_notify(i->ended);
	return NULL;
}

/* ---- life ---- */

static void import_free(struct import *i)
{
	fclose(i->from);
	pthread_cond_destroy(&i->changed);
	pthread_mutex_destroy(&i->mutex);
	free(i);
}

int import_begin(struct broker *broker, int fd, bool replace, struct loop_source *ended, struct import **out)
{
	struct import *i = NULL;
	struct stat st;
	FILE *from;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return ERR_UNSUPPORTED;
	}
	from = fdopen(fd, "r");
	if (from)
		i = calloc(1, sizeof(*i));
	if (!i) {
		if (from)
			fclose(from);
		else
			close(fd);
		return ERR_NOMEM;
	}
	i->broker = broker;
	i->from = from;
	i->replace = replace;
	i->ended = ended;
	list_init(&i->done);
	pthread_mutex_init(&i->mutex, NULL);
	pthread_cond_init(&i->changed, NULL);
	if (pthread_create(&i->thread, NULL, run, i) != 0) {
		import_free(i);
		return ERR_IO;
	}
	*out = i;
	return OK;
}

void import_stop(struct import *i)
{
	if (!i)
		return;
	pthread_mutex_lock(&i->mutex);
	i->stopping = true;
	pthread_mutex_unlock(&i->mutex);
}

static const char *why_of(const struct import *i)
{
	return i->why ? i->why : i->problem.why;
}

static json_t *answer_of(const struct import *i)
{
	const struct store_counts *n = &i->result.taken;
	json_t *all = json_pack("{s:{s:I,s:I,s:I,s:I,s:I},s:{s:I,s:I}}", "taken", "sessions",
				(json_int_t)n->sessions, "subscriptions", (json_int_t)n->subs, "messages",
				(json_int_t)n->messages, "packet_ids", (json_int_t)n->received, "retained",
				(json_int_t)n->retained, "kept", "sessions", (json_int_t)i->result.kept,
				"retained", (json_int_t)i->result.kept_retained);

	if (i->rc < 0)
		json_object_set_new(all, "error", json_string(why_of(i)));
	if (i->rc < 0 && !i->why)
		json_object_set_new(all, "line", json_integer((json_int_t)i->problem.line));
	return all;
}

char *import_end(struct import *i)
{
	json_t *answer;
	char *text;

	if (!i)
		return NULL;
	pthread_join(i->thread, NULL);
	if (i->rc < 0)
		log_warning("storage", "import failed: %s", why_of(i));
	log_notice("storage",
		   "imported: sessions: %" PRIu64 ", messages: %" PRIu64 ", retained: %" PRIu64
		   "; there already: sessions: %" PRIu64 ", retained: %" PRIu64,
		   i->result.taken.sessions, i->result.taken.messages, i->result.taken.retained,
		   i->result.kept, i->result.kept_retained);
	answer = answer_of(i);
	text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	json_decref(answer);
	import_free(i);
	return text;
}
