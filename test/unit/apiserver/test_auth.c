/*
 * test_auth.c - token lines, the groups that come with a name, and tokens that are signed.
 */
#include "apiserver/auth.h"
#include "apiserver/auth_token.h"
#include "apiserver/jwt.h"
#include "lib/codec.h"
#include "lib/fsutil.h"
#include "lib/units.h"
#include "test/unit/apiserver/core_fixture.h"
#include <setjmp.h>
#include <sys/stat.h>

#include <cmocka.h>

static void test_token_lines(void **state)
{
	static const struct {
		const char *line, *user, *uid;
		size_t groups;
		bool good;
	} cases[] = {
		{"t,admin,1,\"system:masters\"", "admin", "1", 1, true},
		{"t,admin,1,\"a,b,c\"", "admin", "1", 3, true},
		{"t,u,,g", "u", "", 1, true},
		{"t,u,1", "u", "1", 0, true},
		{"t,u", "u", "", 0, true},
		{"t", NULL, NULL, 0, false},
		{",u,1", NULL, NULL, 0, false},
		{"t,u,1,g,more", NULL, NULL, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct identity who;
		char *token;
		assert_int_equal(auth_parse_line(a, cases[i].line, &token, &who), cases[i].good);
		if (!cases[i].good)
			continue;
		assert_string_equal(token, "t");
		assert_string_equal(who.user, cases[i].user);
		assert_string_equal(who.uid, cases[i].uid);
		assert_int_equal(who.group_count, cases[i].groups);
	}
}

static void test_number_of_groups(void **state)
{
	(void)state;
	for (size_t n = AUTH_GROUPS_GIVEN_MAX; n <= AUTH_GROUPS_GIVEN_MAX + 1; n++) {
		_arena_ a = arena_new();
		_buf_ line = BUF_INIT(4096);
		struct identity who;
		char *token;
		buf_addf(&line, "t,berth-gateway:x,,\"");
		for (size_t i = 0; i < n; i++)
			buf_addf(&line, "%sg%zu", i ? "," : "", i);
		buf_addf(&line, "\"");
		assert_int_equal(auth_parse_line(a, line.data, &token, &who), n == AUTH_GROUPS_GIVEN_MAX);
		if (n > AUTH_GROUPS_GIVEN_MAX)
			continue;
		identity_complete(a, &who);
		assert_true(identity_in_group(&who, AUTH_GATEWAYS));
		assert_true(identity_in_group(&who, AUTH_AUTHENTICATED));
	}
}

static void test_groups_of_names(void **state)
{
	static const struct {
		const char *user, *groups;
	} cases[] = {
		{"alice", "system:authenticated "},
		{AUTH_ANONYMOUS, "system:unauthenticated "},
		{"berth-gateway:fra", "berth:gateways system:authenticated "},
		{"system:serviceaccount:team:ci",
		 "system:serviceaccounts system:serviceaccounts:team system:authenticated "},
		{"system:serviceaccount:team", "system:authenticated "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct identity who = {.user = cases[i].user, .uid = ""};
		_buf_ text = BUF_INIT(1024);
		identity_complete(a, &who);
		identity_complete(a, &who); /* nothing is added twice */
		for (size_t g = 0; g < who.group_count; g++)
			buf_addf(&text, "%s ", who.groups[g]);
		assert_string_equal(text.data, cases[i].groups);
	}
}

static void test_jwt(void **state)
{
	struct core *c = *state;
	struct jwt_key *key, *again, *other;
	struct json *claims;
	struct error e;
	struct stat st;
	char *token;
	const char *path = arena_printf(c->arena, "%s/sa.key", c->dir);

	assert_int_equal(jwt_key_open(path, &key, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(jwt_key_open(path, &again, &e), 0);
	assert_int_equal(jwt_key_open(NULL, &other, &e), 0);
	assert_int_equal(jwt_sign(key, c->arena, core_json(c->arena, "{'sub': 'x'}"), &token, &e), 0);
	assert_int_equal(jwt_verify(again, c->arena, token, &claims, &e), 0);
	assert_string_equal(json_str(json_get(claims, "sub")), "x");
	assert_int_equal(jwt_verify(other, c->arena, token, &claims, &e), -E_UNAUTHORIZED);
	/* One bit anywhere, or a header that asks for no signature, and it is nobody's. */
	for (size_t i = 0; i < strlen(token); i += 7) {
		char *bad = arena_strdup(c->arena, token);
		bad[i] = bad[i] == 'A' ? 'Q' : 'A';
		if (strcmp(bad, token) != 0)
			assert_int_equal(jwt_verify(key, c->arena, bad, &claims, &e), -E_UNAUTHORIZED);
	}
	_buf_ none = BUF_INIT(1024);
	base64url_encode("{\"alg\":\"none\"}", 14, &none);
	const char *forged = arena_printf(c->arena, "%s%s", none.data, strchr(token, '.'));
	assert_int_equal(jwt_verify(key, c->arena, forged, &claims, &e), -E_UNAUTHORIZED);
	assert_int_equal(jwt_verify(key, c->arena, "a.b", &claims, &e), -E_UNAUTHORIZED);
	assert_int_equal(jwt_verify(key, c->arena, "", &claims, &e), -E_UNAUTHORIZED);
	jwt_key_free(key);
	jwt_key_free(again);
	jwt_key_free(other);
	assert_int_equal(file_write_atomic(path, "no key", 6, 0600, NULL), 0);
	assert_int_equal(jwt_key_open(path, &key, &e), -E_INVALID);
}

static struct json *account(struct core *c, const char *uid)
{
	return core_json(c->arena,
			 arena_printf(c->arena,
				      "{'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': {'name': 'ci', "
				      "'namespace': 'team', 'uid': '%s'}}",
				      uid));
}

static void test_account_tokens(void **state)
{
	struct core *c = *state;
	const struct kind *k = core_kind("serviceaccounts");
	int64_t revision = core_put(c, k, account(c, "u1"), 0), now = time_now_ms();
	struct account_token_request r = {.ns = "team", .name = "ci", .uid = "u1", .now_ms = now, .seconds = 600};
	struct account_tokens *t;
	struct identity who;
	struct error e;
	char *good, *late, *early, *foreign;

	assert_int_equal(account_tokens_open(NULL, c->server.cache, &t, &e), 0);
	assert_int_equal(account_token_issue(t, c->arena, &r, &good, &e), 0);
	r.now_ms = now - 601000;
	assert_int_equal(account_token_issue(t, c->arena, &r, &late, &e), 0);
	r.now_ms = now + 60000;
	assert_int_equal(account_token_issue(t, c->arena, &r, &early, &e), 0);
	r.now_ms = now;
	r.audiences = core_json(c->arena, "['vault']");
	assert_int_equal(account_token_issue(t, c->arena, &r, &foreign, &e), 0);

	for (int i = 0; i < 2; i++) { /* the second time from memory */
		assert_int_equal(account_token_check(t, good, c->arena, &who, &e), 0);
		assert_string_equal(who.user, "system:serviceaccount:team:ci");
		assert_string_equal(who.uid, "u1");
		assert_int_equal(account_token_check(t, late, c->arena, &who, &e), -E_UNAUTHORIZED);
		assert_int_equal(account_token_check(t, early, c->arena, &who, &e), -E_UNAUTHORIZED);
		assert_int_equal(account_token_check(t, foreign, c->arena, &who, &e), -E_UNAUTHORIZED);
	}
	/* With the account goes its token, and another account of that name does not bring it back. */
	assert_true(core_remove(c, k, account(c, "u1"), revision) > 0);
	assert_int_equal(account_token_check(t, good, c->arena, &who, &e), -E_UNAUTHORIZED);
	assert_true(core_put(c, k, account(c, "u2"), 0) > 0);
	assert_int_equal(account_token_check(t, good, c->arena, &who, &e), -E_UNAUTHORIZED);
	account_tokens_close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_lines),
		cmocka_unit_test(test_groups_of_names),
		cmocka_unit_test(test_number_of_groups),
		cmocka_unit_test_setup_teardown(test_jwt, core_setup, core_teardown),
		cmocka_unit_test_setup_teardown(test_account_tokens, core_setup, core_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
