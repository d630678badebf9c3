#include "config/io_modes.h"

#include "config/gateway_config.h"

static const struct io_mode_info infos[IO_MODE_COUNT] = {
#define IO_MODE_AS_INFO(name, text, kind, unit, low, high, open, under, over) \
	[IO_MODE_##name] = {text, CONFIG_AREA_##kind, unit, low, high, open, under, over},
	IO_MODE_TABLE(IO_MODE_AS_INFO)
#undef IO_MODE_AS_INFO
};

const struct io_mode_info *io_mode_info(enum io_mode m)
{
	return &infos[m];
}

bool io_mode_fits(enum io_mode m, int kind)
{
	if (kind == CONFIG_AREA_AO)
		return m == IO_MODE_ANY || m == IO_MODE_V10 || m == IO_MODE_PM10 || m == IO_MODE_MA20 ||
		       m == IO_MODE_MA4;
	return infos[m].kind == kind ||
	       (m == IO_MODE_DISABLED && (kind == CONFIG_AREA_RTD || kind == CONFIG_AREA_TC));
}
