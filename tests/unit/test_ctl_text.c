#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The objects of ctl/ belong to its program: a test brings what it tests. */
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "ctl/text.c"

Test(ctl_text, numbers_are_decimal_and_nothing_else)
{
	static const struct {
		const char *text;
		uint64_t max;
		int rc;
		uint64_t want;
	} cases[] = {
	    {"0", UINT64_MAX, 0, 0},
	    {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
	    {"18446744073709551616", UINT64_MAX, -ERANGE, 0},
	    {"99999999999999999999", UINT64_MAX, -ERANGE, 0},
	    {"5", 5, 0, 5},
	    {"6", 5, -ERANGE, 0},
	    {"10", 5, -ERANGE, 0},
	    {"007", UINT64_MAX, 0, 7},
	    {"", UINT64_MAX, -EINVAL, 0},
	    {"-1", UINT64_MAX, -EINVAL, 0},
	    {"+1", UINT64_MAX, -EINVAL, 0},
	    {" 1", UINT64_MAX, -EINVAL, 0},
	    {"1 ", UINT64_MAX, -EINVAL, 0},
	    {"0x1", UINT64_MAX, -EINVAL, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t got = 0;
		int rc;

		rc = zk_ctl_parse_number(cases[i].text, cases[i].max, &got);
		cr_expect_eq(rc, cases[i].rc, "%s", cases[i].text);
		cr_expect_eq(got, cases[i].want, "%s", cases[i].text);
	}
}

Test(ctl_text, seconds_may_have_a_fraction)
{
	static const struct {
		const char *text;
		int rc;
		uint32_t want;
	} cases[] = {
	    {"0", 0, 0},
	    {"10", 0, 10000},
	    {"0.5", 0, 500},
	    {"1.05", 0, 1050},
	    {"1.0019", 0, 1001},
	    {"2.", 0, 2000},
	    {"4294966.999", 0, 4294966999},
	    {"4294967", -ERANGE, 0},
	    {"99999999999999999999", -ERANGE, 0},
	    {".5", -EINVAL, 0},
	    {"", -EINVAL, 0},
	    {"1s", -EINVAL, 0},
	    {"-1", -EINVAL, 0},
	    {"1.5.2", -EINVAL, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t got = 0;
		int rc = zk_ctl_parse_seconds(cases[i].text, &got);

		cr_expect_eq(rc, cases[i].rc, "%s: %d", cases[i].text, rc);
		cr_expect_eq(got, cases[i].want, "%s", cases[i].text);
	}
}

static void
expect_json(void (*print)(FILE *, const char *), const char *text,
    const char *want)
{
	char *got = NULL;
	size_t len;
	FILE *out = open_memstream(&got, &len);

	cr_assert_not_null(out);
	print(out, text);
	(void)fclose(out);
	cr_expect_str_eq(got, want);
	free(got);
}

/* RFC 8259, section 7: what must be escaped. */
Test(ctl_text, strings_of_json_are_escaped)
{
	expect_json(zk_ctl_json_string, "", "\"\"");
	expect_json(zk_ctl_json_string, "a\"b\\c", "\"a\\\"b\\\\c\"");
	expect_json(zk_ctl_json_string, "\n\x01", "\"\\u000a\\u0001\"");
	expect_json(zk_ctl_json_string, "\xc3\xa4", "\"\xc3\xa4\"");
}

static void
print_bytes(FILE *out, const char *text)
{
	zk_ctl_json_bytes(out, text, 5);
}

/* A record is bytes; what is printed is JSON all the same. */
Test(ctl_text, what_is_no_text_is_a_string_of_json)
{
	expect_json(print_bytes, "a\0b\xff\xc3", "\"a\\u0000b\\udcff\\udcc3\"");
	expect_json(zk_ctl_json_string, "\xed\xa0\x80 \xc0\x80",
	    "\"\\udced\\udca0\\udc80 \\udcc0\\udc80\"");
}

/* RFC 8259, section 6: no leading zeros, no sign but minus. */
Test(ctl_text, only_what_is_a_number_becomes_one)
{
	expect_json(zk_ctl_json_value, "0", "0");
	expect_json(zk_ctl_json_value, "42", "42");
	expect_json(zk_ctl_json_value, "042", "\"042\"");
	expect_json(zk_ctl_json_value, "4.2", "\"4.2\"");
	expect_json(zk_ctl_json_value, "", "\"\"");
	expect_json(zk_ctl_json_value, "123456789012345", "123456789012345");
	expect_json(zk_ctl_json_value, "1234567890123456",
	    "\"1234567890123456\"");
}

Test(ctl_text, reading_stops_at_the_bound)
{
	const size_t bytes = 200000;
	char *text = NULL;
	size_t len = 0;
	FILE *file = tmpfile();
	int fd;

	cr_assert_not_null(file);
	fd = fileno(file);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	cr_expect_eq(zk_ctl_read_all(fd, bytes - 1, &text, &len), -EFBIG);
	cr_expect_null(text, "outputs are set only on success");
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	cr_assert_eq(zk_ctl_read_all(fd, bytes, &text, &len), 0);
	cr_expect_eq(len, bytes);
	free(text);
	(void)fclose(file);
	cr_expect_eq(zk_ctl_read_file("/nonexistent/file", 1, &text), -ENOENT);
}
