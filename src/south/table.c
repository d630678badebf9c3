#include "south/table.h"

#include "net/stream_tcp.h"
#include "south/io_rack.h"

/* The dialer is given away or gone. */
static int over(struct dialer *dialer, struct loop *loop, const struct config_line *line,
		int (*create)(struct loop *loop, const struct config_line *line, struct dialer *dialer,
			      struct source **out),
		struct source **out)
{
	int rc = create(loop, line, dialer, out);

	if (rc < 0)
		dialer->destroy(dialer);
	return rc;
}

static int create_modbus_tcp(struct loop *loop, const struct config_line *line, struct source **out)
{
	struct dialer *dialer;
	int rc = dialer_tcp_create(line->host, line->port, &dialer);

	return rc < 0 ? rc : over(dialer, loop, line, modbus_tcp_source_create, out);
}

static int create_modbus_rtu(struct loop *loop, const struct config_line *line, struct source **out)
{
	struct dialer *dialer;
	int rc = modbus_rtu_dialer_create(line, &dialer);

	return rc < 0 ? rc : over(dialer, loop, line, modbus_rtu_source_create, out);
}

static int create_rtu_over_tcp(struct loop *loop, const struct config_line *line, struct source **out)
{
	struct dialer *dialer;
	int rc = dialer_tcp_create(line->host, line->port, &dialer);

	return rc < 0 ? rc : over(dialer, loop, line, modbus_rtu_source_create, out);
}

/* The drivers of racks. */
static io_driver_create *const racks[] = {
	[CONFIG_DRIVER_SIM] = io_sim_create,
#ifdef LINESIDE_GPIOD
	[CONFIG_DRIVER_GPIOD] = io_gpiod_create,
#endif
	[CONFIG_DRIVER_IIO] = io_iio_create,
	[CONFIG_DRIVER_HWMON] = io_hwmon_create,
};

static int create_rack(struct loop *loop, const struct config_line *line, struct source **out)
{
	if (!racks[line->driver])
		return ERR_UNSUPPORTED;
	return io_rack_create(loop, line, racks[line->driver], out);
}

static const struct {
	enum config_line_type type;
	int (*create)(struct loop *loop, const struct config_line *line, struct source **out);
} drivers[] = {
	{CONFIG_LINE_MODBUS_TCP, create_modbus_tcp},
	{CONFIG_LINE_MODBUS_RTU, create_modbus_rtu},
	{CONFIG_LINE_RTU_OVER_TCP, create_rtu_over_tcp},
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
