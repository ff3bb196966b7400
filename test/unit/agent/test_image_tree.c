/*
 * test_image_tree.c - the merging of layers, as tables: entries in, surviving names out.
 *
 * An entry is written "KIND PATH[ TARGET]", KIND being f(ile), d(irectory), l(ink, symbolic), h(ard link), s(pecial);
 * layers are separated by "|". A survivor is "PATH=LAYER.POSITION", or "PATH=-" for a directory no layer has an entry
 * for.
 */
#include "agent/image_tree.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/image.h"

/* Adds the next entry of text to x; returns what follows it. */
static const char *add_entry(struct image_index *x, size_t *names, const char *text)
{
	static const char kinds[] = "fdlhs";
	static const enum image_entry_kind kind[] = {ENTRY_FILE, ENTRY_DIR, ENTRY_SYMLINK, ENTRY_HARDLINK,
						     ENTRY_SPECIAL};
	struct image_entry *entry = &x->entries[x->count++];
	size_t n = strcspn(text + 2, " ,|");

	entry->kind = kind[strchr(kinds, *text) - kinds];
	entry->path = (uint32_t)*names;
	*names += (size_t)sprintf(x->names + *names, "%.*s", (int)n, text + 2) + 1;
	text += 2 + n;
	if (*text == ' ') {
		n = strcspn(text + 1, ",|");
		entry->link = (uint32_t)*names;
		*names += (size_t)sprintf(x->names + *names, "%.*s", (int)n, text + 1) + 1;
		text += 1 + n;
	}
	return text;
}

/* Applies all layers of text. */
static int apply(struct image_tree *t, const char *text, size_t *ret_layers, struct error *e)
{
	struct image_entry entries[64];
	char names[8192];
	int r = 0;

	*ret_layers = 0;
	while (!r) {
		struct image_index x = {.entries = entries, .names = names};
		size_t used = 0;

		while (*text && *text != '|') {
			text = add_entry(&x, &used, text);
			text += *text == ',';
		}
		r = image_tree_apply(t, &x, e);
		(*ret_layers)++;
		if (!*text++)
			break;
	}
	return r;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "a=0.0 b=0.1", sorted. */
static char *outcome(struct image_tree *t, size_t layers)
{
	struct buf path = BUF_INIT(IMAGE_TREE_PATH_MAX), out = BUF_INIT(65536);
	char *lines[64];
	size_t n = 0;

	image_tree_finish(t);
	for (size_t layer = 0; layer < layers; layer++)
		for (size_t i = 0; i < 64; i++)
			for (uint32_t name = image_tree_first(t, layer, i); name != IMAGE_TREE_NONE;
			     name = image_tree_next(t, name)) {
				image_tree_path(t, name, &path);
				lines[n++] = xasprintf("%s=%zu.%zu", path.len ? path.data : "/", layer, i);
			}
	for (size_t i = 0; image_tree_implied(t, i) != IMAGE_TREE_NONE; i++) {
		image_tree_path(t, image_tree_implied(t, i), &path);
		lines[n++] = xasprintf("%s=-", path.data);
	}
	qsort(lines, n, sizeof(*lines), compare);
	for (size_t i = 0; i < n; i++) {
		buf_addf(&out, "%s%s", i ? " " : "", lines[i]);
		free(lines[i]);
	}
	buf_free(&path);
	return buf_steal(&out);
}

static void test_merge(void **state)
{
	(void)state;
	static const struct {
		const char *layers, *survivors;
	} cases[] = {
		{"d etc,f etc/a", "etc/a=0.1 etc=0.0"},
		{"f ./etc//a", "etc/a=0.0 etc=-"},
		{"f /etc/a", "etc/a=0.0 etc=-"},
		{"d ./,f a", "/=0.0 a=0.1"},
		/* replaced and merged */
		{"f a|f a", "a=1.0"},
		{"f a,f a,f a", "a=0.2"},
		{"d d,f d/x|d d,f d/y", "d/x=0.1 d/y=1.1 d=1.0"},
		{"d d,f d/x|f d", "d=1.0"},
		{"f d|d d,f d/x", "d/x=1.1 d=1.0"},
		{"d d,f d/x|f d|d d", "d=2.0"},
		/* whiteouts */
		{"f a,f b|f .wh.a", "b=0.1"},
		{"d d,f d/x,d d/e,f d/e/y|f .wh.d", ""},
		{"d d,f d/x|f .wh.d,d d,f d/y", "d/y=1.2 d=1.1"},
		{"d d,f d/x|d d,f d/y,f .wh.d", "d/y=1.1 d=1.0"},
		{"f a|f .wh.nothing", "a=0.0"},
		{"f a|f no/such/.wh.a", "a=0.0"},
		{"f a|f a,f .wh.a", "a=1.0"},
		{"f a|f .wh.a|f a", "a=2.0"},
		{"f .wh.a,f a", "a=0.1"},
		/* opaque directories */
		{"d d,f d/x,d d/e,f d/e/z|d d,f d/.wh..wh..opq,f d/y", "d/y=1.2 d=1.0"},
		{"d d,f d/x|d d,f d/y,f d/.wh..wh..opq", "d/y=1.1 d=1.0"},
		{"d d,f d/x|f d/.wh..wh..opq|f d/y", "d/y=2.0 d=0.0"},
		{"f a|f .wh..wh..opq", ""},
		{"f a|f .wh..wh.plnk,f .wh..wh.aufs", "a=0.0"},
		/* hard links */
		{"f a,h b a", "a=0.0 b=0.0"},
		{"f a|h b a", "a=0.0 b=0.0"},
		{"f a,h b a|f a", "a=1.0 b=0.0"},
		{"f a,h b a|f .wh.a", "b=0.0"},
		{"f a,h b a|f .wh.a,f .wh.b", ""},
		{"f a,h a a", "a=0.0"},
		{"f a,h b a,h c b|f .wh.b", "a=0.0 c=0.0"},
		{"f d/a|h x /d/a", "d/a=0.0 d=- x=0.0"},
		{"l s t,h u s|f u/x", "s=0.0 t/x=1.0 t=- u=0.0"},
		/* symbolic links on the way are followed inside the root */
		{"d usr,d usr/lib,l lib usr/lib|f lib/x", "lib=0.2 usr/lib/x=1.0 usr/lib=0.1 usr=0.0"},
		{"l out /etc|f out/passwd", "etc/passwd=1.0 etc=- out=0.0"},
		{"l out ../../../etc|f out/passwd", "etc/passwd=1.0 etc=- out=0.0"},
		{"l a b,l b c|f a/x", "a=0.0 b=0.1 c/x=1.0 c=-"},
		{"d d,l d/up ..|f d/up/x", "d/up=0.1 d=0.0 x=1.0"},
		{"l s t|d s,f s/x", "s/x=1.1 s=1.0"},
		{"l s t|f s", "s=1.0"},
		{"d t,f t/x,l s t|f s/.wh.x", "s=0.2 t=0.0"},
		{"s dev/null", "dev/null=0.0 dev=-"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image_tree *t = image_tree_new();
		struct error e;
		size_t layers;

		if (apply(t, cases[i].layers, &layers, &e))
			fail_msg("%s: %s", cases[i].layers, e.text);
		_free_ char *got = outcome(t, layers);

		if (!streq(got, cases[i].survivors))
			fail_msg("%s: \"%s\", not \"%s\"", cases[i].layers, got, cases[i].survivors);
		image_tree_free(t);
	}
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *layers, *part;
	} cases[] = {
		{"f ../etc/passwd", "the path ../etc/passwd leads out of the image"},
		{"f a/../../b", "leads out of the image"},
		{"f a/..", "leads out of the image"},
		{"f a,h b ../../etc/shadow", "the hard link b leads out of the image (../../etc/shadow)"},
		{"h b a", "the hard link b has no target: there is no a"},
		{"h b b", "has no target"},
		{"f a|f .wh.a,h b a", "has no target"},
		{"d d,h x d", "leads to a directory"},
		{"h x /", "has no target"},
		{"f a|f a/b", "/a/b lies below a file that is not a directory"},
		{"s n,f n/b", "lies below a file"},
		{"l a a|f a/x", "more than 40 symbolic links"},
		{"l a b,l b a|f a/x", "more than 40 symbolic links"},
		{"f .wh.", "whiteout of no name"},
		{"f .wh..", "whiteout of no name"},
		{"d d|f d/.wh...", "whiteout of no name"},
		{"f .", "replace the root"},
		{"l / x", "replace the root"},
		{"f .wh.../x,f ../.wh.x", "leads out of the image"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image_tree *t = image_tree_new();
		struct error e = {0};
		size_t layers;

		if (apply(t, cases[i].layers, &layers, &e) != -E_INVALID)
			fail_msg("%s was taken", cases[i].layers);
		if (!strstr(e.text, cases[i].part))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].layers, e.text, cases[i].part);
		image_tree_free(t);
	}
}

/* One layer with one entry of that path. */
static int apply_one(struct image_tree *t, char *path, enum image_entry_kind kind, struct error *e)
{
	struct image_entry entry = {.kind = kind};
	struct image_index x = {.entries = &entry, .count = 1, .names = path};

	return image_tree_apply(t, &x, e);
}

static void test_limits(void **state)
{
	(void)state;
	struct image_tree *t = image_tree_new();
	char path[IMAGE_PATH_MAX];
	struct error e;

	memset(path, 'a', sizeof(path));
	path[255] = '\0';
	assert_int_equal(apply_one(t, path, ENTRY_FILE, &e), 0);
	path[255] = 'a';
	path[256] = '\0';
	assert_int_equal(apply_one(t, path, ENTRY_FILE, &e), -E_INVALID);
	assert_non_null(strstr(e.text, "longer than 255 bytes"));
	for (size_t i = 0; i < 2 * IMAGE_DEPTH_MAX; i += 2)
		memcpy(path + i, "b/", 2);
	path[2 * IMAGE_DEPTH_MAX] = '\0';
	assert_int_equal(apply_one(t, path, ENTRY_DIR, &e), 0);
	memcpy(path + 2 * IMAGE_DEPTH_MAX, "c", 2);
	assert_int_equal(apply_one(t, path, ENTRY_DIR, &e), -E_INVALID);
	assert_non_null(strstr(e.text, "1024 directories deep"));
	image_tree_free(t);
}

/* A directory with many names, taken away and made again and again: every layer costs what it brings, not what is
 * there. */
static void test_repeated_whiteouts(void **state)
{
	(void)state;
	enum { N = 50000 };
	struct image_tree *t = image_tree_new();
	struct image_entry *entries = xcalloc(N, sizeof(*entries));
	char *names = xmalloc(N * 12);
	struct image_index x = {.entries = entries, .count = N, .names = names};
	size_t used = 0;

	for (size_t i = 0; i < N; i++) {
		entries[i].path = (uint32_t)used;
		used += (size_t)snprintf(names + used, 32, "d/%zu", i) + 1;
	}
	assert_int_equal(image_tree_apply(t, &x, NULL), 0);
	for (size_t i = 0; i < N; i++)
		entries[i].path = 0;
	memcpy(names, ".wh.d", sizeof(".wh.d"));
	for (int layer = 0; layer < 50; layer++)
		assert_int_equal(image_tree_apply(t, &x, NULL), 0);
	image_tree_finish(t);
	assert_int_equal(image_tree_count(t), 1);
	image_tree_free(t);
	free(entries);
	free(names);
}

static void test_too_many(void **state)
{
	(void)state;
	struct image_tree *t = image_tree_new();
	struct image_entry *entries = xcalloc(IMAGE_ENTRIES_MAX + 1, sizeof(*entries));
	char *names = xmalloc((IMAGE_ENTRIES_MAX + 1) * 8UL);
	struct image_index x = {.entries = entries, .count = IMAGE_ENTRIES_MAX, .names = names};
	size_t used = 0;
	struct error e;

	for (size_t i = 0; i <= IMAGE_ENTRIES_MAX; i++) {
		entries[i].path = (uint32_t)used;
		used += (size_t)snprintf(names + used, 32, "%zu", i) + 1;
	}
	assert_int_equal(image_tree_apply(t, &x, &e), 0);
	x = (struct image_index){.entries = entries + IMAGE_ENTRIES_MAX, .count = 1, .names = names};
	assert_int_equal(image_tree_apply(t, &x, &e), -E_TOO_LARGE);
	assert_string_equal(e.text, "the image has more than 1000000 files");
	image_tree_finish(t);
	assert_int_equal(image_tree_count(t), IMAGE_ENTRIES_MAX + 1); /* and the root */
	image_tree_free(t);
	free(entries);
	free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),	 cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_limits),	 cmocka_unit_test(test_repeated_whiteouts),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
