/*
 * Modbus/TCP devices for bench/field: each port is one device whose 65,536 holding registers hold floats that all change ten
 * times a second. It knows nothing of Lineside's code, and keeps the time of every request: how far the reads of one block are apart is
 * what the gateway's scans are judged by.
 *
 *     field_device PORT DEVICES INTERVAL_MS
 *
 * Prints "ready"; SIGUSR1 begins to count; at SIGTERM one line of JSON: reads, how many of them came within 10 % of the interval after the one before, the
 * worst distances, writes.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define DEVICES_MAX     64
#define CONNECTIONS_MAX 256
#define REGISTERS       65536u
#define HEAD            7u
#define FRAME_MAX       260u

struct device {
	uint64_t last_us[REGISTERS]; /* of the read that begins there; 0: none yet */
	uint16_t written[REGISTERS];
	bool is_written[REGISTERS];
	bool is_new
		[REGISTERS]; /* written since it was read: it is read again out of turn, and that is no scan */
};

struct connection {
	int fd;
	struct device *device;
	uint8_t in[4 * FRAME_MAX];
	size_t len;
};

static struct device *devices[DEVICES_MAX];
static struct connection connections[CONNECTIONS_MAX];
static struct pollfd polled[DEVICES_MAX + CONNECTIONS_MAX];
static int ndevices, nconnections;
static uint64_t interval_us, reads, judged, on_time, worst_late_us, worst_early_us, writes;
static volatile sig_atomic_t is_over, is_reset;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		is_reset = 1;
	else
		is_over = 1;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Every tenth of a second another float in each pair of registers. */
static uint16_t reg(const struct device *d, unsigned at, uint64_t now)
{
	float f = (float)(at / 2) + (float)(now / 100000 % 10000) * 0.25f;
	uint32_t bits;

	if (d->is_written[at])
		return d->written[at];
	memcpy(&bits, &f, sizeof(bits));
	return (uint16_t)(at % 2 ? bits : bits >> 16);
}

static bool take_new(struct device *d, unsigned at, unsigned count)
{
	bool any = false;

	for (unsigned i = at; i < at + count; i++) {
		any |= d->is_new[i];
		d->is_new[i] = false;
	}
	return any;
}

static void judge(struct device *d, unsigned at, unsigned count, uint64_t now)
{
	uint64_t took = now - d->last_us[at];

	reads++;
	if (take_new(d, at, count))
		return;
	if (d->last_us[at] && interval_us) {
		judged++;
		on_time += took * 10 >= interval_us * 9 && took * 10 <= interval_us * 11;
		if (took > interval_us && took - interval_us > worst_late_us)
			worst_late_us = took - interval_us;
		if (took < interval_us && interval_us - took > worst_early_us)
			worst_early_us = interval_us - took;
	}
	d->last_us[at] = now;
}

static size_t exception(uint8_t *pdu, uint8_t code)
{
	pdu[0] |= 0x80;
	pdu[1] = code;
	return 2;
}

/* The answer takes the place of the request; returns its length. */
static size_t answer(struct device *d, uint8_t *pdu, size_t len, uint64_t now)
{
	unsigned at, count;

	if (len < 5)
		return exception(pdu, 3);
	at = get16(pdu + 1);
	count = get16(pdu + 3);
	switch (pdu[0]) {
	case 3:
		if (count == 0 || count > 125 || at + count > REGISTERS)
			return exception(pdu, 2);
		judge(d, at, count, now);
		pdu[1] = (uint8_t)(2 * count);
		for (unsigned i = 0; i < count; i++)
			put16(pdu + 2 + 2 * i, reg(d, at + i, now));
		return 2 + 2 * count;
	case 6:
		d->written[at] = (uint16_t)count;
		d->is_written[at] = d->is_new[at] = true;
		writes++;
		return 5;
	case 16:
		if (count == 0 || count > 123 || at + count > REGISTERS || len < 6 + 2 * count)
			return exception(pdu, 2);
		for (unsigned i = 0; i < count; i++) {
			d->written[at + i] = (uint16_t)get16(pdu + 6 + 2 * i);
			d->is_written[at + i] = d->is_new[at + i] = true;
		}
		writes++;
		return 5;
	default:
		return exception(pdu, 1);
	}
}

static void serve(struct connection *c)
{
	ssize_t n = read(c->fd, c->in + c->len, sizeof(c->in) - c->len);
	uint64_t now = now_us();
	size_t at = 0;

	if (n <= 0) {
		if (n < 0 && errno == EINTR)
			return;
		close(c->fd);
		c->fd = -1;
		return;
	}
	c->len += (size_t)n;
	while (c->len - at >= HEAD && c->len - at >= 6 + get16(c->in + at + 4)) {
		uint8_t out[FRAME_MAX];
		size_t size = 6 + get16(c->in + at + 4);

		if (size > FRAME_MAX || size < HEAD + 1)
			break;
		memcpy(out, c->in + at, size);
		at += size;
		size = answer(c->device, out + HEAD, size - HEAD, now);
		put16(out + 4, (unsigned)size + 1);
		if (write(c->fd, out, HEAD + size) < 0)
			break;
	}
	c->len -= at;
	memmove(c->in, c->in + at, c->len);
}

static int listen_at(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0) {
		perror("field_device");
		exit(2);
	}
	return fd;
}

static void take(int device)
{
	int fd = accept(polled[device].fd, NULL, NULL), on = 1, i = 0;

	while (i < nconnections && connections[i].fd >= 0)
		i++;
	if (fd < 0 || i == CONNECTIONS_MAX)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	connections[i] = (struct connection){.fd = fd, .device = devices[device]};
	if (i == nconnections)
		nconnections++;
}

static void turn(void)
{
	if (is_reset) {
		reads = judged = on_time = worst_late_us = worst_early_us = writes = 0;
		is_reset = 0;
	}
	for (int i = 0; i < nconnections; i++)
		polled[ndevices + i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
	if (poll(polled, (nfds_t)(ndevices + nconnections), -1) <= 0)
		return;
	for (int i = nconnections - 1; i >= 0; i--)
		if (polled[ndevices + i].revents)
			serve(&connections[i]);
	for (int i = 0; i < ndevices; i++)
		if (polled[i].revents)
			take(i);
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};

	if (argc != 4 || (ndevices = atoi(argv[2])) < 1 || ndevices > DEVICES_MAX) {
		fprintf(stderr, "usage: field_device PORT DEVICES INTERVAL_MS\n");
		return 2;
	}
	interval_us = (uint64_t)atoi(argv[3]) * 1000;
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < ndevices; i++) {
		devices[i] = calloc(1, sizeof(**devices));
		if (!devices[i])
			return 2;
		polled[i] = (struct pollfd){.fd = listen_at((unsigned)(atoi(argv[1]) + i)), .events = POLLIN};
	}
	printf("ready\n");
	fflush(stdout);
	while (!is_over)
		turn();
	printf("{\"reads\":%llu,\"judged\":%llu,\"on_time\":%llu,\"worst_late_ms\":%.1f,\"worst_early_ms\":%."
	       "1f,\"writes\":%llu}\n",
	       (unsigned long long)reads, (unsigned long long)judged, (unsigned long long)on_time,
	       (double)worst_late_us / 1000, (double)worst_early_us / 1000, (unsigned long long)writes);
	return 0;
}
