/* GPIO lines through libgpiod 1.6. */
#include <errno.h>
#include <gpiod.h>
#include <stdlib.h>
#include <string.h>

#include "south/gpio_port.h"

struct gpio_line {
	struct gpiod_chip *chip;
	struct gpiod_line *line; /* the chip's */
};

static int error_of(int e)
{
	return e == EBUSY                   ? ERR_BUSY
	       : e == EACCES || e == EPERM  ? ERR_DENIED
	       : e == ENOMEM                ? ERR_NOMEM
	       : e == ENOENT || e == ENODEV ? ERR_NOT_FOUND
					    : ERR_IO;
}

static int flags_of(const struct gpio_settings *set)
{
	static const int bias[] = {
		[CONFIG_BIAS_DISABLED] = GPIOD_LINE_REQUEST_FLAG_BIAS_DISABLE,
		[CONFIG_BIAS_PULL_UP] = GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_UP,
		[CONFIG_BIAS_PULL_DOWN] = GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_DOWN,
	};
	static const int drive[] = {
		[CONFIG_DRIVE_OPEN_DRAIN] = GPIOD_LINE_REQUEST_FLAG_OPEN_DRAIN,
		[CONFIG_DRIVE_OPEN_SOURCE] = GPIOD_LINE_REQUEST_FLAG_OPEN_SOURCE,
	};

	return (set->active_low ? GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW : 0) |
	       (set->is_output ? drive[set->drive] : bias[set->bias]);
}

static struct gpiod_line *find(struct gpiod_chip *chip, const char *point)
{
	size_t digits = strspn(point, "0123456789");

	if (digits < 6 && point[digits] == '\0')
		return gpiod_chip_get_line(chip, (unsigned)strtoul(point, NULL, 10));
	return gpiod_chip_find_line(chip, point);
}

static int gpio_open(const char *chip, const char *point, const struct gpio_settings *set,
		     struct gpio_line **out)
{
	const struct gpiod_line_request_config config = {
		.consumer = "lineside",
		.request_type = set->is_output ? GPIOD_LINE_REQUEST_DIRECTION_OUTPUT
					       : GPIOD_LINE_REQUEST_EVENT_BOTH_EDGES,
		.flags = flags_of(set)};
	struct gpio_line *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return ERR_NOMEM;
	l->chip = gpiod_chip_open_by_name(chip);
	if (!l->chip)
		l->chip = gpiod_chip_open_by_label(chip);
	if (!l->chip) {
		rc = errno == EACCES || errno == EPERM ? ERR_DENIED : ERR_NOT_FOUND;
		goto fail;
	}
	rc = ERR_RANGE;
	l->line = find(l->chip, point);
	if (!l->line)
		goto fail;
	if (gpiod_line_request(l->line, &config, set->on) < 0) {
		rc = error_of(errno);
		goto fail;
	}
	*out = l;
	return OK;
fail:
	if (l->chip)
		gpiod_chip_close(l->chip);
	free(l);
	return rc;
}

static int gpio_get(struct gpio_line *l)
{
	int value = gpiod_line_get_value(l->line);

	return value < 0 ? ERR_IO : value;
}

static int gpio_set(struct gpio_line *l, bool on)
{
	return gpiod_line_set_value(l->line, on) < 0 ? ERR_IO : OK;
}

static int gpio_fd(struct gpio_line *l)
{
	return gpiod_line_event_get_fd(l->line);
}

static int gpio_edge(struct gpio_line *l, bool *on, uint64_t *at_us)
{
	static const struct timespec at_once = {0};
	struct gpiod_line_event event;
	int rc = gpiod_line_event_wait(l->line, &at_once);

	if (rc <= 0)
		return rc < 0 ? ERR_IO : 0;
	if (gpiod_line_event_read(l->line, &event) < 0)
		return ERR_IO;
	*on = event.event_type == GPIOD_LINE_EVENT_RISING_EDGE;
	*at_us = (uint64_t)event.ts.tv_sec * 1000000 + (uint64_t)event.ts.tv_nsec / 1000;
	return 1;
}

static void gpio_close(struct gpio_line *l)
{
	gpiod_line_release(l->line);
	gpiod_chip_close(l->chip);
	free(l);
}

int io_gpiod_create(struct loop *loop, const struct config_line *line, struct io_host *host,
		    struct io_driver **out)
{
	static const struct gpio_ops ops = {.open = gpio_open,
					    .get = gpio_get,
					    .set = gpio_set,
					    .fd = gpio_fd,
					    .edge = gpio_edge,
					    .close = gpio_close};

	return io_gpiod_make(&ops, loop, line, host, out);
}
