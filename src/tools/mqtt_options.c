#include "tools/mqtt_options.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int mqtt_options_fault(const struct mqtt_options *o, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "lineside %s: ", o->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n\"lineside %s --help\" lists the options.\n", o->name);
	return ERR_CONFIG;
}

/* ---- values ---- */

static int number(const struct mqtt_options *o, const char *flag, const char *value, uint64_t min,
		  uint64_t max, uint64_t *out)
{
	char *end;
	unsigned long long v = strtoull(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || v < min || v > max)
		return mqtt_options_fault(o, "%s takes a number from %llu to %llu, not \"%s\"", flag,
					  (unsigned long long)min, (unsigned long long)max, value);
	*out = v;
	return OK;
}

static bool is_text(const char *s)
{
	return strlen(s) <= MQTT_STRING_MAX && mqtt_utf8_valid(span_str(s));
}

static int topic_check(const struct mqtt_options *o, const char *flag, const char *topic)
{
	if (is_text(topic) && mqtt_topic_valid(span_str(topic)))
		return OK;
	return mqtt_options_fault(
		o, "%s: \"%s\" is no topic to publish to: it must be UTF-8, not empty, without + and #", flag,
		topic);
}

static int filter_check(const struct mqtt_options *o, const char *flag, const char *filter)
{
	if (is_text(filter) && mqtt_filter_valid(span_str(filter)))
		return OK;
	return mqtt_options_fault(
		o, "%s: \"%s\" is no topic filter: + and # stand alone between slashes, # only at the end",
		flag, filter);
}

/* ---- one function per option that is more than a copy ---- */

static int set_host(struct mqtt_options *o, const char *v)
{
	o->host = v;
	return OK;
}

static int set_port(struct mqtt_options *o, const char *v)
{
	uint64_t n = 0;
	int rc = number(o, "-p", v, 1, UINT16_MAX, &n);

	if (rc == OK)
		o->port = (uint16_t)n;
	return rc;
}

static int set_id(struct mqtt_options *o, const char *v)
{
	if (o->id_prefix)
		return mqtt_options_fault(o, "give one of -i and -I");
	o->id = v;
	return OK;
}

static int set_id_prefix(struct mqtt_options *o, const char *v)
{
	if (o->id)
		return mqtt_options_fault(o, "give one of -i and -I");
	o->id_prefix = v;
	return OK;
}

static int set_keep_alive(struct mqtt_options *o, const char *v)
{
	uint64_t n = 0;
	int rc = number(o, "-k", v, 5, UINT16_MAX, &n);

	if (rc == OK)
		o->client.connect.keep_alive_s = (uint16_t)n;
	return rc;
}

static int set_username(struct mqtt_options *o, const char *v)
{
	o->username = v;
	return OK;
}

static int set_password(struct mqtt_options *o, const char *v)
{
	free(o->password);
	o->password = strdup(v);
	return o->password ? OK : ERR_NOMEM;
}

static int set_no_clean(struct mqtt_options *o, const char *v)
{
	(void)v;
	o->client.connect.clean_start = false;
	return OK;
}

static int set_session_expiry(struct mqtt_options *o, const char *v)
{
	uint64_t n = UINT32_MAX;
	int rc = OK;

	if (strcmp(v, "-1") != 0 && strcmp(v, "\xe2\x88\x9e") != 0)
		rc = number(o, "-x", v, 0, UINT32_MAX, &n);
	o->has_session_expiry = true;
	o->session_expiry = (uint32_t)n;
	return rc;
}

static int set_version(struct mqtt_options *o, const char *v)
{
	static const struct {
		const char *word, *number;
		enum mqtt_version version;
	} known[] = {{"mqttv31", "31", MQTT_V31}, {"mqttv311", "311", MQTT_V311}, {"mqttv5", "5", MQTT_V5}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(v, known[i].word) != 0 && strcmp(v, known[i].number) != 0)
			continue;
		o->client.connect.version = known[i].version;
		return OK;
	}
	return mqtt_options_fault(o, "-V is one of mqttv31, mqttv311, mqttv5, not \"%s\"", v);
}

static int set_qos(struct mqtt_options *o, const char *v)
{
	uint64_t n = 0;
	int rc = number(o, "-q", v, 0, 2, &n);

	if (rc == OK)
		o->qos = (uint8_t)n;
	return rc;
}

static int set_topic(struct mqtt_options *o, const char *v)
{
	if (o->kind == MQTT_TOOL_PUB && o->ntopics)
		return mqtt_options_fault(o, "one topic at a time: -t is given twice");
	o->topics[o->ntopics++] = v;
	return o->kind == MQTT_TOOL_PUB ? topic_check(o, "-t", v) : filter_check(o, "-t", v);
}

static int set_unsubscribe(struct mqtt_options *o, const char *v)
{
	o->unsubscribes[o->nunsubscribes++] = v;
	return filter_check(o, "-U", v);
}

static int set_filter_out(struct mqtt_options *o, const char *v)
{
	o->filters_out[o->nfilters_out++] = v;
	return filter_check(o, "-T", v);
}

static int set_will_topic(struct mqtt_options *o, const char *v)
{
	o->will_topic = v;
	return topic_check(o, "--will-topic", v);
}

static int set_will_payload(struct mqtt_options *o, const char *v)
{
	o->will_payload = v;
	o->has_will_flags = true;
	if (strlen(v) <= MQTT_STRING_MAX)
		return OK;
	return mqtt_options_fault(o, "--will-payload takes at most %u bytes", MQTT_STRING_MAX);
}

static int set_will_qos(struct mqtt_options *o, const char *v)
{
	uint64_t n = 0;
	int rc = number(o, "--will-qos", v, 0, 2, &n);

	if (rc == OK)
		o->client.connect.will.qos = (uint8_t)n;
	o->has_will_flags = true;
	return rc;
}

static int set_will_retain(struct mqtt_options *o, const char *v)
{
	(void)v;
	o->has_will_flags = o->client.connect.will.retain = true;
	return OK;
}

static int source(struct mqtt_options *o, enum mqtt_payload_source s, const char *v)
{
	if (o->source != SOURCE_NONE)
		return mqtt_options_fault(o, "give one of -m, -f, -l, -n, -s");
	o->source = s;
	o->source_arg = v;
	return OK;
}

static int set_message(struct mqtt_options *o, const char *v)
{
	return source(o, SOURCE_MESSAGE, v);
}

static int set_file(struct mqtt_options *o, const char *v)
{
	return source(o, SOURCE_FILE, v);
}

static int set_lines(struct mqtt_options *o, const char *v)
{
	return source(o, SOURCE_LINES, v);
}

static int set_stdin(struct mqtt_options *o, const char *v)
{
	return source(o, SOURCE_STDIN, v);
}

static int set_null(struct mqtt_options *o, const char *v)
{
	return source(o, SOURCE_NULL, v);
}

static int set_inflight(struct mqtt_options *o, const char *v)
{
	uint64_t n = 0;
	int rc = number(o, "-M", v, 1, UINT16_MAX, &n);

	if (rc == OK)
		o->client.inflight = (uint16_t)n;
	return rc;
}

static int set_repeat(struct mqtt_options *o, const char *v)
{
	uint64_t n = 0;
	int rc = number(o, "--repeat", v, 1, UINT32_MAX, &n);

	if (rc == OK)
		o->repeat = (uint32_t)n;
	return rc;
}

static int set_repeat_delay(struct mqtt_options *o, const char *v)
{
	char *end;
	double s = strtod(v, &end);

	if (end == v || *end || !(s >= 0 && s <= 1e9))
		return mqtt_options_fault(o, "--repeat-delay takes seconds, such as 0.5, not \"%s\"", v);
	o->repeat_delay_ms = (uint64_t)(s * 1000);
	return OK;
}

static int set_count(struct mqtt_options *o, const char *v)
{
	return number(o, "-C", v, 1, UINT32_MAX, &o->count);
}

static int set_timeout(struct mqtt_options *o, const char *v)
{
	uint64_t n = 0;
	int rc = number(o, "-W", v, 1, UINT32_MAX / 1000, &n);

	if (rc == OK)
		o->timeout_s = (uint32_t)n;
	return rc;
}

static int set_format(struct mqtt_options *o, const char *v)
{
	o->format = v;
	return OK;
}

static int set_percent(struct mqtt_options *o, const char *v)
{
	char *end;

	o->percent = strtod(v, &end);
	if (end == v || *end || !(o->percent >= 0.1 && o->percent <= 100))
		return mqtt_options_fault(o, "--random-filter takes a percentage from 0.1 to 100, not \"%s\"",
					  v);
	return OK;
}

#define SET_FLAG(field)                                               \
	static int set_##field(struct mqtt_options *o, const char *v) \
	{                                                             \
		(void)v;                                              \
		o->field = true;                                      \
		return OK;                                            \
	}
SET_FLAG(retain)
SET_FLAG(debug)
SET_FLAG(quiet)
SET_FLAG(verbose)
SET_FLAG(no_newline)
SET_FLAG(json)
SET_FLAG(pretty)
SET_FLAG(exit_after_suback)
SET_FLAG(no_retained)
SET_FLAG(retained_only)
SET_FLAG(remove_retained)
SET_FLAG(want_help)
SET_FLAG(want_version)

static int set_retain_as_published(struct mqtt_options *o, const char *v)
{
	(void)v;
	o->retain_as_published = true;
	return OK;
}

static int url_port(struct mqtt_options *o, char *host)
{
	char *colon = *host == '[' ? strstr(host, "]:") : strchr(host, ':');

	if (*host == '[') {
		char *bracket = strchr(host, ']');

		if (!bracket)
			return mqtt_options_fault(o, "-L: a ] is missing in \"%s\"", host);
		*bracket = '\0';
		o->host = host + 1;
		colon = colon ? colon + 1 : NULL;
	} else {
		o->host = host;
	}
	if (!colon)
		return OK;
	*colon = '\0';
	return set_port(o, colon + 1);
}

/* mqtt://[user[:password]@]host[:port]/topic */
static int set_url(struct mqtt_options *o, const char *v)
{
	const char *scheme = "mqtt://";
	int rc;

	if (strncmp(v, scheme, strlen(scheme)) != 0)
		return mqtt_options_fault(o, "-L takes mqtt://[user[:password]@]host[:port]/topic");
	free(o->made_url);
	if (!(o->made_url = strdup(v + strlen(scheme))))
		return ERR_NOMEM;
	char *slash = strchr(o->made_url, '/'), *host = o->made_url;

	if (!slash || !slash[1])
		return mqtt_options_fault(o, "-L: the URL ends without a topic");
	*slash = '\0';
	char *at = strrchr(o->made_url, '@');

	if (at) {
		*at = '\0';
		host = at + 1;
		char *colon = strchr(o->made_url, ':');

		if (colon) {
			*colon = '\0';
			if ((rc = set_password(o, colon + 1)) < 0)
				return rc;
		}
		o->username = o->made_url;
	}
	if ((rc = url_port(o, host)) < 0)
		return rc;
	return set_topic(o, slash + 1);
}

/* ---- the table ---- */

struct option {
	const char *flag, *word; /* word: NULL when there is only the short one */
	const char *arg;         /* its name in --help; NULL: takes none */
	unsigned kinds;
	int (*set)(struct mqtt_options *o, const char *value); /* NULL: -D, which takes several words */
	const char *help;
	bool is_secret;
};

#define PUB  MQTT_TOOL_PUB
#define SUB  MQTT_TOOL_SUB
#define BOTH (MQTT_TOOL_PUB | MQTT_TOOL_SUB)

static const struct option options[] = {
	{"-h", "--host", "HOST", BOTH, set_host, "name or address of the broker (localhost)", false},
	{"-p", "--port", "PORT", BOTH, set_port, "its port (1883)", false},
	{"-L", "--url", "URL", BOTH, set_url, "mqtt://[user[:password]@]host[:port]/topic, all in one", true},
	{"-t", "--topic", "TOPIC", PUB, set_topic, "publish to this topic", false},
	{"-t", "--topic", "FILTER", SUB, set_topic, "subscribe to this topic filter; may be repeated", false},
	{"-m", "--message", "TEXT", PUB, set_message, "publish this text", false},
	{"-f", "--file", "FILE", PUB, set_file, "publish the bytes of this file", false},
	{"-s", "--stdin-file", NULL, PUB, set_stdin, "publish all of standard input as one message", false},
	{"-l", "--stdin-line", NULL, PUB, set_lines, "publish each line of standard input", false},
	{"-n", "--null-message", NULL, PUB, set_null, "publish a message of no bytes", false},
	{"-q", "--qos", "QOS", BOTH, set_qos, "quality of service 0, 1 or 2 (0)", false},
	{"-r", "--retain", NULL, PUB, set_retain, "ask the broker to retain the message", false},
	{"-i", "--id", "ID", BOTH, set_id, "client id (the broker chooses one)", false},
	{"-I", "--id-prefix", "PREFIX", BOTH, set_id_prefix, "client id of this and the process id", false},
	{"-u", "--username", "NAME", BOTH, set_username, "user name", false},
	{"-P", "--pw", "PASSWORD", BOTH, set_password, "password; it is wiped from the process list", true},
	{"-k", "--keepalive", "SECONDS", BOTH, set_keep_alive, "keep alive, 5 to 65535 (60)", false},
	{"-c", "--disable-clean-session", NULL, BOTH, set_no_clean, "keep the session; needs -i or -I",
	 false},
	{"-x", "--session-expiry-interval", "SECONDS", BOTH, set_session_expiry,
	 "MQTT 5: how long the session is kept; -1: for ever", false},
	{"-V", "--protocol-version", "VERSION", BOTH, set_version, "mqttv31, mqttv311 or mqttv5 (mqttv311)",
	 false},
	{"-D", "--property", "COMMAND PROPERTY VALUE", BOTH, NULL,
	 "MQTT 5 property of connect, publish, subscribe, unsubscribe,\n"
	 "      disconnect or will; a user-property has a name and a value. Implies -V mqttv5",
	 false},
	{"-M", "--max-inflight", "COUNT", PUB, set_inflight, "unacknowledged messages at a time (20)", false},
	{"--repeat", NULL, "COUNT", PUB, set_repeat, "publish the message so often", false},
	{"--repeat-delay", NULL, "SECONDS", PUB, set_repeat_delay, "wait so long between (0)", false},
	{"-C", NULL, "COUNT", SUB, set_count, "end after so many messages", false},
	{"-W", NULL, "SECONDS", SUB, set_timeout, "end after this time, with exit status 27", false},
	{"-E", NULL, NULL, SUB, set_exit_after_suback,
	 "end when the broker has acknowledged the subscriptions", false},
	{"-v", "--verbose", NULL, SUB, set_verbose, "print the topic before the payload", false},
	{"-N", NULL, NULL, SUB, set_no_newline, "no newline after a message", false},
	{"-F", NULL, "FORMAT", SUB, set_format, "print messages in this format, see the manual page", false},
	{"--json", NULL, NULL, SUB, set_json, "print each message as one line of JSON", false},
	{"--pretty", NULL, NULL, SUB, set_pretty, "indent the JSON of %j and %J", false},
	{"-R", NULL, NULL, SUB, set_no_retained, "do not print retained messages", false},
	{"-T", "--filter-out", "FILTER", SUB, set_filter_out, "do not print what matches; may be repeated",
	 false},
	{"-U", "--unsubscribe", "FILTER", SUB, set_unsubscribe,
	 "unsubscribe from this when connected; may be repeated", false},
	{"--retained-only", NULL, NULL, SUB, set_retained_only,
	 "print retained messages only, end at the first other one", false},
	{"--remove-retained", NULL, NULL, SUB, set_remove_retained,
	 "clear each retained message that arrives", false},
	{"--retain-as-published", NULL, NULL, SUB, set_retain_as_published,
	 "MQTT 5: see the retain flag as the publisher set it", false},
	{"--random-filter", NULL, "PERCENT", SUB, set_percent, "print about this part of the messages",
	 false},
	{"--will-topic", NULL, "TOPIC", BOTH, set_will_topic, "the broker publishes the will to this topic",
	 false},
	{"--will-payload", NULL, "TEXT", BOTH, set_will_payload, "the will's payload (no bytes)", false},
	{"--will-qos", NULL, "QOS", BOTH, set_will_qos, "the will's quality of service (0)", false},
	{"--will-retain", NULL, NULL, BOTH, set_will_retain, "the will is retained", false},
	{"-d", "--debug", NULL, BOTH, set_debug, "print each packet sent and received", false},
	{"--quiet", NULL, NULL, BOTH, set_quiet, "print no errors", false},
	{"--help", NULL, NULL, BOTH, set_want_help, "print this", false},
	{"--version", NULL, NULL, BOTH, set_want_version, "print the version", false},
};

#define NOPTIONS (sizeof(options) / sizeof(options[0]))

void mqtt_options_help(const struct mqtt_options *o, FILE *to)
{
	if (o->kind == MQTT_TOOL_PUB)
		fprintf(to,
			"Usage: lineside pub [-h HOST] [-p PORT] -t TOPIC {-m TEXT | -f FILE | -l | -n | -s} "
			"[OPTION...]\n\n"
			"Publish messages to an MQTT broker. The options are those of mosquitto_pub.\n\n");
	else
		fprintf(to,
			"Usage: lineside sub [-h HOST] [-p PORT] -t FILTER... [OPTION...]\n\n"
			"Print the messages of an MQTT broker. The options are those of mosquitto_sub.\n\n");
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct option *p = &options[i];

		if (!(p->kinds & (unsigned)o->kind))
			continue;
		fprintf(to, "  %s%s%s%s%s\n      %s\n", p->flag, p->word ? ", " : "", p->word ? p->word : "",
			p->arg ? " " : "", p->arg ? p->arg : "", p->help);
	}
	fprintf(to,
		"\nExit status: 0, or the reason code when the broker refused the connection, or 1 for other "
		"errors%s.\n",
		o->kind == MQTT_TOOL_SUB ? ",\nor 27 when -W ran out" : "");
}

static const struct option *option_find(const struct mqtt_options *o, const char *word)
{
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct option *p = &options[i];

		if ((p->kinds & (unsigned)o->kind) &&
		    (strcmp(word, p->flag) == 0 || (p->word && strcmp(word, p->word) == 0)))
			return p;
	}
	return NULL;
}

/* One option and its values; *used words. */
static int parse_one(struct mqtt_options *o, int argc, char **argv, int *used)
{
	const struct option *p = option_find(o, argv[0]);
	int rc, words;

	if (!p)
		return mqtt_options_fault(o, "there is no option \"%s\"", argv[0]);
	if (!p->set) {
		rc = mqtt_options_property(o, argc - 1, argv + 1, &words);
		*used = 1 + words;
		return rc;
	}
	*used = p->arg ? 2 : 1;
	if (p->arg && argc < 2)
		return mqtt_options_fault(o, "%s needs a value: %s", argv[0], p->arg);
	rc = p->set(o, p->arg ? argv[1] : NULL);
	if (p->is_secret)
		memset(argv[1], '*', strlen(argv[1]));
	return rc;
}

/* ---- what holds between options ---- */

static int finish_id(struct mqtt_options *o)
{
	struct mqtt_connect *c = &o->client.connect;
	size_t room = (o->id_prefix ? strlen(o->id_prefix) : 0) + 32;

	if (o->id) {
		c->client_id = span_str(o->id);
	} else if (o->id_prefix || c->version == MQTT_V31) {
		/* 3.1 has no empty client id. */
		if (!(o->made_id = malloc(room)))
			return ERR_NOMEM;
		snprintf(o->made_id, room, "%s%ld", o->id_prefix ? o->id_prefix : "lineside-",
			 (long)getpid());
		c->client_id = span_str(o->made_id);
	}
	if (!is_text(o->id ? o->id : ""))
		return mqtt_options_fault(o, "-i must be UTF-8 of at most 65535 bytes");
	if (c->client_id.len == 0 && !c->clean_start)
		return mqtt_options_fault(o, "-c keeps a session, which needs a client id: give -i");
	return OK;
}

static int finish_session(struct mqtt_options *o)
{
	struct mqtt_connect *c = &o->client.connect;

	if (c->version != MQTT_V5) {
		if (o->has_session_expiry && !o->quiet)
			fprintf(stderr, "lineside %s: -x means nothing before MQTT 5 (-V mqttv5)\n", o->name);
		if (o->retain_as_published)
			return mqtt_options_fault(o, "--retain-as-published needs -V mqttv5");
		return OK;
	}
	if (!o->has_session_expiry && !c->clean_start)
		o->session_expiry = UINT32_MAX;
	if (o->session_expiry == UINT32_MAX && c->client_id.len == 0)
		return mqtt_options_fault(o, "a session that is kept for ever needs a client id: give -i");
	if (o->session_expiry > 0 && !mqtt_props_has(&o->props[PROPS_CONNECT].props, MQTT_P_SESSION_EXPIRY))
		mqtt_props_set_num(&o->props[PROPS_CONNECT].props, MQTT_P_SESSION_EXPIRY, o->session_expiry);
	return OK;
}

static int finish_login_and_will(struct mqtt_options *o)
{
	struct mqtt_connect *c = &o->client.connect;
	bool will_props = o->props[PROPS_WILL].props.has || o->props[PROPS_WILL].user_len;

	if (o->username && !is_text(o->username))
		return mqtt_options_fault(o, "-u must be UTF-8 of at most 65535 bytes");
	if (o->password && strlen(o->password) > MQTT_STRING_MAX)
		return mqtt_options_fault(o, "-P takes at most 65535 bytes");
	if (o->password && !o->username && c->version != MQTT_V5)
		return mqtt_options_fault(o, "a password alone is possible with -V mqttv5 only: give -u");
	if (!o->will_topic && (o->has_will_flags || will_props))
		return mqtt_options_fault(o, "the will needs --will-topic");
	c->has_username = o->username != NULL;
	c->username = o->username ? span_str(o->username) : span_of(NULL, 0);
	c->has_password = o->password != NULL;
	c->password = o->password ? span_str(o->password) : span_of(NULL, 0);
	c->has_will = o->will_topic != NULL;
	if (!c->has_will)
		return OK;
	c->will.topic = span_str(o->will_topic);
	c->will.payload = o->will_payload ? span_str(o->will_payload) : span_of(NULL, 0);
	c->will.props = o->props[PROPS_WILL].props;
	return OK;
}

static int finish_work(struct mqtt_options *o)
{
	if (o->kind == MQTT_TOOL_PUB) {
		if (!o->ntopics)
			return mqtt_options_fault(o, "where to? Give a topic: -t");
		if (o->source == SOURCE_NONE)
			return mqtt_options_fault(o, "what to publish? Give one of -m, -f, -l, -n, -s");
		if (o->repeat > 1 && o->source == SOURCE_LINES)
			return mqtt_options_fault(o, "--repeat does not go with -l");
		return OK;
	}
	if (!o->ntopics && !o->nunsubscribes)
		return mqtt_options_fault(o, "subscribe to what? Give a topic filter: -t");
	if (o->no_retained && o->retained_only)
		return mqtt_options_fault(o, "give one of -R and --retained-only");
	if (o->json && o->format)
		return mqtt_options_fault(o, "give one of --json and -F");
	return OK;
}

static int finish(struct mqtt_options *o)
{
	int rc;

	if ((rc = finish_id(o)) < 0 || (rc = finish_session(o)) < 0 || (rc = finish_login_and_will(o)) < 0)
		return rc;
	o->client.connect.props = o->props[PROPS_CONNECT].props;
	return finish_work(o);
}

int mqtt_options_parse(struct mqtt_options *o, enum mqtt_tool_kind kind, int argc, char **argv)
{
	size_t n = (size_t)argc + 1;
	int rc = OK, used = 1;

	*o = (struct mqtt_options){.kind = kind,
				   .name = kind == MQTT_TOOL_PUB ? "pub" : "sub",
				   .host = "localhost",
				   .port = 1883,
				   .repeat = 1,
				   .percent = 100};
	mqtt_client_options_init(&o->client);
	o->client.inflight = MQTT_TOOL_INFLIGHT;
	o->topics = calloc(n, sizeof(*o->topics));
	o->unsubscribes = calloc(n, sizeof(*o->unsubscribes));
	o->filters_out = calloc(n, sizeof(*o->filters_out));
	if (!o->topics || !o->unsubscribes || !o->filters_out)
		return ERR_NOMEM;
	for (int i = 1; rc == OK && i < argc; i += used)
		rc = parse_one(o, argc - i, argv + i, &used);
	if (rc < 0 || o->want_help || o->want_version)
		return rc;
	return finish(o);
}

void mqtt_options_fini(struct mqtt_options *o)
{
	for (size_t i = 0; i < PROPS_COMMANDS; i++)
		free(o->props[i].user);
	free(o->topics);
	free(o->unsubscribes);
	free(o->filters_out);
	free(o->password);
	free(o->made_id);
	free(o->made_url);
}
