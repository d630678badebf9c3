/*
 * The kernel's own struct termios2 is used and not termios.h: it takes any baud rate, those without a name too.
 */
#include "net/serial_port.h"

#include <asm/termbits.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/serial.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/log.h"

#define BY_ID "/dev/serial/by-id"

/* ---- what to say ---- */

/* The stable name of the port that `path` is, or with NULL all there are: "/dev/serial/by-id/a, ...". "" for none. */
static void by_id_names(const char *path, char *text, size_t size)
{
	char real[PATH_MAX] = "", link[PATH_MAX], target[PATH_MAX];
	DIR *dir = opendir(BY_ID);
	const struct dirent *e;
	size_t at = 0;

	text[0] = '\0';
	if (path && !realpath(path, real))
		real[0] = '\0';
	while (dir && (e = readdir(dir))) {
		int n;

		if (e->d_name[0] == '.')
			continue;
		snprintf(link, sizeof(link), BY_ID "/%s", e->d_name);
		if (path && (!realpath(link, target) || strcmp(target, real) != 0))
			continue;
		n = snprintf(text + at, size - at, "%s%s", at ? ", " : "", link);
		if (n < 0 || (size_t)n >= size - at) {
			text[at] = '\0';
			break;
		}
		at += (size_t)n;
	}
	if (dir)
		closedir(dir);
}

/* The process that holds the lock on the port; 0: not known. One small file of the kernel's tells. */
static long lock_holder(const char *path)
{
	char line[256];
	struct stat st;
	long found = 0;
	FILE *f;

	if (stat(path, &st) < 0 || !(f = fopen("/proc/locks", "re")))
		return 0;
	while (!found && fgets(line, sizeof(line), f)) {
		unsigned major_no, minor_no;
		unsigned long inode;
		long pid;

		if (sscanf(line, "%*s FLOCK %*s %*s %ld %x:%x:%lu", &pid, &major_no, &minor_no, &inode) ==
			    4 &&
		    inode == st.st_ino && makedev(major_no, minor_no) == st.st_dev)
			found = pid;
	}
	fclose(f);
	return found;
}

static void advise(const char *path, int error, char *text, size_t size)
{
	char names[SERIAL_TEXT_MAX];
	long pid;

	switch (error) {
	case EACCES:
	case EPERM:
		snprintf(text, size,
			 "no permission; add the user of this program to the group that \"ls -lL %s\" shows, "
			 "mostly dialout, and start it again",
			 path);
		return;
	case ENOENT:
	case ENODEV:
	case ENXIO:
		by_id_names(NULL, names, sizeof(names));
		snprintf(text, size, "it is not there; ports with a stable name: %s",
			 names[0] ? names : "none; is the adapter plugged in?");
		return;
	case EBUSY:
	case EWOULDBLOCK:
		pid = lock_holder(path);
		if (pid)
			snprintf(text, size,
				 "process %ld has it; end that, or take the port out of its settings", pid);
		else
			snprintf(text, size, "another program has it; \"fuser -v %s\" shows which", path);
		return;
	case ENOTTY:
		snprintf(text, size, "it is no serial port");
		return;
	default:
		snprintf(text, size, "%s", strerror(error));
	}
}

static int failed(const char *path, int fd, int error, struct serial_told *told)
{
	char text[2 * SERIAL_TEXT_MAX];

	if (fd >= 0)
		close(fd);
	if (told->error != error) {
		advise(path, error, text, sizeof(text));
		log_warning("serial", "%s: cannot open: %s", path, text);
	}
	told->error = error;
	errno = error;
	return -1;
}

static void hint_stable_name(const char *path, struct serial_told *told)
{
	char names[SERIAL_TEXT_MAX];

	if (told->name || strncmp(path, "/dev/tty", 8) != 0)
		return;
	told->name = true;
	by_id_names(path, names, sizeof(names));
	if (names[0])
		log_notice("serial",
			   "%s: this name may be another port after a restart; the one that stays is %s",
			   path, names);
}

/* ---- settings ---- */

static void settings_want(const struct serial_options *o, struct termios2 *t)
{
	const unsigned wide = CSIZE | CSTOPB | PARENB | PARODD | CMSPAR | CRTSCTS | HUPCL | CBAUD |
			      ((unsigned)CBAUD << IBSHIFT);

	t->c_iflag = 0;
	t->c_oflag = 0;
	t->c_lflag = 0;
	t->c_cflag &= ~wide;
	t->c_cflag |= CREAD | CLOCAL | BOTHER | (unsigned)BOTHER << IBSHIFT;
	t->c_cflag |= o->data_bits == 7 ? CS7 : CS8;
	if (o->stop_bits == 2)
		t->c_cflag |= CSTOPB;
	if (o->parity != SERIAL_PARITY_NONE)
		t->c_cflag |= PARENB;
	if (o->parity == SERIAL_PARITY_ODD)
		t->c_cflag |= PARODD;
	t->c_ispeed = t->c_ospeed = o->baud;
	/* A read waits for one byte, which for a non-blocking port means that none is EAGAIN and not the end. */
	t->c_cc[VMIN] = 1;
	t->c_cc[VTIME] = 0;
}

/* A driver sets what it can and says nothing. */
static void settings_check(const struct serial_options *o, const struct termios2 *want,
			   const struct termios2 *got, struct serial_told *told)
{
	unsigned wrong = (want->c_cflag ^ got->c_cflag) & (CSIZE | CSTOPB | PARENB | PARODD);
	uint32_t off = got->c_ospeed > o->baud ? got->c_ospeed - o->baud : o->baud - got->c_ospeed;

	if (told->settings || (!wrong && off <= o->baud / 33))
		return;
	told->settings = true;
	if (off > o->baud / 33)
		log_warning("serial", "%s: the port cannot do %u baud; it runs at %u", o->path, o->baud,
			    got->c_ospeed);
	if (wrong)
		log_warning("serial", "%s: the port did not take%s%s%s; check what its adapter can do",
			    o->path, wrong & (PARENB | PARODD) ? " parity" : "",
			    wrong & CSIZE ? " data_bits" : "", wrong & CSTOPB ? " stop_bits" : "");
}

static int settings_apply(int fd, const struct serial_options *o, struct serial_told *told)
{
	struct termios2 want, got;

	if (ioctl(fd, TCGETS2, &want) < 0)
		return -1;
	settings_want(o, &want);
	if (ioctl(fd, TCSETS2, &want) < 0 || ioctl(fd, TCGETS2, &got) < 0)
		return -1;
	settings_check(o, &want, &got, told);
	(void)ioctl(fd, TCFLSH, TCIOFLUSH); /* what came before is of no use to anybody */
	return 0;
}

static void direction_apply(int fd, const struct serial_options *o, struct serial_told *told)
{
	struct serial_rs485 to = {
		.flags = SER_RS485_ENABLED,
		.delay_rts_before_send = o->direction->delay_before_ms,
		.delay_rts_after_send = o->direction->delay_after_ms,
	};

	if (o->direction->rts_on_send)
		to.flags |= SER_RS485_RTS_ON_SEND;
	if (o->direction->rts_after_send)
		to.flags |= SER_RS485_RTS_AFTER_SEND;
	if (ioctl(fd, TIOCSRS485, &to) == 0 || told->direction)
		return;
	told->direction = true;
	log_warning("serial",
		    "%s: its driver cannot switch the direction of RS-485 (%s); it works without rs485: if "
		    "the adapter does that "
		    "by itself",
		    o->path, strerror(errno));
}

/* ---- opening ---- */

int serial_port_open(const struct serial_options *o, struct serial_told *told)
{
	int fd = open(o->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return failed(o->path, -1, errno, told);
	if (!isatty(fd))
		return failed(o->path, fd, ENOTTY, told);
	/* The lock keeps out those who ask, TIOCEXCL those who do not, but for root. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || ioctl(fd, TIOCEXCL) < 0 || settings_apply(fd, o, told) < 0)
		return failed(o->path, fd, errno, told);
	if (o->direction)
		direction_apply(fd, o, told);
	hint_stable_name(o->path, told);
	told->error = 0;
	return fd;
}

void serial_port_close(int fd)
{
	/* Somebody else may have had it open before us, so that the next one would find it taken still. */
	(void)ioctl(fd, TIOCNXCL);
	close(fd);
}
