#include "south/table.h"

#include "net/stream_tcp.h"

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

static int create_sim(struct loop *loop, const struct config_line *line, struct source **out)
{
	(void)line;
	return sim_source_create(loop, out);
}

static const struct {
	enum config_line_type type;
	int (*create)(struct loop *loop, const struct config_line *line, struct source **out);
} drivers[] = {
	{CONFIG_LINE_MODBUS_TCP, create_modbus_tcp},
	{CONFIG_LINE_SIM, create_sim},
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
