#include "mqtt/shelf.h"

#include <stdlib.h>

#include "base/log.h"
#include "mqtt/conn.h"
#include "mqtt/keep.h"

/* The head holds so much; more goes to disk, and is read back in pieces of half of it. */
#define HEAD_LEN   512u
#define HEAD_BYTES (512u * 1024)
/*
 * Of a client that is away so much stays in memory too, and of all together this part of the memory limit: a short queue need not be
 * read back.
 */
#define CACHE_BYTES   (64u * 1024)
#define CACHE_PART    16u
#define CACHE_MOST    (UINT64_C(64) << 20)
#define READ_AGAIN_MS 1000u
/*
 * What was acknowledged is dropped from disk with what comes in this time: nobody waits for it, and a client that takes a long queue
 * costs a few changes instead of one a turn. After a crash it is sent again.
 */
#define CLEAN_MS 50u

struct shelf_read {
	struct store_read read;
	struct shelf *shelf; /* NULL: the session ended meanwhile */
	struct worker *worker;
	struct list in_worker;
	uint64_t end;            /* of what was on disk when it was asked */
	struct loop_timer again; /* the disk failed */
};

struct shelf *shelf_of(struct session *s)
{
	struct shelf *sh = s->shelf;

	if (sh)
		return sh;
	sh = calloc(1, sizeof(*sh));
	if (!sh)
		return NULL;
	sh->session = s;
	sh->next_seq = sh->dropped = 1;
	list_init(&sh->keeps);
	list_init(&sh->held);
	list_init(&sh->holding);
	list_init(&sh->dirty);
	budget_count(&s->worker->budget, budget_block(sizeof(*sh)));
	s->shelf = sh;
	return sh;
}

/* ---- what is only on disk ---- */

static void rows_count(struct shelf *sh, int64_t rows, int64_t bytes)
{
	struct worker *w = sh->session->worker;

	sh->rows += (uint64_t)rows;
	sh->row_bytes += (uint64_t)bytes;
	w->shelved += (uint64_t)rows;
	w->shelved_bytes += (uint64_t)bytes;
}

static void rows_gone(struct shelf *sh, uint64_t rows)
{
	uint64_t bytes;

	if (rows > sh->rows)
		rows = sh->rows;
	if (!rows)
		return;
	bytes = rows == sh->rows ? sh->row_bytes : sh->row_bytes / sh->rows * rows;
	rows_count(sh, -(int64_t)rows, -(int64_t)bytes);
}

/* ---- what is in memory for a client that is away ---- */

static bool cache_has_room(const struct session *s, uint64_t bytes)
{
	const struct worker *w = s->worker;
	uint64_t most = w->broker->config.memory_limit / CACHE_PART;

	if (!most || most > CACHE_MOST)
		most = CACHE_MOST;
	return s->shelf->cached + bytes <= CACHE_BYTES && w->cached + bytes <= most / w->broker->nlanes &&
	       worker_memory(w) == BUDGET_OK;
}

static void cache_add(struct session *s, uint64_t bytes)
{
	s->shelf->cached += bytes;
	s->worker->cached += bytes;
}

static void cache_end(struct shelf *sh)
{
	sh->session->worker->cached -= sh->cached;
	sh->cached = 0;
}

void shelf_free(struct shelf *sh)
{
	struct worker *w;

	if (!sh)
		return;
	w = sh->session->worker;
	cache_end(sh);
	rows_gone(sh, sh->rows);
	while (!list_empty(&sh->keeps))
		keep_forget(container_of(sh->keeps.next, struct keep, in_session));
	queue_destroy(sh->tail);
	if (sh->reading)
		sh->reading->shelf = NULL;
	list_remove(&sh->holding);
	list_remove(&sh->dirty);
	budget_count(&w->budget, -budget_block(sizeof(*sh)));
	sh->session->shelf = NULL;
	free(sh);
}

/* ---- figures ---- */

static size_t len_of(const struct queue *q)
{
	return q ? queue_len(q) : 0;
}

static size_t bytes_of(const struct queue *q)
{
	return q ? queue_bytes(q) : 0;
}

size_t waiting_len(const struct session *s)
{
	const struct shelf *sh = s->shelf;

	return len_of(s->queue) + (sh ? sh->rows + len_of(sh->tail) : 0);
}

uint64_t waiting_held(const struct session *s)
{
	return bytes_of(s->queue) + (s->shelf ? bytes_of(s->shelf->tail) : 0);
}

uint64_t waiting_bytes(const struct session *s)
{
	return waiting_held(s) + (s->shelf ? s->shelf->row_bytes : 0);
}

static void shelf_clean(struct shelf *sh);

/* ---- in ---- */

void item_drop(const struct queue_item *item)
{
	if (item->keep)
		keep_done(item->keep);
	msg_unref(item->msg);
	free(item->sub_ids);
}

static int push_to(struct session *s, struct queue **q, const struct queue_item *item)
{
	int rc = *q ? OK : queue_create(s->worker->queues, q);

	return rc == OK ? queue_push(*q, item) : rc;
}

static bool is_away(const struct session *s)
{
	return !s->conn || s->conn->state != CONN_OPEN;
}

int waiting_push(struct session *s, const struct queue_item *item)
{
	struct shelf *sh = s->shelf;
	int rc;

	if (!sh || (!item->keep && !sh->rows && !len_of(sh->tail)))
		rc = push_to(s, &s->queue, item);
	else if (!item->keep && sh->rows) /* of QoS 0, behind retained messages: it does not go to disk */
		rc = ERR_NOMEM;
	else
		rc = push_to(s, &sh->tail, item);
	if (rc < 0)
		return rc;
	s->queued_qos0 += item->qos == 0;
	if (item->keep && is_away(s))
		keep_write(item->keep); /* nobody can take it now */
	return OK;
}

/* ---- between memory and disk ---- */

struct keep *shelf_tail_first(const struct shelf *sh)
{
	const struct queue_item *oldest = sh->tail ? queue_peek(sh->tail) : NULL;

	return oldest ? oldest->keep : NULL;
}

/* So many messages are not there any more. */
static void passed(struct session *s, uint64_t n)
{
	for (; s->feeds && n > 0; n--)
		session_feed_passed(s);
}

/* The item goes; what its session is owed of it stays on disk. */
static void item_forget(const struct queue_item *item)
{
	if (item->keep)
		keep_forget(item->keep);
	msg_unref(item->msg);
	free(item->sub_ids);
}

/* The row of the item is enough; one of QoS 0 has none. */
static void item_shelve(struct session *s, const struct queue_item *item)
{
	struct shelf *sh = s->shelf;

	if (item->qos == 0) {
		s->queued_qos0--;
		worker_count(s->worker, dropped_qos0, 1);
		passed(s, 1);
	} else {
		rows_count(sh, 1, (int64_t)msg_cost(item->msg));
	}
	item_forget(item);
}

static uint64_t item_seq(const struct queue_item *item)
{
	return item->keep ? item->keep->seq : item->seq;
}

void shelf_hold(struct shelf *sh)
{
	if (list_empty(&sh->holding))
		list_append(&sh->session->worker->holding, &sh->holding);
}

static bool head_is_full(const struct session *s)
{
	return len_of(s->queue) >= HEAD_LEN || bytes_of(s->queue) >= HEAD_BYTES;
}

/* Behind the head, if nothing is between. */
static bool head_takes(struct session *s, const struct queue_item *item)
{
	uint64_t bytes = msg_cost(item->msg);

	if (s->shelf->rows || head_is_full(s) || (is_away(s) && !cache_has_room(s, bytes)))
		return false;
	if (is_away(s))
		cache_add(s, bytes);
	return true;
}

void shelf_take_durable(struct session *s)
{
	struct shelf *sh = s->shelf;
	const struct queue_item *oldest;
	struct queue_item item;

	while (sh->tail && (oldest = queue_peek(sh->tail)) && (!oldest->keep || oldest->keep->durable)) {
		if (oldest->keep && !keep_is_confirmed(oldest->keep)) { /* which only its keep knows */
			shelf_hold(sh);
			return;
		}
		(void)queue_pop(sh->tail, &item);
		if (head_takes(s, &item) && push_to(s, &s->queue, &item) == OK)
			continue;
		if (item.keep) {
			if (!sh->rows)
				sh->first = item.keep->seq;
			sh->end = item.keep->seq + 1;
		}
		item_shelve(s, &item);
	}
}

/* The head goes to where it came from: in front of what is only on disk. */
static void head_shelve(struct session *s)
{
	struct shelf *sh = s->shelf;
	bool was_empty = !sh->rows;
	uint64_t first = 0, seq;
	struct queue_item item;

	if (sh->reading) { /* it may begin behind what goes back now */
		sh->reading->shelf = NULL;
		sh->reading = NULL;
	}
	while (s->queue && queue_pop(s->queue, &item)) {
		seq = item_seq(&item);
		if (seq && !first)
			first = seq;
		if (seq && was_empty)
			sh->end = seq + 1;
		item_shelve(s, &item);
	}
	if (first)
		sh->first = first;
}

void shelf_away(struct session *s)
{
	struct shelf *sh = s->shelf;

	if (!sh)
		return;
	cache_end(sh);
	while (!list_empty(&sh->held))
		list_remove(sh->held.next);
	if (!list_empty(&sh->keeps) && !container_of(sh->keeps.prev, struct keep, in_session)->seq)
		keep_write(container_of(sh->keeps.prev, struct keep, in_session));
	if (sh->rows || !cache_has_room(s, bytes_of(s->queue)))
		head_shelve(s);
	else
		cache_add(s, bytes_of(s->queue));
	if (!list_empty(&sh->dirty))
		shelf_clean(sh);
}

void shelf_back(struct session *s)
{
	if (s->shelf)
		cache_end(s->shelf);
}

bool shelf_release(struct session *s)
{
	if (!s->shelf || !len_of(s->queue))
		return false;
	head_shelve(s);
	cache_end(s->shelf);
	return true;
}

/* ---- reading back ---- */

/* A row's message as an item, which may have to find its slot. false: out of memory. */
static bool item_of_row(struct session *s, const struct store_row *row, struct queue_item *item)
{
	struct worker *w = s->worker;
	const struct publication p = {
		.topic = row->msg.topic,
		.props = row->msg.props,
		.payload = row->msg.payload,
		.qos = row->msg.qos,
		.retain = row->msg.retain,
		.expires_ms = row->msg.expires_ms ? worker_monotonic_ms(w, row->msg.expires_ms) : 0,
		.budget = &w->budget,
	};

	*item = (struct queue_item){.msg = msg_create(&p),
				    .qos = row->qos,
				    .retain = row->retain,
				    .packet_id = row->packet_id,
				    .seq = row->seq};
	if (item->msg && row->sub_ids) {
		size_t size = (row->sub_ids[0] + 1) * sizeof(*row->sub_ids);

		item->sub_ids = malloc(size);
		if (item->sub_ids)
			memcpy(item->sub_ids, row->sub_ids, size);
	}
	if (item->msg && row->state == STORE_WAITS)
		item->keep = keep_of_row(s, row);
	if (item->keep) {
		item->keep->msg = item->msg;
		item->keep->sub_ids = item->sub_ids;
	}
	if (item->msg && (!row->sub_ids || item->sub_ids) && (row->state != STORE_WAITS || item->keep))
		return true;
	item_forget(item);
	return false;
}

/* Does the client still need it? What has a packet id on disk may be acknowledged by now. */
static bool row_is_due(const struct session *s, const struct store_row *row)
{
	const struct inflight_slot *slot;

	if (row->state == STORE_WAITS)
		return true;
	slot = inflight_find(&s->inflight, row->packet_id);
	return slot && slot->state == INFLIGHT_PUBLISHED && !slot->msg && slot->keep &&
	       slot->keep->seq == row->seq;
}

/* The count is an estimate where rows were dropped out of turn: before the last of the range it does not say that there are none. */
static void row_taken(struct shelf *sh, uint64_t seq)
{
	if (sh->rows > 1 || seq + 1 >= sh->end)
		rows_gone(sh, 1);
}

/* They are rows of the range as it was up to `end`; what is behind is on disk by now, and in the tail still. */
static void rows_take(struct session *s, struct store_read *r, uint64_t end)
{
	struct shelf *sh = s->shelf;
	uint32_t ids[1 + STORE_SUB_IDS_MAX];
	bool is_past = r->rows == 0 && end == sh->end;
	struct store_row row;
	struct queue_item item;

	while (!is_past && store_read_next(r, &row, ids)) {
		is_past = row.seq >= sh->end;
		if (is_past || row.seq < sh->first)
			continue;
		if (row.state != STORE_RELEASED && row_is_due(s, &row)) {
			if (!item_of_row(s, &row, &item))
				return; /* it is read again */
			if (push_to(s, &s->queue, &item) < 0) {
				item_forget(&item);
				return;
			}
			row_taken(sh, row.seq);
		}
		sh->first = row.seq + 1;
	}
	if (is_past || sh->first >= sh->end) { /* what was counted and is not there */
		passed(s, sh->rows);
		rows_gone(sh, sh->rows);
	}
}

static void read_again(struct loop_timer *t)
{
	struct shelf_read *r = container_of(t, struct shelf_read, again);

	store_read_rows(r->worker->disk, &r->read);
}

static void read_done(struct store_read *read)
{
	struct shelf_read *r = container_of(read, struct shelf_read, read);
	struct session *s = r->shelf ? r->shelf->session : NULL;

	if (s && read->rc < 0 && !is_away(s)) {
		log_warning("mqtt", "client %s: what waits for it can't be read: %s; it is tried again",
			    log_quote((char[128]){0}, 128, session_id(s)), err_text(read->rc));
		store_read_fini(read);
		loop_timer_set(r->worker->loop, &r->again, READ_AGAIN_MS);
		return;
	}
	if (s) {
		s->shelf->reading = NULL;
		if (!is_away(s))
			rows_take(s, read, r->end);
	}
	store_read_fini(read);
	list_remove(&r->in_worker);
	free(r);
	if (s && !is_away(s))
		session_pump(s);
}

static void read_on(struct session *s)
{
	struct shelf *sh = s->shelf;
	struct shelf_read *r;

	if (sh->reading || !sh->rows || len_of(s->queue) > HEAD_LEN / 2 ||
	    bytes_of(s->queue) > HEAD_BYTES / 2)
		return;
	r = malloc(sizeof(*r));
	if (!r) { /* the next turn tries again: nothing may be on its way to the client, whose answer would */
		conn_dirty(s->conn);
		return;
	}
	*r = (struct shelf_read){
		.read = {.session = s->stored,
			 .from_seq = sh->first,
			 .max_rows = HEAD_LEN / 2,
			 .max_bytes = HEAD_BYTES / 2,
			 .done = read_done},
		.shelf = sh,
		.worker = s->worker,
		.end = sh->end,
	};
	loop_timer_init(&r->again, read_again);
	list_append(&s->worker->reads, &r->in_worker);
	sh->reading = r;
	store_read_rows(s->worker->disk, &r->read);
}

void shelf_reads_end(struct worker *w)
{
	struct list *n;

	while ((n = list_take_first(&w->reads))) {
		struct shelf_read *r = container_of(n, struct shelf_read, in_worker);

		loop_timer_cancel(w->loop, &r->again);
		store_read_fini(&r->read);
		free(r);
	}
}

/* ---- out ---- */

static void item_left(struct session *s, const struct queue_item *item)
{
	s->queued_qos0 -= item->qos == 0;
	passed(s, 1);
}

bool waiting_pop(struct session *s, struct queue_item *item)
{
	struct shelf *sh = s->shelf;

	if (s->queue && queue_pop(s->queue, item)) {
		if (sh)
			read_on(s);
	} else if (sh && sh->rows) {
		read_on(s);
		return false;
	} else if (!sh || !sh->tail || !queue_pop(sh->tail, item)) {
		return false;
	}
	item_left(s, item);
	return true;
}

const struct queue_item *waiting_peek(const struct session *s)
{
	return s->queue ? queue_peek(s->queue) : NULL;
}

/* It waited to be sent once more: it won't be. */
static void slot_forget(struct session *s, uint16_t packet_id)
{
	struct inflight_slot *slot = inflight_find(&s->inflight, packet_id);

	if (!slot)
		return;
	if (slot->keep)
		keep_done(slot->keep);
	inflight_remove(&s->inflight, slot);
}

/*
 * What was sent before a start, and not sent once more since, is dropped. The client may have its packet id still: a PUBREL without the
 * message makes both forget it.
 */
static void slot_release(struct session *s, uint16_t packet_id)
{
	struct inflight_slot *slot = inflight_find(&s->inflight, packet_id);

	if (!slot || slot->state != INFLIGHT_PUBLISHED || slot->msg)
		return;
	slot->state = INFLIGHT_RELEASED;
	if (slot->keep)
		keep_released(slot->keep);
}

static void item_dropped(struct session *s, const struct queue_item *item)
{
	if (item->packet_id)
		slot_release(s, item->packet_id);
	item_drop(item);
}

/* Of those in memory the one with this row; NULL: there is none. */
static struct keep *keep_at(const struct shelf *sh, uint64_t seq)
{
	list_for_each (n, &sh->keeps) {
		struct keep *k = container_of(n, struct keep, in_session);

		if (k->seq == seq)
			return k;
		if (!k->seq || k->seq > seq)
			break;
	}
	return NULL;
}

/* The first row of those that are only on disk; what of them is in flight in memory does not wait. */
static void row_drop(struct session *s)
{
	struct shelf *sh = s->shelf;
	struct inflight_slot *slot;
	struct keep *k;

	while ((k = keep_at(sh, sh->first)) && sh->first + 1 < sh->end) {
		slot = inflight_find(&s->inflight, k->packet_id);
		if (slot && slot->state == INFLIGHT_PUBLISHED && !slot->msg)
			break;
		sh->first++;
	}
	if (k)
		slot_release(s, k->packet_id);
	sh->first++;
	rows_gone(sh, 1);
}

bool waiting_drop_oldest(struct session *s)
{
	struct shelf *sh = s->shelf;
	struct queue_item item;

	if ((s->queue && queue_pop(s->queue, &item)) ||
	    (sh && !sh->rows && sh->tail && queue_pop(sh->tail, &item))) {
		item_left(s, &item);
		item_dropped(s, &item);
		return true;
	}
	if (!sh || !sh->rows)
		return false;
	row_drop(s);
	passed(s, 1);
	shelf_dirty(sh);
	return true;
}

bool waiting_drop_newest(struct session *s)
{
	struct shelf *sh = s->shelf;
	struct queue_item item;

	if (s->feeds)
		session_feed_cut(s);
	if (!(sh && sh->tail && queue_pop_newest(sh->tail, &item)) &&
	    !(s->queue && queue_pop_newest(s->queue, &item)))
		return false;
	s->queued_qos0 -= item.qos == 0;
	if (item.keep && item.keep->seq) /* there may be rows before it, and there will be behind it */
		store_drop_row(s->worker->disk, s->stored, item.keep->seq);
	item_dropped(s, &item);
	return true;
}

/* ---- rows that are done with ---- */

void shelf_dirty(struct shelf *sh)
{
	struct worker *w = sh->session->worker;

	if (list_empty(&sh->dirty))
		list_append(&w->dirty_shelves, &sh->dirty);
	if (!loop_timer_pending(&w->cleaning))
		loop_timer_set(w->loop, &w->cleaning, CLEAN_MS);
}

bool shelf_is_first(const struct shelf *sh, const struct keep *k)
{
	return sh->keeps.next == &k->in_session && !(sh->rows && sh->first < k->seq);
}

static uint64_t rows_needed_from(const struct shelf *sh)
{
	const struct keep *first =
		list_empty(&sh->keeps) ? NULL : container_of(sh->keeps.next, struct keep, in_session);
	uint64_t low = sh->next_seq;

	if (sh->rows)
		low = sh->first;
	if (first && first->seq && first->seq < low)
		low = first->seq;
	return low;
}

static void shelf_clean(struct shelf *sh)
{
	uint64_t low = rows_needed_from(sh);

	list_remove(&sh->dirty);
	if (low > sh->dropped)
		store_drop_rows(sh->session->worker->disk, sh->session->stored, low);
	sh->dropped = low > sh->dropped ? low : sh->dropped;
}

void shelves_clean(struct worker *w)
{
	struct list *n;

	while ((n = list_first(&w->dirty_shelves)))
		shelf_clean(container_of(n, struct shelf, dirty));
}

/* ---- after a restart ---- */

int session_restore_rows(struct session *s, uint64_t first_seq, uint64_t next_seq, uint64_t rows,
			 uint64_t bytes)
{
	struct shelf *sh = shelf_of(s);

	if (!sh)
		return ERR_NOMEM;
	sh->next_seq = next_seq ? next_seq : 1;
	sh->dropped = first_seq;
	if (!rows)
		return OK;
	sh->first = first_seq;
	sh->end = next_seq;
	rows_count(sh, (int64_t)rows, (int64_t)bytes);
	return OK;
}

int session_restore_inflight(struct session *s, const struct store_row *row)
{
	struct keep *k = keep_of_row(s, row);
	struct inflight_slot *slot;

	slot_forget(s, row->packet_id); /* an older row that has it was done with */
	slot = k ? inflight_put(&s->inflight, row->packet_id) : NULL;

	if (!slot) {
		if (k)
			keep_forget(k);
		return ERR_NOMEM;
	}
	slot->qos = row->qos;
	slot->retain = row->retain;
	slot->state = row->state == STORE_RELEASED ? INFLIGHT_RELEASED : INFLIGHT_PUBLISHED;
	slot->sent = true;
	slot->keep = k;
	return OK;
}
