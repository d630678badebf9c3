/*
 * lineside modbus scan: asks unit after unit for a register, at each speed and parity of a list. Whoever answers, with an exception too,
 * is there, and is asked what it is; what a gateway says for others does not count. The result is printed as it comes, and in the end as
 * a configuration to go on with.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/modbus_session.h"
#include "tools/modbus_tool.h"

#define SERIAL_PATIENCE_MS 100u /* what a device takes to think, beside the time on the wire */
#define TCP_PATIENCE_MS    1000u
#define ANSWER_CHARS       10u
#define IDENTIFY_MAX       16u /* answers */
#define TEXT_MAX           80u

struct found {
	uint8_t unit;
	char text[TEXT_MAX]; /* maker and product; empty: it does not say */
};

struct scan {
	const struct modbus_options *asked;
	struct modbus_options o; /* of this pass: one speed, one parity */
	struct modbus_session session;
	uint32_t timeout_ms;
	bool was_connected; /* at the end of the probe before */
	bool shows_progress;
	unsigned total;
	unsigned garbled; /* answers that could not be read */
	unsigned nfound;
	struct found found[256]; /* of this pass */
};

static void clear_progress(const struct scan *s)
{
	if (s->shows_progress)
		fprintf(stderr, "\r\033[K");
}

static void show_progress(const struct scan *s, unsigned unit)
{
	char place[MODBUS_PLACE_MAX];

	if (s->shows_progress)
		fprintf(stderr, "\r\033[K%s: unit %u, %u found so far",
			modbus_describe_place(&s->o, place, sizeof(place)), unit, s->total + s->nfound);
}

/* ---- what a device says about itself ---- */

/* Text of a device, which may be any bytes, on one line. */
static void print_text(FILE *to, struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		fputc(text.p[i] >= ' ' && text.p[i] < 127 ? text.p[i] : '?', to);
}

static void keep_text(struct found *f, uint8_t id, struct span value)
{
	size_t at = strlen(f->text);

	if (id > MODBUS_OBJECT_REVISION || value.len == 0 || at + 2 >= sizeof(f->text))
		return;
	if (at)
		f->text[at++] = ' ';
	for (size_t i = 0; i < value.len && at + 1 < sizeof(f->text); i++)
		f->text[at++] = value.p[i] >= ' ' && value.p[i] < 127 ? (char)value.p[i] : '?';
	f->text[at] = 0;
}

static void print_objects(struct found *f, const struct modbus_objects *o)
{
	struct rd list = rd_of(o->list, o->len);
	struct span value;
	uint8_t id;

	while (modbus_object_next(&list, &id, &value)) {
		const char *name = modbus_object_text(id);

		if (name)
			printf("  %-22s", name);
		else
			printf("  object 0x%02x           ", id);
		print_text(stdout, value);
		printf("\n");
		keep_text(f, id, value);
	}
}

/* Function 43/14: all that it has, answer by answer; the ids must rise, or it would never end. */
static void identify(struct scan *s, struct found *f)
{
	struct modbus_req req = {.fc = MODBUS_FC_READ_DEVICE_IDENTIFICATION,
				 .read_code = MODBUS_READ_REGULAR};
	bool more = true;

	for (unsigned i = 0; more && i < IDENTIFY_MAX; i++) {
		const struct modbus_objects *o = &s->session.request.data.objects;

		if (modbus_session_ask(&s->session, &req, f->unit, s->timeout_ms) != OK)
			break;
		print_objects(f, o);
		more = o->more && o->next > req.object_id;
		req.object_id = o->next;
	}
	if (!f->text[0])
		printf("  it does not say what it is\n");
}

/* ---- units ---- */

/* A gateway answers for those behind it that are not there. */
static bool is_somebody(const struct scan *s, int rc)
{
	uint8_t e = s->session.request.exception;

	return rc == OK || (rc == ERR_REMOTE && e != MODBUS_EXCEPTION_GATEWAY_PATH_UNAVAILABLE &&
			    e != MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED);
}

static void unit_found(struct scan *s, unsigned unit)
{
	struct found *f = &s->found[s->nfound++];
	char place[MODBUS_PLACE_MAX];

	*f = (struct found){.unit = (uint8_t)unit};
	clear_progress(s);
	printf("unit %u at %s\n", unit, modbus_describe_place(&s->o, place, sizeof(place)));
	identify(s, f);
	fflush(stdout);
}

/* OK, or why nothing more can be asked. */
static MUST_USE int probe(struct scan *s, unsigned unit)
{
	const struct modbus_req req = {.fc = MODBUS_FC_READ_HOLDING_REGISTERS, .count = 1};
	bool was_connected = s->was_connected;
	int rc;

	show_progress(s, unit);
	rc = modbus_session_ask(&s->session, &req, (uint8_t)unit, s->timeout_ms);
	s->was_connected = modbus_master_connected(s->session.master);
	if (is_somebody(s, rc)) {
		unit_found(s, unit);
		return OK;
	}
	switch (rc) {
	case ERR_REMOTE:
	case ERR_CLOSED: /* some gateways hang up for those that are not there */
		return OK;
	case ERR_MALFORMED:
		if (s->o.mode == MODBUS_MODE_TCP)
			return rc; /* not Modbus/TCP at all, whatever the unit */
				   /* fallthrough */
	case ERR_UNEXPECTED:
		clear_progress(s);
		printf("unit %u: something answers that cannot be read\n", unit);
		s->garbled++;
		return OK;
	case ERR_TIMEOUT:
		/* A place that cannot be reached is no unit that is silent; but after many of these the master itself
		 * gives the connection up, and makes another for the next one. */
		return s->was_connected || was_connected ? OK : rc;
	default:
		return rc;
	}
}

/* ---- the configuration ---- */

static void print_quoted(const char *text)
{
	putchar('"');
	for (; *text; text++)
		printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	putchar('"');
}

static void print_line(const struct modbus_options *o)
{
	const struct modbus_mode_info *mode = modbus_mode_info(o->mode);
	bool knows_baud = o->bauds[0] != 0;

	printf("  - name: line1\n    type: %s\n", mode->is_serial   ? "modbus-rtu"
						  : mode->is_framed ? "rtu-over-tcp"
								    : "modbus-tcp");
	printf(mode->is_serial ? "    path: " : "    host: ");
	print_quoted(o->host);
	printf("\n");
	if (!mode->is_serial)
		printf("    port: %u\n", (unsigned)o->port);
	if (mode->is_ascii)
		printf("    mode: ascii\n");
	if (mode->is_framed && knows_baud)
		printf("    baud: %u\n", (unsigned)o->bauds[0]);
	if (mode->is_serial)
		printf("    parity: %s\n    data_bits: %u\n    stop_bits: %u\n",
		       modbus_parity_name(o->parities[0]), o->data_bits, o->stop_bits);
	if (mode->is_serial && o->is_rs485)
		printf("    rs485: {rts_on_send: true}\n");
}

static void print_config(const struct scan *s)
{
	char place[MODBUS_PLACE_MAX];

	printf("\n# A configuration to go on with: %s\n# The register is an example; the device's manual "
	       "names others.\n",
	       modbus_describe_place(&s->o, place, sizeof(place)));
	printf("lines:\n");
	print_line(&s->o);
	printf("devices:\n");
	for (unsigned i = 0; i < s->nfound; i++) {
		const struct found *f = &s->found[i];

		if (f->text[0])
			printf("  # %s\n", f->text);
		printf("  - name: unit%u\n    line: line1\n    unit: %u\n"
		       "    tags:\n      - {name: first, address: \"holding:0\", type: uint16}\n",
		       f->unit, f->unit);
	}
}

/* ---- passes ---- */

static uint32_t timeout_of(const struct modbus_options *o)
{
	uint64_t chars_ms = 0;

	if (o->timeout_ms)
		return o->timeout_ms;
	if (!modbus_mode_info(o->mode)->is_serial)
		return TCP_PATIENCE_MS;
	chars_ms = (uint64_t)ANSWER_CHARS * modbus_char_bits(o) * 1000 / o->bauds[0] + 1;
	return SERIAL_PATIENCE_MS + (uint32_t)chars_ms;
}

/* All units at the speed and parity of s->o. */
static MUST_USE int scan_units(struct scan *s)
{
	int rc;

	s->o.timeout_ms = s->asked->timeout_ms;
	s->o.timeout_ms = s->timeout_ms = timeout_of(&s->o); /* what is told when it passes */
	if ((rc = modbus_session_open(MODBUS_SCAN, &s->o, &s->session)) < 0)
		return rc;
	s->nfound = 0;
	s->was_connected = false;
	for (unsigned unit = 0; unit < 256 && rc == OK; unit++)
		if (modbus_units_has(&s->o.units, unit))
			rc = probe(s, unit);
	clear_progress(s);
	if (rc < 0)
		modbus_session_explain(&s->session, rc);
	modbus_session_close(&s->session);
	s->total += s->nfound;
	return rc;
}

static MUST_USE int scan_all(struct scan *s)
{
	int rc = OK;

	for (unsigned b = 0; b < s->asked->nbauds; b++) {
		for (unsigned p = 0; p < s->asked->nparities; p++) {
			s->o.bauds[0] = s->asked->bauds[b];
			s->o.parities[0] = s->asked->parities[p];
			if ((rc = scan_units(s)) < 0)
				return rc;
			if (s->nfound)
				print_config(s);
		}
	}
	return OK;
}

static void explain_nothing(const struct scan *s)
{
	fprintf(stderr, "lineside modbus scan: nobody answers\n");
	if (s->garbled)
		fprintf(stderr, "But something does that cannot be read: check speed and parity (-b, -P), "
				"and that no "
				"other master is on the line.\n");
	else if (modbus_mode_info(s->asked->mode)->is_serial)
		fprintf(stderr, "Check wiring (A and B), power, speed and parity; -b 9600,19200,38400 -P "
				"even,none tries "
				"several. Slow devices need a longer time (-W 500ms).\n");
	else
		fprintf(stderr, "Slow lines behind a gateway need a longer time (-W 3s).\n");
}

int modbus_tool_scan(const struct modbus_options *o)
{
	struct scan *s = calloc(1, sizeof(*s));
	int rc, status;

	if (!s) {
		fprintf(stderr, "lineside modbus scan: %s\n", err_text(ERR_NOMEM));
		return 1;
	}
	s->asked = o;
	s->o = *o;
	s->shows_progress = isatty(STDERR_FILENO);
	rc = scan_all(s);
	if (rc == OK && s->total == 0)
		explain_nothing(s);
	status = rc == OK && s->total ? 0 : 1;
	free(s);
	return fflush(stdout) == 0 ? status : 1;
}
