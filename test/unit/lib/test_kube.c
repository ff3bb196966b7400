/*
 * test_kube.c - unit tests of lib/kube*.c: kubeconfigs from files, and a small API server in this process.
 */
#include "lib/codec.h"
#include "lib/fsutil.h"
#include "lib/httpd.h"
#include "lib/kube_internal.h"
#include "lib/units.h"
#include "test/unit/lib/net_fixture.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* ---- an API server ---- */

#define OBJECTS_MAX 3000
#define EVENTS_MAX 100

struct fake_object {
	char name[32];
	int64_t rv;
	int uid;
	bool there;
};

struct fake_watch {
	struct httpd_stream *s;
	struct fake_watch *next;
};

/* Instances of namespace "default"; everything under lock. */
struct fake {
	struct httpd *h;
	struct kube_config cfg;
	char server[64];
	pthread_mutex_t lock;
	struct fake_object objects[OBJECTS_MAX];
	size_t count;
	int64_t rv, oldest_rv; /* a watch from before that is answered with 410 */
	int uids;
	struct fake_watch *watches;
	unsigned lists, watch_starts, list_failures;
	bool gone_as_event; /* 410 comes inside the stream */
	int64_t watch_from; /* resourceVersion of the last watch */
	char list_query[512];
	/* Events */
	struct arena *a;
	char *created[EVENTS_MAX], *patched[EVENTS_MAX];
	size_t created_count, patched_count;
	bool events_gone;
	/* the last other request */
	char *method, *path, *type, *body, *authorization, *accept;
};

static void on_watch_closed(struct httpd_stream *s, void *user)
{
	struct fake *f = user;

	pthread_mutex_lock(&f->lock);
	for (struct fake_watch **w = &f->watches; *w; w = &(*w)->next)
		if ((*w)->s == s) {
			struct fake_watch *gone = *w;

			*w = gone->next;
			free(gone);
			break;
		}
	pthread_mutex_unlock(&f->lock);
}

static void write_object(const struct fake_object *o, bool whole, struct buf *b)
{
	buf_adds(b, "{");
	if (whole)
		buf_adds(b, "\"apiVersion\":\"berth.dev/v1\",\"kind\":\"Instance\",");
	buf_addf(
		b,
		"\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\",\"uid\":\"u%d\",\"resourceVersion\":\"%" PRId64
		"\"}}",
		o->name, o->uid, o->rv);
}

static void fake_send(struct fake *f, const char *text, size_t len)
{
	struct chunk *c = chunk_new(text, len);

	for (struct fake_watch *w = f->watches; w; w = w->next)
		httpd_stream_write(w->s, c);
	chunk_unref(c);
}

static void fake_event(struct fake *f, const char *type, const struct fake_object *o)
{
	_buf_ b = BUF_INIT(65536);

	buf_addf(&b, "{\"type\":\"%s\",\"object\":", type);
	write_object(o, true, &b);
	buf_adds(&b, "}\n");
	fake_send(f, b.data, b.len);
}

/* Adds, changes or removes; says so to the watches unless quiet. */
static void fake_put(struct fake *f, const char *name, bool quiet)
{
	size_t i = 0;

	pthread_mutex_lock(&f->lock);
	while (i < f->count && !streq(f->objects[i].name, name))
		i++;
	assert_true(i < OBJECTS_MAX);
	if (i == f->count)
		f->count++;
	struct fake_object *o = &f->objects[i];
	bool was_there = o->there;
	snprintf(o->name, sizeof(o->name), "%s", name);
	o->rv = ++f->rv;
	o->there = true;
	if (!was_there)
		o->uid = ++f->uids;
	if (!quiet)
		fake_event(f, was_there ? "MODIFIED" : "ADDED", o);
	pthread_mutex_unlock(&f->lock);
}

static void fake_delete(struct fake *f, const char *name, bool quiet)
{
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->count; i++) {
		struct fake_object *o = &f->objects[i];

		if (!o->there || !streq(o->name, name))
			continue;
		o->there = false;
		o->rv = ++f->rv;
		if (!quiet)
			fake_event(f, "DELETED", o);
	}
	pthread_mutex_unlock(&f->lock);
}

static void fake_raw(struct fake *f, const char *line)
{
	pthread_mutex_lock(&f->lock);
	fake_send(f, line, strlen(line));
	pthread_mutex_unlock(&f->lock);
}

static void fake_end_watches(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
	for (struct fake_watch *w = f->watches; w; w = w->next)
		httpd_stream_end(w->s);
	pthread_mutex_unlock(&f->lock);
}

static unsigned fake_count(struct fake *f, const unsigned *counter)
{
	unsigned n;

	pthread_mutex_lock(&f->lock);
	n = *counter;
	pthread_mutex_unlock(&f->lock);
	return n;
}

static bool fake_has_watch(struct fake *f)
{
	bool has;

	pthread_mutex_lock(&f->lock);
	has = f->watches != NULL;
	pthread_mutex_unlock(&f->lock);
	return has;
}

static void reply_status(struct httpd_request *r, int code, const char *reason, const char *message)
{
	_buf_ b = BUF_INIT(4096);

	buf_addf(&b,
		 "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"%s\","
		 "\"reason\":\"%s\",\"code\":%d,\"details\":{\"retryAfterSeconds\":7,\"causes\":[{\"reason\":\"x\","
		 "\"message\":\"y\",\"field\":\"spec.image\"}]}}",
		 message, reason, code);
	httpd_reply(r, code, "application/json", b.data, b.len);
}

static void serve_list(struct fake *f, struct httpd_request *r)
{
	_buf_ b = BUF_INIT(4U << 20);
	size_t limit = strtoul(httpd_query(r, "limit"), NULL, 10), i, n = 0;
	const char *page = httpd_query(r, "continue");

	f->lists++;
	snprintf(f->list_query, sizeof(f->list_query), "%s", httpd_query_string(r));
	if (f->list_failures) {
		f->list_failures--;
		reply_status(r, 500, "InternalError", "try again");
		return;
	}
	buf_adds(&b, "{\"apiVersion\":\"berth.dev/v1\",\"kind\":\"InstanceList\",\"items\":[");
	for (i = page ? strtoul(page, NULL, 10) : 0; i < f->count && n < limit; i++) {
		if (!f->objects[i].there)
			continue;
		if (n++)
			buf_addc(&b, ',');
		write_object(&f->objects[i], false, &b);
	}
	buf_addf(&b, "],\"metadata\":{\"resourceVersion\":\"%" PRId64 "\"", f->rv);
	if (i < f->count)
		buf_addf(&b, ",\"continue\":\"%zu\"", i);
	buf_adds(&b, "}}");
	httpd_reply(r, 200, "application/json", b.data, b.len);
}

static void serve_watch(struct fake *f, struct httpd_request *r)
{
	static const char gone[] =
		"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\","
		"\"message\":\"too old\"}}\n";
	struct fake_watch *w;

	f->watch_starts++;
	f->watch_from = strtoll(httpd_query(r, "resourceVersion"), NULL, 10);
	if (f->watch_from < f->oldest_rv && !f->gone_as_event) {
		reply_status(r, 410, "Expired", "too old");
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->next = f->watches;
	f->watches = w;
	w->s = httpd_stream_start(r, 200, "application/json", on_watch_closed, f);
	if (f->watch_from < f->oldest_rv) {
		struct chunk *c = chunk_new(gone, sizeof(gone) - 1);

		httpd_stream_write(w->s, c);
		chunk_unref(c);
		return;
	}
	for (size_t i = 0; i < f->count; i++)
		if (f->objects[i].rv > f->watch_from)
			fake_event(f, f->objects[i].there ? "ADDED" : "DELETED", &f->objects[i]);
}

static void serve_other(struct fake *f, struct httpd_request *r)
{
	const char *path = httpd_path(r), *v;
	size_t len;
	const char *body = httpd_body(r, &len);

	f->method = arena_strdup(f->a, httpd_method(r));
	f->path = arena_strdup(f->a, path);
	f->body = arena_strndup(f->a, body, len);
	f->type = (v = httpd_header(r, "Content-Type")) ? arena_strdup(f->a, v) : NULL;
	f->authorization = (v = httpd_header(r, "Authorization")) ? arena_strdup(f->a, v) : NULL;
	f->accept = arena_strdup(f->a, httpd_header(r, "Accept"));
	if (streq(path, "/invalid"))
		reply_status(r, 422, "Invalid", "spec.image: wrong");
	else if (streq(path, "/bad-gateway"))
		httpd_reply(r, 502, "text/html", "<h1>broken</h1>\nmore", 20);
	else if (streq(path, "/text"))
		httpd_reply(r, 200, "text/plain", "not json", 8);
	else if (streq(path, "/empty"))
		httpd_reply(r, 200, NULL, "", 0);
	else
		httpd_reply(r, 201, "application/json", "{\"kind\":\"Thing\"}", 16);
}

static void serve(struct httpd_request *r, void *user)
{
	struct fake *f = user;
	const char *path = httpd_path(r);
	size_t len;
	const char *body = httpd_body(r, &len);

	pthread_mutex_lock(&f->lock);
	if (str_ends(path, "/instances") && streq(httpd_method(r), "GET") && httpd_query(r, "watch")) {
		serve_watch(f, r);
	} else if (str_ends(path, "/instances") && streq(httpd_method(r), "GET")) {
		serve_list(f, r);
	} else if (strstr(path, "/events")) {
		if (streq(httpd_method(r), "POST") && f->created_count < EVENTS_MAX) {
			f->created[f->created_count++] = arena_strndup(f->a, body, len);
			httpd_reply(r, 201, "application/json", "{}", 2);
		} else if (f->events_gone) {
			reply_status(r, 404, "NotFound", "no such event");
		} else if (f->patched_count < EVENTS_MAX) {
			f->patched[f->patched_count++] = arena_strndup(f->a, body, len);
			httpd_reply(r, 200, "application/json", "{}", 2);
		}
	} else {
		serve_other(f, r);
	}
	pthread_mutex_unlock(&f->lock);
}

static struct fake *fake_start(void)
{
	struct fake *f = xcalloc(1, sizeof(*f));
	struct httpd_config cfg = {.listen = "127.0.0.1:0", .handler = serve, .user = f};
	struct error e;

	pthread_mutex_init(&f->lock, NULL);
	f->a = arena_new();
	f->rv = 100;
	if (httpd_start(&cfg, &f->h, &e) < 0)
		fail_msg("%s", e.text);
	snprintf(f->server, sizeof(f->server), "http://127.0.0.1:%u/", httpd_port(f->h));
	f->cfg = (struct kube_config){.server = f->server, .token = "tok"};
	return f;
}

static void fake_stop(struct fake *f)
{
	httpd_stop(f->h);
	arena_free(f->a);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/* ---- calls ---- */

static void test_path(void **state _unused_)
{
	_arena_ a = arena_new();

	assert_string_equal(kube_path(a, &KUBE_INSTANCES, "default", "x", "status"),
			    "/apis/berth.dev/v1/namespaces/default/instances/x/status");
	assert_string_equal(kube_path(a, &KUBE_INSTANCES, NULL, NULL, NULL), "/apis/berth.dev/v1/instances");
	assert_string_equal(kube_path(a, &KUBE_NODES, "default", "n/1?", NULL), "/api/v1/nodes/n%2F1%3F");
	assert_string_equal(kube_path(a, &KUBE_LEASES, "kube-node-lease", "n", NULL),
			    "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n");
}

static int collect(void *user, const void *data, size_t len, struct error *e _unused_)
{
	buf_add(user, data, len);
	return 0;
}

static void test_calls(void **state _unused_)
{
	_arena_ a = arena_new();
	_buf_ bytes = BUF_INIT(1000);
	struct fake *f = fake_start();
	struct kube *k;
	struct json *ret = NULL, *body = json_object(a);
	struct error e;
	int status = 0;

	json_set_str(a, body, "k", "v");
	assert_int_equal(kube_new(&f->cfg, NULL, "berth-test/1", &k, &e), 0);
	struct kube_call c = {.method = "POST", .path = "/things?x=1", .body = body, .ret_status = &status};
	assert_int_equal(kube_do(k, &c, a, &ret, &e), 0);
	assert_string_equal(json_str(json_get(ret, "kind")), "Thing");
	assert_int_equal(status, 201);
	assert_string_equal(f->path, "/things");
	assert_string_equal(f->body, "{\"k\":\"v\"}");
	assert_string_equal(f->type, "application/json");
	assert_string_equal(f->authorization, "Bearer tok");
	assert_string_equal(f->accept, "application/json");
	c = (struct kube_call){
		.method = "PATCH", .path = "/t", .body = body, .patch = KUBE_PATCH_APPLY, .accept = "x/y"};
	assert_int_equal(kube_do(k, &c, a, NULL, &e), 0);
	assert_string_equal(f->type, "application/apply-patch+yaml");
	assert_string_equal(f->accept, "x/y");

	c = (struct kube_call){.path = "/invalid", .ret_status = &status};
	assert_int_equal(kube_do(k, &c, a, &ret, &e), -E_INVALID);
	assert_int_equal(status, 422);
	assert_string_equal(e.text, "spec.image: wrong");
	assert_string_equal(e.field, "spec.image");
	assert_int_equal(e.retry_after, 7);
	c.path = "/bad-gateway";
	assert_true(kube_do(k, &c, a, &ret, &e) < 0);
	assert_non_null(strstr(e.text, "502: <h1>broken</h1>"));
	c.path = "/text";
	assert_true(kube_do(k, &c, a, &ret, &e) < 0);
	assert_int_equal(kube_do(k, &c, a, NULL, &e), 0);
	c.sink = collect;
	c.sink_user = &bytes;
	assert_int_equal(kube_do(k, &c, a, NULL, &e), 0);
	assert_string_equal(bytes.data, "not json");
	c = (struct kube_call){.path = "/empty"};
	assert_int_equal(kube_do(k, &c, a, &ret, &e), 0);
	assert_true(json_is(ret, JSON_NULL));
	kube_free(k);
	fake_stop(f);
}

struct async {
	struct kube *k;
	unsigned done;
	int err;
	char kind[32];
};

static void on_done(void *user, int err, const struct json *object, const struct error *e)
{
	struct async *s = user;

	assert_int_equal(err, err ? -e->code : 0);
	s->done++;
	s->err = err;
	snprintf(s->kind, sizeof(s->kind), "%s", json_str_or(json_get(object, "kind"), ""));
}

static void on_done_free(void *user, int err, const struct json *object, const struct error *e)
{
	struct async *s = user;

	on_done(user, err, object, e);
	kube_free(s->k);
}

static void test_asynchronous_calls(void **state _unused_)
{
	struct fake *f = fake_start();
	struct async s = {0};
	uv_loop_t uv;
	struct error e;

	assert_int_equal(uv_loop_init(&uv), 0);
	assert_int_equal(kube_new(&f->cfg, &uv, "berth-test/1", &s.k, &e), 0);
	struct kube_call c = {.path = "/thing"};
	kube_start(s.k, &c, on_done, &s);
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(s.done, 1);
	assert_string_equal(s.kind, "Thing");
	c.path = "/invalid";
	kube_start(s.k, &c, on_done, &s);
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(s.err, -E_INVALID);
	kube_start(s.k, &c, on_done_free, &s);
	kube_start(s.k, &c, on_done_free, &s);
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(s.done, 3);
	assert_int_equal(uv_loop_close(&uv), 0);
	fake_stop(f);
}

/* ---- informers ---- */

struct follower {
	struct fake *f;
	struct kube *k;
	struct kube_informer *i;
	uv_loop_t uv;
	unsigned added, modified, deleted, synced, before_sync;
	char last[32];
	char log[4096]; /* "+a ~b -c " */
	bool stop_at_next;
};

static void on_event(void *user, enum kube_event ev, const struct json *old, const struct json *obj)
{
	struct follower *w = user;
	const char *name = json_str_or(json_in(obj, "metadata", "name"), "");
	size_t used = strlen(w->log);

	snprintf(w->last, sizeof(w->last), "%s", name);
	switch (ev) {
	case KUBE_ADDED:
		assert_null(old);
		w->added++;
		break;
	case KUBE_MODIFIED:
		assert_string_equal(json_str(json_in(old, "metadata", "name")), name);
		assert_string_not_equal(json_str(json_in(old, "metadata", "resourceVersion")),
					json_str(json_in(obj, "metadata", "resourceVersion")));
		w->modified++;
		break;
	case KUBE_DELETED:
		assert_string_equal(json_str(json_in(old, "metadata", "name")), name);
		w->deleted++;
		break;
	case KUBE_SYNCED:
		assert_null(obj);
		w->synced++;
		w->before_sync = w->added;
		break;
	}
	if (obj) {
		assert_string_equal(json_str(json_get(obj, "kind")), "Instance");
		assert_string_equal(json_str(json_get(obj, "apiVersion")), "berth.dev/v1");
	}
	snprintf(w->log + used, sizeof(w->log) - used, "%c%s ", "+~-S"[ev], name);
	if (w->stop_at_next && w->i) {
		kube_informer_stop(w->i);
		w->i = NULL;
	}
}

static void follow(struct follower *w, struct fake *f)
{
	struct error e;

	*w = (struct follower){.f = f};
	assert_int_equal(uv_loop_init(&w->uv), 0);
	assert_int_equal(kube_new(&f->cfg, &w->uv, "berth-test/1", &w->k, &e), 0);
	w->k->backoff_min_ms = 1;
	w->k->backoff_max_ms = 8;
	w->i = kube_informer_start(w->k, &KUBE_INSTANCES, NULL, on_event, w);
}

static void unfollow(struct follower *w)
{
	kube_informer_stop(w->i);
	kube_free(w->k);
	uv_run(&w->uv, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->uv), 0);
}

/* Runs the loop until cond. */
#define run_until(w, cond) net_wait(uv_run(&(w)->uv, UV_RUN_NOWAIT) >= 0 && (cond))

static void count_object(void *user, const struct json *obj)
{
	assert_non_null(json_str(json_in(obj, "metadata", "uid")));
	++*(unsigned *)user;
}

static void test_informer(void **state _unused_)
{
	struct fake *f = fake_start();
	struct follower w;
	unsigned n = 0;

	for (int i = 0; i < 1234; i++) {
		char name[32];

		snprintf(name, sizeof(name), "i%d", i);
		fake_put(f, name, true);
	}
	follow(&w, f);
	assert_false(kube_informer_synced(w.i));
	run_until(&w, w.synced);
	assert_int_equal(w.before_sync, 1234);
	assert_int_equal(f->lists, 3);
	assert_true(kube_informer_synced(w.i));
	assert_int_equal(kube_informer_count(w.i), 1234);
	kube_informer_each(w.i, count_object, &n);
	assert_int_equal(n, 1234);
	assert_non_null(kube_informer_get(w.i, "default", "i7"));
	assert_null(kube_informer_get(w.i, "other", "i7"));
	run_until(&w, fake_has_watch(f));
	assert_int_equal(f->watch_from, 100 + 1234);

	w.log[0] = '\0';
	fake_put(f, "new", false);
	fake_put(f, "i7", false);
	fake_delete(f, "i8", false);
	fake_delete(f, "new", false);
	run_until(&w, w.deleted == 2);
	assert_string_equal(w.log, "+new ~i7 -i8 -new ");
	assert_int_equal(kube_informer_count(w.i), 1233);

	/* A bookmark moves the place from where the next watch goes on. */
	fake_raw(f, "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"5000\"}}}\n");
	fake_raw(f, "\n{\"type\":\"SOMETHING\",\"object\":{}}\n");
	f->rv = 5000;
	fake_end_watches(f);
	run_until(&w, fake_count(f, &f->watch_starts) == 2);
	assert_int_equal(f->watch_from, 5000);
	fake_put(f, "later", false);
	run_until(&w, streq(w.last, "later"));
	assert_int_equal(f->lists, 3);
	assert_int_equal(w.synced, 1);
	unfollow(&w);
	fake_stop(f);
}

static void test_informer_relists(void **state _unused_)
{
	for (int as_event = 0; as_event < 2; as_event++) {
		struct fake *f = fake_start();
		struct follower w;

		f->gone_as_event = as_event;
		fake_put(f, "same", true);
		fake_put(f, "changed", true);
		fake_put(f, "removed", true);
		fake_put(f, "replaced", true);
		follow(&w, f);
		run_until(&w, w.synced && fake_has_watch(f));
		w.log[0] = '\0';
		/* While nobody watches: */
		fake_put(f, "changed", true);
		fake_delete(f, "removed", true);
		fake_delete(f, "replaced", true);
		fake_put(f, "replaced", true);
		fake_put(f, "added", true);
		pthread_mutex_lock(&f->lock);
		f->oldest_rv = f->rv;
		pthread_mutex_unlock(&f->lock);
		fake_end_watches(f);
		run_until(&w, fake_count(f, &f->lists) == 2 && w.added == 6);
		assert_int_equal(w.deleted, 2);
		assert_int_equal(w.modified, 1);
		assert_int_equal(w.synced, 1);
		assert_non_null(strstr(w.log, "-removed "));
		assert_non_null(strstr(w.log, "~changed "));
		assert_non_null(strstr(w.log, "+added "));
		assert_true(strstr(w.log, "-replaced ") < strstr(w.log, "+replaced "));
		assert_null(strstr(w.log, "same"));
		assert_null(kube_informer_get(w.i, "default", "removed"));
		assert_non_null(kube_informer_get(w.i, "default", "added"));
		unfollow(&w);
		fake_stop(f);
	}
}

static void test_informer_survives(void **state _unused_)
{
	struct fake *f = fake_start();
	struct follower w;

	/* A server that fails, then lists. */
	f->list_failures = 5;
	fake_put(f, "a", true);
	follow(&w, f);
	run_until(&w, w.synced && fake_has_watch(f));
	assert_int_equal(f->lists, 6);
	/* Nonsense in the stream: connect again, from where we were. */
	fake_raw(f, "{\"type\":\n");
	run_until(&w, fake_count(f, &f->watch_starts) == 2);
	fake_put(f, "b", false);
	run_until(&w, streq(w.last, "b"));
	/* A line in pieces. */
	fake_raw(f, "{\"type\":\"ADDED\",\"object\":{\"apiVersion\":\"berth.dev/v1\",\"kind\":\"Inst");
	for (int i = 0; i < 20; i++)
		uv_run(&w.uv, UV_RUN_NOWAIT);
	fake_raw(
		f,
		"ance\",\"metadata\":{\"name\":\"c\",\"namespace\":\"default\",\"uid\":\"x\",\"resourceVersion\":\"999\"}}}\n");
	run_until(&w, streq(w.last, "c"));
	unfollow(&w);

	/* Silence. */
	follow(&w, f);
	w.k->watch_silence_ms = 90;
	run_until(&w, w.synced && fake_count(f, &f->watch_starts) >= 5);
	assert_int_equal(w.synced, 1);
	unfollow(&w);
	fake_stop(f);
}

static void test_informer_stops_in_handler(void **state _unused_)
{
	for (int when = 0; when < 3; when++) {
		struct fake *f = fake_start();
		struct follower w;

		fake_put(f, "a", true);
		fake_put(f, "b", true);
		follow(&w, f);
		w.stop_at_next = when == 0; /* during the list's events */
		if (when) {
			run_until(&w, w.synced && fake_has_watch(f));
			w.stop_at_next = true;
			if (when == 1) { /* during the watch's */
				fake_put(f, "c", false);
				fake_put(f, "d", false);
			} else { /* during the difference of a second list */
				pthread_mutex_lock(&f->lock);
				f->oldest_rv = f->rv + 1000;
				pthread_mutex_unlock(&f->lock);
				fake_delete(f, "a", true);
				fake_delete(f, "b", true);
				fake_end_watches(f);
			}
		}
		run_until(&w, !w.i);
		assert_int_equal(w.added + w.deleted, when ? 3 : 1);
		unfollow(&w);
		fake_stop(f);
	}
}

static void test_informer_selectors(void **state _unused_)
{
	struct fake *f = fake_start();
	struct follower w;
	struct kube_informer_options opt = {
		.ns = "default", .label_selector = "a=b,c in (d)", .field_selector = "spec.nodeName=n&1"};
	struct kube_informer *second;

	follow(&w, f);
	run_until(&w, w.synced);
	second = kube_informer_start(w.k, &KUBE_INSTANCES, &opt, on_event, &w);
	run_until(&w, w.synced == 2);
	assert_string_equal(f->list_query,
			    "limit=500&labelSelector=a%3Db%2Cc%20in%20%28d%29&fieldSelector=spec.nodeName%3Dn%261");
	kube_informer_stop(second);
	unfollow(&w);
	fake_stop(f);
}

/* ---- events ---- */

static struct json *about(struct arena *a, const char *name)
{
	struct json *o = json_object(a), *m;

	json_set_str(a, o, "apiVersion", "berth.dev/v1");
	json_set_str(a, o, "kind", "Instance");
	m = json_ensure_object(a, o, "metadata");
	json_set_str(a, m, "name", name);
	json_set_str(a, m, "namespace", "ns1");
	json_set_str(a, m, "uid", "u1");
	return o;
}

static int64_t last_count(struct fake *f)
{
	_arena_ a = arena_new();
	struct json *v = NULL;
	int64_t n = 0;

	pthread_mutex_lock(&f->lock);
	if (f->patched_count && json_parse(a, f->patched[f->patched_count - 1],
					   strlen(f->patched[f->patched_count - 1]), NULL, &v, NULL) == 0)
		n = json_int_or(json_get(v, "count"), 0);
	pthread_mutex_unlock(&f->lock);
	return n;
}

static void test_events(void **state _unused_)
{
	_arena_ a = arena_new();
	struct fake *f = fake_start();
	struct json *ev = NULL;
	struct kube *k;
	uv_loop_t uv;
	struct error e;
	size_t created;

	assert_int_equal(uv_loop_init(&uv), 0);
	assert_int_equal(kube_new(&f->cfg, &uv, "berth-test/1", &k, &e), 0);
	kube_event(k, about(a, "i1"), "Normal", "Started", "VM %d started", 1);
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(f->created_count, 1);
	assert_int_equal(json_parse(a, f->created[0], strlen(f->created[0]), NULL, &ev, &e), 0);
	assert_string_equal(json_str(json_get(ev, "message")), "VM 1 started");
	assert_string_equal(json_str(json_in(ev, "involvedObject", "name")), "i1");
	assert_string_equal(json_str(json_in(ev, "involvedObject", "uid")), "u1");
	assert_string_equal(json_str(json_in(ev, "metadata", "namespace")), "ns1");
	assert_string_equal(json_str(json_in(ev, "source", "component")), "berth-test");
	assert_string_equal(json_str(json_get(ev, "type")), "Normal");
	assert_int_equal(json_int_or(json_get(ev, "count"), 0), 1);

	/* A storm is a few writes, and the count is right at the end. */
	for (int i = 0; i < 100; i++)
		kube_event(k, about(a, "i1"), "Normal", "Started", "VM %d started", 1);
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(f->created_count, 1);
	assert_in_range(f->patched_count, 1, 3);
	assert_int_equal(last_count(f), 101);
	/* Another message is another Event. */
	kube_event(k, about(a, "i1"), "Normal", "Started", "VM 2 started");
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(f->created_count, 2);
	/* The server has dropped it: created again, with the count. */
	f->events_gone = true;
	kube_event(k, about(a, "i1"), "Normal", "Started", "VM 2 started");
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(f->created_count, 3);
	assert_non_null(strstr(f->created[2], "\"count\":2"));

	/* More kinds of events than are remembered, and a client freed in the middle of it. */
	created = f->created_count;
	for (int i = 0; i < 1500; i++)
		kube_event(k, about(a, "i2"), "Warning", "Many", "%d", i);
	net_wait(uv_run(&uv, UV_RUN_NOWAIT) >= 0 && fake_count(f, (const unsigned *)&f->created_count) > created);
	kube_free(k);
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&uv), 0);

	/* Without a loop it is written at once. A fresh server: the old one may still be at what the freed client sent.
	 */
	fake_stop(f);
	f = fake_start();
	assert_int_equal(kube_new(&f->cfg, NULL, "berth-test/1", &k, &e), 0);
	kube_event(k, about(a, "i3"), "Normal", "Blocking", "x");
	assert_int_equal(f->created_count, 1);
	kube_free(k);
	fake_stop(f);
}

/* ---- kubeconfig ---- */

static const char config_one[] =
	"apiVersion: v1\nkind: Config\ncurrent-context: one\n"
	"clusters:\n- name: c1\n  cluster: {server: 'https://one:6443', certificate-authority: certs/ca.crt}\n"
	"- name: shared\n  cluster: {server: 'https://first', insecure-skip-tls-verify: true}\n"
	"contexts:\n- name: one\n  context: {cluster: c1, user: u1, namespace: team}\n"
	"- name: anonymous\n  context: {cluster: shared}\n"
	"- name: lost\n  context: {cluster: nowhere, user: u1}\n"
	"- name: nobody\n  context: {cluster: shared, user: nobody}\n"
	"users:\n- name: u1\n  user: {token: abc}\n";
static const char config_two[] =
	"current-context: two\n"
	"clusters:\n- name: shared\n  cluster: {server: 'https://second'}\n"
	"- name: c2\n  cluster: {server: '10.0.0.1:8080', certificate-authority-data: Q0EK}\n"
	"- name: both\n  cluster: {server: 'https://x', certificate-authority-data: Q0EK, insecure-skip-tls-verify: true}\n"
	"- name: none\n  cluster: {}\n"
	"- name: bad64\n  cluster: {server: 'https://x', certificate-authority-data: '%%%'}\n"
	"- name: nofile\n  cluster: {server: 'https://x', certificate-authority: missing.crt}\n"
	"contexts:\n- name: two\n  context: {cluster: c2, user: u2}\n"
	"- name: mixed\n  context: {cluster: shared, user: u3}\n"
	"- name: both\n  context: {cluster: both, user: u3}\n"
	"- name: none\n  context: {cluster: none}\n"
	"- name: bad64\n  context: {cluster: bad64}\n"
	"- name: nofile\n  context: {cluster: nofile}\n"
	"- name: exec\n  context: {cluster: shared, user: exec}\n"
	"- name: half\n  context: {cluster: shared, user: half}\n"
	"users:\n- name: u2\n  user: {client-certificate-data: Q0VSVAo=, client-key-data: S0VZCg==}\n"
	"- name: u3\n  user: {token: ignored, tokenFile: token}\n"
	"- name: exec\n  user: {exec: {command: x}}\n"
	"- name: half\n  user: {client-certificate-data: Q0VSVAo=}\n";

static void put_file(struct arena *a, const char *dir, const char *name, const char *text)
{
	struct error e;

	if (file_write_atomic(arena_printf(a, "%s/%s", dir, name), text, strlen(text), 0600, &e) < 0)
		fail_msg("%s", e.text);
}

static void assert_content(const char *path, const char *text)
{
	_buf_ b = BUF_INIT(1000);

	assert_non_null(path);
	assert_int_equal(file_read(path, &b, NULL), 0);
	assert_string_equal(b.data, text);
}

static void test_kubeconfig(void **state _unused_)
{
	_arena_ a = arena_new();
	char *dir = net_folder(a), *one = arena_printf(a, "%s/one", dir), *two = arena_printf(a, "%s/two", dir);
	struct kube_config c = {0};
	struct error e = {0};

	assert_int_equal(dir_make(arena_printf(a, "%s/certs", dir), 0700, &e), 0);
	put_file(a, dir, "certs/ca.crt", "CA file\n");
	put_file(a, dir, "token", "from-file\n");
	put_file(a, dir, "one", config_one);
	put_file(a, dir, "two", config_two);

	assert_int_equal(kube_config_load(a, one, NULL, &c, &e), 0);
	assert_string_equal(c.server, "https://one:6443");
	assert_string_equal(c.namespace, "team");
	assert_string_equal(c.token, "abc");
	assert_content(c.ca_file, "CA file\n"); /* relative to the kubeconfig, not to where we are */
	assert_null(c.cert_file);
	assert_int_equal(kube_config_load(a, one, "anonymous", &c, &e), 0);
	assert_true(c.insecure);
	assert_null(c.token);
	assert_string_equal(c.namespace, "default");

	assert_int_equal(kube_config_load(a, two, NULL, &c, &e), 0);
	assert_string_equal(c.server, "http://10.0.0.1:8080");
	assert_content(c.ca_file, "CA\n");
	assert_content(c.cert_file, "CERT\n");
	assert_content(c.key_file, "KEY\n");

	/* A list: the first to say something wins, what does not exist is skipped. */
	setenv("KUBECONFIG", arena_printf(a, "%s/nothing::%s:%s", dir, one, two), 1);
	assert_int_equal(kube_config_load(a, NULL, NULL, &c, &e), 0);
	assert_string_equal(c.server, "https://one:6443");
	assert_int_equal(kube_config_load(a, NULL, "mixed", &c, &e), 0);
	assert_string_equal(c.server, "https://first");
	assert_string_equal(c.token, "from-file");
	setenv("KUBECONFIG", arena_printf(a, "%s:%s", two, one), 1);
	assert_int_equal(kube_config_load(a, NULL, "mixed", &c, &e), 0);
	assert_string_equal(c.server, "https://second");

	/* Without the variable: the home folder. */
	unsetenv("KUBECONFIG");
	setenv("HOME", dir, 1);
	assert_int_equal(kube_config_load(a, NULL, NULL, &c, &e), -E_NOT_FOUND);
	assert_non_null(strstr(e.text, "KUBECONFIG"));
	assert_int_equal(dir_make(arena_printf(a, "%s/.kube", dir), 0700, &e), 0);
	put_file(a, dir, ".kube/config", config_two);
	assert_int_equal(kube_config_load(a, NULL, NULL, &c, &e), 0);
	assert_string_equal(c.server, "http://10.0.0.1:8080");
	net_folder_drop(dir);
}

static void test_kubeconfig_errors(void **state _unused_)
{
	static const struct {
		const char *file, *context;
		int code;
		const char *text;
	} bad[] = {
		{"one", "absent", E_NOT_FOUND, "no context \"absent\""},
		{"one", "lost", E_NOT_FOUND, "cluster \"nowhere\""},
		{"one", "nobody", E_NOT_FOUND, "user \"nobody\""},
		{"two", "both", E_INVALID, "exclude"},
		{"two", "none", E_INVALID, "no server"},
		{"two", "bad64", E_INVALID, "certificate-authority-data"},
		{"two", "nofile", E_NOT_FOUND, "missing.crt"},
		{"two", "exec", E_INVALID, "exec is not supported"},
		{"two", "half", E_INVALID, "together"},
		{"missing", NULL, E_NOT_FOUND, "missing"},
		{"broken", NULL, E_BAD_REQUEST, "broken"},
		{"list", NULL, E_INVALID, "mapping"},
		{"empty", NULL, E_INVALID, "current-context"},
	};
	_arena_ a = arena_new();
	char *dir = net_folder(a);
	struct kube_config c = {0};
	struct error e = {0};

	put_file(a, dir, "one", config_one);
	put_file(a, dir, "two", config_two);
	put_file(a, dir, "broken", "a: [\n");
	put_file(a, dir, "list", "- a\n");
	put_file(a, dir, "empty", "");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int r = kube_config_load(a, arena_printf(a, "%s/%s", dir, bad[i].file), bad[i].context, &c, &e);

		if (r != -bad[i].code || !strstr(e.text, bad[i].text))
			fail_msg("%s %s: %d %s", bad[i].file, bad[i].context ? bad[i].context : "", r, e.text);
	}
	assert_null(c.server);
	net_folder_drop(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_asynchronous_calls),
		cmocka_unit_test(test_informer),
		cmocka_unit_test(test_informer_relists),
		cmocka_unit_test(test_informer_survives),
		cmocka_unit_test(test_informer_stops_in_handler),
		cmocka_unit_test(test_informer_selectors),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_kubeconfig),
		cmocka_unit_test(test_kubeconfig_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
