/*
 * A serial wire between two ptys, for tests: what one side writes reaches the other at the pace of the wire, each byte after its time, half duplex.
 *
 *     relay BAUD BITS SYMLINK_A SYMLINK_B
 *
 * makes both and prints "ready". The master under test is on A, devices are on B. The relay looks at the clock all the time
 * (it takes a core), stamps each byte when it sees it, and gives it the time on the wire: from the stamp, or from the end of the byte before it, for the length of a
 * character. It hands a byte on when that time is over.
 *
 * On stdin it is told what to do, a line each; the answer to "frames" and "stats" is on stdout:
 *
 *     frames             every frame since the last time, then "end":
 *                        SIDE START END SEEN BYTES STALL HEX (microseconds: on the wire from, to; when its last byte was handed on; for how
 *                        long since the frame before the relay was not run)
 *     stats              "COLLISIONS BYTES"
 *     unplug, plug       take A away, and make a new pty under the same symlink
 *     inject HEX         put these bytes on the wire, as from B
 *     flip N             change a bit of every N-th byte from B from now on; 0: none
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define QUEUE     4096
#define FRAME_MAX 600
#define STALL_NS  50000    /* the relay was not run for so long */
#define SPIN_NS   20000000 /* so long after the last byte it looks without pause, and sleeps after that */

struct side {
	char name;
	int fd, held; /* our end of the pty; the other, so that it does not hang up between users */
	const char *link;
	uint8_t queue[QUEUE]; /* read, not handed on yet */
	uint64_t ends[QUEUE]; /* when each is over on the wire */
	size_t first, n;
	uint64_t free_ns; /* its last byte is over */
};

struct frame {
	char side;
	uint64_t start_ns, end_ns, seen_ns, stall_ns;
	size_t len;
	uint8_t bytes[FRAME_MAX];
};

static struct side a = {.name = 'A'}, b = {.name = 'B'};
static uint64_t char_ns, gap_ns;
static struct frame now_on; /* the frame that is on the wire; len 0: none */
static FILE *frames;
static char *frames_text;
static size_t frames_size;
static uint64_t collisions, nbytes, stall_ns, busy_ns;
static unsigned flip_every, flip_count;

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- ptys ---- */

static void side_open(struct side *s)
{
	struct termios t;
	char name[128];

	s->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	if (s->fd < 0 || grantpt(s->fd) < 0 || unlockpt(s->fd) < 0 ||
	    ptsname_r(s->fd, name, sizeof(name)) != 0)
		die("pty");
	s->held = open(name, O_RDWR | O_NOCTTY);
	if (s->held < 0 || tcgetattr(s->held, &t) < 0)
		die(name);
	cfmakeraw(&t);
	if (tcsetattr(s->held, TCSANOW, &t) < 0)
		die(name);
	unlink(s->link);
	if (symlink(name, s->link) < 0)
		die(s->link);
}

/* The user's end breaks only when ours is closed. */
static void side_close(struct side *s)
{
	close(s->held);
	close(s->fd);
	s->fd = -1;
	unlink(s->link);
	s->n = 0;
}

/* ---- frames ---- */

static void frame_end(void)
{
	if (!now_on.len)
		return;
	fprintf(frames, "%c %.3f %.3f %.3f %zu %.3f ", now_on.side, (double)now_on.start_ns / 1e3,
		(double)now_on.end_ns / 1e3, (double)now_on.seen_ns / 1e3, now_on.len,
		(double)now_on.stall_ns / 1e3);
	for (size_t i = 0; i < now_on.len && i < FRAME_MAX; i++)
		fprintf(frames, "%02x", now_on.bytes[i]);
	fputc('\n', frames);
	now_on.len = 0;
}

static void frame_byte(const struct side *s, uint64_t start_ns, uint8_t byte)
{
	if (now_on.len && (now_on.side != s->name || start_ns > now_on.end_ns + gap_ns))
		frame_end();
	if (!now_on.len) {
		now_on.side = s->name;
		now_on.start_ns = start_ns;
		now_on.seen_ns = 0;
		now_on.stall_ns = stall_ns;
		stall_ns = 0;
	}
	if (now_on.len < FRAME_MAX)
		now_on.bytes[now_on.len] = byte;
	now_on.len++;
	now_on.end_ns = start_ns + char_ns;
}

/* ---- the wire ---- */

static void on_wire(struct side *s, const struct side *other, uint8_t byte, uint64_t seen_ns)
{
	uint64_t start_ns = seen_ns > s->free_ns ? seen_ns : s->free_ns;

	/* Judged by stamps of both; the relay itself may have handed the other's last byte on late, never early. */
	if (other->free_ns > start_ns)
		collisions++;
	if (s->n == QUEUE) {
		fprintf(stderr, "relay: %c sends without end\n", s->name);
		exit(1);
	}
	s->queue[(s->first + s->n) % QUEUE] = byte;
	s->ends[(s->first + s->n) % QUEUE] = start_ns + char_ns;
	s->n++;
	s->free_ns = start_ns + char_ns;
	nbytes++;
	frame_byte(s, start_ns, byte);
}

static void take(struct side *s, const struct side *other)
{
	uint8_t buf[512];
	ssize_t n = s->fd < 0 ? 0 : read(s->fd, buf, sizeof(buf));
	uint64_t seen_ns = clock_ns();

	if (n > 0)
		busy_ns = seen_ns;
	for (ssize_t i = 0; i < n; i++) {
		if (s == &b && flip_every && ++flip_count % flip_every == 0)
			buf[i] ^= 0x10;
		on_wire(s, other, buf[i], seen_ns);
	}
}

/* What is over on the wire gets to the other side. */
static void hand_on(struct side *s, const struct side *to, uint64_t at_ns)
{
	while (s->n > 0 && s->ends[s->first] <= at_ns) {
		uint64_t put_ns = clock_ns();
		ssize_t n = to->fd < 0 ? 1 : write(to->fd, &s->queue[s->first], 1);

		if (n < 0 && errno != EAGAIN)
			die("write");
		if (n != 1)
			return;
		s->first = (s->first + 1) % QUEUE;
		s->n--;
		if (s->n == 0 && now_on.side == s->name)
			now_on.seen_ns = put_ns;
	}
}

/* ---- what it is told ---- */

static void inject(const char *hex)
{
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		on_wire(&b, &a, (uint8_t)byte, clock_ns());
}

static void frames_print(void)
{
	fclose(frames);
	fputs(frames_text, stdout);
	printf("end\n");
	free(frames_text);
	frames = open_memstream(&frames_text, &frames_size);
}

static void told(char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, "frames") == 0) {
		frame_end();
		frames_print();
	} else if (strcmp(line, "stats") == 0) {
		printf("%llu %llu\n", (unsigned long long)collisions, (unsigned long long)nbytes);
	} else if (strcmp(line, "unplug") == 0) {
		side_close(&a);
		printf("ok\n");
	} else if (strcmp(line, "plug") == 0) {
		side_open(&a);
		printf("ok\n");
	} else if (strncmp(line, "inject ", 7) == 0) {
		inject(line + 7);
		printf("ok\n");
	} else if (strncmp(line, "flip ", 5) == 0) {
		flip_every = (unsigned)atoi(line + 5);
		printf("ok\n");
	} else {
		fprintf(stderr, "relay: what is \"%s\"?\n", line);
		exit(1);
	}
	fflush(stdout);
}

static void listen_stdin(void)
{
	char line[4096];

	if (!fgets(line, sizeof(line), stdin))
		exit(0);
	told(line);
}

/* Sleeping is too slow for bytes of 87 us: after a byte, and until all are handed on, it looks without pause. */
static void wait_for_work(void)
{
	struct pollfd p[3] = {
		{.fd = 0, .events = POLLIN}, {.fd = a.fd, .events = POLLIN}, {.fd = b.fd, .events = POLLIN}};
	bool is_busy = a.n || b.n || clock_ns() < busy_ns + SPIN_NS;

	if (poll(p, 3, is_busy ? 0 : 1000) < 0 && errno != EINTR)
		die("poll");
	if (p[0].revents)
		listen_stdin();
}

/* Between two looks it was not run: then stamps are late by as much, and whoever reads them should know. */
static void note_stall(uint64_t before_ns)
{
	uint64_t now = clock_ns();

	if ((a.n || b.n || before_ns < busy_ns + SPIN_NS) && now - before_ns > STALL_NS)
		stall_ns += now - before_ns;
}

int main(int argc, char **argv)
{
	uint64_t looked_ns;

	if (argc != 5) {
		fprintf(stderr, "usage: relay BAUD BITS SYMLINK_A SYMLINK_B\n");
		return 2;
	}
	char_ns = (uint64_t)(1e9 * atof(argv[2]) / atof(argv[1]));
	gap_ns = char_ns * 3 / 2;
	a.link = argv[3];
	b.link = argv[4];
	prctl(PR_SET_TIMERSLACK, 1UL);
	frames = open_memstream(&frames_text, &frames_size);
	setvbuf(stdin, NULL, _IONBF, 0);
	side_open(&a);
	side_open(&b);
	printf("ready\n");
	fflush(stdout);
	looked_ns = clock_ns();
	for (;;) {
		wait_for_work();
		note_stall(looked_ns);
		looked_ns = clock_ns();
		take(&a, &b);
		take(&b, &a);
		hand_on(&a, &b, clock_ns());
		hand_on(&b, &a, clock_ns());
	}
}
