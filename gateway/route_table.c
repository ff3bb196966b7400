/*
 * route_table.c - lookup tables from claims: each host pattern's table is complete in itself; see route.h.
 */
#include "gateway/route_private.h"

static void map_add(struct arena *a, struct route_map *m, const char *key, const char *value)
{
	if (m->count == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct route_line *lines = arena_alloc(a, cap * sizeof(*lines));

		if (m->count)
			memcpy(lines, m->lines, m->count * sizeof(*lines));
		m->lines = lines;
		m->cap = cap;
	}
	m->lines[m->count++] = (struct route_line){key, value};
}

static int compare_key(const void *x, const void *y)
{
	return strcmp(((const struct route_line *)x)->key, ((const struct route_line *)y)->key);
}

static int compare_suffix(const void *x, const void *y)
{
	size_t lx = strlen(((const struct route_line *)x)->key), ly = strlen(((const struct route_line *)y)->key);

	return lx != ly ? (lx > ly ? -1 : 1) : compare_key(x, y);
}

static bool is_suffix(const char *pattern)
{
	return str_starts(pattern, "*.");
}

/* True when every host that pattern matches is matched by wider, too. */
static bool is_wider(const char *wider, const char *pattern)
{
	if (!*wider)
		return true;
	return is_suffix(wider) && strlen(pattern) > strlen(wider) && str_ends(pattern, wider + 1);
}

/* ---- one pattern's table ---- */

struct pattern_table {
	struct arena *a;
	struct route_table *t;
	const char *lead;      /* what its keys begin with */
	struct strmap *closed; /* "p/path", "e/path": what more specific patterns have taken */
};

static bool is_closed(const struct pattern_table *x, const struct route_claim *c)
{
	char key[2048];
	size_t len = strlen(c->path);

	if (len + 2 > sizeof(key))
		return true;
	memcpy(key + 1, c->path, len + 1);
	key[0] = 'e';
	if (c->exact && strmap_get(x->closed, key))
		return true;
	key[0] = 'p';
	for (;;) {
		if (strmap_get(x->closed, key))
			return true;
		if (streq(key, "p/"))
			return false;
		*strrchr(key, '/') = 0;
		if (!key[1])
			memcpy(key, "p/", sizeof("p/"));
	}
}

static void table_add(struct pattern_table *x, const struct route_claim *c)
{
	struct route_map *m = c->exact ? &x->t->exact : &x->t->prefix;
	const char *end = c->exact || streq(c->path, "/") ? "" : "/";

	map_add(x->a, m, arena_printf(x->a, "%s%s%s", x->lead, c->path, end), c->value);
}

/* Adds the claims of one pattern where nothing is closed, then closes what they cover. */
static void table_add_level(struct pattern_table *x, const struct route_claim *const *claims, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!is_closed(x, claims[i]))
			table_add(x, claims[i]);
	for (size_t i = 0; i < count; i++)
		strmap_put(x->closed, arena_printf(x->a, "%c%s", claims[i]->exact ? 'e' : 'p', claims[i]->path), x);
}

/* ---- all patterns ---- */

struct pattern {
	const char *host;
	const struct route_claim **claims;
	size_t count;
};

/* Most specific first: exact hosts, then suffixes by length, then "". */
static int compare_pattern(const void *x, const void *y)
{
	const struct pattern *px = x, *py = y;
	bool sx = is_suffix(px->host) || !*px->host, sy = is_suffix(py->host) || !*py->host;

	if (sx != sy)
		return sx ? 1 : -1;
	if (sx && strlen(px->host) != strlen(py->host))
		return strlen(px->host) > strlen(py->host) ? -1 : 1;
	return strcmp(px->host, py->host);
}

static size_t patterns_collect(struct route_builder *b, struct pattern **ret)
{
	struct strmap *index = strmap_new();
	struct pattern *all = arena_calloc(b->a, (b->claim_count + 1) * sizeof(*all));
	size_t count = 0;

	for (size_t i = 0; i < b->claim_count; i++) {
		struct pattern *p = strmap_get(index, b->claims[i].host);

		if (!p) {
			p = &all[count++];
			p->host = b->claims[i].host;
			strmap_put(index, p->host, p);
		}
		p->count++;
	}
	for (size_t i = 0; i < count; i++) {
		all[i].claims = arena_alloc(b->a, all[i].count * sizeof(*all[i].claims));
		all[i].count = 0;
	}
	for (size_t i = 0; i < b->claim_count; i++) {
		struct pattern *p = strmap_get(index, b->claims[i].host);

		p->claims[p->count++] = &b->claims[i];
	}
	strmap_free(index);
	qsort(all, count, sizeof(*all), compare_pattern);
	*ret = all;
	return count;
}

void route_table_fill(struct route_builder *b, struct route_table *t)
{
	struct pattern *patterns;
	size_t count = patterns_collect(b, &patterns);

	for (size_t i = 0; i < b->claim_count; i++)
		t->shape.exact |= b->claims[i].exact;
	for (size_t i = 0; i < count; i++) {
		const char *host = patterns[i].host;

		if (!*host)
			continue;
		if (is_suffix(host))
			map_add(b->a, &t->suffixes, host + 1, host);
		else
			map_add(b->a, &t->hosts, host, host);
	}
	t->shape.hosts = t->hosts.count > 0;
	t->shape.suffixes = t->suffixes.count > 0;
	bool any_host = t->shape.hosts || t->shape.suffixes;

	for (size_t i = 0; i < count; i++) {
		struct pattern_table x = {.a = b->a,
					  .t = t,
					  .closed = strmap_new(),
					  .lead = any_host ? arena_printf(b->a, "=%s", patterns[i].host) : ""};

		for (size_t k = i; k < count; k++)
			if (k == i || is_wider(patterns[k].host, patterns[i].host))
				table_add_level(&x, patterns[k].claims, patterns[k].count);
		strmap_free(x.closed);
	}
	struct route_map *const by_key[] = {&t->hosts, &t->exact, &t->prefix};

	for (size_t i = 0; i < ARRAY_SIZE(by_key); i++)
		if (by_key[i]->count)
			qsort(by_key[i]->lines, by_key[i]->count, sizeof(struct route_line), compare_key);
	if (t->suffixes.count)
		qsort(t->suffixes.lines, t->suffixes.count, sizeof(struct route_line), compare_suffix);
}

void route_map_write(const struct route_map *m, struct buf *out)
{
	for (size_t i = 0; i < m->count; i++)
		buf_addf(out, "%s %s\n", m->lines[i].key, m->lines[i].value);
}
