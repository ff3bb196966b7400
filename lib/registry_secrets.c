/*
 * registry_secrets.c - one GET for each Secret; see registry_secrets.h. The lock makes users take turns.
 */
#include "lib/registry_secrets.h"

#include <pthread.h>

#define READ_TIMEOUT_MS 10000

struct registry_secrets {
	struct kube *kube;
	pthread_mutex_t lock; /* of kube */
};

int registry_secrets_new(const struct kube_config *cfg, const char *user_agent, struct registry_secrets **ret,
			 struct error *e)
{
	struct kube *kube;
	int r = kube_new(cfg, NULL, user_agent, &kube, e);

	if (r)
		return r;
	struct registry_secrets *s = xcalloc(1, sizeof(*s));

	s->kube = kube;
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void registry_secrets_free(struct registry_secrets *s)
{
	if (!s)
		return;
	kube_free(s->kube);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int read_one(struct registry_secrets *s, const char *ns, const char *name, struct arena *a,
		    struct registry_keys *ret, struct error *e)
{
	const struct kube_call call = {.path = kube_path(a, &KUBE_SECRETS, ns, name, NULL),
				       .timeout_ms = READ_TIMEOUT_MS};
	struct json *secret;

	pthread_mutex_lock(&s->lock);
	int r = kube_do(s->kube, &call, a, &secret, e);

	pthread_mutex_unlock(&s->lock);
	if (r == -E_NOT_FOUND)
		registry_keys_missing(a, ret, ns, name,
				      "does not exist: create it, or take it out of imagePullSecrets");
	else if (r == -E_FORBIDDEN)
		registry_keys_missing(a, ret, ns, name,
				      "may not be read here: no Image names it as a pull Secret (yet)");
	else if (r)
		return error_prefix(e, "cannot read Secret %s/%s", ns, name);
	else
		registry_keys_add(a, ret, secret);
	return 0;
}

int registry_secrets_read(struct registry_secrets *s, const struct json *names, struct arena *a,
			  struct registry_keys *ret, struct error *e)
{
	struct registry_keys keys = {0};

	for (size_t i = 0; i < json_count(names); i++) {
		const char *ns = json_str(json_get(json_item(names, i), "namespace"));
		const char *name = json_str(json_get(json_item(names, i), "name"));
		int r = ns && name ? read_one(s, ns, name, a, &keys, e) : 0;

		if (r)
			return r;
	}
	*ret = keys;
	return 0;
}
