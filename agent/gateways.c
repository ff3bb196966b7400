/*
 * gateways.c - see gateways.h.
 */
#include "agent/gateways.h"

#include <arpa/inet.h>

#include "lib/fsutil.h"
#include "lib/log.h"

#define RETRY_MS 1000
#define TEXT_MAX (GATEWAYS_MAX * NET_ADDRESS_MAX)

struct gateways {
	struct agent *agent;
	struct kube_informer *locations;
	uv_timer_t retry;
	struct arena *a; /* holds list */
	const char **list;
	size_t count;
	bool table_is_there, changed, in_flight;
};

static bool is_address(const char *text, uint32_t cidr_base, unsigned cidr_bits)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) != 1)
		return false;
	uint32_t address = ntohl(in.s_addr), top = address >> 24;

	return top > 0 && top != 127 && top < 224 && (address ^ cidr_base) >> (32 - cidr_bits) != 0;
}

static int compare(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

size_t gateways_tidy(const char **list, size_t count, uint32_t cidr_base, unsigned cidr_bits)
{
	size_t n = 0;

	if (count)
		qsort(list, count, sizeof(*list), compare);
	for (size_t i = 0; i < count; i++)
		if (is_address(list[i], cidr_base, cidr_bits) && (!n || !streq(list[n - 1], list[i])))
			list[n++] = list[i];
	return n;
}

const char *const *gateways_now(const struct gateways *p, size_t *ret_count)
{
	*ret_count = p->count;
	return p->list;
}

/* ---- the list ---- */

struct collection {
	struct arena *a;
	const char **list;
	size_t count;
	bool too_many;
};

static void collect(struct collection *c, const char *address)
{
	if (c->count == GATEWAYS_MAX)
		c->too_many = true;
	else if (address)
		c->list[c->count++] = arena_strdup(c->a, address);
}

static void collect_location(void *user, const struct json *location)
{
	const struct json *gateways = json_in(location, "status", "gateways");

	for (size_t i = 0; i < json_count(gateways); i++)
		collect(user, json_str(json_get(json_item(gateways, i), "address")));
}

static struct collection begin_collection(const struct agent_config *cfg)
{
	struct collection c = {.a = arena_new()};

	c.list = arena_calloc(c.a, GATEWAYS_MAX * sizeof(*c.list));
	for (size_t i = 0; i < cfg->gateway_addresses.count; i++)
		collect(&c, cfg->gateway_addresses.items[i]);
	return c;
}

static void finish_collection(const struct agent_config *cfg, struct collection *c)
{
	if (c->too_many)
		log_warn("too many gateways: the rest is not let in", "limit", log_num(GATEWAYS_MAX), NULL);
	c->count = gateways_tidy(c->list, c->count, cfg->cidr_base, cfg->cidr_bits);
}

static bool is_same(const struct gateways *p, const struct collection *c)
{
	bool same = p->count == c->count;

	for (size_t i = 0; same && i < c->count; i++)
		same = streq(p->list[i], c->list[i]);
	return same;
}

/* Takes the arena of c. */
static void adopt(struct gateways *p, const struct collection *c)
{
	arena_free(p->a);
	p->a = c->a;
	p->list = c->list;
	p->count = c->count;
}

static const char *file_name(const struct gateways *p, struct arena *a)
{
	return arena_printf(a, "%s/gateways", p->agent->cfg->state_dir);
}

static void read_file(struct gateways *p, struct collection *c)
{
	_arena_ a = arena_new();
	_buf_ text = BUF_INIT(TEXT_MAX + 1);
	struct error e = {0};
	const char *path = file_name(p, a);

	if (access(path, F_OK) < 0)
		return;
	if (file_read(path, &text, &e) < 0)
		log_warn("the gateways of last time are not known", "error", e.text, NULL);
	for (char *save, *line = text.data ? strtok_r(text.data, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		collect(c, line);
}

/* ---- the set in the rules ---- */

struct gateways_job {
	uv_work_t req;
	struct gateways *owner;
	struct buf rules, text;
	char *path;
	struct error error;
	int result;
};

static void apply(struct gateways *p);

static void on_retry(uv_timer_t *t)
{
	apply(t->data);
}

static void gateways_work(uv_work_t *req)
{
	struct gateways_job *j = req->data;

	/* The rules first: a list that could not be kept is only missed after a restart. */
	if ((j->result = net_nft_load(&j->rules, &j->error)) == 0)
		j->result = file_write_atomic(j->path, j->text.data ? j->text.data : "", j->text.len, 0644, &j->error);
}

static void gateways_done(uv_work_t *req, _unused_ int status)
{
	struct gateways_job *j = req->data;
	struct gateways *p = j->owner;

	p->in_flight = false;
	if (j->result < 0) {
		log_warn("the gateways' addresses are not in the packet rules yet", "error", j->error.text, NULL);
		p->changed = true;
		uv_timer_start(&p->retry, on_retry, RETRY_MS, 0);
	} else {
		apply(p);
	}
	buf_free(&j->rules);
	buf_free(&j->text);
	free(j->path);
	free(j);
}

/* One change at a time, so that the last one made is the last one loaded. */
static void apply(struct gateways *p)
{
	_arena_ a = arena_new();

	if (!p->table_is_there || !p->changed || p->in_flight)
		return;
	struct gateways_job *j = xcalloc(1, sizeof(*j));

	j->owner = p;
	j->req.data = j;
	j->rules = BUF_INIT(1U << 20);
	j->text = BUF_INIT(TEXT_MAX);
	j->path = xstrdup(file_name(p, a));
	net_nft_gateways(p->agent->cfg->nft_table, p->list, p->count, &j->rules);
	for (size_t i = 0; i < p->count; i++)
		buf_addf(&j->text, "%s\n", p->list[i]);
	p->changed = false;
	p->in_flight = true;
	log_info("gateways let in to VMs", "count", log_num((int64_t)p->count), NULL);
	uv_queue_work(p->agent->loop, &j->req, gateways_work, gateways_done);
}

void gateways_loaded(struct gateways *p)
{
	p->table_is_there = true;
	apply(p);
}

static void on_location(void *user, _unused_ enum kube_event ev, _unused_ const struct json *old,
			_unused_ const struct json *obj)
{
	struct gateways *p = user;

	/* Before the first list is complete a gateway that is not in it may only not have come yet. */
	if (!kube_informer_synced(p->locations))
		return;
	struct collection c = begin_collection(p->agent->cfg);

	kube_informer_each(p->locations, collect_location, &c);
	finish_collection(p->agent->cfg, &c);
	if (is_same(p, &c)) {
		arena_free(c.a);
		return;
	}
	adopt(p, &c);
	p->changed = true;
	apply(p);
}

struct gateways *gateways_start(struct agent *g)
{
	struct gateways *p = xcalloc(1, sizeof(*p));
	struct collection c = begin_collection(g->cfg);

	p->agent = g;
	uv_timer_init(g->loop, &p->retry);
	p->retry.data = p;
	read_file(p, &c);
	finish_collection(g->cfg, &c);
	adopt(p, &c);
	p->locations = kube_informer_start(g->kube, &KUBE_LOCATIONS, NULL, on_location, p);
	return p;
}
