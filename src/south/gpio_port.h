/*
 * GPIO lines, as io_gpiod.c needs them; gpio_libgpiod1.c and gpio_libgpiod2.c are the two versions of libgpiod, of which a
 * build has one or none, and tests have a chip of their own. Nothing here blocks.
 */
#ifndef SOUTH_GPIO_PORT_H
#define SOUTH_GPIO_PORT_H

#include "south/io_driver.h"

struct gpio_line;

struct gpio_settings {
	bool is_output, active_low;
	bool on;         /* what an output is first */
	int bias, drive; /* enum config_bias, config_drive */
};

struct gpio_ops {
	/*
	 * Take line `point` (its number or name) of the chip with that name or label. ERR_NOT_FOUND (no such chip), ERR_RANGE (it has no such
	 * line), ERR_BUSY (somebody has the line), ERR_DENIED, ERR_NOMEM, ERR_IO.
	 */
	int (*open)(const char *chip, const char *point, const struct gpio_settings *set,
		    struct gpio_line **out);
	/* 1: on, 0: off, or ERR_IO. */
	int (*get)(struct gpio_line *l);
	int (*set)(struct gpio_line *l, bool on);
	/* Of an input: readable while edges wait. The line's. */
	int (*fd)(struct gpio_line *l);
	/* The oldest edge that waits: 1, and to which level and when (us of the monotonic clock); 0: none; ERR_IO. */
	int (*edge)(struct gpio_line *l, bool *on, uint64_t *at_us);
	void (*close)(struct gpio_line *l);
};

/* The driver over `gpio`; as io_driver_create. */
MUST_USE int io_gpiod_make(const struct gpio_ops *gpio, struct loop *loop, const struct config_line *line,
			   struct io_host *host, struct io_driver **out);

#endif
