#include <assert.h>

#include "wire/modbus.h"

static const struct modbus_area_info areas[MODBUS_AREA_COUNT] = {
#define MODBUS_AREA_AS_INFO(id, text, bits, writable) \
	[MODBUS_AREA_##id] = {.name = (text), .is_bits = (bits), .is_writable = (writable)},
	MODBUS_AREA_TABLE(MODBUS_AREA_AS_INFO)
#undef MODBUS_AREA_AS_INFO
};

static const struct modbus_fc_info functions[] = {
#define MODBUS_FC_AS_INFO(id, code, of, form, most, people) \
	{.fc = MODBUS_FC_##id,                              \
	 .area = MODBUS_AREA_##of,                          \
	 .shape = MODBUS_SHAPE_##form,                      \
	 .max = (most),                                     \
	 .text = (people)},
	MODBUS_FC_TABLE(MODBUS_FC_AS_INFO)
#undef MODBUS_FC_AS_INFO
};

const struct modbus_area_info *modbus_area_info(enum modbus_area area)
{
	assert(area < MODBUS_AREA_COUNT);
	return &areas[area];
}

const struct modbus_fc_info *modbus_fc_info(uint8_t fc)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if ((uint8_t)functions[i].fc == fc)
			return &functions[i];
	return NULL;
}

enum modbus_fc modbus_fc_reading(enum modbus_area area)
{
	switch (area) {
	case MODBUS_AREA_COIL:
		return MODBUS_FC_READ_COILS;
	case MODBUS_AREA_DISCRETE:
		return MODBUS_FC_READ_DISCRETE_INPUTS;
	case MODBUS_AREA_INPUT:
		return MODBUS_FC_READ_INPUT_REGISTERS;
	default:
		return MODBUS_FC_READ_HOLDING_REGISTERS;
	}
}

enum modbus_fc modbus_fc_writing(enum modbus_area area, unsigned count)
{
	assert(modbus_area_info(area)->is_writable && count > 0);
	if (area == MODBUS_AREA_COIL)
		return count == 1 ? MODBUS_FC_WRITE_SINGLE_COIL : MODBUS_FC_WRITE_MULTIPLE_COILS;
	return count == 1 ? MODBUS_FC_WRITE_SINGLE_REGISTER : MODBUS_FC_WRITE_MULTIPLE_REGISTERS;
}

int modbus_counter(const struct modbus_counters *c, uint16_t sub_function, uint16_t *value)
{
	switch (sub_function) {
#define MODBUS_COUNTER_AS_CASE(member, sub, text) \
	case (sub):                               \
		*value = c->member;               \
		return OK;
		MODBUS_COUNTER_TABLE(MODBUS_COUNTER_AS_CASE)
#undef MODBUS_COUNTER_AS_CASE
	default:
		return ERR_NOT_FOUND;
	}
}

const char *modbus_exception_text(uint8_t exception)
{
	switch (exception) {
#define MODBUS_EXCEPTION_AS_CASE(name, code, text) \
	case (code):                               \
		return (text);
		MODBUS_EXCEPTION_TABLE(MODBUS_EXCEPTION_AS_CASE)
#undef MODBUS_EXCEPTION_AS_CASE
	default:
		return "unknown exception";
	}
}

enum modbus_exception modbus_exception_of(int err)
{
	switch (err) {
	case ERR_UNSUPPORTED:
		return MODBUS_EXCEPTION_ILLEGAL_FUNCTION;
	case ERR_NOT_FOUND:
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	case ERR_MALFORMED:
	case ERR_RANGE:
		return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
	default:
		return MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE;
	}
}
