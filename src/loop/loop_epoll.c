/*
 * The loop on epoll.  Descriptors are registered once, edge-triggered, and never modified.
 *
 * No wake-up is lost: a notifier pushes its source and then looks at `sleeping`; the loop sets `sleeping` and
 * then looks at the stack. All four are sequentially consistent, so at least one of the two sees the other.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "loop/loop.h"
#include "loop/loop_impl.h"

#define EVENTS_PER_WAIT 256
#define SLOT_NONE       UINT32_MAX
#define WAKE_DATA       UINT64_MAX
/* Look for events so long before sleeping, while they come this fast on average; those that come faster are better taken together. */
#define LINGER_US     50u
#define LINGER_GAP_US 40u
#define LEAST_GAP_US  4u
#define GAP_MOST_US   1000u

/* What epoll hands back is (generation, slot): an event of an earlier user of the slot is recognised. */
struct fd_slot {
	struct loop_fd *f; /* NULL: free */
	uint32_t generation;
	uint32_t next_free;
};

struct loop_epoll {
	struct loop loop;
	struct loop_clock clock;
	int epoll_fd;
	int wake_fd;
	struct fd_slot *slots;
	uint32_t nslots;
	uint32_t first_free;
	struct list arrived;             /* sources taken off the stack, not in a turn yet */
	_Atomic(struct list *) notified; /* stack of sources, linked by node.next */
	_Atomic bool sleeping;
	bool is_precise; /* the kernel was asked to wake this thread without slack */
	bool may_linger; /* there are other CPUs for whoever sends the events */
	uint64_t idle_since_us;
	uint32_t gap_us; /* of late, between the end of a turn and the next event */
	struct epoll_event events[EVENTS_PER_WAIT];
};

static struct loop_epoll *epoll_of(struct loop *loop)
{
	return container_of(loop, struct loop_epoll, loop);
}

static uint64_t monotonic_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void clock_read(struct loop_clock *clock)
{
	struct timespec ts;

	clock->now_us = monotonic_us();
	clock_gettime(CLOCK_REALTIME, &ts);
	clock->wall_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- descriptors ---- */

static int slots_grow(struct loop_epoll *l)
{
	uint32_t n = l->nslots ? l->nslots * 2 : 16;
	struct fd_slot *slots = realloc(l->slots, n * sizeof(*slots));

	if (!slots)
		return ERR_NOMEM;
	for (uint32_t i = l->nslots; i < n; i++)
		slots[i] = (struct fd_slot){.next_free = i + 1 < n ? i + 1 : SLOT_NONE};
	l->first_free = l->nslots;
	l->slots = slots;
	l->nslots = n;
	return OK;
}

static int epoll_fd_add(struct loop *loop, struct loop_fd *f)
{
	struct loop_epoll *l = epoll_of(loop);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	struct fd_slot *slot;
	uint32_t i;
	int rc;

	if (l->first_free == SLOT_NONE && (rc = slots_grow(l)) < 0)
		return rc;
	i = l->first_free;
	slot = &l->slots[i];
	ev.data.u64 = (uint64_t)slot->generation << 32 | i;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, f->fd, &ev) < 0)
		return errno == ENOMEM ? ERR_NOMEM : ERR_IO;
	l->first_free = slot->next_free;
	slot->f = f;
	f->slot = i;
	return OK;
}

static void epoll_fd_remove(struct loop *loop, struct loop_fd *f)
{
	struct loop_epoll *l = epoll_of(loop);
	struct fd_slot *slot = &l->slots[f->slot];

	assert(f->slot < l->nslots && slot->f == f);
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL);
	slot->f = NULL;
	slot->generation++;
	slot->next_free = l->first_free;
	l->first_free = f->slot;
}

static void deliver(struct loop_epoll *l, const struct epoll_event *ev)
{
	uint32_t i = (uint32_t)ev->data.u64;
	unsigned events = 0;

	/* Removed meanwhile, perhaps used again; the wake-up descriptor has nothing to be read either. */
	if (ev->data.u64 == WAKE_DATA || !l->slots[i].f || l->slots[i].generation != ev->data.u64 >> 32)
		return;
	if (ev->events & EPOLLIN)
		events |= LOOP_READABLE;
	if (ev->events & EPOLLOUT)
		events |= LOOP_WRITABLE;
	if (ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		events |= LOOP_HANGUP;
	l->slots[i].f->ready(l->slots[i].f, events);
}

/* ---- sources ---- */

static void epoll_wake(struct loop *loop)
{
	struct loop_epoll *l = epoll_of(loop);
	uint64_t one = 1;
	ssize_t n;

	/* The first who finds it asleep wakes it. Each write is an edge, so the counter is never read back. */
	if (!atomic_load(&l->sleeping) || !atomic_exchange(&l->sleeping, false))
		return;
	n = write(l->wake_fd, &one, sizeof(one));
	(void)n; /* fails only when the counter is full after 2^64 wake-ups */
}

static void epoll_notify(struct loop *loop, struct loop_source *s)
{
	struct loop_epoll *l = epoll_of(loop);
	struct list *head = atomic_load_explicit(&l->notified, memory_order_relaxed);

	do
		s->node.next = head;
	while (!atomic_compare_exchange_weak(&l->notified, &head, &s->node));
	epoll_wake(loop);
}

/* Move the stack behind `arrived`, first notified first. */
static void take_notified(struct loop_epoll *l)
{
	struct list *node = NULL;
	struct list *at = &l->arrived;

	if (atomic_load_explicit(&l->notified, memory_order_relaxed))
		node = atomic_exchange(&l->notified, NULL);
	while (node) {
		struct list *next = node->next;

		list_init(node);
		list_insert_before(at, node);
		at = node;
		node = next;
	}
}

static void epoll_forget(struct loop *loop, struct loop_source *s)
{
	take_notified(epoll_of(loop));
	list_remove(&s->node);
}

/* ---- turns ---- */

/* How long to wait: 0 not at all, -1 until something comes. */
static int64_t wait_us(struct loop_epoll *l, int max_wait_ms)
{
	int64_t most_us = max_wait_ms < 0 ? -1 : (int64_t)max_wait_ms * 1000;
	uint64_t next_us, now_us, us;

	if (max_wait_ms == 0 || l->loop.again || !list_empty(&l->arrived))
		return 0;
	next_us = loop_timers_next_us(&l->loop);
	if (next_us == WHEEL_NEVER)
		return most_us;
	if (next_us <= l->clock.now_us)
		return 0;
	/* The turn took time since its clock was read: ask again, or every sleep is too long by it. */
	now_us = monotonic_us();
	if (next_us <= now_us)
		return 0;
	us = next_us - now_us;
	if (us > (uint64_t)INT_MAX * 1000)
		us = (uint64_t)INT_MAX * 1000;
	return most_us > 0 && (uint64_t)most_us < us ? most_us : (int64_t)us;
}

/* From the first alarm on, the thread asks to be woken at the microsecond, not some fifty later. */
static void be_precise(struct loop_epoll *l)
{
	if (l->is_precise)
		return;
	l->is_precise = true;
	(void)prctl(PR_SET_TIMERSLACK, 1UL);
}

/* Wait in whole milliseconds, which every kernel can; to the microsecond only when there is an alarm to be in time for. */
static int wait_events(struct loop_epoll *l, int64_t us)
{
	struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
	int n;

	if (us > 0 && !list_empty(&l->loop.alarms)) {
		be_precise(l);
		n = epoll_pwait2(l->epoll_fd, l->events, EVENTS_PER_WAIT, &ts, NULL);
		if (n >= 0 || errno != ENOSYS)
			return n;
		return epoll_wait(l->epoll_fd, l->events, EVENTS_PER_WAIT,
				  (int)(us / 1000)); /* then look often */
	}
	return epoll_wait(l->epoll_fd, l->events, EVENTS_PER_WAIT, us < 0 ? -1 : (int)((us + 999) / 1000));
}

/*
 * To sleep and be woken takes several times as long as a short message needs. While events come so fast that the next is
 * likely to be there sooner, look for it for a moment instead.
 */
static int epoll_linger(struct loop_epoll *l)
{
	uint64_t end, now = monotonic_us();
	int n = 0;

	l->idle_since_us = now;
	if (!l->may_linger || l->gap_us > LINGER_GAP_US || l->gap_us < LEAST_GAP_US)
		return 0;
	end = now + LINGER_US;
	while (n == 0 && now < end && !atomic_load_explicit(&l->notified, memory_order_relaxed)) {
		n = epoll_wait(l->epoll_fd, l->events, EVENTS_PER_WAIT, 0);
		now = monotonic_us();
	}
	return n;
}

/* Events came after so long a wait. */
static void gap_count(struct loop_epoll *l)
{
	uint64_t gap = monotonic_us() - l->idle_since_us;

	if (gap > GAP_MOST_US)
		gap = GAP_MOST_US;
	l->gap_us = (uint32_t)((7 * (uint64_t)l->gap_us + gap) / 8);
}

/* Wait for events; the number of them or ERR_IO. */
static int epoll_sleep(struct loop_epoll *l, int max_wait_ms)
{
	int64_t timeout = wait_us(l, max_wait_ms);
	bool may_block = timeout != 0;
	int n, error;

	if (atomic_load_explicit(&l->notified, memory_order_relaxed) ||
	    atomic_load_explicit(&l->loop.stopped, memory_order_relaxed))
		may_block = false;
	if (may_block && (n = epoll_linger(l)) > 0) {
		gap_count(l);
		return n;
	}
	if (may_block) {
		loop_run_hooks(&l->loop, LOOP_BEFORE_SLEEP);
		timeout = wait_us(l, max_wait_ms); /* a hook may have made work */
		atomic_store(&l->sleeping, true);
		if (atomic_load(&l->notified) || atomic_load(&l->loop.stopped))
			timeout = 0;
	} else {
		timeout = 0;
	}
	n = wait_events(l, timeout);
	error = errno;
	if (may_block) {
		atomic_store(&l->sleeping, false);
		gap_count(l);
		loop_run_hooks(&l->loop, LOOP_AFTER_SLEEP);
	}
	if (n < 0)
		return error == EINTR ? 0 : ERR_IO;
	return n;
}

static int epoll_turn(struct loop *loop, int max_wait_ms)
{
	struct loop_epoll *l = epoll_of(loop);
	int n = epoll_sleep(l, max_wait_ms);

	if (n < 0)
		return n;
	clock_read(&l->clock);
	loop_turn_begin(loop);
	for (int i = 0; i < n; i++)
		deliver(l, &l->events[i]);
	take_notified(l);
	list_splice(&loop->running, &l->arrived);
	loop_turn_finish(loop);
	return OK;
}

static int epoll_run(struct loop *loop)
{
	int rc = OK;

	while (rc == OK && !atomic_exchange(&loop->stopped, false))
		rc = epoll_turn(loop, -1);
	return rc;
}

/* ---- life ---- */

static void epoll_destroy(struct loop *loop)
{
	struct loop_epoll *l = epoll_of(loop);

	if (l->wake_fd >= 0)
		close(l->wake_fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	free(l->slots);
	free(l);
}

static const struct loop_ops epoll_ops = {
	.run = epoll_run,
	.turn = epoll_turn,
	.notify = epoll_notify,
	.wake = epoll_wake,
	.precise_us = monotonic_us,
	.forget = epoll_forget,
	.fd_add = epoll_fd_add,
	.fd_remove = epoll_fd_remove,
	.destroy = epoll_destroy,
};

int loop_create(struct loop **out)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = WAKE_DATA};
	struct loop_epoll *l = calloc(1, sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	clock_read(&l->clock);
	loop_init(&l->loop, &epoll_ops, &l->clock);
	l->first_free = SLOT_NONE;
	l->gap_us = GAP_MOST_US;
	l->may_linger = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	list_init(&l->arrived);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll_fd < 0 || l->wake_fd < 0 || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) < 0) {
		epoll_destroy(&l->loop);
		return ERR_IO;
	}
	*out = &l->loop;
	return OK;
}
