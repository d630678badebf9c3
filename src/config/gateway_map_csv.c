/*
 * The map of the Modbus view as a file: a row of names, then one for each tag.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/csv.h"
#include "config/gateway_check.h"

#define FILE_MAX   (16u * 1024 * 1024)
#define ADDRESSES  65536u
#define FIELDS_MAX 16u /* of a row; what is beyond is passed over */

enum column {
	COLUMN_DEVICE,
	COLUMN_TAG,
	COLUMN_AREA,
	COLUMN_ADDRESS,
	COLUMN_TYPE,
	COLUMN_ORDER,
	COLUMN_REGISTERS,
	COLUMN_UNIT,
	COLUMN_COUNT
};

/* Those behind the address may be missing or empty; what is said of registers must be right, and the unit is for people. */
static const char *const columns[] = {"device", "tag",   "area",      "address",
				      "type",   "order", "registers", "unit"};

/* ---- writing ---- */

int gateway_config_map_print(const struct gateway_config *cfg, FILE *out)
{
	const struct config_modbus_view *v = &cfg->views.modbus;

	for (unsigned i = 0; i < COLUMN_COUNT; i++)
		fprintf(out, "%s%s", i ? "," : "", columns[i]);
	fputc('\n', out);
	for (size_t i = 0; i < v->nplaces; i++) {
		const struct config_place *p = &v->places[i];
		const struct config_device *d = &cfg->devices[p->device];
		const struct config_tag *t = &d->tags[p->tag];

		csv_put(out, d->name);
		fputc(',', out);
		csv_put(out, t->name);
		fprintf(out, ",%s,%u,%s,%s,%u,", config_area_text(p->area), p->address,
			value_type_info(p->type)->name,
			gateway_map_is_bits(p->area) ? "" : byte_order_info(p->order)->name, p->count);
		csv_put(out, t->unit ? t->unit : "");
		fputc('\n', out);
	}
	return fflush(out) == 0 && !ferror(out) ? OK : ERR_IO;
}

/* ---- reading ---- */

struct map_reader {
	struct checker *c;
	const struct doc_node *view;
	struct csv csv;
	unsigned row; /* the line where the one that is read begins */
	int where[COLUMN_COUNT];
	struct name_set devices;
	unsigned nfields;
	const char *fields[FIELDS_MAX];
};

static void csv_fault(struct map_reader *m, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void csv_fault(struct map_reader *m, const char *fmt, ...)
{
	char text[FAULT_TEXT_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	schema_fault_key(m->c->r, m->view, "map", "%s, line %u: %s", m->c->cfg->views.modbus.path, m->row,
			 text);
}

/* False: there is no further row. */
static bool take_row(struct map_reader *m)
{
	struct csv_cell cell = {.line = 1};
	const char *why = "";
	int rc;

	for (m->nfields = 0; !cell.is_last;) {
		if ((rc = csv_next(&m->csv, &cell, &why)) < 0) {
			m->row = cell.line;
			if (rc == ERR_MALFORMED)
				csv_fault(m, "found %s, allowed: comma-separated values", why);
			return false;
		}
		m->row = m->nfields ? m->row : cell.line;
		if (m->nfields < FIELDS_MAX)
			m->fields[m->nfields++] = cell.text;
	}
	return true;
}

static const char *field_of(const struct map_reader *m, enum column column)
{
	int where = m->where[column];

	return where >= 0 && (unsigned)where < m->nfields ? m->fields[where] : "";
}

static bool take_header(struct map_reader *m)
{
	for (unsigned i = 0; i < COLUMN_COUNT; i++)
		m->where[i] = -1;
	if (!take_row(m)) {
		csv_fault(m, "found nothing, allowed: device,tag,area,address and a row for each tag");
		return false;
	}
	for (unsigned f = 0; f < m->nfields; f++) {
		unsigned i = 0;

		while (i < COLUMN_COUNT && strcmp(columns[i], m->fields[f]) != 0)
			i++;
		if (i == COLUMN_COUNT || m->where[i] >= 0) {
			csv_fault(m,
				  "found the column \"%s\", allowed, each once: device, tag, area, "
				  "address, type, order, registers, unit",
				  m->fields[f]);
			return false;
		}
		m->where[i] = (int)f;
	}
	for (unsigned i = 0; i <= COLUMN_ADDRESS; i++)
		if (m->where[i] < 0) {
			csv_fault(m, "found no column \"%s\", which is needed", columns[i]);
			return false;
		}
	return true;
}

static bool take_number(const char *text, unsigned long max, unsigned long *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoul(text, &end, 10);
	return !*end && errno == 0 && *out <= max;
}

static bool take_tag(struct map_reader *m, struct config_place *p, const struct config_tag **tag)
{
	const char *device = field_of(m, COLUMN_DEVICE), *name = field_of(m, COLUMN_TAG);
	const struct config_device *d;

	if (name_set_find(&m->devices, device, &p->device) < 0) {
		csv_fault(m, "found device \"%s\", allowed: the name of one of the devices", device);
		return false;
	}
	d = &m->c->cfg->devices[p->device];
	for (p->tag = 0; p->tag < d->ntags; p->tag++)
		if (strcmp(d->tags[p->tag].name, name) == 0) {
			*tag = &d->tags[p->tag];
			return true;
		}
	csv_fault(m, "found tag \"%s\", allowed: the name of one of the tags of device \"%s\"", name, device);
	return false;
}

/* The area says what masters may do, too. */
static bool take_area(struct map_reader *m, const struct config_tag *tag, struct config_place *p)
{
	const char *text = field_of(m, COLUMN_AREA);
	bool is_bits = gateway_map_is_bits(p->area);
	enum config_area write = is_bits ? CONFIG_AREA_COIL : CONFIG_AREA_HOLDING;
	enum config_area read = is_bits ? CONFIG_AREA_DISCRETE : CONFIG_AREA_INPUT;

	if (strcmp(text, config_area_text(read)) == 0) {
		p->area = read;
		return true;
	}
	if (strcmp(text, config_area_text(write)) == 0 && tag->writable) {
		p->area = write;
		return true;
	}
	if (tag->writable)
		csv_fault(m, "found area \"%s\", allowed for this tag: %s, or %s to be read only", text,
			  config_area_text(write), config_area_text(read));
	else
		csv_fault(m, "found area \"%s\", allowed for a %s that is read only: %s", text,
			  is_bits ? "bool" : "number or text", config_area_text(read));
	return false;
}

/* A number may become any other that is wide enough for the master; texts and bits stay what they are. */
static bool take_type(struct map_reader *m, struct config_place *p)
{
	const char *text = field_of(m, COLUMN_TYPE);
	enum value_type type = p->type;

	if (*text && (value_type_find(text, &type) < 0 ||
		      (type != p->type &&
		       (value_type_info(type)->bits <= 1 || value_type_info(p->type)->bits <= 1)))) {
		csv_fault(m, "found type \"%s\", allowed for this tag: %s%s", text,
			  value_type_info(p->type)->name,
			  value_type_info(p->type)->bits > 1 ? ", or another number" : "");
		return false;
	}
	p->type = type;
	if (value_type_info(type)->registers)
		p->count = (uint16_t)value_type_info(type)->registers;
	return true;
}

static bool take_order(struct map_reader *m, struct config_place *p)
{
	const char *text = field_of(m, COLUMN_ORDER);

	if (!*text)
		return true;
	if (gateway_map_is_bits(p->area) || byte_order_find(text, &p->order) < 0 ||
	    !value_type_takes_order(p->type, p->order)) {
		csv_fault(m, "found order \"%s\", allowed: one that type %s can have, or nothing", text,
			  value_type_info(p->type)->name);
		return false;
	}
	return true;
}

static bool take_place(struct map_reader *m, struct config_place *p)
{
	const struct config_tag *tag;
	unsigned long n;

	if (!take_tag(m, p, &tag))
		return false;
	{
		struct config_place made = gateway_map_place(&m->c->cfg->views.modbus, tag);

		made.device = p->device;
		made.tag = p->tag;
		*p = made;
	}
	if (!take_area(m, tag, p) || !take_type(m, p) || !take_order(m, p))
		return false;
	if (!take_number(field_of(m, COLUMN_ADDRESS), ADDRESSES - p->count, &n)) {
		csv_fault(m, "found address \"%s\", allowed: 0..%u", field_of(m, COLUMN_ADDRESS),
			  ADDRESSES - p->count);
		return false;
	}
	p->address = (uint16_t)n;
	if (*field_of(m, COLUMN_REGISTERS) &&
	    (!take_number(field_of(m, COLUMN_REGISTERS), ADDRESSES, &n) || n != p->count)) {
		csv_fault(m, "found registers \"%s\", allowed for type %s: %u, or nothing",
			  field_of(m, COLUMN_REGISTERS), value_type_info(p->type)->name, p->count);
		return false;
	}
	return true;
}

static void name_overlap(struct map_reader *m, const struct config_place *a, const struct config_place *b)
{
	const struct config_device *d = m->c->cfg->devices;

	schema_fault_key(
		m->c->r, m->view, "map",
		"%s: found %s/%s at %s %u, which overlaps %s/%s at %s %u; allowed: places of their own "
		"(coil and discrete share addresses, holding and input do)",
		m->c->cfg->views.modbus.path, d[b->device].name, d[b->device].tags[b->tag].name,
		config_area_text(b->area), b->address, d[a->device].name, d[a->device].tags[a->tag].name,
		config_area_text(a->area), a->address);
}

static int take_rows(struct map_reader *m)
{
	struct config_modbus_view *v = &m->c->cfg->views.modbus;
	size_t rows = 1, at;

	for (const char *p = m->csv.at; p < m->csv.end; p++)
		rows += *p == '\n' || *p == '\r';
	v->places = arena_array(m->c->r->arena, rows, sizeof(*v->places));
	if (!v->places)
		return ERR_NOMEM;
	if (!take_header(m))
		return OK;
	while (take_row(m))
		if (take_place(m, &v->places[v->nplaces]))
			v->nplaces++;
	if (gateway_map_sort(v->places, v->nplaces, &at))
		name_overlap(m, &v->places[at - 1], &v->places[at]);
	return OK;
}

/* A regular file only: anything else might never end. */
static char *read_map(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char *bytes = NULL;
	ssize_t got = 0;

	if (fd < 0)
		return NULL;
	errno = EINVAL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= (off_t)FILE_MAX)
		bytes = malloc((size_t)st.st_size + 1);
	for (*len = 0; bytes && *len < (size_t)st.st_size; *len += (size_t)got)
		if ((got = read(fd, bytes + *len, (size_t)st.st_size - *len)) <= 0)
			break;
	if (got < 0) {
		free(bytes);
		bytes = NULL;
	}
	close(fd);
	return bytes;
}

int gateway_map_load(struct checker *c, const struct doc_node *view)
{
	struct map_reader m = {.c = c, .view = view};
	size_t len;
	char *bytes = read_map(c->cfg->views.modbus.path, &len);
	int rc;

	if (!bytes) {
		schema_fault_key(
			c->r, view, "map",
			"found \"%s\", which cannot be read (%s), allowed: auto, or a CSV file such as "
			"\"lineside modbus map\" prints",
			c->cfg->views.modbus.path, strerror(errno));
		return OK;
	}
	csv_init(&m.csv, bytes, len);
	rc = name_set_init(&m.devices, c->r->arena, c->cfg->ndevices);
	for (size_t i = 0; rc == OK && i < c->cfg->ndevices; i++)
		rc = name_set_add(&m.devices, c->cfg->devices[i].name, i, NULL);
	if (rc == OK)
		rc = take_rows(&m);
	free(bytes);
	return rc;
}
