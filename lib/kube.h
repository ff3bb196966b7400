/*
 * kube.h - a client of the Kubernetes API: kubeconfig, calls, informers.
 *
 * Ownership: a struct kube belongs to its caller. Objects given to callbacks are borrowed for the call; what
 * kube_informer_get() returns is valid until the loop runs again. Everything asynchronous runs on the loop's thread.
 *
 * Used by scheduler, agent, gateway and cli.
 */
#ifndef BERTH_LIB_KUBE_H
#define BERTH_LIB_KUBE_H

#include "lib/http.h"
#include "lib/json.h"

struct kube_config {
	const char *server; /* https://127.0.0.1:6443 */
	const char *ca_file, *cert_file, *key_file;
	const char *token;
	const char *namespace; /* of the context, "default" when it names none */
	bool insecure;
};

/* Reads a kubeconfig as kubectl does: path, else $KUBECONFIG (a list, merged), else ~/.kube/config; context NULL is the
 * current one. Inline *-data fields are written to private temporary files that live as long as the process. tokenFile
 * is read. Errors name the file and the field and say what to do. */
int kube_config_load(struct arena *a, const char *path, const char *context, struct kube_config *ret, struct error *e);

/* A resource in the server's URL space. */
struct kube_resource {
	const char *group; /* "" for core */
	const char *version;
	const char *plural;
	const char *kind;
	bool namespaced;
};
extern const struct kube_resource KUBE_CONTAINERS, KUBE_INSTANCES, KUBE_REVISIONS, KUBE_IMAGES, KUBE_LOCATIONS,
	KUBE_ROUTES, KUBE_NODES, KUBE_LEASES, KUBE_EVENTS, KUBE_SECRETS, KUBE_CONFIGMAPS, KUBE_NAMESPACES;

struct kube;
/* loop may be NULL for a client that only makes blocking calls. user_agent: "berth-agent/0.1.0". */
int kube_new(const struct kube_config *cfg, uv_loop_t *loop, const char *user_agent, struct kube **ret,
	     struct error *e);
void kube_free(struct kube *k);
const struct kube_config *kube_get_config(const struct kube *k);

/* "/apis/berth.dev/v1/namespaces/default/instances/x/status"; ns, name and sub may be NULL; parts are encoded. */
char *kube_path(struct arena *a, const struct kube_resource *r, const char *ns, const char *name, const char *sub);

enum kube_patch { KUBE_PATCH_NONE, KUBE_PATCH_MERGE, KUBE_PATCH_JSON, KUBE_PATCH_APPLY };

struct kube_call {
	const char *method; /* GET, POST, PUT, PATCH, DELETE */
	const char *path;   /* with query */
	enum kube_patch patch;
	const struct json *body; /* or NULL */
	int64_t timeout_ms;	 /* default 30,000; with a sink none */
	const char *accept;	 /* NULL: application/json */
	int *ret_status;	 /* HTTP status of the answer, or NULL */
	/* kube_do() only: a 2xx answer's bytes go here as they come and are not parsed (logs, watches, raw). */
	int (*sink)(void *user, const void *data, size_t len, struct error *e);
	void *sink_user;
};

/* Blocking. A Status answer becomes the error with its code, message and first cause's field. *ret (may be NULL) is
 * the parsed answer, in a. */
int kube_do(struct kube *k, const struct kube_call *c, struct arena *a, struct json **ret, struct error *e);

/* Asynchronous: done is called once on the loop. object is NULL on error; valid during the call. */
typedef void kube_done(void *user, int err, const struct json *object, const struct error *e);
void kube_start(struct kube *k, const struct kube_call *c, kube_done *done, void *user);

/* ---- informers: list, then watch, for ever; relist on 410; back-off 0.1 s to 5 s with jitter ---- */
struct kube_informer;
enum kube_event { KUBE_ADDED, KUBE_MODIFIED, KUBE_DELETED, KUBE_SYNCED /* once, after the first list; objects NULL */ };
/* old is the previous object (MODIFIED, DELETED), obj the new one (ADDED, MODIFIED) or the last one (DELETED). */
typedef void kube_handler(void *user, enum kube_event ev, const struct json *old, const struct json *obj);

struct kube_informer_options {
	const char *ns; /* NULL: all */
	const char *label_selector, *field_selector;
};
/* The cache is keyed by "namespace/name" ("name" for cluster-scoped kinds). */
struct kube_informer *kube_informer_start(struct kube *k, const struct kube_resource *r,
					  const struct kube_informer_options *opt, kube_handler *h, void *user);
void kube_informer_stop(struct kube_informer *i);
bool kube_informer_synced(const struct kube_informer *i);
const struct json *kube_informer_get(const struct kube_informer *i, const char *ns, const char *name);
size_t kube_informer_count(const struct kube_informer *i);
/* Calls f for every cached object; f must not start or stop informers. */
void kube_informer_each(const struct kube_informer *i, void (*f)(void *user, const struct json *obj), void *user);

/* Records an Event about an object (events are aggregated: same object, reason and message raise count). Never fails
 * the caller: losing an Event is logged. type: "Normal" or "Warning". */
void kube_event(struct kube *k, const struct json *about, const char *type, const char *reason, const char *fmt, ...)
	_printf_(5, 6);

#endif
