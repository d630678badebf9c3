/*
 * Inputs and outputs of GPIO chips. Each channel has a line of its own, so that one that is taken or gone does not concern the
 * others. Inputs are told by edges, so a counter misses none that the kernel keeps; reading one looks at its level as well. A line
 * that fails is closed and tried again; an output that comes back gets the value that was written last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "south/gpio_port.h"

#define RETRY_MS      1000u /* between attempts at a line that cannot be had */
#define EDGES_AT_ONCE 256u  /* of a line that does nothing else; then others have their turn */

struct pin {
	struct gpiod *owner;
	enum config_area kind;
	unsigned number;
	char *chip, *point;
	struct gpio_settings settings; /* on: of an output what was written last */
	struct gpio_line *line;        /* NULL: it is not ours now */
	struct loop_fd fd;             /* fd -1: not watched */
	int rc;                        /* of the last attempt */
	bool was_tried;
	uint64_t retry_at;
};

struct gpiod {
	struct io_driver driver;
	const struct gpio_ops *gpio;
	struct loop *loop;
	struct io_host *host;
	struct pin *pins; /* by kind, then number */
	size_t npins;
	size_t first[CONFIG_AREA_RELAY + 1]; /* of a kind, in pins */
	struct loop_timer more_timer;
};

static struct pin *pin_of(struct gpiod *g, enum config_area kind, unsigned number)
{
	return &g->pins[g->first[kind] + number];
}

/* ---- taking and losing a line ---- */

static const char *reason(int rc)
{
	switch (rc) {
	case ERR_NOT_FOUND:
		return "there is no such chip";
	case ERR_RANGE:
		return "the chip has no such line";
	case ERR_BUSY:
		return "another program has it";
	default:
		return err_text(rc);
	}
}

static void release(struct pin *p)
{
	struct gpiod *g = p->owner;

	if (p->fd.fd >= 0)
		loop_fd_remove(g->loop, &p->fd);
	p->fd.fd = -1;
	if (p->line)
		g->gpio->close(p->line);
	p->line = NULL;
}

static void lose(struct pin *p, int rc)
{
	if (p->rc == OK || !p->was_tried)
		log_warning("io", "GPIO line \"%s\" of chip \"%s\": %s", p->point, p->chip, reason(rc));
	release(p);
	p->rc = rc;
	p->was_tried = true;
	p->retry_at = loop_now_ms(p->owner->loop) + RETRY_MS;
}

static bool watch(struct pin *p)
{
	p->fd.fd = p->owner->gpio->fd(p->line);
	if (p->fd.fd < 0)
		return false;
	if (loop_fd_add(p->owner->loop, &p->fd) == OK)
		return true;
	p->fd.fd = -1;
	return false;
}

/* Is the line ours? Tries to take it when that is due. */
static bool have(struct pin *p)
{
	struct gpiod *g = p->owner;
	int rc;

	if (p->line)
		return true;
	if (p->was_tried && loop_now_ms(g->loop) < p->retry_at)
		return false;
	rc = g->gpio->open(p->chip, p->point, &p->settings, &p->line);
	if (rc == OK && p->kind == CONFIG_AREA_DI && !watch(p))
		rc = ERR_IO;
	if (rc < 0) {
		lose(p, rc);
		return false;
	}
	if (p->rc < 0)
		log_notice("io", "GPIO line \"%s\" of chip \"%s\": there again", p->point, p->chip);
	p->rc = OK;
	p->was_tried = true;
	return true;
}

/* ---- edges ---- */

/* A kernel before 5.7 stamps edges with the wall clock: what cannot be a time of a moment ago counts as now. */
static uint64_t edge_ms(const struct gpiod *g, uint64_t at_us)
{
	uint64_t now = loop_now_ms(g->loop), at = at_us / 1000;

	return at <= now && now - at < 60000 ? at : now;
}

/* The edges that wait. False: the line is lost. */
static bool take_edges(struct pin *p)
{
	struct gpiod *g = p->owner;
	uint64_t at_us = 0;
	bool on = false;
	int rc = 0;

	for (unsigned i = 0; i < EDGES_AT_ONCE && (rc = g->gpio->edge(p->line, &on, &at_us)) > 0; i++)
		g->host->level(g->host, p->number, on, edge_ms(g, at_us));
	if (rc > 0 && !loop_timer_pending(&g->more_timer))
		loop_timer_set(g->loop, &g->more_timer, 0);
	if (rc < 0)
		lose(p, rc);
	return rc >= 0;
}

static void edges_wait(struct loop_fd *f, unsigned events)
{
	struct pin *p = container_of(f, struct pin, fd);

	(void)events;
	(void)take_edges(p);
}

/* Descriptors say once that there is something: what was left in them is looked for here. */
static void take_more(struct loop_timer *timer)
{
	struct gpiod *g = container_of(timer, struct gpiod, more_timer);

	for (size_t i = 0; i < g->npins; i++)
		if (g->pins[i].kind == CONFIG_AREA_DI && g->pins[i].line)
			(void)take_edges(&g->pins[i]);
}

/* ---- channels ---- */

static void gpiod_read(struct io_driver *d, enum config_area kind, unsigned number, struct io_reading *r)
{
	struct gpiod *g = container_of(d, struct gpiod, driver);
	struct pin *p = pin_of(g, kind, number);
	int level;

	r->rc = ERR_IO;
	if (!have(p))
		return;
	if (kind == CONFIG_AREA_DI && !take_edges(p)) /* what led to the level that is read now */
		return;
	level = g->gpio->get(p->line);
	if (level < 0) {
		lose(p, level);
		return;
	}
	r->rc = OK;
	r->on = level;
}

static int gpiod_write(struct io_driver *d, enum config_area kind, unsigned number, bool on, double value)
{
	struct gpiod *g = container_of(d, struct gpiod, driver);
	struct pin *p = pin_of(g, kind, number);
	int rc;

	(void)value;
	if (!have(p))
		return ERR_IO;
	rc = g->gpio->set(p->line, on);
	if (rc < 0) {
		lose(p, rc);
		return ERR_IO;
	}
	p->settings.on = on;
	return OK;
}

static bool gpiod_fault(struct io_driver *d, char text[IO_FAULT_MAX])
{
	struct gpiod *g = container_of(d, struct gpiod, driver);

	for (size_t i = 0; i < g->npins; i++)
		if (g->pins[i].line)
			return false;
	snprintf(text, IO_FAULT_MAX, "GPIO line \"%.20s\" of chip \"%.20s\": %.28s", g->pins[0].point,
		 g->pins[0].chip, reason(g->pins[0].rc));
	return true;
}

/* ---- life ---- */

static void gpiod_destroy(struct io_driver *d)
{
	struct gpiod *g = container_of(d, struct gpiod, driver);

	loop_timer_cancel(g->loop, &g->more_timer);
	for (size_t i = 0; i < g->npins; i++) {
		release(&g->pins[i]);
		free(g->pins[i].chip);
		free(g->pins[i].point);
	}
	free(g->pins);
	free(g);
}

static int add_pin(struct gpiod *g, const struct config_module *m, unsigned k)
{
	struct pin *p = &g->pins[g->npins++];

	*p = (struct pin){
		.owner = g,
		.kind = m->kind,
		.number = m->first + k,
		.chip = strdup(m->device),
		.point = strdup(m->points[k]),
		.settings = {.is_output = m->kind != CONFIG_AREA_DI,
			     .active_low = m->active_low,
			     .bias = m->bias,
			     .drive = m->drive},
		.fd = {.fd = -1, .ready = edges_wait},
	};
	return p->chip && p->point ? OK : ERR_NOMEM;
}

static int add_pins(struct gpiod *g, const struct config_line *line)
{
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < line->nmodules; i++)
		n += line->modules[i].channels;
	g->pins = calloc(n + 1, sizeof(*g->pins));
	if (!g->pins)
		return ERR_NOMEM;
	for (int kind = CONFIG_AREA_DI; kind <= CONFIG_AREA_RELAY; kind++) {
		g->first[kind] = g->npins;
		for (size_t i = 0; i < line->nmodules; i++)
			for (unsigned k = 0;
			     line->modules[i].kind == (enum config_area)kind && k < line->modules[i].channels;
			     k++)
				if ((rc = add_pin(g, &line->modules[i], k)) < 0)
					return rc;
	}
	return OK;
}

int io_gpiod_make(const struct gpio_ops *gpio, struct loop *loop, const struct config_line *line,
		  struct io_host *host, struct io_driver **out)
{
	static const struct io_driver_ops ops = {
		.read = gpiod_read, .write = gpiod_write, .fault = gpiod_fault, .destroy = gpiod_destroy};
	struct gpiod *g = calloc(1, sizeof(*g));
	int rc;

	if (!g)
		return ERR_NOMEM;
	g->driver.ops = &ops;
	g->gpio = gpio;
	g->loop = loop;
	g->host = host;
	loop_timer_init(&g->more_timer, take_more);
	if ((rc = add_pins(g, line)) < 0) {
		gpiod_destroy(&g->driver);
		return rc;
	}
	*out = &g->driver;
	return OK;
}
