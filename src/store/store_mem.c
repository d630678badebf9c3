#include "store/store_mem.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/hmap.h"
#include "base/list.h"
#include "store/batch.h"

/*
 * Everything is an item: a change as it was put, with its record behind it. apply() makes items, which is all that can fail; commit()
 * carries them out: puts them in place of what they change, or lets them remove it.
 */
struct item {
	struct hmap_node in_map;
	struct list node; /* in the list of its kind: of its session, or of the disk */
	struct store_op op;
	struct store_will will;
	uint64_t refs;   /* a message: rows that name it */
	int64_t idle_ms; /* a message without rows: since when */
	size_t size;
};

struct session {
	struct item item;
	struct list rows; /* by seq */
	struct list subs, received;
};

struct store_mem_disk {
	struct hmap items;
	struct list pending; /* of the commit that is under way */
	struct list sessions, retained, confirms;
	struct list msgs, idle_msgs; /* those with rows; those without, oldest first */
	uint64_t bytes, last_stamp, last_msg_id;
	int64_t last_ms;
	uint64_t commits, tidied;
	unsigned fail_commits, untidy;
	int fail_rc;
};

struct mem {
	struct store_backend backend;
	struct store_mem_disk *disk;
	bool owns_disk;
};

static struct store_mem_disk *disk_of(struct store_backend *b)
{
	return container_of(b, struct mem, backend)->disk;
}

static struct item *item_of(struct list *node)
{
	return container_of(node, struct item, node);
}

/* ---- items by what names them ---- */

struct key {
	uint64_t kind; /* of the change that puts such a thing */
	uint64_t session, n;
	struct span name;
};

static struct key key_of(const struct store_op *op)
{
	switch (op->kind) {
	case STORE_OP_SESSION:
		return (struct key){STORE_OP_SESSION, .session = op->session.id};
	case STORE_OP_DROP_SESSION:
		return (struct key){STORE_OP_SESSION, .session = op->id};
	case STORE_OP_SUB:
	case STORE_OP_DROP_SUB:
		return (struct key){STORE_OP_SUB, .session = op->sub.session, .name = op->sub.filter};
	case STORE_OP_MSG:
		return (struct key){STORE_OP_MSG, .n = op->shared.msg_id};
	case STORE_OP_ROW:
	case STORE_OP_STATE:
	case STORE_OP_DROP_ROWS:
	case STORE_OP_DROP_ROW:
		return (struct key){STORE_OP_ROW, .session = op->row.session, .n = op->row.seq};
	case STORE_OP_RECEIVED:
	case STORE_OP_DROP_RECEIVED:
		return (struct key){STORE_OP_RECEIVED, .session = op->row.session, .n = op->row.packet_id};
	case STORE_OP_CONFIRM:
		return (struct key){STORE_OP_CONFIRM, .n = op->row.origin};
	case STORE_OP_RETAINED:
	case STORE_OP_CLEAR:
		break;
	}
	return (struct key){STORE_OP_RETAINED, .name = op->retained.msg.topic};
}

static uint64_t key_hash(const struct key *k)
{
	return hash_span(hash_bytes(0, (const uint64_t[]){k->kind, k->session, k->n}, 24), k->name);
}

static bool key_is(const struct key *k, const struct item *i)
{
	struct key of = key_of(&i->op);

	return of.kind == k->kind && of.session == k->session && of.n == k->n && span_equal(of.name, k->name);
}

static struct item *find(struct store_mem_disk *d, struct key k)
{
	struct hmap_node *n = hmap_find(&d->items, key_hash(&k));

	while (n && !key_is(&k, container_of(n, struct item, in_map)))
		n = hmap_next(n);
	return n ? container_of(n, struct item, in_map) : NULL;
}

static struct session *find_session(struct store_mem_disk *d, uint32_t id)
{
	struct item *i = find(d, (struct key){STORE_OP_SESSION, .session = id});

	return i ? container_of(i, struct session, item) : NULL;
}

static struct item *find_msg(struct store_mem_disk *d, uint64_t id)
{
	return find(d, (struct key){STORE_OP_MSG, .n = id});
}

/* ---- items come and go ---- */

/* Outside of the map and all lists. */
static struct item *item_create(const struct store_op *op)
{
	size_t head = op->kind == STORE_OP_SESSION ? sizeof(struct session) : sizeof(struct item);
	size_t size = record_size(op->kind, &op->id, false);
	struct item *i = malloc(head + size);

	if (!i)
		return NULL;
	memset(i, 0, head);
	i->size = head + size;
	list_init(&i->node);
	record_write((uint8_t *)i + head, size, op->kind, &op->id, false);
	record_read((uint8_t *)i + head, &i->op, &i->will);
	return i;
}

static void item_insert(struct store_mem_disk *d, struct list *before, struct item *i)
{
	struct key k = key_of(&i->op);

	hmap_insert(&d->items, &i->in_map, key_hash(&k));
	list_insert_before(before, &i->node);
	d->bytes += i->size;
}

static void item_remove(struct store_mem_disk *d, struct item *i)
{
	hmap_remove(&d->items, &i->in_map);
	list_remove(&i->node);
	d->bytes -= i->size;
	free(i);
}

/* In place of the one of the same key, at the end of its list. */
static void item_replace(struct store_mem_disk *d, struct list *list, struct item *i)
{
	struct item *old = find(d, key_of(&i->op));

	if (old)
		item_remove(d, old);
	item_insert(d, list, i);
}

static void remove_all(struct store_mem_disk *d, struct list *list)
{
	struct list *node;

	while ((node = list_first(list)))
		item_remove(d, item_of(node));
}

/* ---- rows and their messages ---- */

static void row_unref_msg(struct store_mem_disk *d, struct item *row)
{
	struct item *msg = row->op.row.msg_id ? find_msg(d, row->op.row.msg_id) : NULL;

	if (!msg || --msg->refs > 0)
		return;
	msg->idle_ms = d->last_ms;
	list_remove(&msg->node);
	list_append(&d->idle_msgs, &msg->node);
}

static void row_remove(struct store_mem_disk *d, struct item *row)
{
	row_unref_msg(d, row);
	item_remove(d, row);
}

static void row_put(struct store_mem_disk *d, struct item *row)
{
	struct session *s = find_session(d, row->op.row.session);
	struct item *msg = find_msg(d, row->op.row.msg_id), *old = find(d, key_of(&row->op));
	struct list *before;

	assert(s);
	assert(msg || !row->op.row.msg_id);
	if (msg && msg->refs++ == 0) {
		list_remove(&msg->node);
		list_append(&d->msgs, &msg->node);
	}
	if (old)
		row_remove(d, old);
	before = &s->rows;
	while (before->prev != &s->rows && item_of(before->prev)->op.row.seq > row->op.row.seq)
		before = before->prev;
	item_insert(d, before, row);
}

static void row_set_state(struct store_mem_disk *d, const struct store_row *to)
{
	struct item *row = find(d, (struct key){STORE_OP_ROW, .session = to->session, .n = to->seq});

	if (!row)
		return;
	row->op.row.state = to->state;
	row->op.row.packet_id = to->packet_id;
	if (to->state != STORE_RELEASED)
		return;
	row_unref_msg(d, row);
	row->op.row.msg_id = 0;
	row->op.row.msg = (struct store_msg){.qos = row->op.row.msg.qos};
	row->op.row.sub_ids = NULL;
}

static void rows_drop_below(struct store_mem_disk *d, struct session *s, uint64_t seq)
{
	struct list *node;

	while ((node = list_first(&s->rows)) && item_of(node)->op.row.seq < seq)
		row_remove(d, item_of(node));
}

static void drop_idle_msgs(struct store_mem_disk *d, int64_t before_ms)
{
	struct list *node;

	while ((node = list_first(&d->idle_msgs)) && item_of(node)->idle_ms <= before_ms)
		item_remove(d, item_of(node));
}

/* ---- sessions ---- */

static void session_put(struct store_mem_disk *d, struct item *i)
{
	struct session *s = container_of(i, struct session, item);
	struct session *old = find_session(d, i->op.session.id);

	list_init(&s->rows);
	list_init(&s->subs);
	list_init(&s->received);
	if (old) {
		list_splice(&s->rows, &old->rows);
		list_splice(&s->subs, &old->subs);
		list_splice(&s->received, &old->received);
	}
	item_replace(d, &d->sessions, i);
}

static void session_drop(struct store_mem_disk *d, struct session *s)
{
	if (!s)
		return;
	rows_drop_below(d, s, UINT64_MAX);
	remove_all(d, &s->subs);
	remove_all(d, &s->received);
	item_remove(d, &s->item);
}

/* Into a list of its session, which is there. */
static void put_part(struct store_mem_disk *d, uint32_t session, size_t list_at, struct item *i)
{
	struct session *s = find_session(d, session);

	assert(s);
	item_replace(d, (struct list *)(void *)((char *)s + list_at), i);
}

/* ---- retained, confirmed ---- */

/* A value, or as a tombstone that there is none: both stand against older ones that come late. */
static void retained_put(struct store_mem_disk *d, struct item *i)
{
	const struct item *old = find(d, key_of(&i->op));

	if (i->op.retained.stamp > d->last_stamp)
		d->last_stamp = i->op.retained.stamp;
	if (old && old->op.retained.stamp > i->op.retained.stamp)
		free(i);
	else
		item_replace(d, &d->retained, i);
}

static uint64_t confirmed(struct store_mem_disk *d, uint16_t origin)
{
	const struct item *i = find(d, (struct key){STORE_OP_CONFIRM, .n = origin});

	return i ? i->op.row.number : 0;
}

static void confirm_put(struct store_mem_disk *d, struct item *i)
{
	if (confirmed(d, i->op.row.origin) >= i->op.row.number)
		free(i);
	else
		item_replace(d, &d->confirms, i);
}

/* ---- changes ---- */

static void msg_put(struct store_mem_disk *d, struct item *i)
{
	i->idle_ms = d->last_ms;
	if (i->op.shared.msg_id > d->last_msg_id)
		d->last_msg_id = i->op.shared.msg_id;
	item_replace(d, &d->idle_msgs, i);
}

/* The change is what is kept. false: it is of another kind. */
static bool put_item(struct store_mem_disk *d, struct item *i)
{
	switch (i->op.kind) {
	case STORE_OP_SESSION:
		session_put(d, i);
		return true;
	case STORE_OP_SUB:
		put_part(d, i->op.sub.session, offsetof(struct session, subs), i);
		return true;
	case STORE_OP_RECEIVED:
		put_part(d, i->op.row.session, offsetof(struct session, received), i);
		return true;
	case STORE_OP_MSG:
		msg_put(d, i);
		return true;
	case STORE_OP_ROW:
		row_put(d, i);
		return true;
	case STORE_OP_CONFIRM:
		confirm_put(d, i);
		return true;
	case STORE_OP_RETAINED:
	case STORE_OP_CLEAR:
		retained_put(d, i);
		return true;
	default:
		return false;
	}
}

static void change_items(struct store_mem_disk *d, const struct store_op *op)
{
	struct session *s = op->kind == STORE_OP_DROP_SESSION ? find_session(d, op->id) : NULL;
	struct item *named = find(d, key_of(op));

	if (op->kind == STORE_OP_DROP_SESSION)
		session_drop(d, s);
	else if (op->kind == STORE_OP_STATE)
		row_set_state(d, &op->row);
	else if (op->kind == STORE_OP_DROP_ROWS && (s = find_session(d, op->row.session)))
		rows_drop_below(d, s, op->row.seq);
	else if (op->kind == STORE_OP_DROP_ROW && named)
		row_remove(d, named);
	else if ((op->kind == STORE_OP_DROP_SUB || op->kind == STORE_OP_DROP_RECEIVED) && named)
		item_remove(d, named);
}

/* ---- as a backend ---- */

static int mem_begin(struct store_backend *b)
{
	assert(list_empty(&disk_of(b)->pending));
	return OK;
}

static int mem_apply(struct store_backend *b, const struct store_op *op)
{
	struct item *i = item_create(op);

	if (!i)
		return ERR_NOMEM;
	list_append(&disk_of(b)->pending, &i->node);
	return OK;
}

static int mem_commit(struct store_backend *b, int64_t wall_ms)
{
	struct store_mem_disk *d = disk_of(b);
	struct list *node;

	if (d->fail_commits > 0) {
		d->fail_commits--;
		return d->fail_rc;
	}
	d->last_ms = wall_ms;
	while ((node = list_take_first(&d->pending))) {
		struct item *i = item_of(node);

		if (put_item(d, i))
			continue;
		change_items(d, &i->op);
		free(i);
	}
	drop_idle_msgs(d, wall_ms - STORE_MSG_GRACE_MS);
	d->commits++;
	return OK;
}

static void mem_rollback(struct store_backend *b)
{
	struct list *node;

	while ((node = list_take_first(&disk_of(b)->pending)))
		free(item_of(node));
}

static bool mem_tidy(struct store_backend *b)
{
	struct store_mem_disk *d = disk_of(b);

	d->tidied++;
	if (d->untidy > 0)
		d->untidy--;
	return d->untidy > 0;
}

static struct store_row row_whole(struct store_mem_disk *d, const struct item *i)
{
	struct store_row row = i->op.row;

	if (row.msg_id)
		row.msg = find_msg(d, row.msg_id)->op.shared.msg;
	return row;
}

static int mem_read(struct store_backend *b, uint32_t session, uint64_t from_seq,
		    bool (*found)(void *arg, const struct store_row *row), void *arg)
{
	struct store_mem_disk *d = disk_of(b);
	struct session *s = find_session(d, session);
	struct item *from = find(d, (struct key){STORE_OP_ROW, .session = session, .n = from_seq});
	struct list *node;

	if (!s)
		return OK;
	for (node = from ? &from->node : s->rows.next; node != &s->rows; node = node->next) {
		struct store_row row = row_whole(d, item_of(node));

		if (row.seq >= from_seq && !found(arg, &row))
			break;
	}
	return OK;
}

/* ---- loading ---- */

/* Rows of publishes that nobody promised anything about; the numbers of the others say nothing from now on. */
static void forget_unconfirmed(struct store_mem_disk *d)
{
	list_for_each (at, &d->sessions) {
		struct session *s = container_of(item_of(at), struct session, item);

		list_for_each (node, &s->rows) {
			struct store_row *row = &item_of(node)->op.row;

			if (row->number > confirmed(d, row->origin))
				row_remove(d, item_of(node));
			else
				row->number = row->origin = 0;
		}
	}
	remove_all(d, &d->confirms);
}

static void forget_tombstones(struct store_mem_disk *d)
{
	list_for_each (node, &d->retained)
		if (item_of(node)->op.kind == STORE_OP_CLEAR)
			item_remove(d, item_of(node));
}

static int load_session(struct store_mem_disk *d, struct session *s, const struct store_loader *l, void *arg)
{
	struct store_session out = s->item.op.session;

	out.first_seq = out.next_seq = 1;
	out.rows = out.row_bytes = 0;
	if (!list_empty(&s->rows)) {
		out.first_seq = item_of(s->rows.next)->op.row.seq;
		out.next_seq = item_of(s->rows.prev)->op.row.seq + 1;
	}
	list_for_each (node, &s->rows) {
		struct store_row row = row_whole(d, item_of(node));

		if (row.state == STORE_RELEASED)
			continue;
		out.rows++;
		out.row_bytes += row.msg.topic.len + row.msg.payload.len;
	}
	return l->session ? l->session(arg, &out) : OK;
}

static int load_sub(struct item *i, const struct store_loader *l, void *arg)
{
	return l->sub ? l->sub(arg, &i->op.sub) : OK;
}

static int load_received(struct item *i, const struct store_loader *l, void *arg)
{
	return l->received ? l->received(arg, i->op.row.session, i->op.row.packet_id) : OK;
}

static int load_row(struct item *i, const struct store_loader *l, void *arg)
{
	struct store_row row = i->op.row;

	if (row.state == STORE_WAITS || !l->inflight)
		return OK;
	row.msg = (struct store_msg){0};
	return l->inflight(arg, &row);
}

static int load_retained(struct item *i, const struct store_loader *l, void *arg)
{
	return l->retained ? l->retained(arg, &i->op.retained) : OK;
}

static int load_list(struct list *list, int (*one)(struct item *, const struct store_loader *, void *),
		     const struct store_loader *l, void *arg)
{
	int rc = OK;

	for (struct list *node = list->next; rc >= 0 && node != list; node = node->next)
		rc = one(item_of(node), l, arg);
	return rc;
}

/* The same list of all sessions. */
static int load_parts(struct store_mem_disk *d, size_t list_at,
		      int (*one)(struct item *, const struct store_loader *, void *),
		      const struct store_loader *l, void *arg)
{
	int rc = OK;

	for (struct list *node = d->sessions.next; rc >= 0 && node != &d->sessions; node = node->next) {
		struct session *s = container_of(item_of(node), struct session, item);

		rc = load_list((struct list *)(void *)((char *)s + list_at), one, l, arg);
	}
	return rc;
}

static int mem_load(struct store_backend *b, const struct store_loader *l, void *arg)
{
	struct store_mem_disk *d = disk_of(b);
	int rc = OK;

	forget_unconfirmed(d);
	forget_tombstones(d);
	drop_idle_msgs(d, INT64_MAX);
	for (struct list *node = d->sessions.next; rc >= 0 && node != &d->sessions; node = node->next)
		rc = load_session(d, container_of(item_of(node), struct session, item), l, arg);
	if (rc >= 0)
		rc = load_parts(d, offsetof(struct session, subs), load_sub, l, arg);
	if (rc >= 0)
		rc = load_parts(d, offsetof(struct session, received), load_received, l, arg);
	if (rc >= 0)
		rc = load_parts(d, offsetof(struct session, rows), load_row, l, arg);
	if (rc >= 0)
		rc = load_list(&d->retained, load_retained, l, arg);
	return rc < 0 ? rc : OK;
}

static uint64_t mem_last_stamp(struct store_backend *b)
{
	return disk_of(b)->last_stamp;
}

static int64_t mem_last_ms(struct store_backend *b)
{
	return disk_of(b)->last_ms;
}

static uint64_t mem_last_msg_id(struct store_backend *b)
{
	return disk_of(b)->last_msg_id;
}

static uint64_t mem_bytes(struct store_backend *b)
{
	return disk_of(b)->bytes;
}

static void mem_close(struct store_backend *b)
{
	struct mem *m = container_of(b, struct mem, backend);

	if (m->owns_disk)
		store_mem_disk_destroy(m->disk);
	free(m);
}

static const struct store_backend_ops mem_ops = {
	.begin = mem_begin,
	.apply = mem_apply,
	.commit = mem_commit,
	.rollback = mem_rollback,
	.tidy = mem_tidy,
	.read = mem_read,
	.load = mem_load,
	.last_stamp = mem_last_stamp,
	.last_ms = mem_last_ms,
	.last_msg_id = mem_last_msg_id,
	.bytes = mem_bytes,
	.close = mem_close,
};

/* ---- life ---- */

int store_mem_disk_create(struct store_mem_disk **out)
{
	struct store_mem_disk *d = calloc(1, sizeof(*d));

	if (!d)
		return ERR_NOMEM;
	list_init(&d->pending);
	list_init(&d->sessions);
	list_init(&d->retained);
	list_init(&d->confirms);
	list_init(&d->msgs);
	list_init(&d->idle_msgs);
	*out = d;
	return OK;
}

void store_mem_disk_destroy(struct store_mem_disk *d)
{
	struct list *node;

	if (!d)
		return;
	assert(list_empty(&d->pending));
	while ((node = list_first(&d->sessions)))
		session_drop(d, container_of(item_of(node), struct session, item));
	remove_all(d, &d->retained);
	remove_all(d, &d->confirms);
	remove_all(d, &d->msgs);
	remove_all(d, &d->idle_msgs);
	assert(d->items.count == 0 && d->bytes == 0);
	hmap_fini(&d->items);
	free(d);
}

int store_mem_open(struct store_mem_disk *disk, struct store_backend **out)
{
	struct mem *m = calloc(1, sizeof(*m));

	if (!m)
		return ERR_NOMEM;
	m->backend.ops = &mem_ops;
	m->disk = disk;
	*out = &m->backend;
	return OK;
}

int store_mem_create(struct store_backend **out)
{
	struct store_mem_disk *disk;
	int rc = store_mem_disk_create(&disk);

	if (rc < 0)
		return rc;
	rc = store_mem_open(disk, out);
	if (rc < 0)
		store_mem_disk_destroy(disk);
	else
		container_of(*out, struct mem, backend)->owns_disk = true;
	return rc;
}

/* ---- hooks ---- */

void store_mem_fail(struct store_mem_disk *disk, unsigned commits, int rc)
{
	disk->fail_commits = commits;
	disk->fail_rc = rc;
}

void store_mem_set_untidy(struct store_mem_disk *disk, unsigned calls)
{
	disk->untidy = calls;
}

uint64_t store_mem_commits(const struct store_mem_disk *disk)
{
	return disk->commits;
}

uint64_t store_mem_tidied(const struct store_mem_disk *disk)
{
	return disk->tidied;
}
