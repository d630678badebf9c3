/* -F: % fields of the message, @ for strftime, \ for characters. */
#include <stdlib.h>
#include <string.h>

#include "tools/sub_output.h"

#define WIDTH_MAX 10000

struct piece {
	char kind; /* 0: literal text; or '%', '@', '\\' */
	char letter;
	const char *text;
	size_t len;
	int width, precision; /* precision -1: none */
	bool zero, left;
};

static const char fields[] = "%ACDEFIjJlmpPqRrStUxXdf";
static const char escapes[] = "\\0aenrtv";
static const char escape_values[] = "\\\0\a\033\n\r\t\v";

static int digits(const char **p, int *out)
{
	*out = 0;
	while (**p >= '0' && **p <= '9') {
		*out = *out * 10 + (*(*p)++ - '0');
		if (*out > WIDTH_MAX)
			return ERR_MALFORMED;
	}
	return OK;
}

/* Behind the %: flags, width, precision, letter. */
static int field_parse(const char **p, struct piece *piece)
{
	for (;; (*p)++) {
		if (**p == '-')
			piece->left = true;
		else if (**p == '0')
			piece->zero = true;
		else
			break;
	}
	if (digits(p, &piece->width) < 0)
		return ERR_MALFORMED;
	if (**p == '.') {
		(*p)++;
		if (digits(p, &piece->precision) < 0)
			return ERR_MALFORMED;
	}
	if (!**p || !strchr(fields, **p))
		return ERR_MALFORMED;
	return OK;
}

/* Take the next piece off *p. OK, or ERR_MALFORMED with *p at what is wrong. Not called at the end. */
static int piece_next(const char **p, struct piece *piece)
{
	*piece = (struct piece){.precision = -1};
	if (!strchr("%@\\", **p)) {
		piece->text = *p;
		piece->len = strcspn(*p, "%@\\");
		*p += piece->len;
		return OK;
	}
	piece->kind = *(*p)++;
	if (piece->kind == '%' && field_parse(p, piece) < 0)
		return ERR_MALFORMED;
	if (!**p || (piece->kind == '\\' && !strchr(escapes, **p)))
		return ERR_MALFORMED;
	piece->letter = *(*p)++;
	return OK;
}

int sub_format_check(const char *format, const char **bad)
{
	const char *p = format;
	struct piece piece;

	while (*p) {
		if (piece_next(&p, &piece) == OK)
			continue;
		*bad = p;
		return ERR_MALFORMED;
	}
	return OK;
}

/* ---- fields ---- */

static void pad(FILE *to, const struct piece *f, size_t len, bool before, char with)
{
	if (f->left == before)
		return;
	for (size_t n = len; n < (size_t)f->width; n++)
		putc(with, to);
}

static char pad_of(const struct piece *f)
{
	return f->zero && !f->left ? '0' : ' ';
}

static void put_bytes(FILE *to, const struct piece *f, struct span s, char with)
{
	pad(to, f, s.len, true, with);
	fwrite(s.p, 1, s.len, to);
	pad(to, f, s.len, false, with);
}

static void put_text(FILE *to, const struct piece *f, struct span s)
{
	if (f->precision >= 0 && s.len > (size_t)f->precision)
		s.len = (size_t)f->precision;
	put_bytes(to, f, s, ' ');
}

static void put_number(FILE *to, const struct piece *f, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	put_bytes(to, f, span_str(text), pad_of(f));
}

static void put_hex(FILE *to, const struct piece *f, struct span s)
{
	pad(to, f, s.len * 2, true, pad_of(f));
	for (size_t i = 0; i < s.len; i++)
		fprintf(to, f->letter == 'x' ? "%02x" : "%02X", s.p[i]);
	pad(to, f, s.len * 2, false, ' ');
}

/* The payload is a float (%f) or a double (%d) as this machine stores them. */
static int put_float(FILE *to, const struct piece *f, struct span s)
{
	double d;
	float single;

	if (f->letter == 'f' && s.len == sizeof(single)) {
		memcpy(&single, s.p, sizeof(single));
		d = (double)single;
	} else if (f->letter == 'd' && s.len == sizeof(d)) {
		memcpy(&d, s.p, sizeof(d));
	} else {
		return ERR_MALFORMED;
	}
	if (f->left)
		fprintf(to, "%-*.*f", f->width, f->precision, d);
	else if (f->zero)
		fprintf(to, "%0*.*f", f->width, f->precision, d);
	else
		fprintf(to, "%*.*f", f->width, f->precision, d);
	return OK;
}

static void put_user_props(FILE *to, const struct mqtt_props *p)
{
	struct rd r = rd_of(p->raw.p, p->raw.len);
	struct mqtt_prop_item item;
	bool first = true;

	while (mqtt_props_next(&r, &item)) {
		if (item.id != MQTT_P_USER_PROPERTY)
			continue;
		if (!first)
			putc(' ', to);
		first = false;
		fwrite(item.str.p, 1, item.str.len, to);
		putc(':', to);
		fwrite(item.value.p, 1, item.value.len, to);
	}
}

static void put_prop(FILE *to, const struct piece *f, const struct mqtt_props *p, enum mqtt_prop id)
{
	if (mqtt_prop_kind(id) == MQTT_PROP_STRING)
		put_text(to, f, mqtt_props_has(p, id) ? p->str[id] : span_of("", 0));
	else if (mqtt_props_has(p, id))
		put_number(to, f, p->num[id]);
	else
		put_bytes(to, f, span_of("", 0), pad_of(f));
}

static void put_time(FILE *to, const struct piece *f, const struct timespec *at, const char *format)
{
	/* The letter behind @ is the user's: the compiler's check of literal formats is of no use here. */
	size_t (*const print)(char *, size_t, const char *, const struct tm *) = strftime;
	char text[256];
	struct tm tm;

	if (localtime_r(&at->tv_sec, &tm) && print(text, sizeof(text), format, &tm) > 0)
		put_text(to, f, span_str(text));
}

static int put_message_field(FILE *to, const struct piece *f, const struct sub_message *s)
{
	const struct mqtt_publish *m = s->m;

	switch (f->letter) {
	case 'l':
		put_number(to, f, m->payload.len);
		return OK;
	case 'm':
		put_number(to, f, m->packet_id);
		return OK;
	case 'p':
		put_bytes(to, f, m->payload, pad_of(f));
		return OK;
	case 'q':
		fprintf(to, "%d", m->qos);
		return OK;
	case 'r':
		fprintf(to, "%d", m->retain);
		return OK;
	case 't':
		put_text(to, f, m->topic);
		return OK;
	case 'x':
	case 'X':
		put_hex(to, f, m->payload);
		return OK;
	case 'd':
	case 'f':
		return put_float(to, f, m->payload);
	default:
		return sub_json_object(to, s, f->letter == 'J');
	}
}

static int put_field(FILE *to, const struct piece *f, const struct sub_message *s)
{
	const struct mqtt_props *p = &s->m->props;

	switch (f->letter) {
	case '%':
		putc('%', to);
		return OK;
	case 'A':
		put_prop(to, f, p, MQTT_P_TOPIC_ALIAS);
		return OK;
	case 'C':
		put_prop(to, f, p, MQTT_P_CONTENT_TYPE);
		return OK;
	case 'D':
		if (mqtt_props_has(p, MQTT_P_CORRELATION_DATA))
			fwrite(p->str[MQTT_P_CORRELATION_DATA].p, 1, p->str[MQTT_P_CORRELATION_DATA].len, to);
		return OK;
	case 'E':
		put_prop(to, f, p, MQTT_P_MESSAGE_EXPIRY);
		return OK;
	case 'F':
		put_prop(to, f, p, MQTT_P_PAYLOAD_FORMAT);
		return OK;
	case 'I':
		put_time(to, f, &s->at, "%FT%T%z");
		return OK;
	case 'P':
		put_user_props(to, p);
		return OK;
	case 'R':
		put_prop(to, f, p, MQTT_P_RESPONSE_TOPIC);
		return OK;
	case 'S':
		put_prop(to, f, p, MQTT_P_SUBSCRIPTION_ID);
		return OK;
	case 'U':
		fprintf(to, "%lld.%09ld", (long long)s->at.tv_sec, s->at.tv_nsec);
		return OK;
	default:
		return put_message_field(to, f, s);
	}
}

static void put_at(FILE *to, const struct piece *f, const struct sub_message *s)
{
	const char format[] = {'%', f->letter, '\0'};

	if (f->letter == '@')
		putc('@', to);
	else if (f->letter == 'N')
		fprintf(to, "%09ld", s->at.tv_nsec);
	else
		put_time(to, f, &s->at, format);
}

int sub_format_print(FILE *to, const char *format, const struct sub_message *s)
{
	const char *p = format;
	struct piece f;
	int rc = OK;

	while (rc == OK && *p) {
		if ((rc = piece_next(&p, &f)) < 0)
			return rc;
		if (f.kind == '%')
			rc = put_field(to, &f, s);
		else if (f.kind == '@')
			put_at(to, &f, s);
		else if (f.kind == '\\')
			putc(escape_values[strchr(escapes, f.letter) - escapes], to);
		else
			fwrite(f.text, 1, f.len, to);
	}
	return rc;
}
