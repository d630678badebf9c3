#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "base/log.h"
#include "config/gateway_config_rows.h"

/* Everything around what a row is about: `broker` stands for the text of a top-level key. */
#define LISTENERS \
	"listeners: [{name: l, protocol: mqtt, address: 127.0.0.1, port: 1883, allow_anonymous: true}]\n"
#define LINES       "lines: [{name: p, type: modbus-tcp, host: h}, {name: r, type: sim}]\n"
#define DEVICE(x)   LINES "devices: [{name: d, line: p, " x "}]\n"
#define TAG(x)      DEVICE("tags: [{name: t, " x "}]")
#define RACK(x)     LINES "devices: [{name: d, line: r, " x "}]\n"
#define RACK_TAG(x) RACK("tags: [{name: t, " x "}]")

#define NAME_RULE "allowed: 1 to 64 characters without / + #, not starting with $ or _, and not \"set\""
#define X16       "xxxxxxxxxxxxxxxx"

static void names_follow_their_rule(void **state)
{
	static const struct row rows[] = {
		{"gateway: {name: a}\n", NULL},
		{"gateway: {name: " X16 X16 X16 X16 "}\n", NULL},
		{"gateway: {name: sett, root: a/b/c/d}\n", NULL},
		{"gateway: {name: a_$}\n", NULL},
		{"gateway: {name: ''}\n", "gateway.name: found \"\", " NAME_RULE},
		{"gateway: {name: set}\n", "gateway.name: found \"set\", " NAME_RULE},
		{"gateway: {name: _a}\n", "gateway.name: found \"_a\", " NAME_RULE},
		{"gateway: {name: $a}\n", "gateway.name: found \"$a\", " NAME_RULE},
		{"gateway: {name: a/b}\n", "gateway.name: found \"a/b\", " NAME_RULE},
		{"gateway: {name: a+}\n", "gateway.name: found \"a+\", " NAME_RULE},
		{"gateway: {name: 'a#'}\n", "gateway.name: found \"a#\", " NAME_RULE},
		{"gateway: {name: \"a\\n\"}\n", "gateway.name: found \"a\\x0a\", " NAME_RULE},
		{"gateway: {name: x" X16 X16 X16 X16 "}\n",
		 "gateway.name: found \"x" X16 X16 X16 X16 "\", " NAME_RULE},
	};
	static const char *const wrong_roots[] = {"/a", "a/",  "a//b",  "a/b/c/d/e",
						  "$a", "a/+", "'a/#'", "''"};
	char text[128];

	(void)state;
	CHECK_ROWS(rows);
	for (size_t i = 0; i < sizeof(wrong_roots) / sizeof(wrong_roots[0]); i++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;

		snprintf(text, sizeof(text), "gateway: {root: %s}\n", wrong_roots[i]);
		assert_int_equal(parse(text, &cfg, &faults), ERR_CONFIG);
		assert_string_equal(faults.list[0].path, "gateway.root");
		faults_fini(&faults);
	}
}

static void nothing_listens_beyond_this_machine(void **state)
{
#define LISTENER(address, more) \
	"listeners: [{name: l, protocol: mqtt, address: '" address "', port: 1" more "}]\n"
#define ANYONE ", allow_anonymous: true"
#define BEYOND                                                                                           \
	"\", allowed: 127.0.0.1 or ::1; accounts and certificates are not in this version, and nothing " \
	"listens beyond "                                                                                \
	"this machine without them"
	static const struct row rows[] = {
		{LISTENER("127.0.0.1", ANYONE), NULL},
		{LISTENER("127.1.2.3", ANYONE), NULL},
		{LISTENER("::1", ANYONE), NULL},
		{LISTENER("0.0.0.0", ANYONE), "listeners[0].address: found \"0.0.0.0" BEYOND},
		{LISTENER("128.0.0.1", ANYONE), "listeners[0].address: found \"128.0.0.1" BEYOND},
		{LISTENER("::", ANYONE), "listeners[0].address: found \"::" BEYOND},
		{LISTENER("localhost", ANYONE), "listeners[0].address: found \"localhost\", allowed: an IP "
						"address such as 127.0.0.1 or ::1"},
		{LISTENER("::1", ""),
		 "listeners[0].allow_anonymous: found nothing, allowed: true; accounts are not in "
		 "this version, so nobody could connect"},
		{LISTENER("::1", ", allow_anonymous: false"),
		 "listeners[0].allow_anonymous: found false, allowed: true; accounts are not in this "
		 "version, so nobody "
		 "could connect"},
		{LISTENER("::1", ANYONE ", tls: {cert: a}"),
		 "listeners[0].tls: is not in this version (Certificate and key)"},
		{"listeners: [{name: l, protocol: http, address: '::1', port: 1" ANYONE "}]\n",
		 "listeners[0].protocol: \"http\" is not in this version"},
		{"listeners: [{name: l, protocol: mqtt, address: '::1', port: 1" ANYONE
		 "}, {name: m, protocol: mqtt, address: '::1', port: 1" ANYONE "}]\n",
		 "listeners[1].port: found 1, the port of listeners[0] at the same address"},
		{"listeners: [{name: l, protocol: mqtt, address: '::1', port: 0" ANYONE
		 "}, {name: l, protocol: mqtt, address: '::1', port: 0" ANYONE "}]\n",
		 "listeners[1].name: found \"l\", the name of another listener at line 1, allowed: a name of "
		 "its own"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void storage_keys_are_checked(void **state)
{
	static const struct row rows[] = {
		{"storage: {}\n", NULL},
		{"storage: {path: data}\n", NULL},
		{"storage: {path: /var/lib/lineside, durability: os, linger: 1s, max_bytes: 1MiB}\n", NULL},
		{"storage: {path: d, durability: none, linger: 0, max_bytes: 0}\n", NULL},
		{"storage: {path: ''}\n", "storage.path: found \"\", allowed: a file name"},
		{"storage: {path: d, durability: sync}\n",
		 "storage.durability: found \"sync\", allowed: fsync, os, none; did you mean \"fsync\"?"},
		{"storage: {path: d, linger: 1001ms}\n",
		 "storage.linger: found \"1001ms\", allowed: a time in ms, s, min, h or d, 0..1s"},
		{"storage: {path: d, max_bytes: 1023KiB}\n",
		 "storage.max_bytes: found 1047552 bytes, allowed: 0 or at least 1MiB"},
		{"storage: {durability: fsync}\n",
		 "storage.durability: applies only beside path, the folder of the database"},
		{"storage: {linger: 1ms}\n",
		 "storage.linger: applies only beside path, the folder of the database"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void storage_is_complete_with_its_defaults(void **state)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;

	(void)state;
	assert_int_equal(parse("storage: {path: data}\n", &cfg, &faults), OK);
	assert_string_equal(cfg->storage.path, "data");
	assert_int_equal(cfg->storage.durability, CONFIG_DURABILITY_FSYNC);
	assert_int_equal(cfg->storage.linger_ms, 5);
	assert_int_equal(cfg->storage.max_bytes, 0);
	gateway_config_destroy(cfg);
	faults_fini(&faults);
	assert_int_equal(parse("gateway: {name: a}\n", &cfg, &faults), OK);
	assert_null(cfg->storage.path);
	gateway_config_destroy(cfg);
	faults_fini(&faults);
}

static void clients_are_kept_alive_and_sent_elsewhere_in_reason(void **state)
{
#define WHERE "allowed: a server such as other.example:1883, or several with a space between, up to 256 bytes"
#define X64   X16 X16 X16 X16
	static const struct row rows[] = {
		{"broker: {max_keep_alive: 1s}\n", NULL},
		{"broker: {max_keep_alive: 65535s, move_to: a, move_permanently: true}\n", NULL},
		{"broker: {move_permanently: false, move_to: '" X64 X64 X64 X64 "'}\n", NULL},
		{"broker: {max_keep_alive: 1500ms}\n",
		 "broker.max_keep_alive: found 1500 ms, allowed: whole seconds"},
		{"broker: {max_keep_alive: 0}\n",
		 "broker.max_keep_alive: found \"0\", allowed: a time in ms, s, min, h or d, 1s..65535s"},
		{"broker: {move_permanently: true}\n",
		 "broker.move_permanently: found true, allowed: only beside move_to"},
		{"broker: {move_to: ''}\n", "broker.move_to: found \"\", " WHERE},
		{"broker: {move_to: '" X64 X64 X64 X64 "x'}\n",
		 "broker.move_to: found \"" X64 "xxxxxxxxxx\"..., " WHERE},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void lines_have_the_keys_of_their_type(void **state)
{
	static const struct row rows[] = {
		{"lines: [{name: r, type: sim}]\n", NULL},
		{"lines: [{name: p, type: modbus-tcp, host: plc.example, backoff: {first: 1s, max: 1s}}]\n",
		 NULL},
		{"lines: [{name: p, type: modbus-tcp}]\n",
		 "lines[0].host: found nothing, allowed: a host name or an IP address; a port stands beside "
		 "it, as port: 502"},
		{"lines: [{name: r, type: sim, port: 502}]\n",
		 "lines[0].port: is not a key of a line of type sim"},
		{"lines: [{name: p, type: modbus-rtu, path: /dev/ttyS0, rs485: {delay_after: 1ms}}]\n", NULL},
		{"lines: [{name: p, type: modbus-rtu, path: p, mode: ascii, data_bits: 7}]\n", NULL},
		{"lines: [{name: p, type: rtu-over-tcp, host: h, mode: ascii, silence: 5ms}]\n", NULL},
		{"lines: [{name: p, type: modbus-rtu}]\n",
		 "lines[0].path: found nothing, allowed: a file name"},
		{"lines: [{name: p, type: modbus-rtu, path: p, data_bits: 7}]\n",
		 "lines[0].data_bits: found 7, allowed with mode: rtu is 8, whose frames are bytes; or use "
		 "mode: ascii"},
		{"lines: [{name: p, type: modbus-rtu, path: p}, {name: q, type: modbus-rtu, path: p}]\n",
		 "lines[1].path: found the port of line \"p\", allowed: a port of its own; put the devices "
		 "of "
		 "both on one line"},
		{"lines: [{name: p, type: modbus-rtu, path: p, baud: 49}]\n",
		 "lines[0].baud: found \"49\", allowed: a whole number, 50..4000000"},
		{"lines: [{name: p, type: modbus-rtu, path: p, max_in_flight: 2}]\n",
		 "lines[0].max_in_flight: is not a key of a line of type modbus-rtu"},
		{"lines: [{name: p, type: rtu-over-tcp, host: h, parity: odd}]\n",
		 "lines[0].parity: is not a key of a line of type rtu-over-tcp"},
		{"lines: [{name: p, type: modbus-tpc}]\n",
		 "lines[0].type: found \"modbus-tpc\", allowed: "
		 "modbus-tcp, sim, modbus-rtu, rtu-over-tcp, io, internal; did you mean \"modbus-tcp\"?"},
		{"lines: [{name: p, type: modbus-tcp, host: 'a b'}]\n",
		 "lines[0].host: found \"a b\", allowed: a host name or an IP address; a port stands beside "
		 "it, as port: 502"},
		{"lines: [{name: p, type: modbus-tcp, host: h, backoff: {first: 2s, max: 1s}}]\n",
		 "lines[0].backoff.max: found 1000 ms, allowed: no less than first, 2000 ms"},
		{"lines: [{name: p, type: modbus-tcp, host: h, max_in_flight: 17}]\n",
		 "lines[0].max_in_flight: found \"17\", allowed: a whole number, 1..16"},
		{"lines: [{name: r, type: sim}, {name: r, type: sim}]\n",
		 "lines[1].name: found \"r\", the name of another line at line 1, allowed: a name of its "
		 "own"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void devices_and_groups_refer_to_what_is_there(void **state)
{
	static const struct row rows[] = {
		{LINES "devices: [{name: d, line: q}]\n",
		 "devices[0].line: found \"q\", allowed: the name of one of the lines"},
		{LINES "devices: [{name: d, line: r}, {name: d, line: r}]\n",
		 "devices[1].name: found \"d\", the name of another device at line 2, allowed: a name of its "
		 "own"},
		{LINES "devices: [{name: d, line: p}]\n",
		 "devices[0].tags: found nothing, allowed: a list of maps"},
		{DEVICE("unit: 255, max_block: 125, max_gap: 0, tags: []"), NULL},
		{DEVICE("unit: 256, tags: []"),
		 "devices[0].unit: found \"256\", allowed: a whole number, 0..255"},
		{DEVICE("max_block: 126, tags: []"),
		 "devices[0].max_block: found \"126\", allowed: a whole number, 1..125"},
		{DEVICE("max_block: 0, tags: []"),
		 "devices[0].max_block: found \"0\", allowed: a whole number, 1..125"},
		{DEVICE("groups: [{name: g}], tags: [{name: t, address: coil:0}]"), NULL},
		{DEVICE("groups: [{name: g}, {name: h}], tags: [{name: t, address: coil:0, group: h}]"),
		 NULL},
		{DEVICE("groups: [{name: g}, {name: h}], tags: [{name: t, address: coil:0}]"),
		 "devices[0].tags[0].group: found nothing, needed because the device has 2 groups"},
		{DEVICE("groups: [{name: g}], tags: [{name: t, address: coil:0, group: h}]"),
		 "devices[0].tags[0].group: found \"h\", allowed: the name of one of the device's groups"},
		{DEVICE("groups: [{name: g}, {name: g}], tags: []"),
		 "devices[0].groups[1].name: found \"g\", the name of another group of this device at line "
		 "2, allowed: a name of its own"},
		{DEVICE("groups: [{name: g, publish: period, period: 10s}], tags: []"), NULL},
		{DEVICE("groups: [{name: g, publish: period}], tags: []"),
		 "devices[0].groups[0].period: found nothing, needed with publish: period"},
		{DEVICE("groups: [{name: g, period: 1s}], tags: []"),
		 "devices[0].groups[0].period: applies only with publish: period and publish: "
		 "on_change_or_period"},
		{DEVICE("groups: [{name: g, publish: threshold}], tags: []"),
		 "devices[0].groups[0].above: found neither above nor below, needed with publish: threshold"},
		{DEVICE("tags: [{name: t, address: coil:0}, {name: t, address: coil:1}]"),
		 "devices[0].tags[1].name: found \"t\", the name of another tag of this device at line 2, "
		 "allowed: a name of its own"},
		{RACK("groups: [{name: g}, {name: h}]"),
		 "devices[0].groups: found 2 groups, allowed: one, because the device names no tags"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void addresses_hold_what_their_area_has(void **state)
{
#define ADDRESS_RULE                                                                                      \
	"allowed: area:number or area:number.bit, area coil, discrete, input or holding (di, do, relay, " \
	"ai, ao, rtd or tc of a rack), number 0..65535; or 40001, 400001, 1!400001.3#BL, counted from 1"
	static const struct row rows[] = {
		{TAG("address: holding:65535, type: uint16"), NULL},
		{TAG("address: holding:65534, type: float32"), NULL},
		{TAG("address: holding:7.15, type: bool, access: rw"), NULL},
		{TAG("address: input:7.0, type: bool"), NULL},
		{TAG("address: discrete:65535, type: bool"), NULL},
		{TAG("address: coil:0, access: rw"), NULL},
		{TAG("address: holding:65411, type: string, length: 250"), NULL},
		{TAG("address: holding:65536, type: uint16"),
		 "devices[0].tags[0].address: found \"holding:65536\", " ADDRESS_RULE},
		{TAG("address: holding:7.16, type: bool"),
		 "devices[0].tags[0].address: found bit 16, allowed in one register: 0..15"},
		{TAG("address: holding7, type: bool"),
		 "devices[0].tags[0].address: found \"holding7\", " ADDRESS_RULE},
		{TAG("address: 'holding:', type: bool"),
		 "devices[0].tags[0].address: found \"holding:\", " ADDRESS_RULE},
		{TAG("address: 'hold:1', type: bool"),
		 "devices[0].tags[0].address: found \"hold:1\", " ADDRESS_RULE},
		{TAG("address: 'coil:1 ', type: bool"),
		 "devices[0].tags[0].address: found \"coil:1 \", " ADDRESS_RULE},
		{TAG("address: 'coil:1.', type: bool"),
		 "devices[0].tags[0].address: found \"coil:1.\", " ADDRESS_RULE},
		{TAG("type: bool"), "devices[0].tags[0].address: found nothing, " ADDRESS_RULE},
		{TAG("address: holding:65535, type: float32"),
		 "devices[0].tags[0].address: 2 registers from 65535 on end behind 65535, allowed: a lower "
		 "address"},
		{TAG("address: holding:65412, type: string, length: 250"),
		 "devices[0].tags[0].address: 125 registers from 65412 on end behind 65535, allowed: a lower "
		 "address"},
		{TAG("address: holding:7, type: bool"),
		 "devices[0].tags[0].address: a bool of a register needs its bit, such as holding:7.0"},
		{TAG("address: holding:7.1, type: int16"), "devices[0].tags[0].address: found bit 1, allowed "
							   "only for a bool of a register, or with bits"},
		{TAG("address: coil:7.1"), "devices[0].tags[0].address: found bit 1, allowed only for a bool "
					   "of a register, or with bits"},
		{TAG("address: holding:7"),
		 "devices[0].tags[0].type: found nothing, needed in the area holding"},
		{TAG("address: coil:7, type: int16"),
		 "devices[0].tags[0].type: found \"int16\", allowed in the area coil: bool"},
		{TAG("address: discrete:7, access: rw"), "devices[0].tags[0].access: found \"rw\", but the "
							 "area discrete can only be read, allowed: r"},
		{TAG("address: input:7, type: int16, access: rw"),
		 "devices[0].tags[0].access: found \"rw\", but the area input can only be read, allowed: r"},
		{TAG("address: do:0"), "devices[0].tags[0].address: found the area do, allowed on this line: "
				       "coil, discrete, input, holding"},
		{RACK_TAG("address: do:3, access: rw"), NULL},
		{RACK_TAG("address: ai:0, unit: V, deadband: 0.1"), NULL},
		{RACK_TAG("address: do:4"), "devices[0].tags[0].address: found channel 4, allowed: 0..3"},
		{RACK_TAG("address: di:0, access: rw"),
		 "devices[0].tags[0].access: found \"rw\", but the area di can only be read, allowed: r"},
		{RACK_TAG("address: ai:0, type: int16"),
		 "devices[0].tags[0].type: found \"int16\", allowed in the area ai: float64"},
		{RACK_TAG("address: ai:0, order: ABCD"),
		 "devices[0].tags[0].order: found \"ABCD\", but a channel of a rack has no order; remove it"},
		{RACK_TAG("address: coil:0"), "devices[0].tags[0].address: found the area coil, allowed on "
					      "this line: di, do, relay, ai, ao, rtd, tc"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void keys_of_a_tag_fit_its_type(void **state)
{
	static const struct row rows[] = {
		{TAG("address: holding:0, type: float32, order: CDAB"), NULL},
		{TAG("address: holding:0, type: float64, order: CDAB"), NULL},
		{TAG("address: holding:0, type: string, order: BA, length: 16"), NULL},
		{TAG("address: holding:0, type: int8, byte: high"), NULL},
		{TAG("address: holding:0, type: bytes, length: 1"), NULL},
		{TAG("address: holding:0, type: int16, access: rw, min: 5, max: 5"), NULL},
		{TAG("address: holding:0, type: float32, order: HGFEDCBA"),
		 "devices[0].tags[0].order: found \"HGFEDCBA\", allowed with the type float32: ABCD, CDAB, "
		 "BADC, DCBA"},
		{TAG("address: holding:0, type: float32, order: AB"),
		 "devices[0].tags[0].order: found \"AB\", allowed with the type float32: ABCD, CDAB, BADC, "
		 "DCBA"},
		{TAG("address: coil:0, order: AB"),
		 "devices[0].tags[0].order: found \"AB\", but a bool has no order; remove it"},
		{TAG("address: holding:0, type: int16, byte: high"),
		 "devices[0].tags[0].byte: does not apply to the type int16; remove it"},
		{TAG("address: holding:0, type: int16, length: 2"),
		 "devices[0].tags[0].length: does not apply to the type int16; remove it"},
		{TAG("address: holding:0, type: string"),
		 "devices[0].tags[0].length: found nothing, needed with the type string: 1..250 bytes"},
		{TAG("address: holding:0, type: string, length: 251"),
		 "devices[0].tags[0].length: found \"251\", allowed: a whole number, 1..250"},
		{TAG("address: holding:0, type: bytes, length: 247, access: rw"),
		 "devices[0].tags[0].length: found \"247\", allowed with access: rw: 1..246, what one "
		 "request can write"},
		{TAG("address: holding:0, type: string, length: 0"),
		 "devices[0].tags[0].length: found \"0\", allowed: a whole number, 1..250"},
		{TAG("address: holding:0, type: bytes, length: 4, scale: 2"),
		 "devices[0].tags[0].scale: does not apply to the type bytes; remove it"},
		{TAG("address: coil:0, deadband: 1"),
		 "devices[0].tags[0].deadband: does not apply to the type bool; remove it"},
		{TAG("address: holding:0, type: int16, scale: 0"),
		 "devices[0].tags[0].scale: found 0, allowed: any other number"},
		{TAG("address: holding:0, type: int16, deadband: -1"),
		 "devices[0].tags[0].deadband: found \"-1\", allowed: a number from 0 on, or percent from "
		 "\"0%\" to \"100%\""},
		{TAG("address: holding:0, type: int16, min: 1"),
		 "devices[0].tags[0].min: applies only with access: rw or a deadband in percent"},
		{TAG("address: holding:0, type: int16, access: rw, min: 2, max: 1"),
		 "devices[0].tags[0].max: found 1, allowed: no less than min, 2"},
		{TAG("address: holding:0, type: int16, access: w"),
		 "devices[0].tags[0].access: found \"w\", allowed: r, rw; did you mean \"rw\"?"},
		{TAG("address: holding:0, type: int16, hysteresis: 1"),
		 "devices[0].tags[0].hysteresis: applies only with publish: threshold"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

#define UP(rest) "uplinks: [{name: u, url: \"mqtt://h\", publish: [a], " rest "}]\n"

static void uplink_keys_are_checked(void **state)
{
	static const struct row rows[] = {
		{"uplinks: [{name: u, url: \"mqtt://h\", publish: [\"plant1/#\"]}]\n", NULL},
		{UP("version: 3.1.1, qos: 0, clean: true, drain_rate: 5"), NULL},
		{UP("subscribe: [b, {filter: \"+/c\", strip: x/, prefix: y/, retain: false}]"), NULL},
		{UP("subscribe: [{filter: \"#\", template: \"a/{topic}/{2}/{8+}\"}]"), NULL},
		{"uplinks: [{name: u, url: \"mqtt://[fe80::1]:99\", subscribe: [a]}]\n", NULL},
		{"uplinks: [{name: u, url: \"mqtts://h\", publish: [a]}]\n",
		 "uplinks[0].url: mqtts:// is not in this version: found \"mqtts://h\", allowed: "
		 "mqtt://HOST:PORT"},
		{"uplinks: [{name: u, url: \"http://h\", publish: [a]}]\n",
		 "uplinks[0].url: found \"http://h\", allowed: mqtt://HOST or mqtt://HOST:PORT, an IPv6 "
		 "address in "
		 "brackets"},
		{"uplinks: [{name: u, url: \"mqtt://h:0\", publish: [a]}]\n",
		 "uplinks[0].url: found port 0, allowed: 1..65535"},
		{"uplinks: [{name: u, url: \"mqtt://h\"}]\n",
		 "uplinks[0]: found neither publish nor subscribe, allowed: at least one of them"},
		{UP("qos: 2"), "uplinks[0].qos: found \"2\", allowed: a whole number, 0..1"},
		{UP("keep_alive: 1500ms"), "uplinks[0].keep_alive: found 1500 ms, allowed: whole seconds"},
		{UP("reconnect: {first: 2s, max: 1s}"),
		 "uplinks[0].reconnect.max: found 1000 ms, allowed: no less than first, 2000 ms"},
		{UP("version: 3.1.1, password_file: p"), "uplinks[0].password_file: found no username beside "
							 "it, which MQTT 3.1.1 needs with a password"},
		{UP("subscribe: [{filter: \"a/b#\"}]"), "uplinks[0].subscribe[0].filter: found \"a/b#\", "
							"allowed: a topic filter such as plant1/#, at most "
							"1000 characters"},
		{UP("subscribe: [\"a+\"]"), "uplinks[0].subscribe[0]: found \"a+\", allowed: a topic filter "
					    "such as plant1/#, at most 1000 "
					    "characters"},
		{UP("subscribe: [[]]"), "uplinks[0].subscribe[0]: found a list, allowed: a map, a filter"},
		{UP("subscribe: [{filter: a, template: \"{9}\"}]"),
		 "uplinks[0].subscribe[0].template: found \"{9}\", allowed: a topic with {topic}, {1} to "
		 "{8}, or {1+} "
		 "to {8+} in it, without + # otherwise"},
		{UP("subscribe: [{filter: a, template: b, prefix: c}]"),
		 "uplinks[0].subscribe[0].template: found beside prefix, allowed: either template, or strip "
		 "and "
		 "prefix"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static void an_uplink_is_taken_apart(void **state)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;
	const struct config_uplink *u;

	(void)state;
	assert_int_equal(
		parse("gateway: {name: g}\n"
		      "uplinks: [{name: u, url: \"mqtt://[::1]:2883\", publish: [a, {filter: b}]}]\n",
		      &cfg, &faults),
		OK);
	u = &cfg->uplinks[0];
	assert_string_equal(u->scheme, "mqtt");
	assert_string_equal(u->host, "::1");
	assert_int_equal(u->port, 2883);
	assert_string_equal(u->client_id, "g-u");
	assert_int_equal(u->version, 5);
	assert_int_equal(u->npublish, 2);
	assert_string_equal(u->publish[0].filter, "a");
	assert_true(u->publish[0].retain && u->publish[1].retain && u->buffer.drop_oldest);
	assert_true(config_uplink_equal(u, u));
	gateway_config_destroy(cfg);
	faults_fini(&faults);
}

static void features_to_come_are_refused_by_name(void **state)
{
	static const char *const keys[] = {"users", "roles"};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;

		snprintf(text, sizeof(text), "%s: {}\n", keys[i]);
		assert_int_equal(parse(text, &cfg, &faults), ERR_CONFIG);
		assert_string_equal(faults.list[0].path, keys[i]);
		assert_non_null(strstr(faults.list[0].text, "is not in this version"));
		faults_fini(&faults);
	}
}

static void all_faults_are_found_at_once_in_order(void **state)
{
	static const char text[] =
		"devices: [{name: a, line: b}]\ngateway: {nam: x}\nlog: {level: loud}\nlog: {}\n";
	static const char *const paths[] = {"devices[0].line", "gateway.nam", "log.level", "log"};
	struct gateway_config *cfg = NULL;
	struct faults faults;

	(void)state;
	assert_int_equal(parse(text, &cfg, &faults), ERR_CONFIG);
	assert_int_equal(faults.count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(faults.list[i].path, paths[i]);
		assert_int_equal(faults.list[i].line, i + 1);
	}
	faults_fini(&faults);
	assert_int_equal(parse("", &cfg, &faults), ERR_CONFIG);
	assert_string_equal(faults.list[0].text, "found an empty document, allowed: a map");
	faults_fini(&faults);
}

/* Found by a fuzzer: the places came from the first list, the items from the second. */
static void the_longer_of_two_lists_of_one_key_is_not_read_past_the_other(void **state)
{
	static const char *const texts[] = {
		LINES "devices: [{name: a, line: p}, {name: b, line: r}]\ndevices: []\n",
		DEVICE("tags: [{name: a, address: coil:0}, {name: b, address: coil:1}], tags: [{}]"),
		DEVICE("groups: [{name: a}, {name: b}], groups: [], tags: []"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;

		assert_int_equal(parse(texts[i], &cfg, &faults), ERR_CONFIG);
		faults_fini(&faults);
	}
}

static const char full[] =
	"gateway: {name: plant1, root: site/plant1, control_socket: c.sock}\n"
	"log: {level: debug}\n"
	"broker: {workers: 4, max_packet_size: 2MiB, max_inflight: 20, max_queued_messages: 30, "
	"max_queued_bytes: "
	"40KiB,\n  queue_policy: disconnect, max_connections: 50, max_subscriptions: 60, max_topic_levels: "
	"70, spread_after: 5, "
	"connect_timeout: 8s, max_retained_messages: 7000, max_retained_bytes: 80KiB, "
	"sys_interval: 3s, max_keep_alive: 2min, move_to: \"b.example:1883 c\", move_permanently: true, "
	"max_sessions: 90, memory_limit: 64MiB}\n"
	"storage: {path: data, durability: none, linger: 7ms, will_grace: 9s, max_bytes: 3GiB}\n" LISTENERS
	"lines:\n"
	"  - {name: press, type: modbus-tcp, host: 10.0.0.9, port: 1502, timeout: 250ms, retries: 3, "
	"backoff: {first: "
	"1s, max: 1min}, max_in_flight: 4, watchdog: {watch: mqtt, timeout: 9s, clear: manual}}\n"
	"  - {name: rack, type: sim}\n"
	"devices:\n"
	"  - {name: rack, line: rack}\n"
	"  - name: m\n"
	"    line: press\n"
	"    unit: 9\n"
	"    max_gap: 4\n"
	"    max_block: 60\n"
	"    one_by_one: true\n"
	"    write: single\n"
	"    mask_write: true\n"
	"    groups:\n"
	"      - {name: fast, scan: 100ms, publish: every_scan}\n"
	"      - {name: slow, scan: 1min, publish: period, period: 10min}\n"
	"    tags:\n"
	"      - {name: u, address: \"holding:0\", type: float32, order: CDAB, scale: 0.1, offset: -2, unit: "
	"V, group: "
	"fast, deadband: 0.5}\n"
	"      - {name: s, address: \"input:20\", type: string, length: 16, group: slow, order: BA}\n"
	"      - {name: b, address: \"input:20\", type: uint8, byte: high, group: slow}\n"
	"      - {name: l, address: \"holding:30\", type: int16, access: rw, verify: true, safe: 20, min: 0, "
	"max: 500, "
	"group: "
	"fast}\n";

static void check_full(const struct gateway_config *cfg)
{
	const struct config_device *m = &cfg->devices[1];

	assert_string_equal(cfg->gateway.root, "site/plant1");
	assert_string_equal(cfg->gateway.control_socket, "c.sock");
	assert_int_equal(cfg->log.level, LOG_DEBUG);
	assert_int_equal(cfg->broker.workers, 4);
	assert_int_equal(cfg->broker.max_packet_size, 2 << 20);
	assert_true(cfg->broker.max_queued_bytes == 40960);
	assert_int_equal(cfg->broker.connect_timeout_ms, 8000);
	assert_int_equal(cfg->broker.sys_interval_ms, 3000);
	assert_int_equal(cfg->broker.max_keep_alive_ms, 120000);
	assert_string_equal(cfg->broker.move_to, "b.example:1883 c");
	assert_true(cfg->broker.move_permanently);
	assert_int_equal(cfg->broker.max_sessions, 90);
	assert_true(cfg->broker.memory_limit == 64 << 20);
	assert_string_equal(cfg->storage.path, "data");
	assert_int_equal(cfg->storage.durability, CONFIG_DURABILITY_NONE);
	assert_int_equal(cfg->storage.linger_ms, 7);
	assert_int_equal(cfg->storage.will_grace_ms, 9000);
	assert_true(cfg->storage.max_bytes == (uint64_t)3 << 30);
	assert_int_equal(cfg->broker.queue_policy, CONFIG_QUEUE_DISCONNECT);
	assert_int_equal(cfg->broker.max_retained_messages, 7000);
	assert_true(cfg->broker.max_retained_bytes == 81920);
	assert_int_equal(cfg->listeners[0].port, 1883);
	assert_string_equal(cfg->lines[0].host, "10.0.0.9");
	assert_int_equal(cfg->lines[0].backoff.max_ms, 60000);
	assert_int_equal(cfg->devices[0].line, 1);
	assert_int_equal(m->line, 0);
	assert_int_equal(m->unit, 9);
	assert_true(m->one_by_one && m->mask_write && m->write == CONFIG_WRITE_SINGLE);
	assert_true(m->tags[3].verify);
	assert_string_equal(m->tags[3].safe, "20");
	assert_true(cfg->lines[0].watchdog.is_set && cfg->lines[0].watchdog.watch == CONFIG_WATCH_MQTT);
	assert_true(cfg->lines[0].watchdog.timeout_ms == 9000 &&
		    cfg->lines[0].watchdog.clear == CONFIG_CLEAR_MANUAL);
	assert_false(cfg->lines[1].watchdog.is_set);
	assert_int_equal(m->groups[1].policy->publish, CONFIG_PUBLISH_PERIOD);
	assert_int_equal(m->groups[1].policy->period_ms, 600000);
	assert_int_equal(m->ntags, 4);
	assert_int_equal(m->tags[0].order, BYTE_ORDER_CDAB);
	assert_true(m->tags[0].scale == 0.1 && m->tags[0].offset == -2 &&
		    m->tags[0].policy->deadband.amount == 0.5);
	assert_true(isinf(m->tags[0].min) && isinf(m->tags[0].max));
	assert_int_equal(m->tags[1].group, 1);
	assert_int_equal(m->tags[1].length, 16);
	assert_true(m->tags[2].high_byte);
	assert_true(m->tags[3].writable && m->tags[3].max == 500);
	assert_int_equal(m->tags[3].order, BYTE_ORDER_AB);
}

static void every_key_reaches_its_member(void **state)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;

	(void)state;
	assert_int_equal(parse(full, &cfg, &faults), OK);
	check_full(cfg);
	gateway_config_destroy(cfg);
	faults_fini(&faults);
}

static void the_default_is_a_rack_on_loopback(void **state)
{
	struct gateway_config *cfg = NULL;
	const struct config_device *rack;

	(void)state;
	assert_int_equal(gateway_config_default(&cfg), OK);
	assert_string_equal(cfg->gateway.root, "lineside");
	assert_int_equal(cfg->nlisteners, 1);
	assert_string_equal(cfg->listeners[0].address, "127.0.0.1");
	assert_int_equal(cfg->broker.workers, 0);
	assert_int_equal(cfg->broker.max_inflight, 1000);
	rack = &cfg->devices[0];
	assert_int_equal(rack->ntags, 3 * CONFIG_RACK_CHANNELS);
	assert_string_equal(rack->tags[0].name, "di0");
	assert_false(rack->tags[0].writable);
	assert_string_equal(rack->tags[CONFIG_RACK_CHANNELS + 1].name, "do1");
	assert_true(rack->tags[CONFIG_RACK_CHANNELS + 1].writable);
	assert_int_equal(rack->tags[3 * CONFIG_RACK_CHANNELS - 1].type, VALUE_TYPE_FLOAT64);
	assert_int_equal(rack->groups[0].scan_ms, 1000);
	gateway_config_destroy(cfg);
}

static void a_file_that_cannot_be_read_is_an_error_of_its_own(void **state)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;

	(void)state;
	faults_init(&faults, "f");
	assert_int_equal(gateway_config_load("/nonexistent/f.yaml", &cfg, &faults), ERR_IO);
	assert_int_equal(gateway_config_load("/", &cfg, &faults), ERR_IO);
	assert_false(faults_any(&faults));
	faults_fini(&faults);
}

static void every_failing_allocation_is_reported(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;
		int rc;

		alloc_fail_at(n);
		rc = parse(full, &cfg, &faults);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		gateway_config_destroy(cfg);
		faults_fini(&faults);
	}
}

static void a_change_of_any_key_makes_a_device_differ(void **state)
{
#define MINE(x) \
	LINES "devices: [{name: d, line: p, groups: [{name: g}, {name: h}], tags: [{name: t, " x "}]}]\n"
	static const char *const texts[] = {
		MINE("address: holding:0, type: int16, group: g"),
		MINE("address: holding:1, type: int16, group: g"),
		MINE("address: holding:0, type: uint16, group: g"),
		MINE("address: holding:0, type: int16, group: h"),
		MINE("address: holding:0, type: int16, group: g, scale: 2"),
		MINE("address: holding:0, type: int16, group: g, unit: V"),
		MINE("address: holding:0, type: int16, group: g, deadband: 1"),
		MINE("address: holding:0, type: int16, group: g, access: rw"),
		MINE("address: holding:0, type: int16, group: g, access: rw, min: 1"),
		DEVICE("unit: 2, tags: []"),
		DEVICE("max_gap: 2, tags: []"),
		DEVICE("one_by_one: true, tags: []"),
		DEVICE("write: multiple, tags: []"),
		DEVICE("mask_write: true, tags: []"),
		MINE("address: holding:0, type: int16, group: g, access: rw, verify: true"),
		DEVICE("groups: [{name: g, scan: 2s}], tags: []"),
	};
	enum { N = sizeof(texts) / sizeof(texts[0]) };
	struct gateway_config *cfgs[N];
	struct faults faults;

	(void)state;
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(parse(texts[i], &cfgs[i], &faults), OK);
		faults_fini(&faults);
	}
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < N; k++)
			assert_int_equal(config_device_equal(&cfgs[i]->devices[0], &cfgs[k]->devices[0]),
					 i == k);
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < 2; k++)
			assert_int_equal(config_line_equal(&cfgs[0]->lines[i], &cfgs[1]->lines[k]), i == k);
	for (size_t i = 0; i < N; i++)
		gateway_config_destroy(cfgs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_follow_their_rule),
		cmocka_unit_test(nothing_listens_beyond_this_machine),
		cmocka_unit_test(clients_are_kept_alive_and_sent_elsewhere_in_reason),
		cmocka_unit_test(lines_have_the_keys_of_their_type),
		cmocka_unit_test(devices_and_groups_refer_to_what_is_there),
		cmocka_unit_test(addresses_hold_what_their_area_has),
		cmocka_unit_test(keys_of_a_tag_fit_its_type),
		cmocka_unit_test(storage_keys_are_checked),
		cmocka_unit_test(storage_is_complete_with_its_defaults),
		cmocka_unit_test(uplink_keys_are_checked),
		cmocka_unit_test(an_uplink_is_taken_apart),
		cmocka_unit_test(features_to_come_are_refused_by_name),
		cmocka_unit_test(all_faults_are_found_at_once_in_order),
		cmocka_unit_test(the_longer_of_two_lists_of_one_key_is_not_read_past_the_other),
		cmocka_unit_test(every_key_reaches_its_member),
		cmocka_unit_test(the_default_is_a_rack_on_loopback),
		cmocka_unit_test(a_file_that_cannot_be_read_is_an_error_of_its_own),
		cmocka_unit_test(every_failing_allocation_is_reported),
		cmocka_unit_test(a_change_of_any_key_makes_a_device_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
