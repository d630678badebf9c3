#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mqtt_samples.h"
#include "wire/mqtt_testing.h"

typedef void sample_fn(enum mqtt_type type, enum mqtt_version v, const uint8_t *bytes, size_t len);

/* Every sample in memory of its size. */
static unsigned each_sample(sample_fn *fn)
{
	unsigned n = 0;

	for (enum mqtt_type type = MQTT_CONNECT; type <= MQTT_AUTH; type++)
		for (enum mqtt_version v = MQTT_V31; v <= MQTT_V5; v++)
			for (unsigned variant = 0; variant < MQTT_SAMPLE_VARIANTS; variant++)
				for (unsigned mix = 0; mix < MQTT_SAMPLE_MIXES; mix++) {
					uint8_t room[4096], *exact;
					struct wr w = wr_of(room, sizeof(room));
					int rc = mqtt_sample(type, v, variant, mix, &w);
					size_t len = (size_t)(w.p - room);

					if (rc == ERR_NOT_FOUND)
						continue;
					assert_int_equal(rc, OK);
					exact = malloc(len);
					assert_non_null(exact);
					memcpy(exact, room, len);
					fn(type, v, exact, len);
					free(exact);
					n++;
				}
	return n;
}

static void round_trip(enum mqtt_type type, enum mqtt_version v, const uint8_t *bytes, size_t len)
{
	uint8_t room[4096];
	struct wr w = wr_of(room, sizeof(room));
	struct mqtt_frame f;
	union mqtt_any any;

	assert_int_equal(mqtt_frame_read(bytes, len, (uint32_t)len, &f), OK);
	assert_int_equal(f.size, len);
	assert_int_equal(f.type, type);
	assert_int_equal(mqtt_any_decode(&f, v, &any), OK);
	assert_int_equal(mqtt_any_encode(type, v, &any, &w), OK);
	assert_int_equal((size_t)(w.p - room), len);
	assert_memory_equal(room, bytes, len);
}

static void every_packet_is_the_same_there_and_back(void **state)
{
	(void)state;
	assert_in_range(each_sample(round_trip), 400, 2000);
}

static void cut_stream(enum mqtt_type type, enum mqtt_version v, const uint8_t *bytes, size_t len)
{
	(void)type;
	(void)v;
	for (size_t n = 0; n < len; n++) {
		uint8_t *cut = malloc(n + 1);
		struct mqtt_frame f;

		assert_non_null(cut);
		memcpy(cut + 1, bytes, n);
		assert_int_equal(mqtt_frame_read(cut + 1, n, UINT32_MAX, &f), ERR_AGAIN);
		assert_true(f.size == 0 || f.size == len);
		free(cut);
	}
}

static void a_packet_that_is_not_all_there_is_waited_for(void **state)
{
	(void)state;
	each_sample(cut_stream);
}

/* May the packet end after `n` bytes of its body? Ends may be optional; the payload of PUBLISH has no length. */
static bool may_end(const struct mqtt_frame *f, enum mqtt_version v, size_t n)
{
	switch (f->type) {
	case MQTT_PUBLISH:
		return true;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		return v == MQTT_V5 && (n == 2 || n == 3);
	case MQTT_DISCONNECT:
		return v == MQTT_V5 && n <= 1;
	case MQTT_AUTH:
		return n == 0;
	case MQTT_CONNECT:
		return v == MQTT_V31; /* the login may be missing */
	default:
		return false; /* SUBSCRIBE and the like: looked at by their count */
	}
}

static unsigned codes_or_filters(const struct mqtt_frame *f, const union mqtt_any *any)
{
	switch (f->type) {
	case MQTT_SUBSCRIBE:
		return any->subscribe.count;
	case MQTT_UNSUBSCRIBE:
		return any->unsubscribe.count;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return (unsigned)any->suback.codes.len;
	default:
		return 0;
	}
}

static void cut_body(enum mqtt_type type, enum mqtt_version v, const uint8_t *bytes, size_t len)
{
	struct mqtt_frame f;
	union mqtt_any any;
	unsigned whole;

	(void)type;
	assert_int_equal(mqtt_frame_read(bytes, len, UINT32_MAX, &f), OK);
	assert_int_equal(mqtt_any_decode(&f, v, &any), OK);
	whole = codes_or_filters(&f, &any);
	for (size_t n = 0; n < f.body_len; n++) {
		uint8_t *cut = malloc(n + 1);
		struct mqtt_frame less = f;
		int rc;

		assert_non_null(cut);
		memcpy(cut + 1, f.body, n);
		less.body = cut + 1; /* ends where its memory ends */
		less.body_len = (uint32_t)n;
		rc = mqtt_any_decode(&less, v, &any);
		if (rc == OK && !may_end(&f, v, n) && codes_or_filters(&f, &any) >= whole)
			fail_msg("type %d, version %d: %zu of %u bytes are taken", (int)f.type, (int)v, n,
				 (unsigned)f.body_len);
		free(cut);
	}
}

static void a_packet_cut_short_is_refused_and_not_read_beyond(void **state)
{
	(void)state;
	each_sample(cut_body);
}

static void longer_body(enum mqtt_type type, enum mqtt_version v, const uint8_t *bytes, size_t len)
{
	struct mqtt_frame f;
	union mqtt_any any;
	uint8_t *more;
	int rc;

	/* these have an end without a length, or an optional one; their tables look at it */
	if (type == MQTT_PUBLISH || type == MQTT_SUBACK || (type == MQTT_UNSUBACK && v == MQTT_V5))
		return;
	assert_int_equal(mqtt_frame_read(bytes, len, UINT32_MAX, &f), OK);
	if (v == MQTT_V5 && f.body_len < 4 && type != MQTT_CONNACK)
		return;
	more = malloc(f.body_len + 1u);
	assert_non_null(more);
	memcpy(more, f.body, f.body_len);
	more[f.body_len] = 0;
	f.body = more;
	f.body_len++;
	rc = mqtt_any_decode(&f, v, &any);
	assert_true(rc == ERR_MALFORMED);
	free(more);
}

static void a_byte_behind_a_packet_is_refused(void **state)
{
	(void)state;
	each_sample(longer_body);
}

static void no_room(enum mqtt_type type, enum mqtt_version v, const uint8_t *bytes, size_t len)
{
	struct mqtt_frame f;
	union mqtt_any any;

	assert_int_equal(mqtt_frame_read(bytes, len, UINT32_MAX, &f), OK);
	assert_int_equal(mqtt_any_decode(&f, v, &any), OK);
	for (size_t n = 0; n <= len; n++) {
		uint8_t *room = malloc(n + 1);
		struct wr w = wr_of(room + 1, n);

		assert_non_null(room);
		assert_int_equal(mqtt_any_encode(type, v, &any, &w), n < len ? ERR_FULL : OK);
		assert_false(w.bad);
		assert_int_equal(w.left, n < len ? n : 0);
		free(room);
	}
}

static void an_encoder_without_room_leaves_everything_as_it_is(void **state)
{
	(void)state;
	each_sample(no_room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_packet_is_the_same_there_and_back),
		cmocka_unit_test(a_packet_that_is_not_all_there_is_waited_for),
		cmocka_unit_test(a_packet_cut_short_is_refused_and_not_read_beyond),
		cmocka_unit_test(a_byte_behind_a_packet_is_refused),
		cmocka_unit_test(an_encoder_without_room_leaves_everything_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
