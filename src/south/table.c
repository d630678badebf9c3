#include "south/table.h"

#include "net/stream_tcp.h"
#include "south/io_rack.h"

static int create_modbus_tcp(struct loop *loop, const struct config_line *line, struct source **out)
{
	struct dialer *dialer;
	int rc = dialer_tcp_create(line->host, line->port, &dialer);

	if (rc < 0)
		return rc;
	rc = modbus_tcp_source_create(loop, line, dialer, out);
	if (rc < 0)
		dialer->destroy(dialer);
	return rc;
}

/* The drivers of racks. */
static io_driver_create *const racks[] = {
	[CONFIG_DRIVER_SIM] = io_sim_create,
	[CONFIG_DRIVER_IIO] = io_iio_create,
	[CONFIG_DRIVER_HWMON] = io_hwmon_create,
};

static int create_rack(struct loop *loop, const struct config_line *line, struct source **out)
{
	return io_rack_create(loop, line, racks[line->driver], out);
}

static const struct {
	enum config_line_type type;
	int (*create)(struct loop *loop, const struct config_line *line, struct source **out);
} drivers[] = {
	{CONFIG_LINE_MODBUS_TCP, create_modbus_tcp},
	{CONFIG_LINE_SIM, create_rack},
	{CONFIG_LINE_IO, create_rack},
};

static int create(struct source_factory *f, struct loop *loop, const struct config_line *line,
		  struct source **out)
{
	(void)f;
	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++)
		if (drivers[i].type == line->type)
			return drivers[i].create(loop, line, out);
	return ERR_UNSUPPORTED;
}

struct source_factory south_factory = {.create = create};
