#include "tools/modbus_session.h"

#include <limits.h>
#include <stdio.h>

#include "net/stream_serial.h"
#include "net/stream_tcp.h"

/* What to try after each exception. */
static const char *advice(uint8_t exception)
{
	switch (exception) {
	case MODBUS_EXCEPTION_ILLEGAL_FUNCTION:
		return "The device cannot do this with that area; try another: coil, discrete, input, "
		       "holding.";
	case MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS:
		return "The device has no such address. Addresses count from 0 here; manuals often count "
		       "from 1, 30001 or 40001.";
	case MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE:
		return "The device does not take this value, or not so many items at once.";
	case MODBUS_EXCEPTION_ACKNOWLEDGE:
	case MODBUS_EXCEPTION_SERVER_DEVICE_BUSY:
		return "Try again later.";
	case MODBUS_EXCEPTION_GATEWAY_PATH_UNAVAILABLE:
	case MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED:
		return "Behind this gateway nothing answers for the unit; check the unit id (-a).";
	default:
		return "The device's manual may say more.";
	}
}

static void explain_refusal(const struct modbus_session *s)
{
	const struct modbus_request *r = &s->request;
	const struct modbus_fc_info *f = modbus_fc_info(r->req.fc);

	fprintf(stderr,
		"lineside modbus %s: unit %u refuses to %s at %s:%u (%u items): exception %u, %s\n%s\n",
		s->command, r->unit, f->text, modbus_area_info(f->area)->name, (unsigned)r->req.address,
		(unsigned)r->req.count, r->exception, modbus_exception_text(r->exception),
		advice(r->exception));
}

static void explain_timeout(const struct modbus_session *s, const char *where)
{
	unsigned ms = s->o->timeout_ms;

	if (modbus_mode_info(s->o->mode)->is_serial)
		fprintf(stderr,
			"lineside modbus %s: %s: unit %u gives no answer within %u ms\n"
			"Check that the device is on, wiring (A and B), speed and parity (-b, -P), the unit "
			"id (-a); a slow "
			"device needs a longer time (-W). \"lineside modbus scan\" looks for units.\n",
			s->command, where, s->o->unit, ms);
	else if (modbus_master_connected(s->master))
		fprintf(stderr,
			"lineside modbus %s: %s: unit %u gives no answer within %u ms\n"
			"Check the unit id (-a); a slow device needs a longer time (-W).\n",
			s->command, where, s->o->unit, ms);
	else
		fprintf(stderr,
			"lineside modbus %s: %s: no connection within %u ms\n"
			"Check that the device is on and reachable from here, its address, and firewalls.\n",
			s->command, where, ms);
}

static void explain_garbage(const struct modbus_session *s, const char *where, int rc)
{
	const struct modbus_mode_info *mode = modbus_mode_info(s->o->mode);

	fprintf(stderr, "lineside modbus %s: %s: what came back is %s\n", s->command, where, err_text(rc));
	if (mode->is_serial)
		fprintf(stderr,
			"Check speed and parity (-b, -P), that only one device has this unit id, that no "
			"other master is on the line, and its termination.\n");
	else if (mode->is_framed)
		fprintf(stderr, "Does the other side speak %s through TCP? Mode tcp is Modbus/TCP (-m).\n",
			mode->is_ascii ? "ASCII" : "RTU");
	else
		fprintf(stderr, "Is this a Modbus/TCP device? Serial servers often speak Modbus RTU over TCP "
				"instead (-m rtu-over-tcp).\n");
}

static void explain_io(const struct modbus_session *s, const char *where)
{
	if (modbus_mode_info(s->o->mode)->is_serial)
		fprintf(stderr, "lineside modbus %s: %s: the port cannot be opened or is gone\n", s->command,
			where);
	else
		fprintf(stderr,
			"lineside modbus %s: %s: cannot connect\n"
			"Check the name or address, that the device is on, and the port (-p).\n",
			s->command, where);
}

void modbus_session_explain(const struct modbus_session *s, int rc)
{
	char where[MODBUS_PLACE_MAX];

	modbus_describe_place(s->o, where, sizeof(where));
	switch (rc) {
	case ERR_REMOTE:
		explain_refusal(s);
		return;
	case ERR_TIMEOUT:
		explain_timeout(s, where);
		return;
	case ERR_IO:
		explain_io(s, where);
		return;
	case ERR_CLOSED:
		fprintf(stderr,
			"lineside modbus %s: %s: the device closed the connection instead of answering\n"
			"Many devices take one connection at a time; is another program connected?\n",
			s->command, where);
		return;
	case ERR_MALFORMED:
	case ERR_UNEXPECTED:
		explain_garbage(s, where, rc);
		return;
	default:
		fprintf(stderr, "lineside modbus %s: %s: %s\n", s->command, where, err_text(rc));
		return;
	}
}

const char *modbus_describe_place(const struct modbus_options *o, char *buf, size_t size)
{
	char line[32];

	if (modbus_mode_info(o->mode)->is_serial)
		snprintf(buf, size, "%s at %s", o->host, modbus_format_line(o, line, sizeof(line)));
	else
		snprintf(buf, size, "%s port %u", o->host, (unsigned)o->port);
	return buf;
}

int modbus_dialer_create(const struct modbus_options *o, struct dialer **out)
{
	/* As transceivers want it: RTS high while sending. */
	static const struct serial_direction by_rts = {.rts_on_send = true};
	const struct serial_options serial = {
		.path = o->host,
		.baud = o->bauds[0],
		.parity = o->parities[0],
		.data_bits = o->data_bits,
		.stop_bits = o->stop_bits,
		.direction = o->is_rs485 ? &by_rts : NULL,
	};

	if (modbus_mode_info(o->mode)->is_serial)
		return dialer_serial_create(&serial, out);
	return dialer_tcp_create(o->host, o->port, out);
}

static MUST_USE int create_master(struct modbus_session *s, struct dialer *dialer)
{
	const struct modbus_mode_info *mode = modbus_mode_info(s->o->mode);
	const struct modbus_master_rtu_options line = {
		.is_ascii = mode->is_ascii,
		.baud = s->o->bauds[0],
		.char_bits = modbus_char_bits(s->o),
	};
	/* Who scans meets many that are silent, and knows why. */
	const struct modbus_master_tcp_options tcp = {.quiet_timeouts = s->is_patient ? UINT_MAX : 0};

	if (mode->is_framed)
		return modbus_master_rtu_create(s->loop, dialer, &line, &s->master);
	return modbus_master_tcp_create(s->loop, dialer, &tcp, &s->master);
}

int modbus_session_open(enum modbus_command command, const struct modbus_options *o, struct modbus_session *s)
{
	struct dialer *dialer = NULL;
	int rc;

	*s = (struct modbus_session){
		.o = o, .command = modbus_command_name(command), .is_patient = command == MODBUS_SCAN};
	if ((rc = loop_create(&s->loop)) < 0)
		goto failed;
	if ((rc = modbus_dialer_create(o, &dialer)) < 0)
		goto failed;
	if ((rc = create_master(s, dialer)) < 0)
		goto failed;
	return OK;
failed:
	fprintf(stderr, "lineside modbus %s: %s\n", s->command, err_text(rc));
	if (dialer)
		dialer->destroy(dialer);
	modbus_session_close(s);
	return rc;
}

void modbus_session_close(struct modbus_session *s)
{
	modbus_master_destroy(s->master);
	loop_destroy(s->loop);
	s->master = NULL;
	s->loop = NULL;
}

static void on_done(struct modbus_request *r)
{
	*(bool *)r->owner = true;
}

int modbus_session_ask(struct modbus_session *s, const struct modbus_req *req, uint8_t unit,
		       uint32_t timeout_ms)
{
	bool done = false;
	int rc = OK;

	s->request = (struct modbus_request){
		.unit = unit,
		.req = *req,
		.timeout_ms = timeout_ms,
		.done = on_done,
		.owner = &done,
	};
	modbus_master_submit(s->master, &s->request);
	while (!done && rc == OK)
		rc = loop_turn(s->loop, -1);
	modbus_master_cancel(s->master, &s->request); /* when the loop failed; else it is idle */
	return rc < 0 ? rc : s->request.rc;
}

int modbus_session_do(struct modbus_session *s, const struct modbus_req *req)
{
	int rc = modbus_session_ask(s, req, s->o->unit, s->o->timeout_ms);

	if (rc < 0)
		modbus_session_explain(s, rc);
	return rc;
}

int modbus_session_read(struct modbus_session *s, unsigned number, unsigned count)
{
	const struct modbus_req req = {
		.fc = (uint8_t)modbus_fc_reading(s->o->address.area),
		.address = (uint16_t)number,
		.count = (uint16_t)count,
	};

	return modbus_session_do(s, &req);
}

struct alarm {
	struct loop_timer timer;
	bool rang;
};

static void on_alarm(struct loop_timer *t)
{
	container_of(t, struct alarm, timer)->rang = true;
}

int modbus_session_wait(struct modbus_session *s, uint64_t ms)
{
	struct alarm alarm = {.rang = false};
	int rc = OK;

	loop_timer_init(&alarm.timer, on_alarm);
	loop_timer_set(s->loop, &alarm.timer, ms);
	while (!alarm.rang && rc == OK)
		rc = loop_turn(s->loop, -1);
	loop_timer_cancel(s->loop, &alarm.timer);
	return rc;
}
