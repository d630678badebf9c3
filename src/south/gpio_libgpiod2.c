/* GPIO lines through libgpiod 2. */
#include <dirent.h>
#include <errno.h>
#include <gpiod.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "south/gpio_port.h"

struct gpio_line {
	struct gpiod_line_request *request;
	struct gpiod_edge_event_buffer *edges; /* of one */
	unsigned offset;
};

static int error_of(int e)
{
	return e == EBUSY                   ? ERR_BUSY
	       : e == EACCES || e == EPERM  ? ERR_DENIED
	       : e == ENOMEM                ? ERR_NOMEM
	       : e == ENOENT || e == ENODEV ? ERR_NOT_FOUND
					    : ERR_IO;
}

/* ---- finding ---- */

static bool is_called(struct gpiod_chip *chip, const char *name)
{
	struct gpiod_chip_info *info = gpiod_chip_get_info(chip);
	bool is = info && (strcmp(gpiod_chip_info_get_name(info), name) == 0 ||
			   strcmp(gpiod_chip_info_get_label(info), name) == 0);

	if (info)
		gpiod_chip_info_free(info);
	return is;
}

/* NULL, and *rc says why. */
static struct gpiod_chip *open_chip(const char *name, int *rc)
{
	struct gpiod_chip *chip = NULL;
	DIR *dev = opendir("/dev");

	*rc = ERR_NOT_FOUND;
	for (struct dirent *e = dev ? readdir(dev) : NULL; e && !chip; e = readdir(dev)) {
		char path[sizeof("/dev/") + sizeof(e->d_name)];

		if (strncmp(e->d_name, "gpiochip", 8) != 0)
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		chip = gpiod_chip_open(path);
		if (!chip && (errno == EACCES || errno == EPERM))
			*rc = ERR_DENIED;
		if (chip && !is_called(chip, name)) {
			gpiod_chip_close(chip);
			chip = NULL;
		}
	}
	if (dev)
		closedir(dev);
	return chip;
}

static int find(struct gpiod_chip *chip, const char *point, unsigned *offset)
{
	size_t digits = strspn(point, "0123456789");
	int at;

	if (digits < 6 && point[digits] == '\0') {
		struct gpiod_chip_info *info = gpiod_chip_get_info(chip);
		size_t n = info ? gpiod_chip_info_get_num_lines(info) : 0;

		if (info)
			gpiod_chip_info_free(info);
		*offset = (unsigned)strtoul(point, NULL, 10);
		return *offset < n ? OK : ERR_RANGE;
	}
	at = gpiod_chip_get_line_offset_from_name(chip, point);
	if (at < 0)
		return ERR_RANGE;
	*offset = (unsigned)at;
	return OK;
}

/* ---- taking ---- */

static int apply(struct gpiod_line_settings *s, const struct gpio_settings *set)
{
	static const enum gpiod_line_bias bias[] = {
		[CONFIG_BIAS_AS_IS] = GPIOD_LINE_BIAS_AS_IS,
		[CONFIG_BIAS_DISABLED] = GPIOD_LINE_BIAS_DISABLED,
		[CONFIG_BIAS_PULL_UP] = GPIOD_LINE_BIAS_PULL_UP,
		[CONFIG_BIAS_PULL_DOWN] = GPIOD_LINE_BIAS_PULL_DOWN,
	};
	static const enum gpiod_line_drive drive[] = {
		[CONFIG_DRIVE_PUSH_PULL] = GPIOD_LINE_DRIVE_PUSH_PULL,
		[CONFIG_DRIVE_OPEN_DRAIN] = GPIOD_LINE_DRIVE_OPEN_DRAIN,
		[CONFIG_DRIVE_OPEN_SOURCE] = GPIOD_LINE_DRIVE_OPEN_SOURCE,
	};

	gpiod_line_settings_set_active_low(s, set->active_low);
	if (set->is_output)
		return gpiod_line_settings_set_direction(s, GPIOD_LINE_DIRECTION_OUTPUT) |
		       gpiod_line_settings_set_drive(s, drive[set->drive]) |
		       gpiod_line_settings_set_output_value(s, set->on ? GPIOD_LINE_VALUE_ACTIVE
								       : GPIOD_LINE_VALUE_INACTIVE);
	return gpiod_line_settings_set_direction(s, GPIOD_LINE_DIRECTION_INPUT) |
	       gpiod_line_settings_set_edge_detection(s, GPIOD_LINE_EDGE_BOTH) |
	       gpiod_line_settings_set_event_clock(s, GPIOD_LINE_CLOCK_MONOTONIC) |
	       gpiod_line_settings_set_bias(s, bias[set->bias]);
}

static int request(struct gpio_line *l, struct gpiod_chip *chip, const struct gpio_settings *set)
{
	struct gpiod_line_settings *settings = gpiod_line_settings_new();
	struct gpiod_line_config *lines = gpiod_line_config_new();
	struct gpiod_request_config *config = gpiod_request_config_new();
	int rc = ERR_NOMEM;

	l->edges = gpiod_edge_event_buffer_new(1);
	if (!settings || !lines || !config || !l->edges)
		goto done;
	gpiod_request_config_set_consumer(config, "lineside");
	rc = ERR_IO;
	if (apply(settings, set) < 0 ||
	    gpiod_line_config_add_line_settings(lines, &l->offset, 1, settings) < 0)
		goto done;
	l->request = gpiod_chip_request_lines(chip, config, lines);
	rc = l->request ? OK : error_of(errno);
done:
	if (config)
		gpiod_request_config_free(config);
	if (lines)
		gpiod_line_config_free(lines);
	if (settings)
		gpiod_line_settings_free(settings);
	return rc;
}

static void gpio_close(struct gpio_line *l)
{
	if (l->request)
		gpiod_line_request_release(l->request);
	if (l->edges)
		gpiod_edge_event_buffer_free(l->edges);
	free(l);
}

static int gpio_open(const char *name, const char *point, const struct gpio_settings *set,
		     struct gpio_line **out)
{
	struct gpio_line *l = calloc(1, sizeof(*l));
	struct gpiod_chip *chip = NULL;
	int rc = ERR_NOMEM;

	if (!l)
		return rc;
	chip = open_chip(name, &rc);
	if (chip && (rc = find(chip, point, &l->offset)) == OK)
		rc = request(l, chip, set);
	if (chip)
		gpiod_chip_close(chip); /* a request lives without it */
	if (rc < 0)
		gpio_close(l);
	else
		*out = l;
	return rc;
}

/* ---- using ---- */

static int gpio_get(struct gpio_line *l)
{
	enum gpiod_line_value value = gpiod_line_request_get_value(l->request, l->offset);

	return value == GPIOD_LINE_VALUE_ERROR ? ERR_IO : value == GPIOD_LINE_VALUE_ACTIVE;
}

static int gpio_set(struct gpio_line *l, bool on)
{
	int rc = gpiod_line_request_set_value(l->request, l->offset,
					      on ? GPIOD_LINE_VALUE_ACTIVE : GPIOD_LINE_VALUE_INACTIVE);

	return rc < 0 ? ERR_IO : OK;
}

static int gpio_fd(struct gpio_line *l)
{
	return gpiod_line_request_get_fd(l->request);
}

static int gpio_edge(struct gpio_line *l, bool *on, uint64_t *at_us)
{
	int rc = gpiod_line_request_wait_edge_events(l->request, 0);
	struct gpiod_edge_event *event;

	if (rc <= 0)
		return rc < 0 ? ERR_IO : 0;
	if (gpiod_line_request_read_edge_events(l->request, l->edges, 1) < 1)
		return ERR_IO;
	event = gpiod_edge_event_buffer_get_event(l->edges, 0);
	*on = gpiod_edge_event_get_event_type(event) == GPIOD_EDGE_EVENT_RISING_EDGE;
	*at_us = gpiod_edge_event_get_timestamp_ns(event) / 1000;
	return 1;
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
