#include <assert.h>
#include <string.h>

#include "base/value_types.h"

static const struct value_type_info types[VALUE_TYPE_COUNT] = {
#define VALUE_TYPE_AS_INFO(id, text, nregs, width, of, people) \
	[VALUE_TYPE_##id] = {.name = (text),                   \
			     .registers = (nregs),             \
			     .bits = (width),                  \
			     .kind = VALUE_KIND_##of,          \
			     .help = (people)},
	VALUE_TYPE_TABLE(VALUE_TYPE_AS_INFO)
#undef VALUE_TYPE_AS_INFO
};

static const struct byte_order_info orders[BYTE_ORDER_COUNT] = {
#define BYTE_ORDER_AS_INFO(id, nregs, swap, reverse) \
	[BYTE_ORDER_##                               \
		id] = {.name = #id, .registers = (nregs), .swap_bytes = (swap), .reverse_words = (reverse)},
	BYTE_ORDER_TABLE(BYTE_ORDER_AS_INFO)
#undef BYTE_ORDER_AS_INFO
};

const struct value_type_info *value_type_info(enum value_type t)
{
	assert(t < VALUE_TYPE_COUNT);
	return &types[t];
}

const struct byte_order_info *byte_order_info(enum byte_order o)
{
	assert(o < BYTE_ORDER_COUNT);
	return &orders[o];
}

int value_type_find(const char *name, enum value_type *out)
{
	for (unsigned i = 0; i < VALUE_TYPE_COUNT; i++) {
		if (strcmp(types[i].name, name) == 0) {
			*out = (enum value_type)i;
			return OK;
		}
	}
	return ERR_NOT_FOUND;
}

int byte_order_find(const char *name, enum byte_order *out)
{
	for (unsigned i = 0; i < BYTE_ORDER_COUNT; i++) {
		if (strcmp(orders[i].name, name) == 0) {
			*out = (enum byte_order)i;
			return OK;
		}
	}
	return ERR_NOT_FOUND;
}

bool value_type_takes_order(enum value_type t, enum byte_order o)
{
	unsigned nregs = value_type_info(t)->registers;

	switch (byte_order_info(o)->registers) {
	case 1:
		return nregs <= 1;
	case 2:
		return nregs != 0;
	default:
		return nregs == 4;
	}
}

bool value_type_takes_bits(enum value_type t)
{
	return t >= VALUE_TYPE_INT16 && t <= VALUE_TYPE_UINT64;
}

enum byte_order value_type_default_order(enum value_type t)
{
	switch (value_type_info(t)->registers) {
	case 0:
	case 1:
		return BYTE_ORDER_AB;
	case 4:
		return BYTE_ORDER_ABCDEFGH;
	default:
		return BYTE_ORDER_ABCD;
	}
}
