/*
 * Templates of topics and payloads: whatever the text, a rule takes it or not; and what it takes stays in its buffer, makes topics
 * that the filter of its commands matches, and payloads that are JSON where the template is.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/gateway_rules.h"
#include "config/text_template.h"
#include "north/table.h"
#include "wire/mqtt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_topic(const char *template)
{
	const char *names[TOPIC_NAMES] = {"site/p1", "gw", "li.ne", "d", "g g", "t"};
	char topic[TOPIC_TEMPLATE_BYTES], filter[TOPIC_TEMPLATE_BYTES];
	size_t len = topic_template_expand(template, names, topic, sizeof(topic));
	size_t filter_len = topic_template_filter(template, names, filter, sizeof(filter));

	if (!len)
		return;
	assert(len == strlen(topic) && filter_len > 0 && filter_len == strlen(filter));
	assert(!strpbrk(topic, "+#") && topic[0] != '$' && topic[0] != '/' && topic[len - 1] != '/');
	assert(topic_levels(topic) == topic_levels(filter));
	for (const char *t = topic, *f = filter;;) {
		size_t tn = strcspn(t, "/"), fn = strcspn(f, "/");

		assert(tn > 0 && ((fn == 1 && *f == '+') || (tn == fn && memcmp(t, f, tn) == 0)));
		if (!t[tn])
			break;
		t += tn + 1;
		f += fn + 1;
	}
}

static void check_payload(const char *template)
{
	const struct tag_sample samples[] = {
		{tag_double(2.5), QUALITY_GOOD, REASON_NONE, 1},
		{tag_none(), QUALITY_BAD, REASON_CRC, INT64_MAX},
		{tag_string(span_str("\"\n\xff")), QUALITY_GOOD, REASON_NONE, INT64_MIN},
	};
	const struct payload_names n = {
		.gateway = "g\"", .device = "d", .group = "x", .tag = "t", .template = template};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		for (size_t room = 16; room <= 4096; room *= 16) {
			uint8_t *buf = malloc(room);
			struct wr w = wr_of(buf, room);

			assert(buf);
			north_template.encode_tag(&w, &samples[i], &n);
			free(buf);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	assert(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (rule_topic.parse(text, NULL))
		check_topic(text);
	if (rule_payload_template.parse(text, NULL))
		check_payload(text);
	(void)rule_deadband.parse(text, NULL);
	free(text);
	return 0;
}
