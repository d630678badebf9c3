/*
 * What analog channels of a rack may be, said once: configuration, channel logic and documentation read this table. Pure.
 *
 * IO_MODE(NAME, text, kind, unit, low, high, open, under, over)
 *   kind        of channel that may have it: AI, RTD, TC; io_mode_fits() knows those of outputs
 *   low, high   what the channel is made for; an output takes nothing else
 *   open        below it the wire is broken (burn-out); NO_LIMIT: it cannot tell
 *   under, over beyond them the value is measured, but cannot be trusted
 *
 * The limits of 4-20mA are those of NAMUR NE 43: 3.8 and 20.5 mA end the range, below 3.6 mA the transmitter or its wire is broken.
 * Those of thermocouples are the ranges of IEC 60584-1, those of platinum of IEC 60751.
 */
#ifndef CONFIG_IO_MODES_H
#define CONFIG_IO_MODES_H

#include <stdbool.h>

#define IO_NO_LIMIT (-1e300)

#define IO_MODE_TABLE(IO_MODE)                                                                \
	IO_MODE(ANY, "any", AI, NULL, 0, 0, IO_NO_LIMIT, IO_NO_LIMIT, -IO_NO_LIMIT)           \
	IO_MODE(DISABLED, "disabled", AI, NULL, 0, 0, IO_NO_LIMIT, IO_NO_LIMIT, -IO_NO_LIMIT) \
	IO_MODE(V10, "0-10V", AI, "V", 0, 10, IO_NO_LIMIT, -0.2, 10.2)                        \
	IO_MODE(PM10, "+-10V", AI, "V", -10, 10, IO_NO_LIMIT, -10.2, 10.2)                    \
	IO_MODE(MA20, "0-20mA", AI, "mA", 0, 20, IO_NO_LIMIT, -0.2, 20.5)                     \
	IO_MODE(MA4, "4-20mA", AI, "mA", 4, 20, IO_NO_LIMIT, 3.8, 20.5)                       \
	IO_MODE(MA4_OPEN, "4-20mA-burnout", AI, "mA", 4, 20, 3.6, 3.8, 20.5)                  \
	IO_MODE(AI_PT100, "RTD Pt100", AI, "°C", -200, 850, IO_NO_LIMIT, -200, 850)           \
	IO_MODE(PT50, "Pt50", RTD, "°C", -200, 850, IO_NO_LIMIT, -200, 850)                   \
	IO_MODE(PT100, "Pt100", RTD, "°C", -200, 850, IO_NO_LIMIT, -200, 850)                 \
	IO_MODE(PT200, "Pt200", RTD, "°C", -200, 850, IO_NO_LIMIT, -200, 850)                 \
	IO_MODE(PT500, "Pt500", RTD, "°C", -200, 850, IO_NO_LIMIT, -200, 850)                 \
	IO_MODE(PT1000, "Pt1000", RTD, "°C", -200, 850, IO_NO_LIMIT, -200, 850)               \
	IO_MODE(NI100, "Ni100", RTD, "°C", -60, 250, IO_NO_LIMIT, -60, 250)                   \
	IO_MODE(NI1000, "Ni1000", RTD, "°C", -60, 250, IO_NO_LIMIT, -60, 250)                 \
	IO_MODE(TC_J, "J", TC, "°C", -210, 1200, IO_NO_LIMIT, -210, 1200)                     \
	IO_MODE(TC_K, "K", TC, "°C", -270, 1372, IO_NO_LIMIT, -270, 1372)                     \
	IO_MODE(TC_T, "T", TC, "°C", -270, 400, IO_NO_LIMIT, -270, 400)                       \
	IO_MODE(TC_E, "E", TC, "°C", -270, 1000, IO_NO_LIMIT, -270, 1000)                     \
	IO_MODE(TC_R, "R", TC, "°C", -50, 1768, IO_NO_LIMIT, -50, 1768)                       \
	IO_MODE(TC_S, "S", TC, "°C", -50, 1768, IO_NO_LIMIT, -50, 1768)                       \
	IO_MODE(TC_B, "B", TC, "°C", 0, 1820, IO_NO_LIMIT, 0, 1820)                           \
	IO_MODE(TC_N, "N", TC, "°C", -270, 1300, IO_NO_LIMIT, -270, 1300)

enum io_mode {
#define IO_MODE_AS_ENUM(name, text, kind, unit, low, high, open, under, over) IO_MODE_##name,
	IO_MODE_TABLE(IO_MODE_AS_ENUM)
#undef IO_MODE_AS_ENUM
		IO_MODE_COUNT
};

/* Longest text of a mode. */
#define IO_MODE_TEXT_MAX 16u

struct io_mode_info {
	const char *text;
	int kind;         /* enum config_area: CONFIG_AREA_AI, _RTD or _TC */
	const char *unit; /* NULL: what the driver says */
	double low, high; /* equal: no range */
	double open, under, over;
};

/* Static. */
const struct io_mode_info *io_mode_info(enum io_mode m);

/* May a channel of `kind` (enum config_area) have it? An analog output has the electrical ones of the inputs. */
bool io_mode_fits(enum io_mode m, int kind);

#endif
