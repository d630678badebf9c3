#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mqtt.h"

/* As the packets' own sections list them (5.0: 3.2.2.2, 3.4.2.1, 3.6.2.1, 3.9.3, 3.11.3, 3.14.2.1, 3.15.2.1). */
static const uint8_t connack[] = {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
				  0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F};
static const uint8_t puback[] = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};
static const uint8_t pubrel[] = {0x00, 0x92};
static const uint8_t suback[] = {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2};
static const uint8_t unsuback[] = {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91};
static const uint8_t disconnect[] = {
	0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, /* 8C: table 2-6 */
	0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
	0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2};
static const uint8_t auth[] = {0x00, 0x18, 0x19};

/*
 * covers 5.0 [MQTT-3.2.2-8] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.9.3-2] [MQTT-3.11.3-2]
 * [MQTT-3.14.2-1] [MQTT-3.15.2-1]
 */
static void each_packet_has_its_reasons_and_no_others(void **state)
{
	static const struct {
		enum mqtt_type type;
		const uint8_t *codes;
		size_t n;
	} table[] = {
		{MQTT_CONNACK, connack, sizeof(connack)},
		{MQTT_PUBACK, puback, sizeof(puback)},
		{MQTT_PUBREC, puback, sizeof(puback)},
		{MQTT_PUBREL, pubrel, sizeof(pubrel)},
		{MQTT_PUBCOMP, pubrel, sizeof(pubrel)},
		{MQTT_SUBACK, suback, sizeof(suback)},
		{MQTT_UNSUBACK, unsuback, sizeof(unsuback)},
		{MQTT_DISCONNECT, disconnect, sizeof(disconnect)},
		{MQTT_AUTH, auth, sizeof(auth)},
		{MQTT_CONNECT, NULL, 0},
		{MQTT_PUBLISH, NULL, 0},
		{MQTT_SUBSCRIBE, NULL, 0},
		{MQTT_UNSUBSCRIBE, NULL, 0},
		{MQTT_PINGREQ, NULL, 0},
		{MQTT_PINGRESP, NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (unsigned code = 0; code < 256; code++) {
			bool listed = table[i].n > 0 && memchr(table[i].codes, (int)code, table[i].n);

			if (mqtt_reason_allowed(table[i].type, (uint8_t)code) != listed)
				fail_msg("packet type %d, reason %02x", (int)table[i].type, code);
		}
}

static void each_reason_has_a_text_and_a_packet(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 256; code++) {
		bool used = false;

		for (enum mqtt_type t = MQTT_CONNECT; t <= MQTT_AUTH; t++)
			used = used || mqtt_reason_allowed(t, (uint8_t)code);
		assert_int_equal(strcmp(mqtt_reason_text((uint8_t)code), "unknown reason code") != 0, used);
	}
	assert_string_equal(mqtt_reason_text(0x8E), "session taken over");
}

static void a_v3_connack_has_six_codes(void **state)
{
	static const uint8_t table[][2] = {{0x00, 0}, {0x84, 1}, {0x85, 2}, {0x88, 3}, {0x89, 3}, {0x97, 3},
					   {0x9F, 3}, {0x80, 3}, {0x86, 4}, {0x87, 5}, {0x8A, 5}, {0x8C, 5},
					   {0x90, 5}, {0x9A, 5}, {0x9B, 5}, {0x99, 5}};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(mqtt_connack_v3(table[i][0]), table[i][1]);
	for (unsigned code = 1; code < 256; code++) /* a refusal stays a refusal */
		assert_in_range(mqtt_connack_v3((uint8_t)code), 1, 5);
}

static void a_decoder_s_error_has_its_reason(void **state)
{
	(void)state;
	assert_int_equal(mqtt_reason_of(OK), 0x00);
	assert_int_equal(mqtt_reason_of(ERR_MALFORMED), 0x81);
	assert_int_equal(mqtt_reason_of(ERR_PROTOCOL), 0x82);
	assert_int_equal(mqtt_reason_of(ERR_UNSUPPORTED), 0x84);
	assert_int_equal(mqtt_reason_of(ERR_TOO_LARGE), 0x95);
	assert_int_equal(mqtt_reason_of(ERR_DENIED), 0x87);
	assert_int_equal(mqtt_reason_of(ERR_BUSY), 0x89);
	assert_int_equal(mqtt_reason_of(ERR_TIMEOUT), 0x8D);
	assert_int_equal(mqtt_reason_of(ERR_FULL), 0x97);
	assert_int_equal(mqtt_reason_of(ERR_NOMEM), 0x80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_packet_has_its_reasons_and_no_others),
		cmocka_unit_test(each_reason_has_a_text_and_a_packet),
		cmocka_unit_test(a_v3_connack_has_six_codes),
		cmocka_unit_test(a_decoder_s_error_has_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
