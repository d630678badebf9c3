#include "store/store.h"

const char *store_health_word(enum store_health h)
{
	switch (h) {
	case STORE_OK:
		return "ok";
	case STORE_FULL:
		return "full";
	case STORE_FAILING:
		break;
	}
	return "failing";
}
