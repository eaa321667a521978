#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "base/backup.h"
#include "base/crc32c.h"
#include "base/err.h"

#define FILE_BYTES 1000u

static uint8_t file[FILE_BYTES];

/* A head, something, and a tail. */
static void
make_file(void)
{
	const struct zk_backup_head head = {
	    .format = 3,
	    .ensemble = {1, 2, 3},
	    .index = 7,
	    .term = 2,
	    .time = {5, 6},
	    .nodes = 1,
	};
	const size_t before = FILE_BYTES - ZK_BACKUP_TAIL_BYTES;

	for (size_t i = 0; i < FILE_BYTES; i++)
		file[i] = (uint8_t)(i * 37);
	zk_backup_head_encode(file, &head);
	zk_backup_tail_encode(file + before, before,
	    zk_crc32c(0, file, before));
}

static int
check_in_steps(size_t len, size_t step)
{
	struct zk_backup_check check = {0};

	for (size_t at = 0; at < len; at += step)
		zk_backup_check_add(&check, file + at,
		    len - at < step ? len - at : step);
	return zk_backup_check_end(&check);
}

Test(backup, head_comes_back)
{
	struct zk_backup_head head;

	make_file();
	cr_assert_eq(zk_backup_head_decode(file, FILE_BYTES, &head), 0);
	cr_assert_eq(head.index, 7);
	cr_assert_eq(head.term, 2);
	cr_assert_eq(head.ensemble[2], 3);
	for (size_t len = 8; len < ZK_BACKUP_HEAD_BYTES; len++)
		cr_assert_eq(zk_backup_head_decode(file, len, &head),
		    -ZK_ECORRUPT);
	file[20] ^= 1;
	cr_assert_eq(zk_backup_head_decode(file, FILE_BYTES, &head),
	    -ZK_ECORRUPT);
	file[0] ^= 1;
	cr_assert_eq(zk_backup_head_decode(file, FILE_BYTES, &head),
	    -ZK_EFOREIGN);
}

Test(backup, whole_in_any_pieces)
{
	make_file();
	for (size_t step = 1; step <= FILE_BYTES; step++)
		cr_assert_eq(check_in_steps(FILE_BYTES, step), 0);
}

Test(backup, cut_or_changed_anywhere)
{
	make_file();
	for (size_t len = 0; len < FILE_BYTES; len++)
		cr_assert_eq(check_in_steps(len, 13), -ZK_ECORRUPT);
	for (size_t i = 0; i < FILE_BYTES; i++) {
		file[i] ^= 0x10;
		cr_assert_eq(check_in_steps(FILE_BYTES, 64), -ZK_ECORRUPT);
		file[i] ^= 0x10;
	}
}
