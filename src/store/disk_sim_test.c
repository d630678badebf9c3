#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "store/disk_sim.h"

#define NAME "/data/t.db"
#define WAL  "/data/t.db-wal"

/* ---- SQLite on it ---- */

static const char wal_mode[] =
	"PRAGMA locking_mode=exclusive; PRAGMA journal_mode=wal; PRAGMA synchronous=full;"
	"PRAGMA wal_autocheckpoint=12";
static const char journal_mode[] = "PRAGMA journal_mode=delete; PRAGMA synchronous=extra";
static const char unsynced_mode[] =
	"PRAGMA locking_mode=exclusive; PRAGMA journal_mode=wal; PRAGMA synchronous=off;"
	"PRAGMA wal_autocheckpoint=12";

static sqlite3 *db_open(struct sim_disk *d, const char *mode, int *rc)
{
	sqlite3 *db = NULL;

	*rc = sqlite3_open_v2(NAME, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, sim_disk_vfs(d));
	if (*rc == SQLITE_OK)
		*rc = sqlite3_exec(db, mode, NULL, NULL, NULL);
	if (*rc == SQLITE_OK)
		*rc = sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS t(n INTEGER, k INTEGER, pad BLOB)", NULL,
				   NULL, NULL);
	return db;
}

/* A transaction of three rows. */
static int db_put(sqlite3 *db, int n)
{
	char sql[512];

	snprintf(sql, sizeof(sql),
		 "BEGIN IMMEDIATE; INSERT INTO t VALUES(%d,0,zeroblob(300)); INSERT INTO t "
		 "VALUES(%d,1,zeroblob(900));"
		 "UPDATE t SET pad=zeroblob(250) WHERE n=%d/2; INSERT INTO t VALUES(%d,2,zeroblob(3000)); "
		 "COMMIT",
		 n, n, n, n);
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int first_text(void *arg, int n, char **values, char **names)
{
	(void)names;
	if (n > 0 && ((char *)arg)[0] == '\0')
		snprintf(arg, 64, "%s", values[0] ? values[0] : "null");
	return 0;
}

static const char *db_ask(sqlite3 *db, const char *sql, char answer[64])
{
	answer[0] = '\0';
	if (sqlite3_exec(db, sql, first_text, answer, NULL) != SQLITE_OK)
		snprintf(answer, 64, "error %d", sqlite3_extended_errcode(db));
	return answer;
}

static long db_number(sqlite3 *db, const char *sql)
{
	char answer[64];
	long n;

	return sscanf(db_ask(db, sql, answer), "%ld", &n) == 1 ? n : -1;
}

struct crash_run {
	struct sim_disk *disk;
	const char *mode;
	int committed, begun; /* transactions 1.. */
};

/* Is everything there that must be, nothing in part, and nothing that never was? */
static bool holds(const struct crash_run *r, sqlite3 *db)
{
	char answer[64];
	long last = db_number(db, "SELECT coalesce(max(n),0) FROM t");

	return strcmp(db_ask(db, "PRAGMA integrity_check", answer), "ok") == 0 && last >= r->committed &&
	       last <= r->begun && db_number(db, "SELECT count(*) FROM t") == 3 * last &&
	       db_number(db, "SELECT count(*) FROM (SELECT 1 FROM t GROUP BY n HAVING count(*)<>3)") == 0;
}

static void work_until_it_fails(struct crash_run *r)
{
	int rc;
	sqlite3 *db = db_open(r->disk, r->mode, &rc);

	while (rc == SQLITE_OK && r->begun < 40) {
		r->begun++;
		rc = db_put(db, r->begun);
		if (rc == SQLITE_OK)
			r->committed = r->begun;
	}
	sqlite3_close(db);
}

/* Crashes one after the other on the same database; false: it was not as it must be. */
static bool run_crashes(uint64_t seed, const char *mode, enum sim_disk_crash how, bool lies)
{
	struct crash_run r = {.mode = mode};
	struct sim_disk_faults faults = {.sync_lies = lies};
	bool good = true;

	assert_int_equal(sim_disk_create(seed, &r.disk), OK);
	sim_disk_set_faults(r.disk, &faults);
	for (uint64_t n = 0; good && n < 6; n++) {
		sqlite3 *db;
		int rc;

		sim_disk_crash_at(r.disk, 1 + (seed * 7 + n * 31) % 150);
		work_until_it_fails(&r);
		sim_disk_restart(r.disk, how);
		db = db_open(r.disk, mode, &rc);
		good = rc == SQLITE_OK && holds(&r, db);
		if (good)
			r.committed = r.begun = (int)db_number(db, "SELECT coalesce(max(n),0) FROM t");
		sqlite3_close(db);
	}
	sim_disk_destroy(r.disk);
	return good;
}

static unsigned count_broken(const char *mode, enum sim_disk_crash how, bool lies, uint64_t seeds)
{
	unsigned broken = 0;

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		bool good = run_crashes(seed, mode, how, lies);

		if (!good && !lies)
			print_message("# seed %d\n", (int)seed);
		broken += !good;
	}
	return broken;
}

static void committed_transactions_survive_power_cuts_in_wal_mode(void **state)
{
	(void)state;
	assert_int_equal(count_broken(wal_mode, SIM_DISK_POWER_CUT, false, 400), 0);
}

static void committed_transactions_survive_power_cuts_with_a_journal(void **state)
{
	(void)state;
	assert_int_equal(count_broken(journal_mode, SIM_DISK_POWER_CUT, false, 200), 0);
}

static void committed_transactions_survive_the_process_without_a_sync(void **state)
{
	(void)state;
	assert_int_equal(count_broken(unsynced_mode, SIM_DISK_PROCESS_CRASH, false, 200), 0);
}

static void a_disk_that_lies_about_syncs_is_found_out(void **state)
{
	(void)state;
	assert_true(count_broken(wal_mode, SIM_DISK_POWER_CUT, true, 30) > 15);
	assert_true(count_broken(unsynced_mode, SIM_DISK_POWER_CUT, true, 5) > 0);
}

static void a_full_disk_ends_when_there_is_room(void **state)
{
	struct crash_run r = {.mode = wal_mode};
	struct sim_disk_faults full = {.capacity = 100000}, none = {0};
	sqlite3 *db;
	int rc;

	(void)state;
	assert_int_equal(sim_disk_create(1, &r.disk), OK);
	sim_disk_set_faults(r.disk, &full);
	db = db_open(r.disk, wal_mode, &rc);
	while ((rc = db_put(db, ++r.begun)) == SQLITE_OK)
		r.committed++;
	assert_int_equal(rc, SQLITE_FULL);
	assert_true(sim_disk_used(r.disk) <= full.capacity);
	(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	sim_disk_set_faults(r.disk, &none);
	assert_int_equal(db_put(db, r.begun), SQLITE_OK);
	r.committed++;
	assert_true(holds(&r, db));
	sqlite3_close(db);
	sim_disk_destroy(r.disk);
}

static void io_errors_pass(void **state)
{
	static const struct sim_disk_faults failing = {.read_one_in = 20,
						       .write_one_in = 20,
						       .sync_one_in = 5},
					    none = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct crash_run r = {.mode = wal_mode};
		sqlite3 *db;
		unsigned failed = 0;
		int rc;

		assert_int_equal(sim_disk_create(seed, &r.disk), OK);
		db = db_open(r.disk, wal_mode, &rc);
		sim_disk_set_faults(r.disk, &failing);
		for (int tries = 0; tries < 40; tries++) {
			rc = db_put(db, r.committed + 1);
			if (rc == SQLITE_OK)
				r.committed++;
			else
				(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			failed += rc != SQLITE_OK;
		}
		assert_true(failed > 0);
		sim_disk_set_faults(r.disk, &none);
		sim_disk_crash(r.disk);
		sqlite3_close(db);
		sim_disk_restart(r.disk, SIM_DISK_POWER_CUT);
		r.begun = r.committed + 1; /* of the last one it is not known */
		db = db_open(r.disk, wal_mode, &rc);
		assert_int_equal(rc, SQLITE_OK);
		assert_true(holds(&r, db));
		sqlite3_close(db);
		sim_disk_destroy(r.disk);
	}
}

static void a_damaged_page_is_read_as_such(void **state)
{
	unsigned noticed = 0;
	char answer[64];

	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct crash_run r = {.mode = wal_mode};
		sqlite3 *db;
		int rc;

		assert_int_equal(sim_disk_create(seed, &r.disk), OK);
		work_until_it_fails(&r);
		assert_true(sim_disk_damage(r.disk, NAME, 4096));
		db = db_open(r.disk, wal_mode, &rc);
		noticed += rc != SQLITE_OK ||
			   strcmp(db_ask(db, "PRAGMA integrity_check", answer), "ok") != 0 ||
			   db_number(db, "SELECT count(*) FROM t WHERE pad=zeroblob(length(pad))") !=
				   3 * r.committed;
		sqlite3_close(db);
		sim_disk_destroy(r.disk);
	}
	assert_true(noticed > 25); /* not what is in pages that are free */
}

static void a_log_that_was_cut_off_loses_its_end_alone(void **state)
{
	struct crash_run r = {.mode = wal_mode};
	sqlite3 *db;
	int rc;

	(void)state;
	assert_int_equal(sim_disk_create(1, &r.disk), OK);
	db = db_open(r.disk, wal_mode, &rc);
	assert_int_equal(db_put(db, 1), SQLITE_OK);
	assert_int_equal(db_put(db, 2), SQLITE_OK);
	sim_disk_crash(r.disk);
	sqlite3_close(db);
	sim_disk_restart(r.disk, SIM_DISK_POWER_CUT);
	assert_true(sim_disk_truncate(r.disk, WAL, (uint64_t)sim_disk_size(r.disk, WAL) - 100));
	assert_false(sim_disk_truncate(r.disk, WAL, 1u << 30));
	r.begun = 2;
	db = db_open(r.disk, wal_mode, &rc);
	assert_true(holds(&r, db));
	sqlite3_close(db);
	sim_disk_destroy(r.disk);
}

static void two_connections_lock_each_other_out(void **state)
{
	struct sim_disk *d;
	sqlite3 *a, *b;
	int rc;

	(void)state;
	assert_int_equal(sim_disk_create(1, &d), OK);
	a = db_open(d, journal_mode, &rc);
	b = db_open(d, journal_mode, &rc);
	assert_int_equal(rc, SQLITE_OK);
	assert_int_equal(db_put(a, 1), SQLITE_OK);
	assert_int_equal(db_number(b, "SELECT count(*) FROM t"), 3);
	assert_int_equal(sqlite3_exec(a, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(b, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_BUSY);
	assert_int_equal(sqlite3_exec(a, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(db_put(b, 2), SQLITE_OK);
	sqlite3_close(a);
	a = db_open(d, wal_mode, &rc); /* exclusive: nobody else may look */
	assert_int_equal(rc, SQLITE_OK);
	assert_int_equal(db_put(b, 3), SQLITE_BUSY);
	sqlite3_close(a);
	sqlite3_close(b);
	sim_disk_destroy(d);
}

/* ---- the disk by itself, as SQLite calls it ---- */

struct raw {
	struct sim_disk *disk;
	sqlite3_vfs *vfs;
	sqlite3_file *file;
	_Alignas(16) char room[256];
};

static void raw_open(struct raw *r, uint64_t seed)
{
	assert_int_equal(sim_disk_create(seed, &r->disk), OK);
	r->vfs = sqlite3_vfs_find(sim_disk_vfs(r->disk));
	assert_non_null(r->vfs);
	assert_true((size_t)r->vfs->szOsFile <= sizeof(r->room));
	r->file = (sqlite3_file *)(void *)r->room;
	assert_int_equal(r->vfs->xOpen(r->vfs, WAL, r->file, SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL, NULL),
			 SQLITE_OK);
}

static void raw_close(struct raw *r)
{
	assert_int_equal(r->file->pMethods->xClose(r->file), SQLITE_OK);
	sim_disk_destroy(r->disk);
}

static int raw_write(struct raw *r, char what, int len, int at)
{
	char bytes[2048];

	memset(bytes, what, sizeof(bytes));
	return r->file->pMethods->xWrite(r->file, bytes, len, at);
}

/* Close, cut the power, open again; how long the file is then, with its bytes; -1: it is not there. */
static int raw_cut(struct raw *r, char bytes[4096])
{
	sqlite3_int64 len = -1;

	sim_disk_crash(r->disk);
	assert_int_equal(r->file->pMethods->xClose(r->file), SQLITE_OK);
	sim_disk_restart(r->disk, SIM_DISK_POWER_CUT);
	if (sim_disk_size(r->disk, WAL) >= 0) {
		assert_int_equal(r->vfs->xOpen(r->vfs, WAL, r->file, 0, NULL), SQLITE_OK);
		assert_int_equal(r->file->pMethods->xFileSize(r->file, &len), SQLITE_OK);
		assert_int_equal(r->file->pMethods->xRead(r->file, bytes, 4096, 0), SQLITE_IOERR_SHORT_READ);
	} else {
		assert_int_equal(r->vfs->xOpen(r->vfs, WAL, r->file, 0, NULL), SQLITE_CANTOPEN);
		assert_int_equal(r->vfs->xOpen(r->vfs, WAL, r->file, SQLITE_OPEN_CREATE, NULL), SQLITE_OK);
	}
	return (int)len;
}

static void what_was_synced_is_intact_and_the_rest_is_anything(void **state)
{
	unsigned lost = 0, kept = 0, torn = 0, longer = 0;
	char bytes[4096];

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct raw r;
		int len, b = 0;

		raw_open(&r, seed);
		assert_int_equal(raw_write(&r, 'a', 2048, 0), SQLITE_OK);
		assert_int_equal(r.file->pMethods->xSync(r.file, SQLITE_SYNC_NORMAL), SQLITE_OK);
		assert_int_equal(raw_write(&r, 'b', 1000, 0), SQLITE_OK);
		assert_int_equal(raw_write(&r, 'c', 500, 2048), SQLITE_OK);
		len = raw_cut(&r, bytes);
		assert_true(len >= 2048 && len <= 2548);
		for (int i = 0; i < 1000; i++)
			b += bytes[i] == 'b';
		for (int i = 0; i < 2048; i++)
			assert_true(bytes[i] == 'a' || (i < 1000 && bytes[i] == 'b'));
		lost += b == 0;
		kept += b == 1000;
		torn += b > 0 && b < 1000;
		longer += len > 2048 && b < 1000;
		raw_close(&r);
	}
	assert_true(lost > 10 && kept > 10 && torn > 10 && longer > 5);
}

static void a_name_is_there_for_sure_when_the_file_was_synced(void **state)
{
	unsigned there = 0, back = 0;
	char bytes[4096];

	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct raw r;

		raw_open(&r, seed);
		there += raw_cut(&r, bytes) >= 0;
		raw_close(&r);
		raw_open(&r, seed);
		assert_int_equal(r.file->pMethods->xSync(r.file, SQLITE_SYNC_NORMAL), SQLITE_OK);
		assert_int_equal(raw_cut(&r, bytes), 0);
		assert_int_equal(r.vfs->xDelete(r.vfs, WAL, 0), SQLITE_OK);
		back += raw_cut(&r, bytes) >= 0;
		if (sim_disk_size(r.disk, WAL) >= 0)
			assert_int_equal(r.vfs->xDelete(r.vfs, WAL, 1), SQLITE_OK);
		assert_int_equal(r.vfs->xDelete(r.vfs, WAL, 1), SQLITE_IOERR_DELETE_NOENT);
		assert_int_equal(raw_cut(&r, bytes), -1);
		raw_close(&r);
	}
	assert_true(there > 5 && there < 45 && back > 5 && back < 45);
}

static void everything_fails_from_the_crash_on(void **state)
{
	struct raw r;
	char bytes[4096];
	int there;

	(void)state;
	raw_open(&r, 1);
	sim_disk_crash_at(r.disk, 2);
	assert_int_equal(raw_write(&r, 'a', 10, 0), SQLITE_OK);
	assert_false(sim_disk_crashed(r.disk));
	assert_int_equal(raw_write(&r, 'b', 10, 0), SQLITE_IOERR_WRITE);
	assert_true(sim_disk_crashed(r.disk));
	assert_int_equal(r.file->pMethods->xRead(r.file, bytes, 1, 0), SQLITE_IOERR_READ);
	assert_int_equal(r.file->pMethods->xSync(r.file, 0), SQLITE_IOERR_FSYNC);
	assert_int_equal(r.file->pMethods->xTruncate(r.file, 0), SQLITE_IOERR_TRUNCATE);
	assert_int_equal(r.vfs->xDelete(r.vfs, WAL, 0), SQLITE_IOERR_DELETE);
	assert_int_equal(r.vfs->xAccess(r.vfs, WAL, SQLITE_ACCESS_EXISTS, &there), SQLITE_IOERR_ACCESS);
	sim_disk_restart(r.disk, SIM_DISK_PROCESS_CRASH);
	/* this handle is of the process that died */
	assert_int_equal(r.file->pMethods->xRead(r.file, bytes, 1, 0), SQLITE_IOERR_READ);
	assert_int_equal(r.vfs->xAccess(r.vfs, WAL, SQLITE_ACCESS_EXISTS, &there), SQLITE_OK);
	assert_true(there);
	assert_int_equal(sim_disk_size(r.disk, WAL), 10);
	assert_string_equal(sim_disk_name(r.disk, 0), WAL);
	assert_null(sim_disk_name(r.disk, 1));
	raw_close(&r);
}

static void a_seed_replays_exactly(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t ops[2];
		char bytes[2][4096];
		int len[2];

		for (int i = 0; i < 2; i++) {
			struct raw r;

			memset(bytes[i], 0, sizeof(bytes[i]));
			raw_open(&r, seed);
			assert_int_equal(raw_write(&r, 'x', 2000, 3), SQLITE_OK);
			assert_int_equal(raw_write(&r, 'y', 2000, 1300), SQLITE_OK);
			len[i] = raw_cut(&r, bytes[i]);
			ops[i] = sim_disk_ops(r.disk);
			raw_close(&r);
		}
		assert_int_equal(len[0], len[1]);
		assert_int_equal(ops[0], ops[1]);
		assert_memory_equal(bytes[0], bytes[1], sizeof(bytes[0]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(committed_transactions_survive_power_cuts_in_wal_mode),
		cmocka_unit_test(committed_transactions_survive_power_cuts_with_a_journal),
		cmocka_unit_test(committed_transactions_survive_the_process_without_a_sync),
		cmocka_unit_test(a_disk_that_lies_about_syncs_is_found_out),
		cmocka_unit_test(a_full_disk_ends_when_there_is_room),
		cmocka_unit_test(io_errors_pass),
		cmocka_unit_test(a_damaged_page_is_read_as_such),
		cmocka_unit_test(a_log_that_was_cut_off_loses_its_end_alone),
		cmocka_unit_test(two_connections_lock_each_other_out),
		cmocka_unit_test(what_was_synced_is_intact_and_the_rest_is_anything),
		cmocka_unit_test(a_name_is_there_for_sure_when_the_file_was_synced),
		cmocka_unit_test(everything_fails_from_the_crash_on),
		cmocka_unit_test(a_seed_replays_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
