/*
 * test_codec.c - lib/codec.c: encodings both ways, hashes, random names.
 */
#include "lib/codec.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static void test_hex(void **state)
{
	char out[9];

	(void)state;
	hex_encode("\x00\x7f\x80\xff", 4, out);
	assert_string_equal(out, "007f80ff");
	hex_encode("", 0, out);
	assert_string_equal(out, "");
}

/* Source of the first seven: RFC 4648, section 10. */
static const struct {
	const char *text, *standard, *url;
} base64[] = {
	{"", "", ""},
	{"f", "Zg==", "Zg"},
	{"fo", "Zm8=", "Zm8"},
	{"foo", "Zm9v", "Zm9v"},
	{"foob", "Zm9vYg==", "Zm9vYg"},
	{"fooba", "Zm9vYmE=", "Zm9vYmE"},
	{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
	{"\xfb\xff\xfe", "+//+", "-__-"},
};

static void test_base64(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(base64); i++) {
		_buf_ s = BUF_INIT(100), u = BUF_INIT(100), d = BUF_INIT(100);
		const char *text = base64[i].text;

		base64_encode(text, strlen(text), &s);
		base64url_encode(text, strlen(text), &u);
		assert_string_equal(s.data ? s.data : "", base64[i].standard);
		assert_string_equal(u.data ? u.data : "", base64[i].url);
		assert_int_equal(base64_decode(base64[i].standard, strlen(base64[i].standard), &d, NULL), 0);
		assert_int_equal(base64_decode(base64[i].url, strlen(base64[i].url), &d, NULL), 0);
		assert_int_equal(d.len, 2 * strlen(text));
		if (d.len)
			assert_memory_equal(d.data, text, strlen(text));
	}
}

static void test_base64_refuses(void **state)
{
	static const char *const bad[] = {"A", "AAAAA", "Zg=x", "Z g=", "Zg==Zg==", "Z.g=", "\xff\xff\xff\xff"};
	_buf_ small = BUF_INIT(2), d = BUF_INIT(100);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (base64_decode(bad[i], strlen(bad[i]), &d, NULL) != -E_BAD_REQUEST)
			fail_msg("%s", bad[i]);
	buf_reset(&d);
	assert_int_equal(base64_decode("Zm9v\nYmFy\r\n", 10, &d, NULL), 0);
	assert_string_equal(d.data, "foobar");
	assert_int_equal(base64_decode("Zm9v", 4, &small, NULL), -E_TOO_LARGE);
}

static void test_percent(void **state)
{
	_buf_ b = BUF_INIT(100), d = BUF_INIT(100);

	(void)state;
	percent_encode("aZ09-._~ /?&=+%\xc3\xa9", &b);
	assert_string_equal(b.data, "aZ09-._~%20%2F%3F%26%3D%2B%25%C3%A9");
	assert_int_equal(percent_decode(b.data, b.len, false, &d, NULL), 0);
	assert_string_equal(d.data, "aZ09-._~ /?&=+%\xc3\xa9");
	buf_reset(&d);
	assert_int_equal(percent_decode("a+b%2b", 6, true, &d, NULL), 0);
	assert_string_equal(d.data, "a b+");
	buf_reset(&d);
	assert_int_equal(percent_decode("a+b%2B", 6, false, &d, NULL), 0);
	assert_string_equal(d.data, "a+b+");
	buf_reset(&d);
	assert_int_equal(percent_decode("%00", 3, false, &d, NULL), 0);
	assert_int_equal(d.len, 1);
	assert_int_equal(percent_decode("%", 1, false, &d, NULL), -E_BAD_REQUEST);
	assert_int_equal(percent_decode("%4", 2, false, &d, NULL), -E_BAD_REQUEST);
	assert_int_equal(percent_decode("%4g", 3, false, &d, NULL), -E_BAD_REQUEST);
	assert_int_equal(percent_decode("%g4", 3, false, &d, NULL), -E_BAD_REQUEST);
	/* Never looks behind the end. */
	assert_int_equal(percent_decode("%41", 2, false, &d, NULL), -E_BAD_REQUEST);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *s;
		size_t prefix;
	} cases[] = {
		{"", 0},
		{"plain text, longer than eight bytes", 35},
		{"\xc3\xa9", 2},
		{"\xe2\x82\xac", 3},
		{"\xf0\x9d\x84\x9e", 4},
		{"\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 18},
		{"\xed\x9f\xbf\xee\x80\x80", 6},
		{"12345678\xc3\xa9"
		 "12345678\xff",
		 18},
		{"a\x80", 1},
		{"a\xc0\x80", 1},
		{"a\xc1\xbf", 1},
		{"a\xc3", 1},
		{"a\xc3"
		 "a",
		 1},
		{"a\xe0\x9f\xbf", 1},
		{"a\xed\xa0\x80", 1},
		{"a\xe2\x82", 1},
		{"a\xf0\x8f\xbf\xbf", 1},
		{"a\xf4\x90\x80\x80", 1},
		{"a\xf5\x80\x80\x80", 1},
		{"a\xf0\x9d\x84", 1},
		{"a\xfe", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (utf8_prefix(cases[i].s, strlen(cases[i].s)) != cases[i].prefix)
			fail_msg("case %zu: %zu", i, utf8_prefix(cases[i].s, strlen(cases[i].s)));
}

/* Source: FIPS 180-4 examples. */
static void test_sha256(void **state)
{
	struct sha256 *h = sha256_new();
	char out[SHA256_HEX_MAX];

	(void)state;
	sha256_hex("abc", 3, out);
	assert_string_equal(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_update(h, "a", 1);
	sha256_update(h, "bc", 2);
	sha256_final_hex(h, out);
	assert_string_equal(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_final_hex(h, out);
	assert_string_equal(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_free(h);
	sha256_free(NULL);
}

static void test_random(void **state)
{
	char uuid[UUID_TEXT_MAX], other[UUID_TEXT_MAX], name[9];
	unsigned char bytes[64] = {0};
	unsigned any = 0;

	(void)state;
	uuid_generate_text(uuid);
	uuid_generate_text(other);
	assert_int_equal(strlen(uuid), 36);
	assert_int_equal(uuid[14], '4');
	assert_string_not_equal(uuid, other);
	random_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		any |= bytes[i];
	assert_int_not_equal(any, 0);
	for (int i = 0; i < 1000; i++) {
		random_name(name, 8);
		assert_int_equal(strspn(name, "bcdfghjklmnpqrstvwxz2456789"), 8);
		assert_int_equal(name[8], '\0');
	}
}

static void test_secrets(void **state)
{
	(void)state;
	assert_true(secret_equal("", ""));
	assert_true(secret_equal("abc", "abc"));
	assert_false(secret_equal("abc", "abd"));
	assert_false(secret_equal("abc", "ab"));
	assert_false(secret_equal("", "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hex),	cmocka_unit_test(test_base64),	cmocka_unit_test(test_base64_refuses),
		cmocka_unit_test(test_percent), cmocka_unit_test(test_utf8),	cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_random),	cmocka_unit_test(test_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
