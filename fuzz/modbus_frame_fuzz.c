/* Any bytes as a frame that somebody looks at: a text that ends, of a unit or of none. */
#include <stdlib.h>
#include <string.h>

#include "tools/modbus_frame.h"
#include "wire/modbus_rtu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(enum modbus_framing framing, enum modbus_frame_kind kind, struct span bytes)
{
	struct modbus_frame_text t;

	memset(&t, 'x', sizeof(t));
	modbus_frame_read(framing, kind, bytes, &t);
	if (!memchr(t.text, '\0', sizeof(t.text)) || (t.unit < 0) != !*t.text)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t frame[MODBUS_RTU_MAX];
	size_t len = 0;

	if (size < 1)
		return 0;
	look((enum modbus_framing)(data[0] / 3 % 3), (enum modbus_frame_kind)(data[0] % 3),
	     span_of(data + 1, size - 1));
	/* with the CRC put right */
	if (size > 2 &&
	    modbus_rtu_encode(data[1], span_of(data + 2, size - 2), frame, sizeof(frame), &len) == OK)
		look(MODBUS_FRAMING_RTU, (enum modbus_frame_kind)(data[0] % 3), span_of(frame, len));
	return 0;
}
