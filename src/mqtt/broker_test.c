#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mqtt/broker_rig.h"

/* ---- what comes when ---- */

enum moment { BEFORE_CONNECT, CONNECTED };

struct reaction {
	const char *what;
	enum moment when;
	enum mqtt_version v; /* 0: every one */
	uint8_t first;
	const char *body;
	const char *lines[3]; /* expected in order; NULL: quiet */
};

#define CONNECT5   "<MQTT> 05 02 00 3C [] <a>"
#define CONNECT311 "<MQTT> 04 02 00 3C <a>"
#define CONNECT31  "<MQIsdp> 03 02 00 3C <a>"

static const struct reaction reactions[] = {
	/* the first packet is CONNECT [MQTT-3.1.0-1]; nothing tells an unknown client why */
	{"type 0 first", BEFORE_CONNECT, 0, 0x00, "", {"closed"}},
	{"CONNACK first", BEFORE_CONNECT, 0, 0x20, "00 00", {"closed"}},
	{"PUBLISH first", BEFORE_CONNECT, 0, 0x30, "<a> 00", {"closed"}},
	{"PUBACK first", BEFORE_CONNECT, 0, 0x40, "00 01", {"closed"}},
	{"PUBREC first", BEFORE_CONNECT, 0, 0x50, "00 01", {"closed"}},
	{"PUBREL first", BEFORE_CONNECT, 0, 0x62, "00 01", {"closed"}},
	{"PUBCOMP first", BEFORE_CONNECT, 0, 0x70, "00 01", {"closed"}},
	{"SUBSCRIBE first", BEFORE_CONNECT, 0, 0x82, "00 01 <a> 00", {"closed"}},
	{"SUBACK first", BEFORE_CONNECT, 0, 0x90, "00 01 00", {"closed"}},
	{"UNSUBSCRIBE first", BEFORE_CONNECT, 0, 0xA2, "00 01 <a>", {"closed"}},
	{"UNSUBACK first", BEFORE_CONNECT, 0, 0xB0, "00 01", {"closed"}},
	{"PINGREQ first", BEFORE_CONNECT, 0, 0xC0, "", {"closed"}},
	{"PINGRESP first", BEFORE_CONNECT, 0, 0xD0, "", {"closed"}},
	{"DISCONNECT first", BEFORE_CONNECT, 0, 0xE0, "", {"closed"}},
	{"AUTH first", BEFORE_CONNECT, 0, 0xF0, "", {"closed"}},
	{"CONNECT 3.1", BEFORE_CONNECT, MQTT_V31, 0x10, CONNECT31, {"CONNACK s0 00"}},
	{"CONNECT 3.1.1", BEFORE_CONNECT, MQTT_V311, 0x10, CONNECT311, {"CONNACK s0 00"}},
	{"CONNECT 5", BEFORE_CONNECT, MQTT_V5, 0x10, CONNECT5, {"CONNACK s0 00"}},
	{"CONNECT of version 6",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 06 02 00 3C [] <a>",
	 {"CONNACK s0 84", "closed"}},
	{"CONNECT of version 2",
	 BEFORE_CONNECT,
	 MQTT_V311,
	 0x10,
	 "<MQTT> 02 02 00 3C <a>",
	 {"CONNACK s0 01", "closed"}},
	{"CONNECT of another protocol",
	 BEFORE_CONNECT,
	 MQTT_V311,
	 0x10,
	 "<HTTP> 04 02 00 3C <a>",
	 {"closed"}},
	{"CONNECT of a later version",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 06 02 00 3C [] <a>",
	 {"CONNACK s0 84", "closed"}},
	{"CONNECT of an earlier version",
	 BEFORE_CONNECT,
	 MQTT_V311,
	 0x10,
	 "<MQIsdp> 02 02 00 3C <a>",
	 {"CONNACK s0 01", "closed"}},
	{"CONNECT with a property twice",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 05 02 00 3C [21 00 01 21 00 01] <a>",
	 {"CONNACK s0 82", "closed"}},
	{"CONNECT with a property cut",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 05 02 00 3C [21 00] <a>",
	 {"CONNACK s0 81", "closed"}},
	{"CONNECT with a property of the will twice",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 05 06 00 3C [] <a> [01 00 01 00] <w> <x>",
	 {"CONNACK s0 82", "closed"}},
	{"CONNECT with an id that is no text",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 05 02 00 3C [] 0001 FF",
	 {"CONNACK s0 85", "closed"}},
	{"CONNECT with an id that is no text",
	 BEFORE_CONNECT,
	 MQTT_V311,
	 0x10,
	 "<MQTT> 04 02 00 3C 0001 FF",
	 {"closed"}},
	{"CONNECT with more behind",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 05 02 00 3C [] <a> 00",
	 {"CONNACK s0 81", "closed"}},
	{"CONNECT without its user name",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 05 82 00 3C [] <a>",
	 {"closed"}},
	{"CONNECT with the reserved flag", BEFORE_CONNECT, 0, 0x10, "<MQTT> 04 03 00 3C <a>", {"closed"}},
	{"CONNECT with flags", BEFORE_CONNECT, 0, 0x12, CONNECT311, {"closed"}},
	{"CONNECT with an empty id and clean 0",
	 BEFORE_CONNECT,
	 MQTT_V311,
	 0x10,
	 "<MQTT> 04 00 00 3C <>",
	 {"CONNACK s0 02", "closed"}},
	{"CONNECT with an empty id and clean 1",
	 BEFORE_CONNECT,
	 MQTT_V311,
	 0x10,
	 "<MQTT> 04 02 00 3C <>",
	 {"CONNACK s0 00"}},
	{"CONNECT with an empty id in 3.1",
	 BEFORE_CONNECT,
	 MQTT_V31,
	 0x10,
	 "<MQIsdp> 03 02 00 3C <>",
	 {"CONNACK s0 02", "closed"}},
	{"CONNECT with an empty id in 5",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 05 00 00 3C [] <>",
	 {"CONNACK s0 00"}},
	{"CONNECT with an authentication method",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 05 02 00 3C [15 <x>] <a>",
	 {"CONNACK s0 8C", "closed"}},
	{"CONNECT with a will to $SYS",
	 BEFORE_CONNECT,
	 MQTT_V5,
	 0x10,
	 "<MQTT> 05 06 00 3C [] <a> [] <$SYS/x> <w>",
	 {"CONNACK s0 87", "closed"}},

	/* connected */
	{"type 0", CONNECTED, MQTT_V5, 0x00, "", {"DISCONNECT 82", "closed"}},
	{"type 0", CONNECTED, MQTT_V311, 0x00, "", {"closed"}},
	{"CONNECT again [MQTT-3.1.0-2]", CONNECTED, MQTT_V5, 0x10, CONNECT5, {"closed"}},
	{"CONNECT again", CONNECTED, MQTT_V311, 0x10, CONNECT311, {"closed"}},
	{"CONNACK", CONNECTED, MQTT_V5, 0x20, "00 00 []", {"DISCONNECT 82", "closed"}},
	{"CONNACK", CONNECTED, MQTT_V311, 0x20, "00 00", {"closed"}},
	{"SUBACK", CONNECTED, MQTT_V5, 0x90, "00 01 [] 00", {"DISCONNECT 82", "closed"}},
	{"SUBACK", CONNECTED, MQTT_V311, 0x90, "00 01 00", {"closed"}},
	{"UNSUBACK", CONNECTED, MQTT_V5, 0xB0, "00 01 [] 00", {"DISCONNECT 82", "closed"}},
	{"UNSUBACK", CONNECTED, MQTT_V311, 0xB0, "00 01", {"closed"}},
	{"PINGRESP", CONNECTED, MQTT_V5, 0xD0, "", {"DISCONNECT 82", "closed"}},
	{"PINGRESP", CONNECTED, MQTT_V311, 0xD0, "", {"closed"}},
	{"AUTH without a method", CONNECTED, MQTT_V5, 0xF0, "", {"DISCONNECT 82", "closed"}},
	{"AUTH to authenticate again", CONNECTED, MQTT_V5, 0xF0, "19 [15 <x>]", {"DISCONNECT 82", "closed"}},
	{"type 15 below 5", CONNECTED, MQTT_V311, 0xF0, "", {"closed"}},
	{"PINGREQ", CONNECTED, 0, 0xC0, "", {"PINGRESP"}},
	{"PINGREQ with a body", CONNECTED, 0, 0xC0, "00", {"closed"}},
	{"PINGREQ with flags", CONNECTED, MQTT_V5, 0xC1, "", {"DISCONNECT 81", "closed"}},
	{"PINGRESP with a body", CONNECTED, 0, 0xD0, "00", {"closed"}},
	{"PINGRESP with flags", CONNECTED, MQTT_V5, 0xD1, "", {"DISCONNECT 81", "closed"}},
	{"SUBACK with flags", CONNECTED, MQTT_V5, 0x91, "", {"DISCONNECT 81", "closed"}},
	{"UNSUBACK with flags", CONNECTED, MQTT_V5, 0xB1, "", {"DISCONNECT 81", "closed"}},
	{"AUTH with flags", CONNECTED, MQTT_V5, 0xF1, "", {"DISCONNECT 82", "closed"}},
	{"PINGREQ with flags", CONNECTED, MQTT_V5, 0xC1, "", {"DISCONNECT 81", "closed"}},
	{"DISCONNECT", CONNECTED, 0, 0xE0, "", {"closed"}},
	{"DISCONNECT with the will", CONNECTED, MQTT_V5, 0xE0, "04", {"closed"}},
	{"DISCONNECT with a reason below 5", CONNECTED, MQTT_V311, 0xE0, "00", {"closed"}},
	{"DISCONNECT with a server's reason", CONNECTED, MQTT_V5, 0xE0, "8B", {"closed"}},
	{"DISCONNECT that makes a session last",
	 CONNECTED,
	 MQTT_V5,
	 0xE0,
	 "00 [11 00 00 00 01]",
	 {"DISCONNECT 82", "closed"}},
	{"PUBLISH QoS 0", CONNECTED, MQTT_V5, 0x30, "<t> [] 'x'", {NULL}},
	{"PUBLISH QoS 1 to nobody", CONNECTED, MQTT_V5, 0x32, "<t> 00 01 [] 'x'", {"PUBACK m1 10"}},
	{"PUBLISH QoS 1", CONNECTED, MQTT_V311, 0x32, "<t> 00 01 'x'", {"PUBACK m1"}},
	{"PUBLISH QoS 2 to nobody", CONNECTED, MQTT_V5, 0x34, "<t> 00 01 [] 'x'", {"PUBREC m1 00"}},
	{"PUBLISH QoS 3", CONNECTED, MQTT_V5, 0x36, "<t> 00 01 [] 'x'", {"DISCONNECT 81", "closed"}},
	{"PUBLISH QoS 3", CONNECTED, MQTT_V311, 0x36, "<t> 00 01 'x'", {"closed"}},
	{"PUBLISH with DUP and QoS 0", CONNECTED, MQTT_V5, 0x38, "<t> [] 'x'", {"DISCONNECT 81", "closed"}},
	{"PUBLISH with id 0", CONNECTED, MQTT_V5, 0x32, "<t> 00 00 [] 'x'", {"DISCONNECT 82", "closed"}},
	{"PUBLISH to a filter", CONNECTED, MQTT_V5, 0x30, "<t/+> [] 'x'", {"DISCONNECT 81", "closed"}},
	{"PUBLISH to a filter", CONNECTED, MQTT_V311, 0x30, "<t/#> 'x'", {"closed"}},
	{"PUBLISH without a topic", CONNECTED, MQTT_V5, 0x30, "<> [] 'x'", {"DISCONNECT 82", "closed"}},
	{"PUBLISH without a topic", CONNECTED, MQTT_V311, 0x30, "<> 'x'", {"closed"}},
	{"PUBLISH with alias 0", CONNECTED, MQTT_V5, 0x30, "<t> [23 00 00] 'x'", {"DISCONNECT 82", "closed"}},
	{"PUBLISH with the last alias", CONNECTED, MQTT_V5, 0x30, "<t> [23 00 0A] 'x'", {NULL}},
	{"PUBLISH with an alias too many",
	 CONNECTED,
	 MQTT_V5,
	 0x30,
	 "<t> [23 00 0B] 'x'",
	 {"DISCONNECT 94", "closed"}},
	{"PUBLISH with an alias nobody set",
	 CONNECTED,
	 MQTT_V5,
	 0x30,
	 "<> [23 00 01] 'x'",
	 {"DISCONNECT 82", "closed"}},
	{"PUBLISH with a subscription id",
	 CONNECTED,
	 MQTT_V5,
	 0x30,
	 "<t> [0B 01] 'x'",
	 {"DISCONNECT 82", "closed"}},
	{"PUBLISH QoS 1 to $SYS", CONNECTED, MQTT_V5, 0x32, "<$SYS/x> 00 01 [] 'x'", {"PUBACK m1 87"}},
	{"PUBLISH QoS 2 to $SYS", CONNECTED, MQTT_V5, 0x34, "<$SYS/x> 00 01 [] 'x'", {"PUBREC m1 87"}},
	{"PUBLISH QoS 1 to $SYS", CONNECTED, MQTT_V311, 0x32, "<$SYS/x> 00 01 'x'", {"closed"}},
	{"PUBLISH QoS 0 to $SYS", CONNECTED, MQTT_V311, 0x30, "<$SYS/x> 'x'", {NULL}},
	{"PUBACK of nothing", CONNECTED, 0, 0x40, "00 01", {NULL}},
	{"PUBREC of nothing", CONNECTED, MQTT_V5, 0x50, "00 01", {"PUBREL m1 92"}},
	{"PUBREC of nothing", CONNECTED, MQTT_V311, 0x50, "00 01", {"PUBREL m1"}},
	{"PUBREC of nothing with an error", CONNECTED, MQTT_V5, 0x50, "00 01 80 []", {NULL}},
	{"PUBREL of nothing", CONNECTED, MQTT_V5, 0x62, "00 01", {"PUBCOMP m1 92"}},
	{"PUBREL of nothing", CONNECTED, MQTT_V311, 0x62, "00 01", {"PUBCOMP m1"}},
	{"PUBREL with flags 0", CONNECTED, MQTT_V5, 0x60, "00 01", {"DISCONNECT 81", "closed"}},
	{"PUBCOMP of nothing", CONNECTED, 0, 0x70, "00 01", {NULL}},
	{"SUBSCRIBE", CONNECTED, MQTT_V5, 0x82, "00 01 [] <t> 02 <u> 01", {"SUBACK m1 02 01"}},
	{"SUBSCRIBE", CONNECTED, MQTT_V31, 0x82, "00 01 <t> 02 <u> 01", {"SUBACK m1 02 01"}},
	{"SUBSCRIBE with flags 0", CONNECTED, MQTT_V5, 0x80, "00 01 [] <t> 00", {"DISCONNECT 81", "closed"}},
	{"SUBSCRIBE with id 0", CONNECTED, MQTT_V5, 0x82, "00 00 [] <t> 00", {"DISCONNECT 81", "closed"}},
	{"SUBSCRIBE to nothing", CONNECTED, MQTT_V5, 0x82, "00 01 []", {"DISCONNECT 82", "closed"}},
	{"SUBSCRIBE to nothing", CONNECTED, MQTT_V311, 0x82, "00 01", {"closed"}},
	{"SUBSCRIBE with a wrong filter",
	 CONNECTED,
	 MQTT_V5,
	 0x82,
	 "00 01 [] <a/#/b> 00",
	 {"DISCONNECT 81", "closed"}},
	{"SUBSCRIBE with a wrong filter", CONNECTED, MQTT_V311, 0x82, "00 01 <a+> 00 <b> 01", {"closed"}},
	{"SUBSCRIBE to a share without a filter",
	 CONNECTED,
	 MQTT_V5,
	 0x82,
	 "00 01 [] <$share/g> 00",
	 {"DISCONNECT 82", "closed"}},
	{"SUBSCRIBE to a share with no local [MQTT-3.8.3-4]",
	 CONNECTED,
	 MQTT_V5,
	 0x82,
	 "00 01 [] <$share/g/a> 04",
	 {"DISCONNECT 82", "closed"}},
	{"SUBSCRIBE with QoS 3", CONNECTED, MQTT_V5, 0x82, "00 01 [] <t> 03", {"DISCONNECT 82", "closed"}},
	{"SUBSCRIBE with retain handling 3",
	 CONNECTED,
	 MQTT_V5,
	 0x82,
	 "00 01 [] <t> 30",
	 {"DISCONNECT 82", "closed"}},
	{"SUBSCRIBE with id 0 of a subscription",
	 CONNECTED,
	 MQTT_V5,
	 0x82,
	 "00 01 [0B 00] <t> 00",
	 {"DISCONNECT 82", "closed"}},
	{"UNSUBSCRIBE", CONNECTED, MQTT_V5, 0xA2, "00 01 [] <t> <u>", {"UNSUBACK m1 11 11"}},
	{"UNSUBSCRIBE", CONNECTED, MQTT_V311, 0xA2, "00 01 <t>", {"UNSUBACK m1"}},
	{"UNSUBSCRIBE from nothing", CONNECTED, MQTT_V5, 0xA2, "00 01 []", {"DISCONNECT 82", "closed"}},
	{"UNSUBSCRIBE with flags 0", CONNECTED, MQTT_V5, 0xA0, "00 01 [] <t>", {"DISCONNECT 81", "closed"}},
};

static bool line_is(struct peer *p, const struct reaction *t, const char *line)
{
	const char *got = peer_line(p);

	if (strcmp(got, line) == 0)
		return true;
	fprintf(stderr, "%s (version %d): %s instead of %s\n", t->what, (int)p->v, got, line);
	return false;
}

static bool reaction_is_right(const struct reaction *t, enum mqtt_version v)
{
	struct rig r;
	struct peer *p;
	bool right = true;

	rig_up(&r, 1);
	p = t->when == CONNECTED ? peer_up(&r, v, "a") : peer_open(&r, v);
	peer_send(p, t->first, t->body);
	for (unsigned i = 0; right && i < 3 && t->lines[i]; i++)
		right = line_is(p, t, t->lines[i]);
	peer_send(p, 0xC0, ""); /* what is not closed goes on */
	right = right && line_is(p, t, p->stream->is_closed ? "closed" : "PINGRESP");
	rig_fini(&r);
	return right;
}

static void every_packet_gets_its_answer_in_every_state(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(reactions) / sizeof(reactions[0]); i++)
		for (enum mqtt_version v = MQTT_V31; v <= MQTT_V5; v++)
			if (!reactions[i].v || reactions[i].v == v)
				wrong += !reaction_is_right(&reactions[i], v);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_packet_gets_its_answer_in_every_state),
	};

	return cmocka_run_group_tests_name("mqtt_broker", tests, NULL, NULL);
}
