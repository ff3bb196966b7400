/*
 * test_strmap.c - the hash map against a plain model: random puts and removes, growth, iteration.
 */
#include "lib/strmap.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define KEYS 3000

static void test_behaves_like_an_array(void **state)
{
	struct strmap *m = strmap_new();
	static int values[KEYS];
	bool there[KEYS] = {false};
	size_t count = 0;
	char key[32];

	(void)state;
	srand(7);
	for (int step = 0; step < 100000; step++) {
		int k = rand() % KEYS;

		snprintf(key, sizeof(key), "key-%d", k);
		if (rand() % 2) {
			void *old = strmap_put(m, key, &values[k]);

			assert_ptr_equal(old, there[k] ? &values[k] : NULL);
			count += !there[k];
			there[k] = true;
		} else {
			void *old = strmap_remove(m, key);

			assert_ptr_equal(old, there[k] ? &values[k] : NULL);
			count -= there[k];
			there[k] = false;
		}
		assert_int_equal(strmap_count(m), count);
	}
	for (int k = 0; k < KEYS; k++) {
		snprintf(key, sizeof(key), "key-%d", k);
		assert_ptr_equal(strmap_get(m, key), there[k] ? &values[k] : NULL);
	}
	strmap_free(m);
}

static void test_walks_every_entry_once(void **state)
{
	struct strmap *m = strmap_new();
	int seen[100] = {0}, values[100];
	const char *name;
	char key[32];
	void *v;

	(void)state;
	for (int k = 0; k < 100; k++) {
		snprintf(key, sizeof(key), "%d", k);
		strmap_put(m, key, &values[k]);
	}
	for (size_t pos = 0; strmap_next(m, &pos, &name, &v);) {
		assert_ptr_equal(v, &values[strtol(name, NULL, 10)]);
		seen[strtol(name, NULL, 10)]++;
	}
	for (int k = 0; k < 100; k++)
		assert_int_equal(seen[k], 1);
	strmap_free(m);
	strmap_free(NULL);
}

static void test_hash_is_never_zero_and_depends_on_every_byte(void **state)
{
	char text[64] = "abcdefghijklmnopqrstuvwxyz";

	(void)state;
	uint64_t h = strmap_hash(text);

	for (size_t i = 0; i < 26; i++) {
		text[i] ^= 1;
		assert_true(strmap_hash(text) != h && strmap_hash(text) != 0);
		text[i] ^= 1;
	}
	assert_true(strmap_hash("") != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_behaves_like_an_array),
		cmocka_unit_test(test_walks_every_entry_once),
		cmocka_unit_test(test_hash_is_never_zero_and_depends_on_every_byte),
	};

	return cmocka_run_group_tests_name("lib/strmap", tests, NULL, NULL);
}
