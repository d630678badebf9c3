/*
 * Many units on one serial line, for tests: unit ids 1 to N, of which some are silent. Register i of unit u holds 1000 * u + i at first; coils are off.
 * Functions 3, 4, 6 and 16. Answers as soon as the request is whole.
 *
 *     rtu_units PORT N [SILENT_ID...]
 *
 * A request with a wrong CRC is left unanswered. On stdin: "late MS" answers so much later from now on; "silent ID", "loud ID"; each is acknowledged with
 * "ok". "asked ID" prints how many requests that unit got; "register ID I" what it holds.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define UNITS 248
#define REGS  200

static uint16_t regs[UNITS][REGS];
static bool silent[UNITS];
static unsigned asked[UNITS], late_ms;
static int units, port;

static unsigned crc(const uint8_t *p, size_t n)
{
	unsigned c = 0xFFFF;

	for (; n > 0; n--, p++) {
		c ^= *p;
		for (int i = 0; i < 8; i++)
			c = c & 1 ? c >> 1 ^ 0xA001 : c >> 1;
	}
	return c;
}

static void send_frame(uint8_t *out, size_t n)
{
	struct timespec wait = {.tv_sec = late_ms / 1000, .tv_nsec = late_ms % 1000 * 1000000L};
	unsigned c = crc(out, n);

	out[n] = (uint8_t)c;
	out[n + 1] = (uint8_t)(c >> 8);
	if (late_ms)
		nanosleep(&wait, NULL);
	if (write(port, out, n + 2) != (ssize_t)(n + 2))
		exit(1);
}

static void write_regs(unsigned u, unsigned at, unsigned n, const uint8_t *p)
{
	for (unsigned i = 0; i < n && at + i < REGS; i++)
		regs[u][at + i] = (uint16_t)(p[2 * i] << 8 | p[2 * i + 1]);
}

static void answer(const uint8_t *in, size_t len)
{
	unsigned u = in[0], at = in[2] << 8u | in[3], n = in[4] << 8u | in[5];
	uint8_t out[260];

	(void)len;
	if (u == 0) {
		for (int i = 1; i <= units; i++)
			write_regs((unsigned)i, at, in[1] == 6 ? 1 : n, in[1] == 6 ? in + 4 : in + 7);
		return;
	}
	if (u > (unsigned)units)
		return;
	asked[u]++;
	if (silent[u])
		return;
	memcpy(out, in, 6);
	if (at + (in[1] == 6 ? 1 : n) > REGS) {
		out[1] |= 0x80;
		out[2] = 2;
		send_frame(out, 3);
		return;
	}
	if (in[1] == 6 || in[1] == 16) {
		write_regs(u, at, in[1] == 6 ? 1 : n, in[1] == 6 ? in + 4 : in + 7);
		send_frame(out, 6);
		return;
	}
	out[2] = (uint8_t)(2 * n);
	for (unsigned i = 0; i < n; i++) {
		out[3 + 2 * i] = (uint8_t)(regs[u][at + i] >> 8);
		out[4 + 2 * i] = (uint8_t)regs[u][at + i];
	}
	send_frame(out, 3 + 2 * n);
}

static size_t request_size(const uint8_t *in, size_t len)
{
	if (len < 2)
		return 0;
	if (in[1] == 16)
		return len < 7 ? 0 : 9u + in[6];
	return 8;
}

static void told(void)
{
	char line[128], word[32];
	unsigned x = 0, y = 0;

	if (!fgets(line, sizeof(line), stdin) || sscanf(line, "%31s %u %u", word, &x, &y) < 2 || x >= 100000)
		exit(0);
	if (strcmp(word, "late") == 0)
		late_ms = x;
	else if (strcmp(word, "silent") == 0 || strcmp(word, "loud") == 0)
		silent[x % UNITS] = word[0] == 's';
	if (strcmp(word, "asked") == 0)
		printf("%u\n", asked[x % UNITS]);
	else if (strcmp(word, "register") == 0)
		printf("%u\n", regs[x % UNITS][y % REGS]);
	else
		printf("ok\n");
	fflush(stdout);
}

/* A request that stopped is none: the next one begins after the silence. */
static void serve(void)
{
	uint8_t in[512];
	size_t len = 0, size;

	for (;;) {
		struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = port, .events = POLLIN}};
		int n = poll(p, 2, len ? 50 : -1);
		ssize_t got;

		if (p[0].revents)
			told();
		if (n == 0)
			len = 0;
		if (!(p[1].revents & POLLIN))
			continue;
		got = read(port, in + len, sizeof(in) - len);
		if (got <= 0)
			exit(0);
		len += (size_t)got;
		while ((size = request_size(in, len)) && size <= len) {
			/* What is no request is other bytes on the wire: go on behind the first. */
			bool good = crc(in, size) == 0;

			if (good)
				answer(in, size);
			len -= good ? size : 1;
			memmove(in, in + (good ? size : 1), len);
		}
		if (len == sizeof(in))
			len = 0;
	}
}

int main(int argc, char **argv)
{
	struct termios t;

	if (argc < 3 || (port = open(argv[1], O_RDWR | O_NOCTTY)) < 0 || tcgetattr(port, &t) < 0)
		return 1;
	cfmakeraw(&t);
	tcsetattr(port, TCSANOW, &t);
	prctl(PR_SET_TIMERSLACK, 1UL);
	setvbuf(stdin, NULL, _IONBF, 0);
	units = atoi(argv[2]);
	for (int u = 0; u < UNITS; u++)
		for (int i = 0; i < REGS; i++)
			regs[u][i] = (uint16_t)(1000 * u + i);
	for (int i = 3; i < argc; i++)
		silent[atoi(argv[i]) % UNITS] = true;
	printf("ready\n");
	fflush(stdout);
	serve();
}
