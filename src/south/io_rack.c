#include "south/io_rack.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "south/io_registers.h"
#include "south/io_worker.h"
#include "wire/modbus.h"

#define KINDS       (CONFIG_AREA_TC - CONFIG_AREA_DI + 1)
#define CHANNELS_IN (SOURCE_REGS_MAX / SOURCE_CHANNEL_REGS + 2) /* that one read may touch */

/* What a driver is asked at once, and what it says: a slow one in a thread, any other on the loop. */
struct task {
	struct io_driver *driver;
	enum config_area kind;
	unsigned first, n;         /* of a read */
	bool is_write;             /* of channel `first` */
	struct io_channel channel; /* as it is after the write */
	struct io_reading readings[CHANNELS_IN];
	int rc; /* of the write */
	bool is_gone;
	char fault[IO_FAULT_MAX];
};

struct rack {
	struct source source;
	struct io_host host;
	struct loop *loop;
	char *name;
	struct io_channel *channels[KINDS];
	unsigned nchannels[KINDS];
	struct task *task;
	struct io_worker *worker;                             /* of a slow driver, and task is its */
	bool is_busy;                                         /* the worker has the task */
	struct source_request *waiting[SOURCE_IN_FLIGHT_MAX]; /* in order of arrival */
	unsigned nwaiting;
	struct source_request
		*running; /* the one that the task is for; NULL while busy: it is not wanted any more */
	uint64_t begun_us;
	struct loop_timer next_timer, timeout_timer, tick_timer;
	char fault[IO_FAULT_MAX];
};

static const struct rack *const_rack(const struct source *s)
{
	static_assert(offsetof(struct rack, source) == 0, "container_of() takes no const");
	return (const struct rack *)(const void *)s;
}

static struct io_channel *channel_of(const struct rack *r, enum config_area kind, unsigned number)
{
	return &r->channels[kind - CONFIG_AREA_DI][number];
}

static unsigned count_of(const struct rack *r, enum config_area kind)
{
	return config_area_is_rack(kind) ? r->nchannels[kind - CONFIG_AREA_DI] : 0;
}

/* Tell the driver what an output is to be. */
static int put_output(struct io_driver *d, const struct io_channel *c, unsigned number)
{
	switch (c->kind) {
	case CONFIG_AREA_DO:
		return d->ops->write(d, c->kind, number, c->dout.on, 0);
	case CONFIG_AREA_RELAY:
		return d->ops->write(d, c->kind, number, c->relay.on, 0);
	default:
		return d->ops->write(d, c->kind, number, false, c->analog.value);
	}
}

/* ---- what channels do by themselves ---- */

static void set_tick(struct rack *r)
{
	uint64_t due = IO_NEVER, now = loop_now_ms(r->loop);

	for (unsigned i = 0; i < KINDS; i++)
		for (unsigned k = 0; k < r->nchannels[i]; k++) {
			uint64_t at = io_channel_due(&r->channels[i][k]);

			due = at < due ? at : due;
		}
	if (due == IO_NEVER)
		loop_timer_cancel(r->loop, &r->tick_timer);
	else
		loop_timer_set(r->loop, &r->tick_timer, due > now ? due - now : 0);
}

/* A pulse that cannot be put out is not one: the train ends. */
static void put_pulse(struct rack *r, struct io_channel *c, unsigned number)
{
	struct io_driver *d = r->task->driver;

	if (put_output(d, c, number) == OK)
		return;
	log_warning("io", "line \"%s\": pulses of do%u end: it cannot be written", r->name, number);
	c->is_lost = true;
	io_do_set(&c->dout, false);
}

/* Outputs that pulse are those of drivers that are not slow: config/gateway_check_io.c gives no other a do. */
static void tick(struct loop_timer *timer)
{
	struct rack *r = container_of(timer, struct rack, tick_timer);
	uint64_t now = loop_now_ms(r->loop);

	for (unsigned i = 0; i < KINDS; i++)
		for (unsigned k = 0; k < r->nchannels[i]; k++)
			if (io_channel_tick(&r->channels[i][k], now))
				put_pulse(r, &r->channels[i][k], k);
	set_tick(r);
}

static void level_changed(struct io_host *h, unsigned di, bool on, uint64_t at_ms)
{
	struct rack *r = container_of(h, struct rack, host);
	struct io_reading reading = {.on = on};

	if (di >= count_of(r, CONFIG_AREA_DI))
		return;
	io_channel_feed(channel_of(r, CONFIG_AREA_DI, di), &reading, at_ms);
	set_tick(r);
}

/* ---- tasks ---- */

static void run_task(struct task *t)
{
	struct io_driver *d = t->driver;
	unsigned nlost = 0;

	t->is_gone = false;
	if (t->is_write) {
		t->rc = put_output(d, &t->channel, t->first);
		nlost = t->rc == ERR_IO;
	}
	for (unsigned i = 0; i < t->n; i++) {
		t->readings[i] = (struct io_reading){0};
		d->ops->read(d, t->kind, t->first + i, &t->readings[i]);
		nlost += t->readings[i].rc < 0;
	}
	if (nlost && nlost == t->n + t->is_write)
		t->is_gone = d->ops->fault(d, t->fault);
}

static void work(void *task)
{
	run_task(task);
}

static void free_task(void *task)
{
	struct task *t = task;

	if (t->driver)
		t->driver->ops->destroy(t->driver);
	free(t);
}

/* ---- requests ---- */

static void run_next(struct rack *r)
{
	if (r->nwaiting && !loop_timer_pending(&r->next_timer))
		loop_timer_set(r->loop, &r->next_timer, 0);
}

static void end(struct rack *r, struct source_request *q, int rc)
{
	q->rc = rc;
	q->answered_ms = loop_wall_ms(r->loop);
	q->response_us = q->busy_us = (uint32_t)(loop_now_us(r->loop) - r->begun_us);
	r->running = NULL;
	loop_timer_cancel(r->loop, &r->timeout_timer);
	run_next(r);
	q->done(q); /* may submit it again */
}

static void end_exception(struct rack *r, struct source_request *q, uint8_t exception)
{
	q->exception = exception;
	end(r, q, ERR_REMOTE);
}

static void copy_registers(const struct rack *r, struct source_request *q)
{
	uint16_t channel[SOURCE_CHANNEL_REGS];

	for (unsigned i = 0; i < q->count; i++) {
		unsigned at = q->start + i;

		if (i == 0 || at % SOURCE_CHANNEL_REGS == 0)
			io_channel_registers(channel_of(r, q->area, at / SOURCE_CHANNEL_REGS), channel);
		q->data.regs[i] = channel[at % SOURCE_CHANNEL_REGS];
	}
}

static void end_read(struct rack *r, struct source_request *q)
{
	const struct task *t = r->task;

	for (unsigned i = 0; i < t->n; i++)
		io_channel_feed(channel_of(r, t->kind, t->first + i), &t->readings[i], loop_now_ms(r->loop));
	set_tick(r);
	copy_registers(r, q);
	end(r, q, OK);
}

/* What was written is the channel's state from now on, but for what it measured meanwhile. */
static void end_write(struct rack *r, struct source_request *q)
{
	const struct task *t = r->task;
	struct io_channel *c = channel_of(r, t->kind, t->first);

	if (t->rc == ERR_RANGE) {
		end_exception(r, q, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE);
		return;
	}
	if (t->rc < 0) {
		c->is_lost = true;
		end_exception(r, q, MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE);
		return;
	}
	*c = t->channel;
	c->is_lost = false;
	set_tick(r);
	end(r, q, OK);
}

static void task_done(struct rack *r)
{
	struct source_request *q = r->running;

	if (!q) {
		run_next(r);
	} else if (r->task->is_gone) {
		memcpy(r->fault, r->task->fault, sizeof(r->fault));
		end(r, q, ERR_IO);
	} else if (r->task->is_write) {
		end_write(r, q);
	} else {
		end_read(r, q);
	}
}

static void worker_done(void *owner)
{
	struct rack *r = owner;

	r->is_busy = false;
	task_done(r);
}

static void start_task(struct rack *r, struct source_request *q)
{
	r->running = q;
	if (!r->worker) {
		run_task(r->task);
		task_done(r);
		return;
	}
	r->is_busy = true;
	io_worker_start(r->worker);
}

static void start_read(struct rack *r, struct source_request *q)
{
	unsigned first = q->start / SOURCE_CHANNEL_REGS;
	unsigned last = (q->start + q->count - 1u) / SOURCE_CHANNEL_REGS;
	struct task *t = r->task;

	if (q->count == 0 || q->count > SOURCE_REGS_MAX || last >= count_of(r, q->area)) {
		end(r, q, ERR_RANGE);
		return;
	}
	t->kind = q->area;
	t->first = first;
	t->n = last - first + 1;
	t->is_write = false;
	start_task(r, q);
}

static void start_write(struct rack *r, struct source_request *q)
{
	unsigned number = q->start / SOURCE_CHANNEL_REGS;
	struct task *t = r->task;
	bool is_output = false;
	struct io_channel next;
	int rc = ERR_RANGE;

	if (number < count_of(r, q->area)) {
		next = *channel_of(r, q->area, number);
		rc = io_channel_write(&next, q->start % SOURCE_CHANNEL_REGS, q->data.regs, q->count,
				      loop_now_ms(r->loop), &is_output);
	}
	if (rc == ERR_MALFORMED) {
		end_exception(r, q, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE);
	} else if (rc < 0) {
		end(r, q, ERR_RANGE);
	} else if (!is_output) {
		*channel_of(r, q->area, number) = next;
		set_tick(r);
		end(r, q, OK);
	} else {
		t->kind = q->area;
		t->first = number;
		t->n = 0;
		t->is_write = true;
		t->channel = next;
		start_task(r, q);
	}
}

static void next_due(struct loop_timer *timer)
{
	struct rack *r = container_of(timer, struct rack, next_timer);
	struct source_request *q = r->waiting[0];

	if (r->nwaiting == 0 || r->running)
		return;
	if (r->worker && !loop_timer_pending(&r->timeout_timer))
		loop_timer_set(r->loop, &r->timeout_timer, q->timeout_ms);
	if (r->is_busy) /* with what nobody waits for any more */
		return;
	r->nwaiting--;
	memmove(&r->waiting[0], &r->waiting[1], r->nwaiting * sizeof(*r->waiting));
	q->exception = 0;
	r->begun_us = loop_now_us(r->loop);
	if (q->op == SOURCE_READ)
		start_read(r, q);
	else if (q->op == SOURCE_WRITE)
		start_write(r, q);
	else
		end(r, q, ERR_UNSUPPORTED);
}

/* The driver hangs in the system: the thread stays with it, the loop goes on. */
static void timed_out(struct loop_timer *timer)
{
	struct rack *r = container_of(timer, struct rack, timeout_timer);
	struct source_request *q = r->running;

	if (!q) {
		if (r->nwaiting == 0)
			return;
		r->begun_us = loop_now_us(r->loop); /* it never began */
		q = r->waiting[0];
		r->nwaiting--;
		memmove(&r->waiting[0], &r->waiting[1], r->nwaiting * sizeof(*r->waiting));
	}
	end(r, q, ERR_TIMEOUT);
}

static void submit(struct source *s, struct source_request *q)
{
	struct rack *r = container_of(s, struct rack, source);

	assert(r->nwaiting < SOURCE_IN_FLIGHT_MAX);
	r->waiting[r->nwaiting++] = q;
	if (!r->running)
		run_next(r);
}

static void cancel(struct source *s, struct source_request *q)
{
	struct rack *r = container_of(s, struct rack, source);
	bool is_first = r->running == q || (!r->running && r->nwaiting && r->waiting[0] == q);
	unsigned n = 0;

	for (unsigned i = 0; i < r->nwaiting; i++)
		if (r->waiting[i] != q)
			r->waiting[n++] = r->waiting[i];
	r->nwaiting = n;
	if (is_first)
		loop_timer_cancel(r->loop, &r->timeout_timer);
	if (r->running == q) {
		r->running = NULL;
		run_next(r);
	}
	if (n == 0)
		loop_timer_cancel(r->loop, &r->next_timer);
}

static const char *channel_unit(const struct source *s, enum config_area kind, uint16_t number)
{
	const struct rack *r = const_rack(s);
	const struct io_driver *d = r->task->driver;
	const char *unit;

	if (kind < CONFIG_AREA_AI || number >= count_of(r, kind))
		return NULL;
	unit = io_mode_info(channel_of(r, kind, number)->analog.mode)->unit;
	return unit || !d->ops->unit ? unit : d->ops->unit(d, kind, number);
}

static enum quality channel_quality(const struct source *s, enum config_area kind, uint16_t number,
				    enum reason *reason)
{
	const struct rack *r = const_rack(s);

	*reason = REASON_NONE;
	return number < count_of(r, kind) ? io_channel_quality(channel_of(r, kind, number), reason)
					  : QUALITY_GOOD;
}

/* ---- life ---- */

static void destroy(struct source *s)
{
	struct rack *r = container_of(s, struct rack, source);

	loop_timer_cancel(r->loop, &r->next_timer);
	loop_timer_cancel(r->loop, &r->timeout_timer);
	loop_timer_cancel(r->loop, &r->tick_timer);
	if (r->worker)
		io_worker_destroy(r->worker);
	else if (r->task)
		free_task(r->task);
	for (unsigned i = 0; i < KINDS; i++)
		free(r->channels[i]);
	free(r->name);
	free(r);
}

static int make_channels(struct rack *r, const struct config_line *line)
{
	for (unsigned i = 0; i < KINDS; i++) {
		enum config_area kind = (enum config_area)(CONFIG_AREA_DI + i);
		unsigned n = config_line_channels(line, kind);

		if (n == 0)
			continue;
		r->channels[i] = calloc(n, sizeof(*r->channels[i]));
		if (!r->channels[i])
			return ERR_NOMEM;
		r->nchannels[i] = n;
		for (unsigned k = 0; k < n; k++)
			io_channel_init(&r->channels[i][k], config_line_module(line, kind, k));
	}
	return OK;
}

static int make_driver(struct rack *r, const struct config_line *line, io_driver_create *create)
{
	static const struct io_worker_ops worker_ops = {
		.work = work, .done = worker_done, .free_task = free_task};
	int rc;

	r->name = strdup(line->name);
	r->task = calloc(1, sizeof(*r->task));
	if (!r->name || !r->task)
		return ERR_NOMEM;
	if ((rc = create(r->loop, line, &r->host, &r->task->driver)) < 0)
		return rc;
	if (r->task->driver->ops->is_slow)
		return io_worker_create(r->loop, &worker_ops, r->task, r, &r->worker);
	return OK;
}

int io_rack_create(struct loop *loop, const struct config_line *line, io_driver_create *create,
		   struct source **out)
{
	static const struct source_ops ops = {.submit = submit,
					      .cancel = cancel,
					      .destroy = destroy,
					      .channel_unit = channel_unit,
					      .channel_quality = channel_quality};
	struct rack *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return ERR_NOMEM;
	r->source = (struct source){.ops = &ops,
				    .attributes = io_attributes,
				    .nattributes = sizeof(io_attributes) / sizeof(io_attributes[0]),
				    .fault = r->fault};
	r->host.level = level_changed;
	r->loop = loop;
	loop_timer_init(&r->next_timer, next_due);
	loop_timer_init(&r->timeout_timer, timed_out);
	loop_timer_init(&r->tick_timer, tick);
	if ((rc = make_channels(r, line)) < 0 || (rc = make_driver(r, line, create)) < 0) {
		destroy(&r->source);
		return rc;
	}
	*out = &r->source;
	return OK;
}
