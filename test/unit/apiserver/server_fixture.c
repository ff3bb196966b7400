/*
 * server_fixture.c - see server_fixture.h.
 */
#include "test/unit/apiserver/server_fixture.h"
#include "apiserver/discovery.h"
#include "lib/fsutil.h"
#include "lib/units.h"
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#define DEADLINE_MS 30000

static const char tokens[] = ADMIN ",admin,1,\"system:masters\"\n" SCHEDULER ",berth-scheduler,2,\n" NODE_A
				   ",system:node:a,3,\"system:nodes\"\n";

static void served_open(struct served *s)
{
	struct store_sqlite_options store_opt = {.path = xasprintf("%s/store.db", s->dir)};
	struct server_options opt = {
		.listen = "127.0.0.1:0", .token_file = xasprintf("%s/tokens", s->dir), .threads = 2};
	struct store *store;
	struct error e;

	if (store_sqlite_open(&store_opt, &store, &e) < 0 || server_start(store, &opt, &s->server, &e) < 0)
		fail_msg("server: %s", e.text);
	free((char *)store_opt.path);
	free((char *)opt.token_file);
	s->client = http_client_new();
}

static void served_close(struct served *s)
{
	http_client_free(s->client);
	server_stop(s->server);
}

int served_setup(void **state)
{
	struct served *s = xcalloc(1, sizeof(*s));
	static bool kinds_ready;
	struct error e;

	if (!kinds_ready && (kind_table_init(&e) < 0 || discovery_init(&e) < 0))
		fail_msg("kinds: %s", e.text);
	kinds_ready = true;
	snprintf(s->dir, sizeof(s->dir), "/tmp/berth-test-server-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	s->arena = arena_new();
	s->token = ADMIN;
	const char *path = arena_printf(s->arena, "%s/tokens", s->dir);
	assert_int_equal(file_write_atomic(path, tokens, strlen(tokens), 0600, NULL), 0);
	served_open(s);
	*state = s;
	return 0;
}

int served_teardown(void **state)
{
	struct served *s = *state;

	served_close(s);
	arena_free(s->arena);
	int code = tree_remove(s->dir, NULL);
	free(s);
	return code;
}

void served_restart(struct served *s)
{
	served_close(s);
	served_open(s);
}

static struct http_request request_to(struct served *s, const char *path)
{
	return (struct http_request){
		.url = arena_printf(s->arena, "http://127.0.0.1:%u%s", httpd_port(s->server->httpd), path),
		.bearer_token = s->token,
		.timeout_ms = DEADLINE_MS,
	};
}

struct json *served_call_as(struct served *s, const char *method, const char *path, const char *body,
			    const char *content_type, const char *accept)
{
	struct http_request req = request_to(s, path);
	char *text = arena_strdup(s->arena, body ? body : "");
	struct json *answer = NULL;
	struct error e;

	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	req.method = method;
	req.body = text;
	req.body_len = strlen(text);
	req.headers[0] = arena_printf(s->arena, "Content-Type: %s", content_type ? content_type : "application/json");
	size_t n = 1;
	if (accept)
		req.headers[n++] = arena_printf(s->arena, "Accept: %s", accept);
	if (s->as)
		req.headers[n++] = arena_printf(s->arena, "Impersonate-User: %s", s->as);
	if (s->as_group)
		req.headers[n++] = arena_printf(s->arena, "Impersonate-Group: %s", s->as_group);
	if (s->as_group_too)
		req.headers[n++] = arena_printf(s->arena, "Impersonate-Group: %s", s->as_group_too);
	if (http_do(s->client, &req, s->arena, &s->response, &e) < 0)
		fail_msg("%s %s: %s", method, path, e.text);
	s->status = s->response.status;
	if (json_parse(s->arena, s->response.body, s->response.body_len, NULL, &answer, NULL) < 0)
		return NULL;
	return answer;
}

struct json *served_call(struct served *s, const char *method, const char *path, const char *body)
{
	return served_call_as(s, method, path, body, NULL, NULL);
}

static void assert_status(struct served *s, int status, const char *method, const char *path)
{
	if (s->status != status)
		fail_msg("%s %s: %d instead of %d: %s", method, path, s->status, status, s->response.body);
}

struct json *served_expect(struct served *s, int status, const char *method, const char *path, const char *body)
{
	struct json *answer = served_call(s, method, path, body);

	assert_status(s, status, method, path);
	return answer;
}

struct json *served_patch(struct served *s, int status, const char *path, const char *merge_patch)
{
	struct json *answer = served_call_as(s, "PATCH", path, merge_patch, "application/merge-patch+json", NULL);

	assert_status(s, status, "PATCH", path);
	return answer;
}

void served_until(struct served *s, int status, const char *path)
{
	int64_t deadline = time_mono_ms() + DEADLINE_MS;

	do {
		served_call(s, "GET", path, NULL);
	} while (s->status != status && time_mono_ms() < deadline);
	assert_status(s, status, "GET", path);
}

/* ---- watches ---- */

struct lines {
	struct buf text;
	size_t count, wanted;
};

static int on_bytes(void *user, const void *data, size_t len, struct error *e)
{
	struct lines *l = user;

	buf_add(&l->text, data, len);
	for (size_t i = 0; i < len; i++)
		l->count += ((const char *)data)[i] == '\n';
	return l->count >= l->wanted ? error_set(e, E_BAD_REQUEST, "enough") : 0;
}

struct json *served_watch(struct served *s, const char *path, size_t count)
{
	struct lines l = {.text = BUF_INIT(1U << 24), .wanted = count};
	struct http_request req = request_to(s, path);
	struct json *events = json_array(s->arena), *event;
	char *save = NULL;
	struct error e;

	req.sink = on_bytes;
	req.sink_user = &l;
	int code = http_do(s->client, &req, s->arena, &s->response, &e);
	if (code < 0 && l.count < l.wanted)
		fail_msg("watch %s: %s after %zu lines", path, e.text, l.count);
	for (char *line = l.text.data ? strtok_r(l.text.data, "\n", &save) : NULL; line && json_count(events) < count;
	     line = strtok_r(NULL, "\n", &save)) {
		if (json_parse(s->arena, line, strlen(line), NULL, &event, &e) < 0)
			fail_msg("watch %s: %s: %s", path, e.text, line);
		json_append(s->arena, events, event);
	}
	s->status = code == 0 ? s->response.status : 200;
	buf_free(&l.text);
	return events;
}

const char *served_events(struct served *s, const struct json *events)
{
	_buf_ out = BUF_INIT(65536);

	for (size_t i = 0; i < json_count(events); i++)
		buf_addf(&out, "%s %s ", json_str(json_get(json_item(events, i), "type")),
			 json_str_or(json_in(json_item(events, i), "object", "metadata", "name"), "-"));
	return arena_strdup(s->arena, out.data ? out.data : "");
}

void served_hello(struct served *s)
{
	served_expect(s, 201, "POST", CONTAINERS,
		      "{'metadata': {'name': 'hello'}, 'spec': {'image': 'localhost:5000/hello:1'}}");
	served_expect(s, 201, "POST", "/api/v1/nodes",
		      "{'metadata': {'name': 'n1', 'labels': {'topology.kubernetes.io/zone': 'fra'}}}");
	served_expect(
		s, 201, "POST", REVISIONS,
		"{'metadata': {'name': 'hello-1'}, 'spec': {'containerName': 'hello', 'number': 1, 'image': "
		"'localhost:5000/hello@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', 'imageDigest': "
		"'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', 'template': {}}}");
	served_expect(s, 201, "POST", INSTANCES,
		      "{'spec': {'containerName': 'hello', 'id': 'u1', 'state': 'Running'}}");
}
