/*
 * test_pki.c - unit tests of lib/pki.c: what it issues is read back with OpenSSL.
 */
#include "lib/fsutil.h"
#include "lib/pki.h"
#include "test/unit/lib/net_fixture.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

static X509 *load(const char *dir, const char *name)
{
	_free_ char *path = xasprintf("%s/%s.crt", dir, name);
	FILE *f = fopen(path, "r");
	X509 *x;

	assert_non_null(f);
	x = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	assert_non_null(x);
	return x;
}

static mode_t mode_of(const char *dir, const char *file)
{
	_free_ char *path = xasprintf("%s/%s", dir, file);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void test_authority(void **state _unused_)
{
	_arena_ a = arena_new();
	char *dir = net_folder(a);
	struct error e;
	X509 *first, *again;

	assert_int_equal(pki_ca_ensure(dir, "berth-ca", 3650, &e), 0);
	assert_int_equal(mode_of(dir, "ca.key"), 0600);
	assert_int_equal(mode_of(dir, "ca.crt"), 0644);
	first = load(dir, "ca");
	assert_int_equal(X509_check_ca(first), 1);
	assert_int_equal(X509_get_key_usage(first), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_int_equal(X509_get_pathlen(first), 0);
	assert_int_equal(X509_verify(first, X509_get0_pubkey(first)), 1);
	/* There already: untouched. */
	assert_int_equal(pki_ca_ensure(dir, "other", 1, &e), 0);
	again = load(dir, "ca");
	assert_int_equal(X509_cmp(first, again), 0);
	X509_free(first);
	X509_free(again);
	/* Half of it gone: both are made anew. */
	assert_int_equal(unlink(arena_printf(a, "%s/ca.key", dir)), 0);
	assert_int_equal(pki_ca_ensure(dir, "berth-ca", 3650, &e), 0);
	/* Damaged: said, not overwritten. */
	assert_int_equal(file_write_atomic(arena_printf(a, "%s/ca.crt", dir), "no", 2, 0644, &e), 0);
	assert_int_equal(pki_ca_ensure(dir, "berth-ca", 3650, &e), -E_INVALID);
	net_folder_drop(dir);
}

static void test_issue(void **state _unused_)
{
	static const char *const hosts[] = {"example.test", "10.1.2.3", "::1", NULL};
	_arena_ a = arena_new();
	char *dir = net_folder(a);
	struct pki_request req = {
		.common_name = "n1", .organization = "system:nodes", .hosts = hosts, .valid_days = 30};
	struct error e;
	X509 *crt, *second;

	assert_int_equal(pki_issue(dir, dir, "node", &req, &e), -E_NOT_FOUND); /* no CA yet */
	assert_int_equal(pki_ca_ensure(dir, "berth-ca", 3650, &e), 0);
	req.server = req.client = true;
	assert_int_equal(pki_issue(dir, arena_printf(a, "%s/sub", dir), "node", &req, &e), 0);
	crt = load(arena_printf(a, "%s/sub", dir), "node");
	assert_int_equal(mode_of(dir, "sub/node.key"), 0600);
	assert_int_equal(X509_check_host(crt, "example.test", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(crt, "other.test", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(crt, "10.1.2.3", 0), 1);
	assert_int_equal(X509_check_ip_asc(crt, "::1", 0), 1);
	assert_int_equal(X509_check_ip_asc(crt, "10.1.2.4", 0), 0);
	assert_int_equal(X509_check_ca(crt), 0);
	assert_int_equal(X509_get_extended_key_usage(crt), XKU_SSL_SERVER | XKU_SSL_CLIENT);
	assert_int_equal(X509_get_key_usage(crt), KU_DIGITAL_SIGNATURE);
	assert_true(pki_is_current(dir, arena_printf(a, "%s/sub", dir), "node", 29));
	assert_false(pki_is_current(dir, arena_printf(a, "%s/sub", dir), "node", 31));
	assert_false(pki_is_current(dir, dir, "node", 1));

	req.server = false;
	assert_int_equal(pki_issue(dir, arena_printf(a, "%s/sub", dir), "node", &req, &e), 0);
	second = load(arena_printf(a, "%s/sub", dir), "node");
	assert_int_equal(X509_get_extended_key_usage(second), XKU_SSL_CLIENT);
	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(crt), X509_get0_serialNumber(second)), 0);
	X509_free(crt);
	X509_free(second);

	req.common_name = "a-name-of-more-than-sixty-four-bytes-does-not-fit-into-a-certificate";
	assert_int_equal(pki_issue(dir, dir, "long", &req, &e), -E_INVALID);
	req.common_name = "";
	assert_int_equal(pki_issue(dir, dir, "none", &req, &e), -E_INVALID);
	net_folder_drop(dir);
}

static void test_current(void **state _unused_)
{
	_arena_ a = arena_new();
	char *dir = net_folder(a), *other = net_folder(a);
	struct pki_request req = {.common_name = "n1", .client = true, .valid_days = 30};
	struct error e;
	_buf_ key = BUF_INIT(65536);

	assert_int_equal(pki_ca_ensure(dir, "berth-ca", 3650, &e), 0);
	assert_int_equal(pki_ca_ensure(other, "berth-ca", 3650, &e), 0);
	assert_int_equal(pki_issue(dir, dir, "a", &req, &e), 0);
	assert_true(pki_is_current(dir, dir, "a", 1));
	assert_false(pki_is_current(other, dir, "a", 1)); /* another CA of the same name */
	/* A key that belongs to another certificate. */
	assert_int_equal(pki_issue(dir, dir, "b", &req, &e), 0);
	assert_int_equal(file_read(arena_printf(a, "%s/b.key", dir), &key, &e), 0);
	assert_int_equal(file_write_atomic(arena_printf(a, "%s/a.key", dir), key.data, key.len, 0600, &e), 0);
	assert_false(pki_is_current(dir, dir, "a", 1));
	net_folder_drop(dir);
	net_folder_drop(other);
}

static void test_token(void **state _unused_)
{
	char one[48], two[48];

	pki_token(one);
	pki_token(two);
	assert_int_equal(strlen(one), 43);
	assert_string_not_equal(one, two);
	assert_int_equal(strspn(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_authority),
		cmocka_unit_test(test_issue),
		cmocka_unit_test(test_current),
		cmocka_unit_test(test_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
