#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "net/stream_serial.h"
#include "tools/modbus_options.h"
#include "tools/modbus_sim.h"

#define R          (1u << MODBUS_READ)
#define W          (1u << MODBUS_WRITE)
#define S          (1u << MODBUS_SERVE)
#define N          (1u << MODBUS_SCAN)
#define READ_WRITE (R | W)
#define MASTERS    (R | W | N)
#define ALL        (R | W | S | N)

#define LAST_UNIT 247u /* of a serial line; SL 2.2 */

/* What is known while arguments are read; checked together at the end. */
struct parsing {
	enum modbus_command command;
	struct modbus_options *o;
	const char *type, *order, *port, *mode;
	const char
		*of_a_line; /* an option that was given and is for serial lines, or for ports; NULL: none */
	const char *of_a_port;
	bool high;
};

struct option {
	char letter; /* 0: none */
	const char *name;
	const char *argument; /* NULL: takes none */
	unsigned commands;
	int (*take)(struct parsing *p, const char *text);
	const char *help;
};

static PRINTF_LIKE(2, 3) int fault(const struct parsing *p, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "lineside modbus %s: ", modbus_command_name(p->command));
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	return ERR_RANGE;
}

/* Decimal digits only. */
static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9' || strlen(text) > 19)
		return false;
	*out = strtoull(text, &end, 10);
	return *end == 0 && *out >= min && *out <= max;
}

static int take_port(struct parsing *p, const char *text)
{
	p->port = text;
	return OK;
}

static int take_unit(struct parsing *p, const char *text)
{
	uint64_t n;

	if (!number(text, 0, 255, &n))
		return fault(p, "unit \"%s\": a number from 0 to 255 is wanted", text);
	p->o->unit = (uint8_t)n;
	return OK;
}

static int take_units(struct parsing *p, const char *text)
{
	if (modbus_parse_units(text, &p->o->units) < 0)
		return fault(p, "units \"%s\": numbers from 0 to 255 are wanted, such as 1, 1-10 or 1,3,5-9",
			     text);
	return OK;
}

static int take_mode(struct parsing *p, const char *text)
{
	for (unsigned m = 0; m < MODBUS_MODES; m++) {
		if (strcmp(text, modbus_mode_info((enum modbus_mode)m)->name) != 0)
			continue;
		p->o->mode = (enum modbus_mode)m;
		p->mode = text;
		return OK;
	}
	fault(p, "there is no mode \"%s\"; modes are:", text);
	for (unsigned m = 0; m < MODBUS_MODES; m++)
		fprintf(stderr, "  %-14s  %s\n", modbus_mode_info((enum modbus_mode)m)->name,
			modbus_mode_info((enum modbus_mode)m)->help);
	return ERR_RANGE;
}

static int take_baud(struct parsing *p, const char *text)
{
	p->of_a_line = "--baud";
	if (modbus_parse_bauds(text, p->o->bauds, &p->o->nbauds) == OK &&
	    (p->o->nbauds == 1 || p->command == MODBUS_SCAN))
		return OK;
	return fault(p, "baud \"%s\": a number from %u to %u is wanted%s", text, SERIAL_BAUD_MIN,
		     SERIAL_BAUD_MAX,
		     p->command == MODBUS_SCAN ? ", or several with commas: 9600,19200" : "");
}

static int take_parity(struct parsing *p, const char *text)
{
	p->of_a_line = "--parity";
	if (modbus_parse_parities(text, p->o->parities, &p->o->nparities) == OK &&
	    (p->o->nparities == 1 || p->command == MODBUS_SCAN))
		return OK;
	return fault(p, "parity \"%s\": even, odd or none is wanted%s", text,
		     p->command == MODBUS_SCAN ? ", or several with commas: even,none" : "");
}

/* One of two numbers of bits. */
static int take_bits(struct parsing *p, const char *name, const char *text, unsigned low, unsigned *bits)
{
	uint64_t n;

	p->of_a_line = name;
	if (!number(text, low, low + 1, &n))
		return fault(p, "%s \"%s\": %u or %u is wanted", name, text, low, low + 1);
	*bits = (unsigned)n;
	return OK;
}

static int take_data_bits(struct parsing *p, const char *text)
{
	return take_bits(p, "--data-bits", text, 7, &p->o->data_bits);
}

static int take_stop_bits(struct parsing *p, const char *text)
{
	return take_bits(p, "--stop-bits", text, 1, &p->o->stop_bits);
}

static int take_rs485(struct parsing *p, const char *text)
{
	(void)text;
	p->of_a_port = "--rs485";
	p->o->is_rs485 = true;
	return OK;
}

static int take_type(struct parsing *p, const char *text)
{
	if (value_type_find(text, &p->o->format.type) == OK) {
		p->type = text;
		return OK;
	}
	fault(p, "there is no type \"%s\"; types are:", text);
	for (unsigned t = 0; t < VALUE_TYPE_COUNT; t++)
		fprintf(stderr, "  %-8s %s\n", value_type_info((enum value_type)t)->name,
			value_type_info((enum value_type)t)->help);
	return ERR_RANGE;
}

static int take_order(struct parsing *p, const char *text)
{
	p->order = text;
	if (byte_order_find(text, &p->o->format.order) == OK)
		return OK;
	fault(p, "there is no byte order \"%s\"; orders are:", text);
	for (unsigned i = 0; i < BYTE_ORDER_COUNT; i++)
		fprintf(stderr, " %s", byte_order_info((enum byte_order)i)->name);
	fprintf(stderr, "\n");
	return ERR_RANGE;
}

static int take_length(struct parsing *p, const char *text)
{
	uint64_t n;

	if (!number(text, 1, VALUE_BYTES_MAX, &n))
		return fault(p, "length \"%s\": 1 to %u bytes are wanted", text, VALUE_BYTES_MAX);
	p->o->format.length = (uint16_t)n;
	return OK;
}

static int take_high(struct parsing *p, const char *text)
{
	(void)text;
	p->high = true;
	return OK;
}

static int take_count(struct parsing *p, const char *text)
{
	uint64_t n;

	if (!number(text, 1, MODBUS_TOOL_COUNT_MAX, &n))
		return fault(p, "count \"%s\": a number from 1 to %u is wanted", text, MODBUS_TOOL_COUNT_MAX);
	p->o->count = (unsigned)n;
	return OK;
}

static int take_interval(struct parsing *p, const char *text)
{
	if (modbus_parse_time(text, &p->o->interval_ms) < 0)
		return fault(p, "interval \"%s\": a time such as 500ms, 2s or 1min is wanted", text);
	return OK;
}

static int take_once(struct parsing *p, const char *text)
{
	(void)text;
	p->o->interval_ms = 0;
	return OK;
}

static int take_all_orders(struct parsing *p, const char *text)
{
	(void)text;
	p->o->all_orders = true;
	return OK;
}

static int take_json(struct parsing *p, const char *text)
{
	(void)text;
	p->o->json = true;
	return OK;
}

static int take_timeout(struct parsing *p, const char *text)
{
	uint64_t ms;

	if (modbus_parse_time(text, &ms) < 0)
		return fault(p, "time-out \"%s\": a time such as 500ms, 2s or 1min is wanted", text);
	p->o->timeout_ms = (uint32_t)ms;
	return OK;
}

static int take_listen(struct parsing *p, const char *text)
{
	p->o->listen = text;
	return OK;
}

static int take_seed(struct parsing *p, const char *text)
{
	if (!number(text, 0, UINT64_MAX, &p->o->seed))
		return fault(p, "seed \"%s\": a number is wanted", text);
	return OK;
}

static int take_registers(struct parsing *p, const char *text)
{
	uint64_t n;

	if (!number(text, 0, 65536 - MODBUS_SIM_SCRATCH, &n))
		return fault(p, "registers \"%s\": a number from 0 to %u is wanted", text,
			     65536 - MODBUS_SIM_SCRATCH);
	p->o->scratch = (unsigned)n;
	return OK;
}

static int take_help(struct parsing *p, const char *text)
{
	(void)text;
	p->o->help = true;
	return OK;
}

static const struct option options[] = {
	{'m', "mode", "MODE", ALL, take_mode,
	 "tcp, rtu, ascii, rtu-over-tcp, ascii-over-tcp (rtu for a path, else tcp)"},
	{'p', "port", "PORT", MASTERS, take_port, "TCP port (502)"},
	{'p', "port", "PORT", S, take_port, "TCP port to listen at (1502); 0: any free one"},
	{0, "address", "ADDRESS", S, take_listen, "address to listen at (127.0.0.1)"},
	{'a', "unit", "UNIT", READ_WRITE, take_unit, "unit id of the device, 0 to 255 (1)"},
	{'a', "units", "UNITS", S, take_units,
	 "unit ids to answer for: 1-3,7 (1); over TCP 0 and 255 are the first"},
	{'a', "units", "UNITS", N, take_units, "unit ids to ask: 1-32,100 (1-247)"},
	{'b', "baud", "BAUD", READ_WRITE | S, take_baud, "speed of the line (19200)"},
	{'b', "baud", "BAUD,...", N, take_baud, "speeds to try, one after the other (19200)"},
	{'P', "parity", "PARITY", READ_WRITE | S, take_parity, "even, odd, none (even)"},
	{'P', "parity", "PARITY,...", N, take_parity, "parities to try, one after the other (even)"},
	{'d', "data-bits", "N", ALL, take_data_bits, "7 or 8 (8)"},
	{'s', "stop-bits", "N", ALL, take_stop_bits, "1 or 2 (1)"},
	{0, "rs485", NULL, ALL, take_rs485, "the port's driver switches direction by RTS, high to send"},
	{'t', "type", "TYPE", READ_WRITE, take_type,
	 "type of the values (uint16; bool for coils, inputs and bits)"},
	{'o', "order", "ORDER", READ_WRITE, take_order, "order of bytes and registers (ABCD)"},
	{'l', "length", "BYTES", READ_WRITE, take_length, "length of a string or bytes, 1 to 250"},
	{0, "high", NULL, READ_WRITE, take_high, "int8 and uint8: the high byte of the register"},
	{'c', "count", "N", R, take_count, "read N values, one behind the other (1)"},
	{'i', "interval", "TIME", R, take_interval, "read again every TIME: 500ms, 2s, 1min"},
	{'1', "once", NULL, R, take_once, "read once (the default)"},
	{0, "all-orders", NULL, R, take_all_orders, "print the registers there as every type in every order"},
	{0, "json", NULL, R, take_json, "print one JSON object a value and line"},
	{'W', "timeout", "TIME", READ_WRITE, take_timeout, "how long to wait for an answer (1s)"},
	{'W', "timeout", "TIME", N, take_timeout,
	 "how long to wait for each unit (100ms and the line's time; tcp 1s)"},
	{0, "seed", "N", S, take_seed, "another course of the moving values (1)"},
	{0, "registers", "N", S, take_registers, "free writable registers from holding:100 on (100)"},
	{'h', "help", NULL, ALL, take_help, "say this"},
};

#define NOPTIONS (sizeof(options) / sizeof(options[0]))

const struct modbus_mode_info *modbus_mode_info(enum modbus_mode mode)
{
	static const struct modbus_mode_info modes[MODBUS_MODES] = {
#define MODBUS_MODE_AS_INFO(id, text, serial, framed, ascii, people) \
	[MODBUS_MODE_##id] = {(text), (serial), (framed), (ascii), (people)},
		MODBUS_MODE_TABLE(MODBUS_MODE_AS_INFO)
#undef MODBUS_MODE_AS_INFO
	};

	return &modes[mode];
}

const char *modbus_command_name(enum modbus_command command)
{
	static const char *const names[MODBUS_COMMANDS] = {"read", "write", "serve", "scan"};

	return names[command];
}

void modbus_options_usage(enum modbus_command command, FILE *to)
{
	static const char *const forms[MODBUS_COMMANDS] = {
		"read HOST[:PORT]|PATH ADDRESS [OPTION...]",
		"write HOST[:PORT]|PATH ADDRESS VALUE... [OPTION...]",
		"serve [PATH] [OPTION...]",
		"scan HOST[:PORT]|PATH [OPTION...]",
	};

	fprintf(to, "Usage: lineside modbus %s\n", forms[command]);
}

void modbus_options_help(enum modbus_command command, FILE *to)
{
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct option *opt = &options[i];
		char names[40];

		if (!(opt->commands & 1u << command))
			continue;
		if (opt->letter)
			snprintf(names, sizeof(names), "-%c, --%s%s%s", opt->letter, opt->name,
				 opt->argument ? " " : "", opt->argument ? opt->argument : "");
		else
			snprintf(names, sizeof(names), "--%s%s%s", opt->name, opt->argument ? " " : "",
				 opt->argument ? opt->argument : "");
		fprintf(to, "  %-20s  %s\n", names, opt->help);
	}
}

/* The option that `word` names: -p, -pPORT, --port, --port=PORT; *glued is an argument in the same word. */
static const struct option *find(enum modbus_command command, const char *word, const char **glued)
{
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct option *opt = &options[i];
		size_t len = strlen(opt->name);

		if (!(opt->commands & 1u << command))
			continue;
		*glued = NULL;
		if (word[1] != '-') {
			if (word[1] != opt->letter || (word[2] && !opt->argument))
				continue;
			*glued = word[2] ? word + 2 : NULL;
			return opt;
		}
		if (strncmp(word + 2, opt->name, len) != 0 || (word[2 + len] && word[2 + len] != '='))
			continue;
		if (word[2 + len] == '=')
			*glued = word + 3 + len;
		return opt;
	}
	return NULL;
}

/* "-5" is a value to write, not an option. */
static bool is_option(enum modbus_command command, const char *word)
{
	if (word[0] != '-' || word[1] == 0)
		return false;
	return command != MODBUS_WRITE || !((word[1] >= '0' && word[1] <= '9') || word[1] == '.');
}

/* Take the options out of argv; *nwords others stay at its front. */
static int take_options(struct parsing *p, int argc, char **argv, int *nwords)
{
	bool ended = false;

	*nwords = 0;
	for (int i = 0; i < argc; i++) {
		const char *text = NULL;
		const struct option *opt;
		int rc;

		if (ended || !is_option(p->command, argv[i])) {
			argv[(*nwords)++] = argv[i];
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			ended = true;
			continue;
		}
		opt = find(p->command, argv[i], &text);
		if (!opt)
			return fault(p, "there is no option \"%s\"; --help lists them", argv[i]);
		if (!opt->argument && text)
			return fault(p, "--%s takes no argument", opt->name);
		if (opt->argument && !text && !(text = ++i < argc ? argv[i] : NULL))
			return fault(p, "--%s wants an argument: %s", opt->name, opt->argument);
		if ((rc = opt->take(p, text)) < 0)
			return rc;
	}
	return OK;
}

static int check_address(struct parsing *p, const char *text)
{
	switch (modbus_address_parse(text, &p->o->address)) {
	case OK:
		return OK;
	case ERR_NOT_FOUND:
		return fault(p,
			     "address \"%s\": areas are coil, discrete, input and holding; or 0, 1, 3 and 4 "
			     "at the beginning, as in 40001",
			     text);
	case ERR_RANGE:
		return fault(p,
			     "address \"%s\": numbers go from 0 to 65535, behind 4 in 40001 from 1 to "
			     "65536; bits from 0 to 15",
			     text);
	default:
		return fault(
			p,
			"address \"%s\": area:number is wanted, such as holding:0, coil:3, or holding:7.3 "
			"for bit 3 of a register; numbers count from 0; or 40001, 400001, which count from 1",
			text);
	}
}

/* Type, order, length and bit against each other and the area. */
static int check_format(struct parsing *p)
{
	struct modbus_format *f = &p->o->format;
	bool is_bit = modbus_area_info(p->o->address.area)->is_bits || p->o->address.bit != MODBUS_NO_BIT;
	const struct value_type_info *t;

	if (p->o->all_orders &&
	    (is_bit || p->type || p->order || p->high || f->length || p->o->count != 1 || p->o->json))
		return fault(
			p,
			"--all-orders reads registers, and goes without type, order, length, count and json");
	if (!p->type)
		f->type = is_bit ? VALUE_TYPE_BOOL : VALUE_TYPE_UINT16;
	t = value_type_info(f->type);
	if (is_bit && f->type != VALUE_TYPE_BOOL)
		return fault(p, "type %s: a coil, an input or a bit can only be bool", t->name);
	if (!is_bit && f->type == VALUE_TYPE_BOOL)
		return fault(p, "type bool: name the bit of the register, such as %s:%u.0",
			     modbus_area_info(p->o->address.area)->name, (unsigned)p->o->address.number);
	if (t->registers == 0 && f->length == 0)
		return fault(p, "type %s: its length in bytes is wanted (-l)", t->name);
	if (t->registers && f->length)
		return fault(p, "--length is for string and bytes, not for %s", t->name);
	if (p->high && t->bits != 8)
		return fault(p, "--high is for int8 and uint8, not for %s", t->name);
	if (!p->order)
		f->order = value_type_default_order(f->type);
	if (!value_type_takes_order(f->type, f->order))
		return fault(p, "order %s does not fit type %s", p->order, t->name);
	f->high_byte = p->high;
	f->bit = p->o->address.bit == MODBUS_NO_BIT ? 0 : (uint8_t)p->o->address.bit;
	return OK;
}

/* Do all values lie within the area? */
static int check_extent(struct parsing *p)
{
	struct modbus_options *o = p->o;
	unsigned nvalues = p->command == MODBUS_READ ? o->count : o->nvalues;
	unsigned each = modbus_format_registers(&o->format);

	if (o->address.bit != MODBUS_NO_BIT && nvalues > 1)
		return fault(p, "a bit of a register stands alone: one value, not %u", nvalues);
	if (nvalues > (65536u - o->address.number) / each)
		return fault(p, "%u values do not fit between %u and the end of the area, 65535", nvalues,
			     (unsigned)o->address.number);
	return OK;
}

static int check_port(struct parsing *p)
{
	uint64_t n;

	if (!p->port)
		return OK;
	if (!number(p->port, p->command == MODBUS_SERVE ? 0 : 1, 65535, &n))
		return fault(p, "port \"%s\": a number up to 65535 is wanted", p->port);
	p->o->port = (uint16_t)n;
	return OK;
}

/* What was given against what is spoken. */
static int check_mode(struct parsing *p)
{
	const struct modbus_mode_info *m = modbus_mode_info(p->o->mode);

	if (m->is_serial && p->port)
		return fault(p, "--port is for TCP, not for the port %s", p->o->host);
	if (!m->is_framed && p->of_a_line)
		return fault(p, "%s is for serial lines, not for mode %s", p->of_a_line, m->name);
	if (!m->is_serial && p->of_a_port)
		return fault(p, "%s is for serial ports, not for mode %s", p->of_a_port, m->name);
	if (!m->is_serial && !p->of_a_line)
		p->o->bauds[0] = 0; /* of what is behind a connection nothing is known */
	return OK;
}

/* Where the device is: a host, or a port of this machine, which has a slash in its name. */
static int check_place(struct parsing *p, const char *text)
{
	struct modbus_options *o = p->o;

	if (!p->mode && strchr(text, '/'))
		o->mode = MODBUS_MODE_RTU;
	if (!modbus_mode_info(o->mode)->is_serial && modbus_parse_host(text, o->host, &o->port) < 0)
		return fault(
			p,
			"host \"%s\": a name or address is wanted, with :PORT if need be, or the path of a "
			"serial port",
			text);
	if (modbus_mode_info(o->mode)->is_serial) {
		if (strlen(text) >= MODBUS_HOST_MAX)
			return fault(p, "path \"%s\": it is too long", text);
		strcpy(o->host, text);
	}
	return check_mode(p);
}

static int check_serve(struct parsing *p, int nwords, char **words)
{
	int rc;

	if (nwords > 1)
		return fault(p, "\"%s\" is one argument too many", words[1]);
	if ((rc = check_port(p)) < 0)
		return rc;
	if (nwords == 0)
		return modbus_mode_info(p->o->mode)->is_serial
			       ? fault(p, "the PATH of the serial port is missing; --help shows how")
			       : check_mode(p);
	if ((rc = check_place(p, words[0])) < 0)
		return rc;
	return modbus_mode_info(p->o->mode)->is_serial
		       ? OK
		       : fault(p, "\"%s\" is one argument too many; --address and --port say where to listen",
			       words[0]);
}

static int check_words(struct parsing *p, int nwords, char **words)
{
	struct modbus_options *o = p->o;
	int rc;

	if (p->command == MODBUS_SERVE)
		return check_serve(p, nwords, words);
	if (nwords < 1 || (nwords < 2 && p->command != MODBUS_SCAN))
		return fault(p, "%s is missing; --help shows how", nwords ? "ADDRESS" : "HOST");
	if ((rc = check_place(p, words[0])) < 0 || (rc = check_port(p)) < 0)
		return rc;
	if (p->command == MODBUS_SCAN)
		return nwords > 1 ? fault(p, "\"%s\" is one argument too many", words[1]) : OK;
	if ((rc = check_address(p, words[1])) < 0 || (rc = check_format(p)) < 0)
		return rc;
	if (p->command == MODBUS_READ && nwords > 2)
		return fault(p, "\"%s\" is one argument too many; -c reads more values", words[2]);
	if (p->command == MODBUS_WRITE && nwords < 3)
		return fault(p, "VALUE is missing; --help shows how");
	if (p->command == MODBUS_WRITE && !modbus_area_info(o->address.area)->is_writable)
		return fault(p, "%s:%u: only coils and holding registers can be written",
			     modbus_area_info(o->address.area)->name, (unsigned)o->address.number);
	o->values = words + 2;
	o->nvalues = (unsigned)nwords - 2;
	return check_extent(p);
}

static void default_units(struct modbus_options *o, enum modbus_command command)
{
	unsigned last = command == MODBUS_SCAN ? LAST_UNIT : 1;

	for (unsigned unit = 1; unit <= last; unit++)
		modbus_units_add(&o->units, unit);
}

int modbus_options_parse(enum modbus_command command, int argc, char **argv, struct modbus_options *out)
{
	struct parsing p = {.command = command, .o = out};
	int nwords;
	int rc;

	*out = (struct modbus_options){
		.timeout_ms = command == MODBUS_SCAN ? 0 : 1000,
		.bauds = {MODBUS_BAUD},
		.nbauds = 1,
		.parities = {SERIAL_PARITY_EVEN},
		.nparities = 1,
		.data_bits = 8,
		.stop_bits = 1,
		.count = 1,
		.listen = "127.0.0.1",
		.seed = 1,
		.scratch = 100,
		.port = command == MODBUS_SERVE ? MODBUS_SERVE_PORT : MODBUS_TCP_PORT,
		.unit = 1,
	};
	default_units(out, command);
	if ((rc = take_options(&p, argc, argv, &nwords)) < 0)
		return rc;
	return out->help ? OK : check_words(&p, nwords, argv);
}
