#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/hash.h"
#include "tree_rig.h"

/* Damaged files, as a member that starts meets them. */

TestSuite(verify_file, .init = tree_setup, .fini = rig_fini);

static uint64_t seed;

static uint64_t
draw(uint64_t below)
{
	return (zk_prng_next(&seed) >> 16) % below;
}

static uint8_t *image;
static size_t image_len;

static void
read_image(void)
{
	char path[128];
	struct stat st;
	int fd;

	rig_path(path, sizeof(path), ZK_DATADIR_TREE);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && fstat(fd, &st) == 0, "open");
	image_len = (size_t)st.st_size;
	image = malloc(image_len);
	CHECK(image != NULL &&
	        pread(fd, image, image_len, 0) == (ssize_t)image_len,
	    "read");
	(void)close(fd);
}

static void
write_image(const uint8_t *bytes, size_t len)
{
	char path[128];
	int fd;

	rig_path(path, sizeof(path), ZK_DATADIR_TREE);
	fd = open(path, O_WRONLY | O_TRUNC);
	CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, "write");
	(void)close(fd);
}

static void
expect_untouched(const uint8_t *bytes, size_t len)
{
	unsigned int count = 0;
	struct dirent *entry;
	uint8_t *saved = image;
	size_t saved_len = image_len;
	DIR *d = opendir(rig.dir);

	CHECK(d != NULL, "opendir");
	while ((entry = readdir(d)) != NULL)
		count += entry->d_name[0] != '.';
	(void)closedir(d);
	CHECK(count == 2, "a file was made");
	read_image();
	CHECK(image_len == len && memcmp(image, bytes, len) == 0,
	    "the file was changed");
	free(image);
	image = saved;
	image_len = saved_len;
}

/* Close the store, and leave nothing but the tree and its journal. */
static void
close_and_read(void)
{
	char path[128];

	rig_close();
	rig_path(path, sizeof(path), ZK_DATADIR_LOCK);
	(void)unlink(path);
	read_image();
}

Test(verify_file, a_good_directory_is_left_as_it_was)
{
	char *why = NULL;

	close_and_read();
	cr_expect_eq(zk_verify_dir(rig.dir, &why), 0, "%s", why);
	cr_expect_null(why);
	expect_untouched(image, image_len);
	free(image);
}

Test(verify_file, a_cut_or_zeroed_file_is_refused_by_name_and_left_as_it_was)
{
	uint8_t *bad;

	close_and_read();
	bad = malloc(image_len);
	cr_assert_not_null(bad);
	for (size_t page = 2; page < image_len / 4096; page++) {
		char *why = NULL;
		int rc;

		memcpy(bad, image, image_len);
		memset(bad + page * 4096, 0, 4096);
		write_image(bad, image_len);
		rc = zk_verify_dir(rig.dir, &why);
		expect_untouched(bad, image_len);
		CHECK(rc == 0 || rc == -ZK_ECORRUPT, "page %zu: %d", page, rc);
		CHECK((rc == 0) == (why == NULL), "page %zu", page);
		CHECK(why == NULL ||
		        (strstr(why, rig.dir) != NULL &&
		            strstr(why, ZK_DATADIR_TREE) != NULL &&
		            strchr(why, '\n') == NULL),
		    "%s", why);
		free(why);
	}
	for (size_t len = image_len - 4096; len > 8192; len -= 4096) {
		int rc;

		write_image(image, len);
		rc = zk_verify_dir(rig.dir, NULL);
		CHECK(rc == 0 || rc == -ZK_ECORRUPT, "cut to %zu: %d", len, rc);
		CHECK(len > 16384 || rc < 0, "cut to %zu", len);
		expect_untouched(image, len);
	}
	free(bad);
	free(image);
}

static uint64_t
digest_now(void)
{
	struct zk_verify_report report;
	struct zk_tx *reader;

	CHECK(zk_read_begin(rig.store, &reader) == 0, "begin");
	CHECK(zk_verify(reader, &report) == 0, "%s", report.problem);
	zk_read_end(reader);
	return report.digest;
}

/*
 * A flipped bit is found, or it is where it does no harm.  The two first
 * pages are left out: a flip there can take the file one commit back.
 */
Test(verify_file, a_flipped_bit_is_found_or_harmless)
{
	const uint64_t digest = digest_now();
	unsigned int found = 0, harmless = 0;

	close_and_read();
	seed = 99;
	for (int i = 0; i < 150; i++) {
		const size_t at = 8192 + draw(image_len - 8192);
		const uint8_t bit = (uint8_t)(1u << draw(8));
		int rc;

		image[at] ^= bit;
		write_image(image, image_len);
		rc = zk_verify_dir(rig.dir, NULL);
		expect_untouched(image, image_len);
		if (rc == 0) {
			char path[128];

			rig_open();
			CHECK(digest_now() == digest, "byte %zu", at);
			rig_close();
			rig_path(path, sizeof(path), ZK_DATADIR_LOCK);
			(void)unlink(path);
			harmless++;
		} else {
			CHECK(rc == -ZK_ECORRUPT, "byte %zu: %d", at, rc);
			found++;
		}
		image[at] ^= bit;
	}
	free(image);
	cr_expect(found > 30, "%u", found);
	cr_expect(harmless > 0, "%u", harmless);
}

/* Where LMDB finds its own list of free pages, and all rows. */
#define META_FREE_ROOT 80
#define META_MAIN_ROOT 128
#define META_TXN       144
#define PAGE_FLAGS     10
#define PAGE_UPPER     14

static size_t
find_root(size_t which)
{
	uint64_t txn[2], root;

	memcpy(&txn[0], image + META_TXN, 8);
	memcpy(&txn[1], image + 4096 + META_TXN, 8);
	memcpy(&root, image + (txn[1] > txn[0] ? 4096 : 0) + which, 8);
	CHECK(root >= 2 && (root + 1) * 4096 <= image_len, "no root");
	return root * 4096;
}

/* Some noise looks like an empty tree, or a list without an end. */
static void
expect_noise_refused(size_t which)
{
	static const uint16_t flags[] = {0x01, 0x02, 0x22, 0x26, 0xffff};
	size_t at;

	close_and_read();
	at = find_root(which);
	seed = 5;
	for (int i = 0; i < 50; i++) {
		for (size_t j = 0; j < 4096; j++)
			image[at + j] = (uint8_t)draw(256);
		if (i % 10 < 5)
			memcpy(image + at + PAGE_FLAGS, &flags[i % 5], 2);
		write_image(image, image_len);
		CHECK(zk_verify_dir(rig.dir, NULL) == -ZK_ECORRUPT, "%d", i);
		expect_untouched(image, image_len);
	}
	free(image);
}

Test(verify_file, a_list_of_free_pages_that_is_noise_is_refused)
{
	expect_noise_refused(META_FREE_ROOT);
}

Test(verify_file, a_root_of_noise_is_refused)
{
	expect_noise_refused(META_MAIN_ROOT);
}

Test(verify_file, a_page_whose_free_space_is_negative_is_refused)
{
	unsigned int found = 0;

	close_and_read();
	for (size_t at = 8192; at < image_len; at += 4096) {
		uint16_t flags, upper, wrong = 15;

		memcpy(&flags, image + at + PAGE_FLAGS, 2);
		memcpy(&upper, image + at + PAGE_UPPER, 2);
		if (flags != 2)
			continue;
		memcpy(image + at + PAGE_UPPER, &wrong, 2);
		write_image(image, image_len);
		found += zk_verify_dir(rig.dir, NULL) == -ZK_ECORRUPT;
		memcpy(image + at + PAGE_UPPER, &upper, 2);
	}
	cr_expect(found >= 3, "%u", found);
	free(image);
}

Test(verify_file, a_file_of_another_format_is_refused_as_such)
{
	struct zk_key key;
	const void *value;
	uint8_t copy[128];
	size_t len;

	rig_begin();
	zk_key_init(&key, ZK_TABLE_IDENT);
	cr_assert_eq(zk_row_get(rig.tx, &key, &value, &len), 0);
	memcpy(copy, value, len);
	copy[0]++;
	cr_assert_eq(zk_row_put(rig.tx, &key, copy, len), 0);
	/* Rows that only the other version would know. */
	key = zk_key1('z', 1);
	cr_assert_eq(zk_row_put(rig.tx, &key, "", 0), 0);
	rig_commit();
	close_and_read();
	cr_expect_eq(zk_verify_dir(rig.dir, NULL), -ZK_EVERSION);
	expect_untouched(image, image_len);
	free(image);
}
