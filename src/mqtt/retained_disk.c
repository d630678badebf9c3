#include "mqtt/retained_disk.h"

int retained_restore(struct broker *b, const struct store_retained *r)
{
	(void)b;
	(void)r;
	return OK;
}
