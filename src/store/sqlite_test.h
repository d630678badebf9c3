/*
 * What tests of the database share: a folder that goes away, short ways to put and to ask. Each test program includes it once.
 */
#ifndef STORE_SQLITE_TEST_H
#define STORE_SQLITE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/backend.h"

struct place {
	char folder[64];
	char why[512];
	uint64_t max_bytes;
	enum store_durability durability;
	bool read_only;
};

static inline int place_make(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	snprintf(p->folder, sizeof(p->folder), "/tmp/lineside-store-XXXXXX");
	p->durability = STORE_OS;
	*state = p;
	log_set_level(LOG_ERROR);
	return mkdtemp(p->folder) ? 0 : -1;
}

static inline void folder_empty(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	char path[512];

	while (dir && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		unlink(path); /* not . and .. */
	}
	if (dir)
		closedir(dir);
}

static inline int place_unmake(void **state)
{
	struct place *p = *state;

	folder_empty(p->folder);
	rmdir(p->folder);
	free(p);
	return 0;
}

static inline int place_try(struct place *p, struct store_backend **out)
{
	struct store_sqlite_options o = {.folder = p->folder,
					 .durability = p->durability,
					 .max_bytes = p->max_bytes,
					 .read_only = p->read_only};

	return store_sqlite_open(&o, out, p->why, sizeof(p->why));
}

static inline struct store_backend *place_open(struct place *p)
{
	struct store_backend *b = NULL;
	int rc = place_try(p, &b);

	if (rc < 0)
		print_error("%s\n", p->why);
	assert_int_equal(rc, OK);
	return b;
}

static inline struct span text(const char *s)
{
	return span_str(s);
}

static inline struct store_op op_session(uint32_t id, const char *client)
{
	return (struct store_op){.kind = STORE_OP_SESSION,
				 .session = {.id = id, .client_id = text(client), .expiry_s = 60}};
}

static inline struct store_op op_row(uint32_t session, uint64_t seq, const char *topic, const char *payload)
{
	return (struct store_op){.kind = STORE_OP_ROW,
				 .row = {.session = session,
					 .seq = seq,
					 .qos = 1,
					 .msg = {.topic = text(topic), .payload = text(payload), .qos = 1}}};
}

static inline struct store_op op_shared(uint32_t session, uint64_t seq, uint64_t msg_id)
{
	return (struct store_op){.kind = STORE_OP_ROW,
				 .row = {.session = session, .seq = seq, .qos = 1, .msg_id = msg_id}};
}

static inline struct store_op op_msg(uint64_t id, const char *topic, const char *payload)
{
	return (struct store_op){
		.kind = STORE_OP_MSG,
		.shared = {.msg_id = id, .msg = {.topic = text(topic), .payload = text(payload), .qos = 1}}};
}

static inline struct store_op op_drop_rows(uint32_t session, uint64_t below)
{
	return (struct store_op){.kind = STORE_OP_DROP_ROWS, .row = {.session = session, .seq = below}};
}

static inline struct store_op op_retained(const char *topic, const char *payload, uint64_t stamp)
{
	return (struct store_op){
		.kind = STORE_OP_RETAINED,
		.retained = {
			.stamp = stamp,
			.msg = {.topic = text(topic), .payload = text(payload), .qos = 1, .retain = true}}};
}

static inline struct store_op op_clear(const char *topic, uint64_t stamp)
{
	return (struct store_op){.kind = STORE_OP_CLEAR,
				 .retained = {.stamp = stamp, .msg = {.topic = text(topic)}}};
}

static inline int try_put(struct store_backend *b, int64_t wall_ms, const struct store_op *ops, size_t count)
{
	int rc = b->ops->begin(b);

	for (size_t i = 0; i < count && rc == OK; i++)
		rc = b->ops->apply(b, &ops[i]);
	if (rc == OK)
		rc = b->ops->commit(b, wall_ms);
	if (rc < 0)
		b->ops->rollback(b);
	return rc;
}

static inline void put(struct store_backend *b, int64_t wall_ms, const struct store_op *ops, size_t count)
{
	assert_int_equal(try_put(b, wall_ms, ops, count), OK);
}

#define PUT(b, ...)                                            \
	put((b), 1000, (const struct store_op[]){__VA_ARGS__}, \
	    sizeof((const struct store_op[]){__VA_ARGS__}) / sizeof(struct store_op))

/* Everything that load tells, as text: one line each. */
struct told {
	char *text;
	size_t len;
	FILE *f;
	uint64_t sessions, subs, received, inflight, retained, rows;
};

static inline void say(struct told *t, const char *name, struct span s)
{
	fprintf(t->f, " %s=%.*s", name, (int)s.len, s.len ? (const char *)s.p : "");
}

static inline int told_session(void *arg, const struct store_session *s)
{
	struct told *t = arg;

	t->sessions++;
	t->rows += s->rows;
	fprintf(t->f, "session %u", s->id);
	say(t, "client", s->client_id);
	fprintf(t->f, " expiry=%u away=%lld", s->expiry_s, (long long)s->away_ms);
	if (s->will) {
		say(t, "will", s->will->msg.topic);
		say(t, "props", s->will->msg.props);
		say(t, "payload", s->will->msg.payload);
		fprintf(t->f, " qos=%u retain=%d delay=%u expires=%d,%u", s->will->msg.qos,
			s->will->msg.retain, s->will->delay_s, s->will->expires, s->will->expiry_s);
	}
	fprintf(t->f, " seq=%llu-%llu rows=%llu bytes=%llu\n", (unsigned long long)s->first_seq,
		(unsigned long long)s->next_seq, (unsigned long long)s->rows,
		(unsigned long long)s->row_bytes);
	return OK;
}

static inline int told_sub(void *arg, const struct store_sub *s)
{
	struct told *t = arg;

	t->subs++;
	fprintf(t->f, "sub %u", s->session);
	say(t, "filter", s->filter);
	fprintf(t->f, " qos=%u nl=%d rap=%d rh=%u id=%u\n", s->qos, s->no_local, s->retain_as_published,
		s->retain_handling, s->id);
	return OK;
}

static inline int told_received(void *arg, uint32_t session, uint16_t packet_id)
{
	struct told *t = arg;

	t->received++;
	fprintf(t->f, "received %u %u\n", session, packet_id);
	return OK;
}

static inline int told_inflight(void *arg, const struct store_row *r)
{
	struct told *t = arg;

	t->inflight++;
	fprintf(t->f, "inflight %u seq=%llu state=%u id=%u\n", r->session, (unsigned long long)r->seq,
		r->state, r->packet_id);
	return OK;
}

static inline int told_retained(void *arg, const struct store_retained *r)
{
	struct told *t = arg;

	t->retained++;
	fprintf(t->f, "retained");
	say(t, "topic", r->msg.topic);
	say(t, "payload", r->msg.payload);
	fprintf(t->f, " stamp=%llu\n", (unsigned long long)r->stamp);
	return OK;
}

static const struct store_loader told_loader = {.session = told_session,
						.sub = told_sub,
						.received = told_received,
						.inflight = told_inflight,
						.retained = told_retained};

static inline void told_fini(struct told *t)
{
	free(t->text);
	*t = (struct told){0};
}

static inline int try_load(struct store_backend *b, struct told *t)
{
	int rc;

	*t = (struct told){0};
	t->f = open_memstream(&t->text, &t->len);
	assert_non_null(t->f);
	rc = b->ops->load(b, &told_loader, t);
	fclose(t->f);
	return rc;
}

static inline void load(struct store_backend *b)
{
	struct told t;

	assert_int_equal(try_load(b, &t), OK);
	told_fini(&t);
}

static inline void assert_told(struct store_backend *b, const char *want)
{
	struct told t;

	assert_int_equal(try_load(b, &t), OK);
	assert_string_equal(t.text, want);
	told_fini(&t);
}

struct rows {
	char text[2048];
	size_t len, count, stop_at;
};

static inline bool rows_found(void *arg, const struct store_row *r)
{
	struct rows *x = arg;

	x->count++;
	if (x->len < sizeof(x->text) - 200) {
		x->len += (size_t)snprintf(x->text + x->len, 200, "%llu:%.*s", (unsigned long long)r->seq,
					   (int)(r->msg.payload.len < 64 ? r->msg.payload.len : 64),
					   r->msg.payload.len ? (const char *)r->msg.payload.p : "");
		for (uint32_t i = 0; r->sub_ids && i < r->sub_ids[0]; i++)
			x->len += (size_t)snprintf(x->text + x->len, 16, "#%u", r->sub_ids[1 + i]);
		x->len += (size_t)snprintf(x->text + x->len, 2, " ");
	}
	return x->stop_at == 0 || x->count < x->stop_at;
}

static inline size_t count_rows(struct store_backend *b, uint32_t session)
{
	struct rows x = {0};

	assert_int_equal(b->ops->read(b, session, 0, rows_found, &x), OK);
	return x.count;
}

static inline void assert_rows(struct store_backend *b, uint32_t session, uint64_t from, const char *want)
{
	struct rows x = {0};

	assert_int_equal(b->ops->read(b, session, from, rows_found, &x), OK);
	assert_string_equal(x.text, want);
}

#endif
