/*
 * The field side as a whole: which lines and devices there are, and how they follow the configuration.
 */
#include "field/field.h"

#include <stdlib.h>

#include "base/log.h"
#include "config/io_config.h"
#include "field/internal.h"

#define GOLDEN_PART 2654435769u /* of 2^32 */
#define SILVER_PART 1779033704u

int field_create(struct loop *loop, struct tag_sink *sink, struct source_factory *factory,
		 const payload_formats *formats, struct field **out)
{
	struct field *f = calloc(1, sizeof(*f));

	if (!f)
		return ERR_NOMEM;
	f->loop = loop;
	f->sink = sink;
	f->factory = factory;
	f->formats = formats;
	f->payload = malloc(PAYLOAD_BUFFER);
	if (!f->payload) {
		free(f);
		return ERR_NOMEM;
	}
	f->payload_size = f->payload_room = PAYLOAD_BUFFER;
	list_init(&f->lines);
	cells_queue_init(&f->cells, loop);
	list_init(&f->watchers);
	list_init(&f->paces);
	list_init(&f->unsent);
	loop_timer_init(&f->unsent_timer, groups_flush);
	*out = f;
	return OK;
}

struct line *field_line(struct field *f, const char *name)
{
	list_for_each (node, &f->lines) {
		struct line *l = container_of(node, struct line, node);

		if (strcmp(l->cfg->name, name) == 0)
			return l;
	}
	return NULL;
}

static struct device *find_device(struct line *l, const char *name)
{
	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		if (strcmp(d->cfg->name, name) == 0)
			return d;
	}
	return NULL;
}

struct device *field_device(struct field *f, struct span name)
{
	list_for_each (line_node, &f->lines) {
		struct line *l = container_of(line_node, struct line, node);

		list_for_each (node, &l->devices) {
			struct device *d = container_of(node, struct device, node);

			if (span_equal(span_str(d->cfg->name), name))
				return d;
		}
	}
	return NULL;
}

/* ---- the new state, made aside ---- */

/* For each line and device of `cfg`: the one that is kept, or one that was made for it. */
struct change {
	struct line **lines;
	struct device **devices;
	bool *is_new_device;
	struct alarms *alarms;
	uint8_t *payload; /* a larger buffer, or NULL */
	size_t payload_size, payload_room;
	struct list gone; /* devices that were stopped, until their topics are cleared */
};

static void change_free(struct change *c, const struct gateway_config *cfg, bool with_new)
{
	for (size_t i = 0; with_new && c->devices && c->is_new_device && i < cfg->ndevices; i++)
		if (c->is_new_device[i])
			device_destroy(c->devices[i]);
	for (size_t i = 0; with_new && c->lines && i < cfg->nlines; i++)
		if (c->lines[i] && !c->lines[i]->is_kept)
			line_destroy(c->lines[i]);
	if (with_new)
		alarms_destroy(c->alarms);
	free(c->lines);
	free(c->devices);
	free(c->is_new_device);
	free(c->payload);
}

static int prepare_line(struct field *f, const struct config_line *cfg, bool may_keep, struct line **out)
{
	struct line *old = may_keep ? field_line(f, cfg->name) : NULL;

	if (old && config_line_equal(old->cfg, cfg)) {
		old->is_kept = true;
		*out = old;
		return OK;
	}
	return line_create(f, cfg, out);
}

static int prepare_device(const struct gateway_config *gateway, const struct config_device *cfg,
			  struct line *line, struct device **out, bool *is_new)
{
	struct device *old = line->is_kept ? find_device(line, cfg->name) : NULL;
	int rc;

	if (old && config_device_equal(old->cfg, cfg)) {
		old->is_kept = true;
		*out = old;
		return OK;
	}
	rc = device_create(line, gateway, cfg, out);
	*is_new = rc == OK;
	return rc;
}

static bool has_group_messages(const struct gateway_config *cfg)
{
	for (size_t i = 0; i < cfg->ndevices; i++)
		for (size_t k = 0; k < cfg->devices[i].ngroups; k++)
			if (cfg->devices[i].groups[k].message != CONFIG_MESSAGE_TAGS)
				return true;
	return false;
}

/* A message of a group may be as large as a packet; it is split when that is not enough. */
static int prepare_payload(struct field *f, const struct gateway_config *cfg, struct change *c)
{
	size_t packet = cfg->broker.max_packet_size, room = PAYLOAD_BUFFER;

	if (has_group_messages(cfg))
		room = packet > 2 * PACKET_OVERHEAD ? packet - PACKET_OVERHEAD : packet / 2;
	c->payload_room = room < PAYLOAD_LARGEST ? room : PAYLOAD_LARGEST;
	c->payload_size = c->payload_room > PAYLOAD_BUFFER ? c->payload_room : PAYLOAD_BUFFER;
	if (c->payload_size <= f->payload_size)
		return OK;
	c->payload = malloc(c->payload_size);
	return c->payload ? OK : ERR_NOMEM;
}

static int prepare(struct field *f, const struct gateway_config *cfg, struct change *c)
{
	bool may_keep = f->cfg && strcmp(f->cfg->gateway.root, cfg->gateway.root) == 0 &&
			strcmp(f->cfg->gateway.name, cfg->gateway.name) == 0;
	int rc = OK;

	*c = (struct change){
		.lines = calloc(cfg->nlines + 1, sizeof(struct line *)),
		.devices = calloc(cfg->ndevices + 1, sizeof(struct device *)),
		.is_new_device = calloc(cfg->ndevices + 1, sizeof(bool)),
	};
	list_init(&c->gone);
	if (!c->lines || !c->devices || !c->is_new_device)
		rc = ERR_NOMEM;
	if (rc == OK)
		rc = prepare_payload(f, cfg, c);
	for (size_t i = 0; rc == OK && i < cfg->nlines; i++)
		rc = prepare_line(f, &cfg->lines[i], may_keep, &c->lines[i]);
	for (size_t i = 0; rc == OK && i < cfg->ndevices; i++)
		rc = prepare_device(cfg, &cfg->devices[i], c->lines[cfg->devices[i].line], &c->devices[i],
				    &c->is_new_device[i]);
	if (rc == OK)
		rc = alarms_create(f, cfg, &c->alarms);
	return rc;
}

static void forget_marks(struct field *f)
{
	list_for_each (line_node, &f->lines) {
		struct line *l = container_of(line_node, struct line, node);

		l->is_kept = false;
		list_for_each (node, &l->devices)
			container_of(node, struct device, node)->is_kept = false;
	}
}

/* ---- the change, which cannot fail ---- */

/* Its topics are the new ones' now; what is retained of it goes when these are there. */
static void retire(struct device *d, struct list *gone)
{
	line_stop_device(d->line, d);
	topics_leave(d);
	access_leave(d);
	device_forget_waits(d);
	list_append(gone, &d->node);
}

static bool has_line(const struct gateway_config *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->nlines; i++)
		if (strcmp(cfg->lines[i].name, name) == 0)
			return true;
	return false;
}

static void clear_line_topic(struct field *f, struct line *l, const struct gateway_config *cfg)
{
	bool same_root = strcmp(f->cfg->gateway.root, cfg->gateway.root) == 0;

	if (!(same_root && has_line(cfg, l->cfg->name)) && line_topic(f, l))
		publish(f, f->topic, true, span_of(NULL, 0));
}

static void remove_old(struct field *f, const struct gateway_config *cfg, struct list *gone)
{
	list_for_each (line_node, &f->lines) {
		struct line *l = container_of(line_node, struct line, node);

		list_for_each (node, &l->devices) {
			struct device *d = container_of(node, struct device, node);

			if (!d->is_kept)
				retire(d, gone);
		}
		if (l->is_kept)
			continue;
		list_remove(&l->node);
		clear_line_topic(f, l, cfg);
		line_destroy(l);
	}
}

/*
 * The golden ratio spreads any number of groups of a line over their interval, and one more falls into the widest gap; another
 * irrational number spreads the lines, which have their wires for themselves but share this thread.
 */
static uint32_t place_of(const struct line *l, unsigned ordinal)
{
	return ordinal * GOLDEN_PART + l->ordinal * SILVER_PART; /* it wraps */
}

static void take_new(struct field *f, const struct gateway_config *cfg, struct change *c)
{
	for (size_t i = 0; i < cfg->nlines; i++) {
		line_repoint(c->lines[i], &cfg->lines[i]);
		c->lines[i]->ngroups = 0;
		c->lines[i]->ordinal = (unsigned)i;
		if (c->lines[i]->is_kept)
			continue;
		list_append(&f->lines, &c->lines[i]->node);
		line_start(c->lines[i]);
	}
	for (size_t i = 0; i < cfg->ndevices; i++) {
		struct device *d = c->devices[i];

		for (size_t k = 0; k < cfg->devices[i].ngroups; k++)
			d->groups[k].place = place_of(d->line, d->line->ngroups++);
		device_repoint(d, &cfg->devices[i]);
		if (!c->is_new_device[i])
			continue;
		list_append(&d->line->devices, &d->node);
		access_enter(d);
		topics_enter(d);
		device_start(d);
	}
}

/* Devices are there and are not: what hangs on their tags is hung on them anew. */
static void link_tags(struct field *f)
{
	list_for_each (line_node, &f->lines) {
		struct line *l = container_of(line_node, struct line, node);

		list_for_each (node, &l->devices) {
			struct device *d = container_of(node, struct device, node);

			for (size_t i = 0; i < d->ntags; i++)
				d->tags[i].dependants = NULL;
		}
	}
	cells_link(f);
	alarms_link(f->alarms);
}

static void take_payload(struct field *f, struct change *c)
{
	if (c->payload) {
		free(f->payload);
		f->payload = c->payload;
		f->payload_size = c->payload_size;
		c->payload = NULL;
	}
	f->payload_room = c->payload_room;
}

static void bury(struct field *f, struct list *gone)
{
	list_for_each (node, gone) {
		struct device *d = container_of(node, struct device, node);

		topics_clear(f, d);
		list_remove(node);
		device_destroy(d);
	}
}

int field_apply(struct field *f, const struct gateway_config *cfg)
{
	struct change c;
	int rc = prepare(f, cfg, &c);

	if (rc < 0) {
		change_free(&c, cfg, true);
		pace_drop_unused(f);
		forget_marks(f);
		return rc;
	}
	remove_old(f, cfg, &c.gone);
	alarms_replace(f->alarms, c.alarms);
	f->alarms = c.alarms;
	f->cfg = cfg;
	take_payload(f, &c);
	take_new(f, cfg, &c);
	link_tags(f);
	bury(f, &c.gone);
	pace_drop_unused(f);
	forget_marks(f);
	access_applied(f);
	change_free(&c, cfg, false);
	return OK;
}

int field_trace(struct field *f, const char *line, struct source_trace *t)
{
	struct line *l = field_line(f, line);

	if (!l)
		return ERR_NOT_FOUND;
	if (!config_line_has_frames(l->cfg))
		return ERR_UNSUPPORTED;
	if (l->source->trace)
		return ERR_EXISTS;
	l->source->trace = t;
	return OK;
}

void field_untrace(struct field *f, struct source_trace *t)
{
	list_for_each (node, &f->lines) {
		struct source *source = container_of(node, struct line, node)->source;

		if (source->trace == t)
			source->trace = NULL;
	}
}

void field_visit(const struct field *f, const struct field_visitor *v)
{
	for (struct list *n = f->lines.next; n != &f->lines; n = n->next) {
		const struct line *l = container_of(n, struct line, node);

		struct line_status s = line_status_of(l);

		v->line(v->arg, &s);
		for (struct list *k = l->devices.next; k != &l->devices; k = k->next) {
			const struct device *d = container_of(k, struct device, node);
			struct device_status status = device_status_of(d);

			v->device(v->arg, d->cfg->name, l->cfg->name, &status);
		}
	}
}

/* Whoever is told how its request ended may ask for another one, of a device that has ended: all are there until nobody is told any more. */
static void end_requests(struct field *f, struct list *gone)
{
	list_for_each (line_node, &f->lines) {
		struct line *l = container_of(line_node, struct line, node);

		list_for_each (node, &l->devices)
			retire(container_of(node, struct device, node), gone);
	}
	list_for_each (node, &f->lines) {
		list_remove(node);
		line_destroy(container_of(node, struct line, node));
	}
}

void field_destroy(struct field *f)
{
	struct list gone;

	if (!f)
		return;
	list_init(&gone);
	end_requests(f, &gone);
	list_for_each (node, &gone) {
		list_remove(node);
		device_destroy(container_of(node, struct device, node));
	}
	alarms_destroy(f->alarms);
	cells_queue_fini(&f->cells);
	for (size_t i = 0; i < f->nuplinks; i++)
		free(f->uplinks[i].name);
	free(f->uplinks);
	hmap_fini(&f->names);
	pace_drop_unused(f);
	hmap_fini(&f->tags);
	loop_timer_cancel(f->loop, &f->unsent_timer);
	free(f->payload);
	free(f);
}
