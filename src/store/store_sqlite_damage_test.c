/* Damaged files, other versions, two openers, permissions, full and read-only disks. */
#include "store/sqlite_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void path_of(const struct place *p, const char *name, char out[256])
{
	snprintf(out, 256, "%s/%s", p->folder, name);
}

static off_t size_of(const struct place *p, const char *name)
{
	char path[256];
	struct stat st;

	path_of(p, name, path);
	return stat(path, &st) < 0 ? -1 : st.st_size;
}

static unsigned count_named(const struct place *p, const char *part)
{
	DIR *dir = opendir(p->folder);
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		n += strstr(e->d_name, part) != NULL;
	closedir(dir);
	return n;
}

static void sql_in(const struct place *p, const char *sql)
{
	char path[256];
	sqlite3 *db = NULL;

	path_of(p, "lineside.db", path);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define PAGE          1024 /* bytes of a page */
#define FILL_SESSIONS 40u
#define FILL_ROWS     50u
#define FILL_RETAINED 1000u

static void fill(struct store_backend *b)
{
	struct store_op op;
	char name[64];

	assert_int_equal(b->ops->begin(b), OK);
	for (uint32_t i = 1; i <= FILL_SESSIONS; i++) {
		snprintf(name, sizeof(name), "client%u", i);
		op = op_session(i, name);
		assert_int_equal(b->ops->apply(b, &op), OK);
	}
	for (uint64_t seq = 1; seq <= FILL_ROWS; seq++)
		for (uint32_t i = 1; i <= FILL_SESSIONS; i++) {
			op = op_row(i, seq, "some/topic", "some payload of forty-two bytes or so here");
			assert_int_equal(b->ops->apply(b, &op), OK);
		}
	for (uint64_t i = 0; i < FILL_RETAINED; i++) {
		snprintf(name, sizeof(name), "plant/line/tag%llu", (unsigned long long)i);
		op = op_retained(name, "the value that is retained", i + 1);
		assert_int_equal(b->ops->apply(b, &op), OK);
	}
	assert_int_equal(b->ops->commit(b, 5000), OK);
}

static void make_filled(struct place *p)
{
	struct store_backend *b = place_open(p);

	load(b);
	fill(b);
	b->ops->close(b);
}

/* Write `len` bytes over the database. */
static void overwrite(const struct place *p, off_t at, int byte, size_t len)
{
	char path[256];
	uint8_t junk[8192];
	int fd;

	memset(junk, byte, sizeof(junk));
	path_of(p, "lineside.db", path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, junk, len, at), (ssize_t)len);
	close(fd);
}

static void a_file_that_is_no_database_is_set_aside(void **state)
{
	struct place *p = *state;
	struct store_backend *b;

	make_filled(p);
	overwrite(p, 0, 'x', 8192);
	log_set_fd(open("/dev/null", O_WRONLY));
	b = place_open(p);
	load(b);
	PUT(b, op_session(1, "again"));
	b->ops->close(b);
	assert_int_equal(count_named(p, "lineside.db.damaged-"), 1);
	b = place_open(p);
	assert_told(b, "session 1 client=again expiry=60 away=0 seq=1-1 rows=0 bytes=0\n");
	b->ops->close(b);
}

/* A page that nothing was read of may show when it is written: then the next start salvages. */
static void goes_on(struct place *p, struct store_backend *b)
{
	struct store_op op = op_session(99, "goes on");

	if (try_put(b, 6000, &op, 1) < 0) {
		assert_int_equal(b->ops->health(b), STORE_FAILING);
		b->ops->close(b);
		b = place_open(p);
		load(b);
		put(b, 6000, &op, 1);
		assert_int_equal(count_named(p, ".damaged-"), 1);
	}
	assert_int_equal(b->ops->health(b), STORE_OK);
	b->ops->close(b);
}

/* Each page in turn, with several kinds of junk: what is on other pages is there, and it goes on. */
static void what_is_not_on_a_damaged_page_is_salvaged(void **state)
{
	static const uint8_t junk[] = {0x00, 0xff, 0x5a};
	struct place *p = *state;
	uint64_t salvaged = 0, whole = 0;

	log_set_fd(open("/dev/null", O_WRONLY));
	make_filled(p);
	for (off_t at = PAGE; at < size_of(p, "lineside.db"); at += PAGE) {
		uint64_t lost;
		struct store_backend *b;
		struct told t;

		overwrite(p, at, junk[at / PAGE % 3], PAGE);
		b = place_open(p);
		assert_int_equal(try_load(b, &t), OK);
		lost = (FILL_ROWS * FILL_SESSIONS + FILL_RETAINED + FILL_SESSIONS) -
		       (t.rows + t.retained + t.sessions);
		/* A leaf has less than this; the root of a table has all of it. */
		whole += lost < 100;
		salvaged += count_named(p, ".damaged-") > 0;
		told_fini(&t);
		goes_on(p, b);
		folder_empty(p->folder);
		make_filled(p);
	}
	assert_true(salvaged > 100);
	assert_true(whole > 100);
}

static void two_damaged_pages_leave_what_is_between_them(void **state)
{
	struct place *p = *state;
	struct store_backend *b;
	struct told t;
	off_t size;

	log_set_fd(open("/dev/null", O_WRONLY));
	make_filled(p);
	size = size_of(p, "lineside.db") / PAGE * PAGE;
	overwrite(p, size / PAGE / 4 * PAGE, 0xff, PAGE);
	overwrite(p, size / PAGE / 3 * PAGE, 0xff, PAGE);
	overwrite(p, size / PAGE * 3 / 4 * PAGE, 0xff, PAGE);
	overwrite(p, size / PAGE * 5 / 6 * PAGE, 0xff, PAGE);
	b = place_open(p);
	assert_int_equal(try_load(b, &t), OK);
	assert_int_equal(count_named(p, ".damaged-"), 1);
	assert_true(t.rows > FILL_ROWS * FILL_SESSIONS - 100);
	assert_true(t.retained > FILL_RETAINED - 100);
	told_fini(&t);
	b->ops->close(b);
}

static void a_salvage_that_was_cut_short_is_done_again(void **state)
{
	struct place *p = *state;
	struct store_backend *b;
	struct told t;
	char from[256], to[256];

	log_set_fd(open("/dev/null", O_WRONLY));
	make_filled(p);
	path_of(p, "lineside.db", from);
	path_of(p, "lineside.db-new", to);
	/* Complete, and the old one has another name already. */
	sql_in(p, "INSERT INTO meta VALUES('salvaged', 1); PRAGMA journal_mode = DELETE");
	assert_int_equal(rename(from, to), 0);
	b = place_open(p);
	assert_int_equal(try_load(b, &t), OK);
	assert_int_equal(t.rows, FILL_ROWS * FILL_SESSIONS);
	told_fini(&t);
	b->ops->close(b);
	/* Not complete: it is of no use. */
	close(open(to, O_RDWR | O_CREAT, 0600));
	b = place_open(p);
	assert_int_equal(try_load(b, &t), OK);
	assert_int_equal(t.rows, FILL_ROWS * FILL_SESSIONS);
	assert_int_equal(size_of(p, "lineside.db-new"), -1);
	told_fini(&t);
	b->ops->close(b);
}

/* Commits, and then the process is no more: the log stays. */
static void leave_a_log(struct place *p, unsigned commits)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct store_backend *b = NULL;

		if (place_try(p, &b) < 0)
			_exit(1);
		load(b);
		for (unsigned i = 1; i <= commits; i++)
			PUT(b, op_row(1, i, "t", "a row"));
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_log_that_was_cut_off_gives_the_commits_that_are_whole(void **state)
{
	struct place *p = *state;
	uint64_t last = 0;
	char wal[256];
	off_t size = 1;

	log_set_fd(open("/dev/null", O_WRONLY));
	path_of(p, "lineside.db-wal", wal);
	for (off_t at = 0; at < size; at += 997) {
		struct store_backend *b = place_open(p);
		struct told t;

		load(b);
		PUT(b, op_session(1, "c"));
		b->ops->close(b);
		leave_a_log(p, 20);
		size = size_of(p, "lineside.db-wal");
		assert_int_equal(truncate(wal, at), 0);
		b = place_open(p);
		assert_int_equal(try_load(b, &t), OK);
		assert_int_equal(t.sessions, 1);
		assert_true(t.rows >= last);
		last = t.rows;
		told_fini(&t);
		b->ops->close(b);
		assert_int_equal(count_named(p, ".damaged-"), 0);
		folder_empty(p->folder);
	}
	assert_true(last >= 15);
}

static void a_newer_format_is_left_alone(void **state)
{
	struct place *p = *state;
	struct store_backend *b = NULL;

	make_filled(p);
	sql_in(p, "PRAGMA user_version = 2");
	assert_int_equal(place_try(p, &b), ERR_UNSUPPORTED);
	assert_non_null(strstr(p->why, "newer version"));
	assert_int_equal(count_named(p, ".damaged-"), 0);
}

static void an_older_format_is_brought_to_this_one(void **state)
{
	struct place *p = *state;
	struct store_backend *b;

	/* Format 0: a file whose making was cut short. */
	sql_in(p, "CREATE TABLE session(id INTEGER PRIMARY KEY)");
	b = place_open(p);
	load(b);
	PUT(b, op_session(1, "c"));
	b->ops->close(b);
	b = place_open(p);
	assert_told(b, "session 1 client=c expiry=60 away=0 seq=1-1 rows=0 bytes=0\n");
	b->ops->close(b);
}

static void two_gateways_cannot_use_one_folder(void **state)
{
	struct place *p = *state;
	struct store_backend *a = place_open(p), *b = NULL;
	char pid[32];

	snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	assert_int_equal(place_try(p, &b), ERR_BUSY);
	assert_non_null(strstr(p->why, pid));
	/* To look at it is possible. */
	p->read_only = true;
	b = place_open(p);
	load(b);
	b->ops->close(b);
	p->read_only = false;
	a->ops->close(a);
	b = place_open(p);
	b->ops->close(b);
}

static void only_its_owner_can_read_it(void **state)
{
	struct place *p = *state;
	struct store_backend *b;
	struct dirent *e;
	struct stat st;
	mode_t old = umask(0);
	char path[512];
	DIR *dir;
	unsigned files = 0;

	strcat(p->folder, "/made");
	b = place_open(p);
	load(b);
	PUT(b, op_session(1, "c"));
	umask(old);
	assert_int_equal(stat(p->folder, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_non_null(dir = opendir(p->folder));
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", p->folder, e->d_name);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		files++;
	}
	closedir(dir);
	assert_int_equal(files, 5); /* database, log, shared memory, lock, reserve */
	b->ops->close(b);
	folder_empty(p->folder);
	rmdir(p->folder);
	*strrchr(p->folder, '/') = '\0';
}

static void at_max_bytes_it_says_full_and_goes_on(void **state)
{
	static char big[10001];
	struct place *p = *state;
	struct store_backend *b;
	uint64_t seq = 1;

	memset(big, 'x', 10000);
	p->max_bytes = 1 << 20;
	b = place_open(p);
	load(b);
	PUT(b, op_session(1, "c"));
	for (; b->ops->health(b) == STORE_OK && seq < 1000; seq++)
		PUT(b, op_row(1, seq, "t", big));
	assert_true(seq > 50 && seq < 100);
	assert_int_equal(b->ops->health(b), STORE_FULL);
	/* What was accepted before is written, and what is deleted makes room. */
	PUT(b, op_row(1, seq, "t", big));
	PUT(b, op_drop_rows(1, seq - 10));
	assert_int_equal(b->ops->health(b), STORE_OK);
	b->ops->close(b);
}

static bool mount_small(const struct place *p, const char *options)
{
	return mount("none", p->folder, "tmpfs", 0, options) == 0;
}

static void a_full_disk_is_told_and_the_reserve_takes_what_was_accepted(void **state)
{
	static char big[10001];
	struct place *p = *state;
	struct store_backend *b;
	uint64_t seq = 1;
	char path[256];
	int fd, rc;

	if (!mount_small(p, "size=8m"))
		skip();
	log_set_fd(open("/dev/null", O_WRONLY));
	memset(big, 'x', 10000);
	b = place_open(p);
	load(b);
	PUT(b, op_session(1, "c"));
	/* Something else takes the rest of the disk. */
	path_of(p, "other", path);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	for (off_t at = 0; posix_fallocate(fd, at, 65536) == 0; at += 65536)
		;
	for (rc = OK; seq < 2000; seq++) {
		struct store_op op = op_row(1, seq, "t", big);

		if ((rc = try_put(b, 1000, &op, 1)) < 0)
			break;
	}
	assert_int_equal(rc, ERR_FULL);
	assert_int_equal(b->ops->health(b), STORE_FULL);
	/* The very same is written now, while it still says full; deletes go through. */
	PUT(b, op_row(1, seq, "t", big));
	assert_int_equal(b->ops->health(b), STORE_FULL);
	PUT(b, op_drop_rows(1, seq));
	assert_int_equal(b->ops->health(b), STORE_FULL);
	unlink(path);
	close(fd);
	assert_int_equal(b->ops->health(b), STORE_OK);
	PUT(b, op_row(1, seq + 1, "t", big));
	assert_int_equal(count_rows(b, 1), 2);
	b->ops->close(b);
	assert_int_equal(umount(p->folder), 0);
}

static void an_input_output_error_is_told_and_recovers_by_itself(void **state)
{
	struct place *p = *state;
	struct store_backend *b;
	struct rlimit old, none;
	struct store_op op = op_row(1, 2, "t", "two");

	b = place_open(p);
	load(b);
	PUT(b, op_session(1, "c"), op_row(1, 1, "t", "one"));
	log_set_fd(open("/dev/null", O_WRONLY));
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = old; /* files may not grow: for SQLite an error like any other */
	none.rlim_cur = 512;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(try_put(b, 1000, &op, 1), ERR_IO);
	assert_int_equal(b->ops->health(b), STORE_FAILING);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	PUT(b, op);
	assert_int_equal(b->ops->health(b), STORE_OK);
	assert_rows(b, 1, 0, "1:one 2:two ");
	b->ops->close(b);
}

static void a_folder_that_cannot_be_written_is_said(void **state)
{
	struct place *p = *state;
	struct store_backend *b = NULL;
	char path[256];

	if (!mount_small(p, "size=8m"))
		skip();
	assert_int_equal(mount("none", p->folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(place_try(p, &b), ERR_IO);
	assert_non_null(strstr(p->why, "Read-only"));
	assert_int_equal(umount(p->folder), 0);
	path_of(p, "no/such", path);
	snprintf(p->why, sizeof(p->why), "%s", p->folder);
}

static void messages_nobody_refers_to_go_after_a_while(void **state)
{
	struct place *p = *state;
	struct store_backend *b = place_open(p);
	int64_t ms = 1000;

	load(b);
	PUT(b, op_session(1, "c"), op_msg(1, "t", "m"), op_shared(1, 1, 1), op_msg(2, "t", "n"),
	    op_shared(1, 2, 2));
	PUT(b, op_drop_rows(1, 3));
	/* One more row may come for a while. */
	PUT(b, op_shared(1, 3, 2));
	assert_rows(b, 1, 0, "3:n ");
	PUT(b, op_drop_rows(1, 4));
	for (int i = 0; i < 10; i++) {
		struct store_op op = op_session(1, "c");

		put(b, ms += 1000, &op, 1);
	}
	while (b->ops->tidy(b))
		;
	/* It is not there any more: a row that comes later than promised has nothing to send. */
	log_set_fd(open("/dev/null", O_WRONLY));
	PUT(b, op_shared(1, 4, 2));
	assert_rows(b, 1, 0, "");
	b->ops->close(b);
}

static int restore_log(void **state)
{
	log_set_fd(2);
	return place_unmake(state);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_make, restore_log)
	static const struct CMUnitTest tests[] = {
		T(a_file_that_is_no_database_is_set_aside),
		T(what_is_not_on_a_damaged_page_is_salvaged),
		T(two_damaged_pages_leave_what_is_between_them),
		T(a_salvage_that_was_cut_short_is_done_again),
		T(a_log_that_was_cut_off_gives_the_commits_that_are_whole),
		T(a_newer_format_is_left_alone),
		T(an_older_format_is_brought_to_this_one),
		T(two_gateways_cannot_use_one_folder),
		T(only_its_owner_can_read_it),
		T(at_max_bytes_it_says_full_and_goes_on),
		T(a_full_disk_is_told_and_the_reserve_takes_what_was_accepted),
		T(an_input_output_error_is_told_and_recovers_by_itself),
		T(a_folder_that_cannot_be_written_is_said),
		T(messages_nobody_refers_to_go_after_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
