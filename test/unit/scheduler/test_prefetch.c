/*
 * test_prefetch.c - which Image objects there are, where from, and with which pull Secrets.
 */
#include "fixture.h"

#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_A "sha256-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	fixture_init(f);
	fixture_location(f, "fra", 50.11, 8.68, "WEUR");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	free(*state);
	return 0;
}

/* A Container of any namespace whose first Revision is that image. */
static void add(struct fixture *f, const char *ns, const char *name, const char *image, const char *secrets)
{
	const struct container *c = (struct container *)fixture_yaml(
		f, WORLD_CONTAINER,
		arena_printf(f->arena,
			     "{metadata: {name: %s, namespace: %s}, spec: {image: 'r/x:v1', imagePullSecrets: [%s]}}",
			     name, ns, secrets));

	fixture_yaml(
		f, WORLD_REVISION,
		arena_printf(
			f->arena,
			"{metadata: {name: %s-1, namespace: %s, annotations: {berth.dev/template-hash: '%s'}}, spec: "
			"{containerName: %s, number: 1, imageDigest: '" DIGEST_A "', image: '%s@" DIGEST_A "'}}",
			name, ns, c->template_hash, name, image));
}

static void drop(struct fixture *f, enum world_kind kind, const char *ns, const char *name)
{
	world_remove(f->world, kind, json_clone(f->arena, world_find(f->world, kind, ns, name)->object));
}

static const struct json *image_spec(struct fixture *f)
{
	const struct record *r = world_find(f->world, WORLD_IMAGE, NULL, NAME_A);

	return r ? json_get(r->object, "spec") : NULL;
}

static void assert_secrets(struct fixture *f, const char *expected)
{
	const struct json *list = json_get(image_spec(f), "pullSecrets");
	_buf_ text = BUF_INIT(4096);

	for (size_t i = 0; i < json_count(list); i++)
		buf_addf(&text, "%s%s/%s", i ? " " : "", json_str(json_get(json_item(list, i), "namespace")),
			 json_str(json_get(json_item(list, i), "name")));
	assert_string_equal(text.len ? text.data : "", expected);
}

static void test_secrets_of_all_containers(void **state)
{
	struct fixture *f = *state;

	add(f, "b", "two", "r/x", "{name: s}, {name: a}");
	add(f, "a", "one", "r/x", "{name: s}");
	add(f, "a", "more", "r/x", "{name: s}");
	fixture_settle(f);
	assert_secrets(f, "a/s b/a b/s");
	/* A change of the Container is followed, and makes no Revision. */
	add(f, "b", "two", "r/x", "{name: c}");
	fixture_settle(f);
	assert_secrets(f, "a/s b/c");
	assert_int_equal(world_count(f->world, WORLD_REVISION), 3);
	add(f, "b", "two", "r/x", "");
	add(f, "a", "one", "r/x", "");
	add(f, "a", "more", "r/x", "");
	fixture_settle(f);
	assert_secrets(f, "");
	assert_null(json_get(image_spec(f), "pullSecrets"));
}

/* The same digest in two repositories: each one's Secrets are for it alone. */
static void test_secrets_stay_with_their_repository(void **state)
{
	struct fixture *f = *state;

	add(f, "a", "one", "r/x", "{name: for-r}");
	fixture_settle(f);
	add(f, "b", "two", "q/x", "{name: for-q}");
	fixture_settle(f);
	assert_string_equal(json_str(json_get(image_spec(f), "reference")), "r/x@" DIGEST_A);
	assert_secrets(f, "a/for-r");
	/* The first repository is no longer named: the Image is made anew for the other one. */
	drop(f, WORLD_REVISION, "a", "one-1");
	drop(f, WORLD_CONTAINER, "a", "one");
	fixture_settle(f);
	assert_string_equal(json_str(json_get(image_spec(f), "reference")), "q/x@" DIGEST_A);
	assert_secrets(f, "b/for-q");
	drop(f, WORLD_REVISION, "b", "two-1");
	drop(f, WORLD_CONTAINER, "b", "two");
	fixture_settle(f);
	assert_null(image_spec(f));
}

/* 63, 64 and 65 Secrets: 64 are named. */
static void test_secrets_have_a_limit(void **state)
{
	struct fixture *f = *state;

	for (int k = 0; k < 65; k++) {
		add(f, "a", arena_printf(f->arena, "c%d", k), "r/x", arena_printf(f->arena, "{name: s%d}", k));
		if (k < 62)
			continue;
		fixture_settle(f);
		assert_int_equal(json_count(json_get(image_spec(f), "pullSecrets")), k + 1 < 64 ? k + 1 : 64);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_secrets_of_all_containers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets_stay_with_their_repository, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets_have_a_limit, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
