#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench_options.h"

#define RATE_MAX    1e8
#define SECONDS_MAX 86400.0

static const struct {
	const char *word, *other, *help; /* other: what emqtt-bench calls it, or a second name */
} modes[BENCH_MODES] = {
	[BENCH_EXCHANGE] = {"exchange", NULL, "each publisher sends to a subscriber of its own"},
	[BENCH_FAN_IN] = {"fan-in", "fanin", "many publishers send to one subscriber, or a few"},
	[BENCH_FAN_OUT] = {"fan-out", "fanout", "one publisher, or a few, send to many subscribers"},
	[BENCH_SUBSCRIBE] = {"subscribe", "subscriptions",
			     "exchange in which each subscriber has many filters"},
	[BENCH_RETAINED] = {"retained", NULL, "set many retained topics, then fetch all with one wildcard"},
	[BENCH_OFFLINE] = {"offline", NULL, "publish to sessions that are away, then let them come back"},
	[BENCH_CONNECT] = {"connect", NULL, "connect and disconnect over and over"},
	[BENCH_IDLE] = {"idle", "conn", "connections, and subscriptions, that do nothing"},
	[BENCH_PUB] = {"pub", NULL, "publishers only"},
	[BENCH_SUB] = {"sub", NULL, "subscribers only"},
};

enum kind { FLAG, NUMBER, BIG, REAL, TEXT, VERSION, SECRET };

struct option {
	char letter; /* 0: none */
	const char *name, *argument;
	enum kind kind;
	size_t at; /* in struct bench_options */
	double min, max;
	const char *help;
};

#define AT(member) offsetof(struct bench_options, member)

static const struct option options[] = {
	{'h', "host", "HOST", TEXT, AT(host), 0, 0, "name or address of the broker (127.0.0.1)"},
	{'p', "port", "PORT", NUMBER, AT(port), 1, 65535, "its port (1883)"},
	{'u', "username", "NAME", TEXT, AT(username), 0, 0, "user name"},
	{'P', "pw", "PASSWORD", SECRET, AT(password), 0, 0, "password; it is wiped from the process list"},
	{'V', "protocol-version", "VERSION", VERSION, AT(version), 0, 0,
	 "mqttv31, mqttv311 or mqttv5 (mqttv311)"},
	{'c', "clients", "N", NUMBER, AT(clients), 1, BENCH_CLIENTS_MAX,
	 "pairs, sessions, connections, or of fan-in and fan-out the many (100)"},
	{0, "publishers", "N", NUMBER, AT(publishers), 1, BENCH_CLIENTS_MAX, "publishers"},
	{0, "subscribers", "N", NUMBER, AT(subscribers), 1, BENCH_CLIENTS_MAX, "subscribers"},
	{0, "sessions", "N", NUMBER, AT(subscribers), 1, BENCH_CLIENTS_MAX, "the same: of offline, sessions"},
	{0, "persistent", NULL, FLAG, AT(persistent), 0, 0, "subscribers have persistent sessions"},
	{0, "to-all", NULL, FLAG, AT(to_all), 0, 0,
	 "offline: each message goes to every session, not to one"},
	{0, "leave", NULL, FLAG, AT(leave), 0, 0,
	 "retained, offline: leave in the broker what was set or queued"},
	{0, "resume", NULL, FLAG, AT(resume), 0, 0,
	 "retained, offline: fetch what a run with --leave left there"},
	{0, "slow", "N", NUMBER, AT(slow), 1, 10000,
	 "so many further subscribers that hardly read, and are not checked"},
	{0, "filters", "N", NUMBER, AT(filters), 0, 1000000,
	 "subscriptions of a subscriber: a third each exact, with +, with + and #"},
	{0, "topics", "N", NUMBER, AT(topics), 1, 99999999, "retained: topics to set (10000)"},
	{'t', "topic", "TOPIC", TEXT, AT(topic), 0, 0,
	 "pub, sub: topic or filter; %i is the client's number"},
	{'q', "qos", "QOS", NUMBER, AT(qos), 0, 2, "quality of service (0; offline: 1)"},
	{'s', "size", "BYTES", NUMBER, AT(size), BENCH_PAYLOAD_MIN, BENCH_PAYLOAD_MAX,
	 "size of a payload, 16 or more (16)"},
	{'w', "window", "N", NUMBER, AT(window), 1, BENCH_WINDOW_MAX,
	 "messages of a publisher on the way at a time (32; retained: 1024)"},
	{'F', "inflight", "N", NUMBER, AT(window), 1, BENCH_WINDOW_MAX, "the same"},
	{'b', "batch", "N", NUMBER, AT(batch), 1, BENCH_WINDOW_MAX,
	 "messages in one send (8; with a rate 1; retained: 128)"},
	{'r', "rate", "N", REAL, AT(rate), 0.001, RATE_MAX,
	 "publish N messages a second, all publishers together, come what may"},
	{'I', "interval", "MS", NUMBER, AT(interval_ms), 1, 3600000,
	 "the same: each publisher sends every MS milliseconds"},
	{'R', "connect-rate", "N", NUMBER, AT(connect_rate), 1, 1000000,
	 "set-up: open N connections a second"},
	{'L', "limit", "N", BIG, AT(limit), 1, 1e15, "end after N messages"},
	{'d', "seconds", "N", REAL, AT(seconds), 0, SECONDS_MAX, "measure so long (10)"},
	{0, "duration", "N", REAL, AT(seconds), 0, SECONDS_MAX, "the same"},
	{0, "warmup", "N", REAL, AT(warmup_s), 0, SECONDS_MAX, "run so many seconds before measuring (0.5)"},
	{0, "drain", "N", REAL, AT(drain_s), 0, SECONDS_MAX,
	 "at the end, lost is what N seconds after the last did not come (5)"},
	{0, "workers", "N", NUMBER, AT(workers), 1, BENCH_WORKERS_MAX,
	 "threads of the load (all cores but one)"},
	{0, "pid", "PID", NUMBER, AT(pid), 1, 0x7fffffff,
	 "the broker's process: also tell its CPU time and memory"},
	{0, "prefix", "TEXT", TEXT, AT(prefix), 0, 0,
	 "begin client ids and topics so (b and the process id)"},
	{0, "json", NULL, FLAG, AT(json), 0, 0, "print one JSON object"},
	{0, "quiet", NULL, FLAG, AT(quiet), 0, 0, "no progress line"},
	{0, "help", NULL, FLAG, AT(help), 0, 0, "print this"},
};

#define NOPTIONS (sizeof(options) / sizeof(options[0]))

void bench_complain(const char *fmt, va_list ap)
{
	fprintf(stderr, "lineside bench: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
}

static PRINTF_LIKE(1, 2) int fault(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	bench_complain(fmt, ap);
	va_end(ap);
	return ERR_RANGE;
}

const char *bench_mode_name(enum bench_mode mode)
{
	return modes[mode].word;
}

void bench_options_help(FILE *to)
{
	fprintf(to, "Usage: lineside bench MODE [OPTION...]\n\n"
		    "Load an MQTT broker, and tell rate, latency, loss, repetition and order of "
		    "messages.\n\nModes:\n");
	for (unsigned m = 0; m < BENCH_MODES; m++)
		fprintf(to, "  %-10s %s\n", modes[m].word, modes[m].help);
	fprintf(to, "\"conn\" stands for idle, as in emqtt-bench.\n\nOptions:\n");
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct option *p = &options[i];
		char names[40];

		if (p->letter)
			snprintf(names, sizeof(names), "-%c, --%s%s%s", p->letter, p->name,
				 p->argument ? " " : "", p->argument ? p->argument : "");
		else
			snprintf(names, sizeof(names), "--%s%s%s", p->name, p->argument ? " " : "",
				 p->argument ? p->argument : "");
		fprintf(to, "  %-30s  %s\n", names, p->help);
	}
	fprintf(to, "\nExit status: 0; 1 a message was lost, repeated, out of order or refused, or a "
		    "connection broke; 2 it "
		    "could not run.\n");
}

/* ---- one option ---- */

static int take_number(const struct option *p, struct bench_options *o, const char *text)
{
	char *end = NULL;
	double v = *text >= '0' && *text <= '9' ? strtod(text, &end) : -1;
	void *to = (char *)o + p->at;

	if (!end || *end || !(v >= p->min && v <= p->max))
		return fault("--%s \"%s\": a number from %.12g to %.12g is wanted", p->name, text, p->min,
			     p->max);
	if (p->kind == REAL) {
		memcpy(to, &v, sizeof(v));
		return OK;
	}
	if (v != (double)(uint64_t)v)
		return fault("--%s \"%s\": a whole number is wanted", p->name, text);
	if (p->kind == BIG)
		memcpy(to, &(uint64_t){(uint64_t)v}, sizeof(uint64_t));
	else
		memcpy(to, &(unsigned){(unsigned)v}, sizeof(unsigned));
	return OK;
}

static int take_version(struct bench_options *o, const char *text)
{
	static const struct {
		const char *word;
		enum mqtt_version version;
	} words[] = {{"mqttv31", MQTT_V31}, {"31", MQTT_V31},    {"mqttv311", MQTT_V311}, {"311", MQTT_V311},
		     {"4", MQTT_V311},      {"mqttv5", MQTT_V5}, {"5", MQTT_V5}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i].word) == 0) {
			o->version = words[i].version;
			return OK;
		}
	}
	return fault("-V \"%s\": mqttv31, mqttv311 or mqttv5 is wanted", text);
}

static int take(const struct option *p, struct bench_options *o, char *text)
{
	switch (p->kind) {
	case FLAG:
		*(bool *)((char *)o + p->at) = true;
		return OK;
	case VERSION:
		return take_version(o, text);
	case TEXT:
		*(const char **)(void *)((char *)o + p->at) = text;
		return OK;
	case SECRET:
		free((void *)(uintptr_t)o->password);
		if (!(o->password = strdup(text)))
			return fault("%s", err_text(ERR_NOMEM));
		memset(text, '*', strlen(text));
		return OK;
	default:
		return take_number(p, o, text);
	}
}

/* The option that `word` names: -p, -pPORT, --port, --port=PORT; *glued is an argument in the same word. */
static const struct option *find(char *word, char **glued)
{
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct option *p = &options[i];
		size_t len = strlen(p->name);

		*glued = NULL;
		if (word[0] == '-' && word[1] != '-') {
			if (word[1] == 0 || word[1] != p->letter || (word[2] && !p->argument))
				continue;
			*glued = word[2] ? word + 2 : NULL;
			return p;
		}
		if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, p->name, len) != 0 ||
		    (word[2 + len] && word[2 + len] != '='))
			continue;
		if (word[2 + len] == '=')
			*glued = word + 3 + len;
		return p;
	}
	return NULL;
}

static int take_options(struct bench_options *o, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		char *text;
		const struct option *p = find(argv[i], &text);
		int rc;

		if (!p)
			return fault("\"%s\" is no option; --help lists them", argv[i]);
		if (!p->argument && text)
			return fault("--%s takes no argument", p->name);
		if (p->argument && !text && !(text = ++i < argc ? argv[i] : NULL))
			return fault("--%s wants an argument: %s", p->name, p->argument);
		if ((rc = take(p, o, text)) < 0)
			return rc;
	}
	return OK;
}

/* ---- what holds between options ---- */

#define NOT_GIVEN       UINT32_MAX
#define WINDOW          32
#define BATCH           8
#define RETAINED_WINDOW 1024 /* one connection has to be faster than the broker */
#define RETAINED_BATCH  128

static void otherwise(unsigned *value, unsigned v)
{
	if (*value == NOT_GIVEN)
		*value = v;
}

static unsigned default_workers(void)
{
	cpu_set_t set;
	unsigned n = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;

	n = n > 1 ? n - 1 : 1;
	return n < BENCH_WORKERS_MAX ? n : BENCH_WORKERS_MAX;
}

/* Who sends and who receives. */
static void finish_people(struct bench_options *o)
{
	bool sends = o->mode != BENCH_SUB && o->mode != BENCH_IDLE && o->mode != BENCH_CONNECT;
	bool receives = o->mode != BENCH_PUB && o->mode != BENCH_CONNECT;

	otherwise(&o->clients, o->subscribers != NOT_GIVEN && o->mode != BENCH_FAN_IN   ? o->subscribers
			       : o->publishers != NOT_GIVEN && o->mode != BENCH_FAN_OUT ? o->publishers
											: 100);
	otherwise(&o->publishers, o->mode == BENCH_FAN_OUT || o->mode == BENCH_RETAINED ? 1 : o->clients);
	otherwise(&o->subscribers, o->mode == BENCH_FAN_IN || o->mode == BENCH_RETAINED ? 1 : o->clients);
	o->publishers = sends ? o->publishers : 0;
	o->subscribers = receives ? o->subscribers : 0;
}

static void finish_traffic(struct bench_options *o)
{
	unsigned batch;

	if (o->interval_ms > 0 && o->rate <= 0)
		o->rate = (double)o->publishers * 1000 / o->interval_ms;
	otherwise(&o->qos, o->mode == BENCH_OFFLINE ? 1 : 0);
	otherwise(&o->filters, o->mode == BENCH_SUBSCRIBE ? 1000 : o->mode == BENCH_IDLE ? 0 : 1);
	otherwise(&o->window, o->rate > 0                 ? BENCH_WINDOW_MAX
			      : o->mode == BENCH_RETAINED ? RETAINED_WINDOW
							  : WINDOW);
	batch = o->rate > 0 ? 1 : o->mode == BENCH_RETAINED ? RETAINED_BATCH : BATCH;
	otherwise(&o->batch, batch < o->window ? batch : o->window);
	if (o->mode == BENCH_OFFLINE && o->limit == 0)
		o->limit = (uint64_t)(o->to_all ? o->publishers : o->subscribers) * 100;
	if (o->mode == BENCH_RETAINED)
		o->limit = o->topics;
	if (o->seconds < 0)
		o->seconds = o->limit > 0 ? SECONDS_MAX : o->mode == BENCH_IDLE ? 0 : 10;
	if (o->warmup_s < 0)
		o->warmup_s = o->limit > 0 ? 0 : 0.5;
}

static int check(const struct bench_options *o)
{
	bool is_pairs = o->mode == BENCH_EXCHANGE || o->mode == BENCH_SUBSCRIBE;
	bool is_traffic =
		is_pairs || o->mode == BENCH_OFFLINE || o->mode == BENCH_FAN_IN || o->mode == BENCH_FAN_OUT;

	if (is_pairs && o->publishers != o->subscribers)
		return fault("%s: each publisher has one subscriber: give -c, or as many of both",
			     modes[o->mode].word);
	if (o->mode == BENCH_RETAINED && (o->subscribers != 1 || o->publishers > o->topics))
		return fault("retained: one subscriber, and not more publishers than topics");
	if (o->mode == BENCH_OFFLINE && o->qos == 0)
		return fault("offline: nothing is kept with QoS 0: give -q 1 or -q 2");
	if (o->mode == BENCH_OFFLINE && !o->to_all && o->subscribers % o->publishers != 0)
		return fault(
			"offline: each publisher has as many sessions: %u sessions are no multiple of %u "
			"publishers",
			o->subscribers, o->publishers);
	if (o->mode != BENCH_SUBSCRIBE && o->mode != BENCH_EXCHANGE && o->mode != BENCH_IDLE &&
	    o->filters != 1)
		return fault("--filters is for exchange, subscribe and idle");
	if (is_traffic && o->filters == 0)
		return fault("--filters 0: a subscriber without a subscription receives nothing");
	if (o->topic && o->mode != BENCH_PUB && o->mode != BENCH_SUB)
		return fault("-t is for pub and sub; %s makes up its topics", modes[o->mode].word);
	if (o->slow > 0 && !is_traffic)
		return fault("--slow is for exchange, subscribe, fan-in and fan-out");
	if (o->to_all && o->mode != BENCH_OFFLINE)
		return fault("--to-all is for offline");
	if (o->persistent && (!is_traffic || o->mode == BENCH_OFFLINE))
		return fault("--persistent is for exchange, subscribe, fan-in and fan-out");
	if ((o->leave || o->resume) && o->mode != BENCH_RETAINED && o->mode != BENCH_OFFLINE)
		return fault("--leave and --resume are for retained and offline");
	if ((o->leave || o->resume) && !o->prefix)
		return fault("--leave and --resume need a --prefix, by which they find each other");
	if (o->rate > 0 && (o->mode == BENCH_RETAINED || o->mode == BENCH_OFFLINE))
		return fault("%s goes as fast as it can: no rate", modes[o->mode].word);
	if (o->interval_ms > 0 && o->publishers == 0)
		return fault("--interval is of publishers, and %s has none", modes[o->mode].word);
	if (o->batch > o->window)
		return fault("--batch %u is more than --window %u", o->batch, o->window);
	if ((uint64_t)o->batch * (o->size + BENCH_TOPIC_MAX) > BENCH_BATCH_BYTES)
		return fault("%u messages of %u bytes in one send are too much: lower --batch", o->batch,
			     o->size);
	if (o->limit > 0 && o->limit < o->publishers)
		return fault("-L %llu is less than one message of each publisher",
			     (unsigned long long)o->limit);
	return OK;
}

static int check_text(const struct bench_options *o)
{
	if (o->topic && (strlen(o->topic) == 0 || strlen(o->topic) > BENCH_TOPIC_MAX - 80))
		return fault("-t: 1 to %u bytes are wanted", BENCH_TOPIC_MAX - 80);
	if (o->topic && o->mode == BENCH_PUB && strpbrk(o->topic, "+#"))
		return fault("-t \"%s\": nobody can publish to a wildcard", o->topic);
	if (o->prefix && (strlen(o->prefix) == 0 || strlen(o->prefix) > 40 || strpbrk(o->prefix, "+#")))
		return fault("--prefix: 1 to 40 bytes without wildcards are wanted");
	if (o->password && !o->username && o->version != MQTT_V5)
		return fault("a password alone is possible with -V mqttv5 only: give -u");
	if (o->seconds <= 0 && o->mode != BENCH_IDLE)
		return fault("--seconds must be above 0");
	return OK;
}

static int take_mode(struct bench_options *o, const char *word)
{
	for (unsigned m = 0; m < BENCH_MODES; m++) {
		if (strcmp(word, modes[m].word) != 0 &&
		    (!modes[m].other || strcmp(word, modes[m].other) != 0))
			continue;
		o->mode = (enum bench_mode)m;
		return OK;
	}
	fault(*word == '-' ? "\"%s\" stands where the mode comes; modes are:"
	      : *word      ? "there is no mode \"%s\"; modes are:"
			   : "a mode is missing%s; modes are:",
	      word);
	for (unsigned m = 0; m < BENCH_MODES; m++)
		fprintf(stderr, "  %-10s %s\n", modes[m].word, modes[m].help);
	return ERR_RANGE;
}

int bench_options_parse(struct bench_options *o, int argc, char **argv)
{
	int rc;

	*o = (struct bench_options){
		.host = "127.0.0.1",
		.port = 1883,
		.version = MQTT_V311,
		.clients = NOT_GIVEN,
		.publishers = NOT_GIVEN,
		.subscribers = NOT_GIVEN,
		.filters = NOT_GIVEN,
		.topics = 10000,
		.qos = NOT_GIVEN,
		.size = BENCH_PAYLOAD_MIN,
		.window = NOT_GIVEN,
		.batch = NOT_GIVEN,
		.seconds = -1,
		.warmup_s = -1,
		.drain_s = 5,
		.workers = default_workers(),
	};
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		o->help = true;
		return OK;
	}
	if ((rc = take_mode(o, argc > 1 ? argv[1] : "")) < 0 ||
	    (rc = take_options(o, argc - 2, argv + 2)) < 0 || o->help)
		return rc;
	if (o->rate > 0 && o->interval_ms > 0)
		return fault("--rate and --interval both say how fast");
	if (o->mode == BENCH_RETAINED && (o->limit > 0 || o->seconds >= 0))
		return fault("retained ends when all topics are set and fetched: --topics says how many");
	finish_people(o);
	finish_traffic(o);
	return (rc = check_text(o)) < 0 ? rc : check(o);
}

void bench_options_fini(struct bench_options *o)
{
	free((void *)(uintptr_t)o->password);
	o->password = NULL;
}
