/*
 * gc_namespace.c - namespaces that always exist, and the end of those that do not; see gc_private.h.
 */
#include "apiserver/change.h"
#include "apiserver/gc_private.h"
#include "apiserver/prepare.h"
#include "lib/log.h"
#include "lib/units.h"

bool gc_empty_namespace(struct server *s, const char *ns)
{
	size_t left = 0;

	for (size_t i = 0; i < kind_count(); i++) {
		struct cache_query q = {.filter = {.kind = kind_at(i), .ns = ns}};
		struct cache_page page = {0};
		if (!q.filter.kind->namespaced || cache_list(s->cache, &q, &page, NULL) < 0)
			continue;
		for (size_t n = 0; n < page.count; n++) {
			if (!page.items[n]->terminating)
				gc_delete(s, page.items[n], NULL);
			_object_ still = cache_get(s->cache, q.filter.kind, page.items[n]->key);
			left += still != NULL;
		}
		cache_page_clear(&page);
	}
	return left == 0;
}

static int compute_namespace(struct change *ch, const struct json *live, struct error *e)
{
	struct write_rules rules = {.arena = ch->arena,
				    .cache = ch->server->cache,
				    .kind = ch->kind,
				    .ns = "",
				    .name = ch->name,
				    .sub = "",
				    .manager = "berth-apiserver",
				    .now_ms = time_now_ms()};
	struct json *obj = json_object(ch->arena);

	if (live)
		return 0;
	json_set_str(ch->arena, json_ensure_object(ch->arena, obj, "metadata"), "name", ch->name);
	rules.causes = json_array(ch->arena);
	rules.unknown = json_array(ch->arena);
	int code = prepare_identity(&rules, obj, e);
	if (code == 0)
		code = prepare_create(&rules, obj, e);
	if (code < 0)
		return code;
	ch->next = obj;
	ch->action = CHANGE_PUT;
	return 0;
}

void gc_default_namespaces(struct server *s)
{
	static const char *const names[] = {"default", "kube-system", "kube-node-lease"};
	const struct kind *namespaces = kind_find("", "v1", "namespaces");
	struct error e;

	for (size_t i = 0; namespaces && i < ARRAY_SIZE(names); i++) {
		_arena_ a = arena_new();
		struct change ch = {.server = s,
				    .arena = a,
				    .kind = namespaces,
				    .ns = "",
				    .name = names[i],
				    .compute = compute_namespace};
		if (change_run(&ch, &e) < 0)
			log_error("default namespace could not be made", "namespace", names[i], "error", e.text, NULL);
		change_clear(&ch);
	}
}
