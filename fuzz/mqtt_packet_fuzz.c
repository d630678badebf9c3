/*
 * Any bytes as packets of every version: nothing outside the packet is read, and what decodes, encodes
 * to a packet that decodes to the same.
 */
#include "wire/mqtt_testing.h"

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

static uint64_t byte_sum(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += p[i];
	return sum;
}

/*
 * Two packets say the same when only the order of properties differs. Optional ends may have been dropped from
 * acknowledgements, DISCONNECT and AUTH, and 3.1 has bits that it does not use.
 */
static void check_same(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len, enum mqtt_version v)
{
	unsigned type = a[0] >> 4;
	bool shortens = (type >= MQTT_PUBACK && type <= MQTT_PUBCOMP) || type >= MQTT_DISCONNECT;

	CHECK(shortens || v == MQTT_V31 ? b_len <= a_len : b_len == a_len);
	if (a_len == b_len && v != MQTT_V31)
		CHECK(byte_sum(a, a_len) == byte_sum(b, b_len));
}

static void check_again(const struct mqtt_frame *f, enum mqtt_version v, union mqtt_any *p)
{
	static uint8_t once[2 * MQTT_TESTING_MAX], twice[2 * MQTT_TESTING_MAX];
	struct wr w1 = wr_of(once, sizeof(once)), w2 = wr_of(twice, sizeof(twice));
	struct mqtt_frame again;
	size_t len;

	if (f->type == MQTT_CONNECT)
		v = p->connect.version;
	CHECK(mqtt_any_encode((enum mqtt_type)f->type, v, p, &w1) == OK);
	len = (size_t)(w1.p - once);
	check_same(f->body - (f->size - f->body_len), f->size, once, len, v);
	CHECK(mqtt_frame_read(once, len, UINT32_MAX, &again) == OK && again.size == len);
	CHECK(mqtt_any_decode(&again, v, p) == OK);
	CHECK(mqtt_any_encode((enum mqtt_type)f->type, v, p, &w2) == OK);
	CHECK((size_t)(w2.p - twice) == len && memcmp(once, twice, len) == 0);
}

/* The packet alone in memory of its size, so that a step beyond its end is seen. */
static void check_packet(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size);
	struct mqtt_frame f;
	union mqtt_any any;

	CHECK(copy);
	memcpy(copy, bytes, size);
	CHECK(mqtt_frame_read(copy, size, UINT32_MAX, &f) == OK && f.size == size);
	for (enum mqtt_version v = MQTT_V31; v <= MQTT_V5; v++) {
		int rc = mqtt_any_decode(&f, v, &any);

		CHECK(rc == OK || rc == ERR_MALFORMED || rc == ERR_PROTOCOL || rc == ERR_UNSUPPORTED);
		if (rc == OK)
			check_again(&f, v, &any);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mqtt_frame f;

	while (size > 0) {
		int rc = mqtt_frame_read(data, size, MQTT_TESTING_MAX, &f);

		if (rc != OK) {
			CHECK(rc == ERR_AGAIN || rc == ERR_MALFORMED || rc == ERR_PROTOCOL ||
			      rc == ERR_TOO_LARGE);
			CHECK(rc != ERR_AGAIN || f.size == 0 || f.size > size);
			CHECK(rc != ERR_TOO_LARGE || f.size > MQTT_TESTING_MAX);
			break;
		}
		CHECK(f.size <= size);
		check_packet(data, f.size);
		data += f.size;
		size -= f.size;
	}
	return 0;
}
