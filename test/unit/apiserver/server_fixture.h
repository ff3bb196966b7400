/*
 * server_fixture.h - a whole apiserver on a free port of the loopback, over plain HTTP, and a client for it.
 */
#ifndef BERTH_TEST_SERVER_FIXTURE_H
#define BERTH_TEST_SERVER_FIXTURE_H

#include "apiserver/server.h"
#include "lib/json.h"

#define ADMIN "admin-token" /* of a member of system:masters */
#define SCHEDULER "scheduler-token"
#define NODE_A "node-a-token"

struct served {
	char dir[64];
	struct server *server;
	struct http_client *client;
	struct arena *arena;
	const char *token;			  /* for the next calls; NULL: none */
	const char *as, *as_group, *as_group_too; /* whom to impersonate in the next calls; NULL: nobody */
	int status;				  /* of the last answer */
	struct http_response response;
};

/* cmocka set-up and tear-down: *state is a struct served. */
int served_setup(void **state);
int served_teardown(void **state);
void served_restart(struct served *s);
/* One exchange; body is JSON with single quotes for double ones, or NULL. The parsed answer, NULL when it is not JSON.
 */
struct json *served_call(struct served *s, const char *method, const char *path, const char *body);
/* The same with another content type and Accept; NULL: application/json, none. */
struct json *served_call_as(struct served *s, const char *method, const char *path, const char *body,
			    const char *content_type, const char *accept);
/* The same, and the status must be that. */
struct json *served_expect(struct served *s, int status, const char *method, const char *path, const char *body);
struct json *served_patch(struct served *s, int status, const char *path, const char *merge_patch);
/* Calls GET until it answers with that status; fails after a while. */
void served_until(struct served *s, int status, const char *path);

/* Reads a watch until `count` lines came or it ends; an array of events. */
struct json *served_watch(struct served *s, const char *path, size_t count);
/* "ADDED name " of each event. */
const char *served_events(struct served *s, const struct json *events);

#define CONFIGMAPS "/api/v1/namespaces/default/configmaps"
#define CONTAINERS "/apis/berth.dev/v1/namespaces/default/containers"
#define INSTANCES "/apis/berth.dev/v1/namespaces/default/instances"
#define REVISIONS "/apis/berth.dev/v1/namespaces/default/revisions"
/* A Container "hello", a Node "n1" in Location "fra", a Revision "hello-1" and an Instance "hello.u1" that wants to
 * run. */
void served_hello(struct served *s);

#endif
