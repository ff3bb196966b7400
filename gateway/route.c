/*
 * route.c - from Routes to claims on (host, path); route_table.c makes lookup tables of them; see route.h.
 */
#include "gateway/route_private.h"

#include "lib/codec.h"
#include "lib/units.h"

#include <ctype.h>

int route_container_port(const struct json *container)
{
	return (int)json_int_or(json_get(json_item(json_in(container, "spec", "ports"), 0), "containerPort"), 0);
}

/* ---- verdicts ---- */

/* The first fault of a Route gives the reason; the messages of all are joined. */
static void fault(struct route_builder *b, struct route_verdict *v, const char *reason, const char *message)
{
	if (v->accepted) {
		v->accepted = false;
		v->reason = reason;
		v->message = message;
	} else if (strlen(v->message) < 512) {
		v->message = arena_printf(b->a, "%s; %s", v->message, message);
	}
}

static const char *meta(const struct json *o, const char *field)
{
	return json_str_or(json_in(o, "metadata", field), "");
}

/* Older first; then by namespace and name, so that every gateway decides alike. */
static int compare_age(const void *x, const void *y)
{
	static const char *const fields[] = {"creationTimestamp", "namespace", "name"};
	const struct route_verdict *const *vx = x, *const *vy = y;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		int r = strcmp(meta((*vx)->route, fields[i]), meta((*vy)->route, fields[i]));

		if (r)
			return r;
	}
	return 0;
}

/* ---- rules ---- */

static int segment_count(const char *path)
{
	int n = 0;

	for (const char *p = path; *p; p++)
		n += *p == '/' && p[1];
	return n;
}

static const struct route_extractor *extractor_add(struct route_builder *b, int segment, const char *header)
{
	struct route_extractor x = {.segment = segment};

	if (header) {
		char *lower = arena_strdup(b->a, header);

		for (char *p = lower; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		x.header = lower;
	}
	x.tag = header ? arena_printf(b->a, "h:%s", x.header) : arena_printf(b->a, "s%d", segment);
	struct route_extractor *known = strmap_get(b->extractors, x.tag);

	if (!known) {
		known = arena_alloc(b->a, sizeof(*known));
		*known = x;
		strmap_put(b->extractors, known->tag, known);
	}
	return known;
}

/* What a rule's matches have in common. */
struct target {
	const char *tag, *fixed, *backend;
	int port, segment;
	bool strip;
};

/* False, and a fault, when the rule cannot be served. */
static bool target_read(struct route_builder *b, struct route_verdict *v, const struct json *rule, struct target *ret)
{
	const struct json *backend = json_get(rule, "backend"), *instance = json_get(backend, "instance");
	const char *ns = meta(v->route, "namespace"), *name = json_str_or(json_get(backend, "container"), "");
	const char *header = json_str(json_get(instance, "header")), *fixed = json_str(json_get(instance, "fixed"));
	int segment = (int)json_int_or(json_get(instance, "pathSegment"), 0);
	const struct json *container = b->container(b->user, ns, name);
	_buf_ id = BUF_INIT(4096);

	*ret = (struct target){.port = (int)json_int_or(json_get(backend, "port"), 0),
			       .segment = segment,
			       .fixed = "",
			       .strip = json_bool_or(json_in(rule, "filters", "stripPrefix"), false)};
	if ((segment > 0) + (header != NULL) + (fixed != NULL) != 1) {
		fault(b, v, "InvalidInstance", "backend.instance needs exactly one of pathSegment, header and fixed");
		return false;
	}
	if (header && (!*header || strspn(header, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") !=
					   strlen(header))) {
		fault(b, v, "InvalidInstance", "backend.instance.header is not a header's name");
		return false;
	}
	if (!container)
		fault(b, v, "ContainerNotFound",
		      arena_printf(b->a, "Container \"%s\" does not exist; its requests get 503", name));
	else if (!ret->port)
		ret->port = route_container_port(container);
	if (container && !ret->port) {
		fault(b, v, "NoPort",
		      arena_printf(b->a,
				   "Container \"%s\" has no ports; name one in backend.port or in "
				   "the Container",
				   name));
		return false;
	}
	if (fixed) {
		b->shape->fixed = true;
		percent_encode(fixed, &id);
		ret->fixed = arena_strdup(b->a, id.data);
	}
	ret->tag = fixed ? "f" : extractor_add(b, segment, header)->tag;
	ret->backend = arena_printf(b->a, "%s/%s/", ns, name);
	return true;
}

static void claim(struct route_builder *b, struct route_verdict *v, const struct target *t, const char *host,
		  const struct json *match)
{
	const struct json *path = json_get(match, "path");
	struct route_claim c = {.host = host, .exact = streq(json_str(json_get(path, "type")), "Exact")};
	char *value = arena_strdup(b->a, json_str_or(json_get(path, "value"), "/"));
	size_t len = strlen(value);

	if (value[0] != '/' || strcspn(value, " \t\r\n?#|\"'\\") != len) {
		fault(b, v, "InvalidPath", arena_printf(b->a, "%s is not a path", value));
		return;
	}
	while (!c.exact && len > 1 && value[len - 1] == '/')
		value[--len] = 0;
	c.path = value;
	const char *key = arena_printf(b->a, "%s %c %s", host, c.exact ? 'e' : 'p', value);
	struct route_verdict *owner = strmap_get(b->owners, key);

	if (owner == v)
		return;
	if (owner) {
		fault(b, v, "Conflict",
		      arena_printf(b->a, "%s%s belongs to the older Route %s/%s", host, value,
				   meta(owner->route, "namespace"), meta(owner->route, "name")));
		return;
	}
	if (b->claim_count == ROUTE_MATCHES_MAX) {
		fault(b, v, "TooManyMatches",
		      arena_printf(b->a, "all Routes together have more than %d matches", ROUTE_MATCHES_MAX));
		return;
	}
	int strip = !t->strip ? 0 : t->segment > segment_count(value) ? t->segment : segment_count(value);

	if (strip > 0 && strip < ROUTE_STRIP_MAX)
		b->strip_used[strip] = true;
	c.value = arena_printf(b->a, "%s|%d|%d|%s|%s", t->tag, t->port, strip, t->backend, t->fixed);
	strmap_put(b->owners, key, v);
	b->claims[b->claim_count++] = c;
}

static void route_read(struct route_builder *b, struct route_verdict *v)
{
	const struct json *spec = json_get(v->route, "spec"), *rules = json_get(spec, "rules");
	const struct json *hosts = json_get(spec, "hostnames");
	size_t host_count = json_count(hosts);

	for (size_t r = 0; r < json_count(rules); r++) {
		const struct json *rule = json_item(rules, r), *matches = json_get(rule, "matches");
		size_t match_count = json_count(matches);
		struct target t;

		if (!target_read(b, v, rule, &t))
			continue;
		for (size_t h = 0; h < (host_count ? host_count : 1); h++)
			for (size_t m = 0; m < (match_count ? match_count : 1); m++)
				claim(b, v, &t, json_str_or(json_item(hosts, h), ""), json_item(matches, m));
	}
}

/* ---- the whole ---- */

static int compare_extractor(const void *x, const void *y)
{
	return strcmp(((const struct route_extractor *)x)->tag, ((const struct route_extractor *)y)->tag);
}

static void shape_finish(struct route_builder *b)
{
	struct route_shape *s = b->shape;
	size_t pos = 0;
	void *x;

	s->extractors = arena_calloc(b->a, (strmap_count(b->extractors) + 1) * sizeof(*s->extractors));
	while (strmap_next(b->extractors, &pos, NULL, &x))
		s->extractors[s->extractor_count++] = *(struct route_extractor *)x;
	qsort(s->extractors, s->extractor_count, sizeof(*s->extractors), compare_extractor);
	s->strips = arena_calloc(b->a, ROUTE_STRIP_MAX * sizeof(int));
	for (int i = 1; i < ROUTE_STRIP_MAX; i++)
		if (b->strip_used[i])
			s->strips[s->strip_count++] = i;
}

struct route_table *route_table_build(struct arena *a, const struct json *const *routes, size_t count,
				      route_container_fn *container, void *user)
{
	struct route_table *t = arena_calloc(a, sizeof(*t));
	struct route_verdict **order = arena_calloc(a, (count + 1) * sizeof(struct route_verdict *));
	struct route_builder b = {.a = a,
				  .shape = &t->shape,
				  .container = container,
				  .user = user,
				  .owners = strmap_new(),
				  .extractors = strmap_new()};

	b.claims = arena_alloc(a, ROUTE_MATCHES_MAX * sizeof(*b.claims));
	t->verdicts = arena_calloc(a, (count + 1) * sizeof(*t->verdicts));
	t->verdict_count = count;
	for (size_t i = 0; i < count; i++) {
		t->verdicts[i] = (struct route_verdict){routes[i], true, "Accepted", "The gateway serves it"};
		order[i] = &t->verdicts[i];
	}
	qsort(order, count, sizeof(*order), compare_age);
	for (size_t i = 0; i < count; i++)
		route_read(&b, order[i]);
	shape_finish(&b);
	route_table_fill(&b, t);
	strmap_free(b.owners);
	strmap_free(b.extractors);
	return t;
}
