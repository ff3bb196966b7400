/*
 * registry_login.c - which credentials an image is asked for with, and what is said when none does; see registry.h.
 */
#include "lib/registry_internal.h"

#include "lib/units.h"

#define RESOLVE_LIMIT_MS 60000

struct attempt {
	struct registry *r;
	const char *reference, *host;
	int64_t deadline_ms;
	struct arena *a;
};

/* Would other credentials help? Registries hide what they do not show to everybody as missing. */
static bool is_refusal(int err)
{
	return err == -E_UNAUTHORIZED || err == -E_FORBIDDEN || err == -E_NOT_FOUND;
}

static int try_plain(const struct attempt *t, const struct registry_credentials *cred, struct oci_image *ret,
		     struct error *e)
{
	return registry_resolve_as(t->r, t->reference, cred, t->deadline_ms, t->a, ret, e);
}

static int try_aws(const struct attempt *t, const struct registry_key *key, struct oci_image *ret,
		   struct registry_credentials *ret_cred, struct error *e)
{
	int err = 0;

	/* A password that was kept may have been withdrawn; a new one is asked for once. */
	for (int fresh = 0; fresh < 2; fresh++) {
		err = registry_ecr_login(t->r, t->host, key, fresh, t->deadline_ms, t->a, ret_cred, e);
		if (err)
			return error_prefix(e, "%s", t->reference);
		err = try_plain(t, ret_cred, ret, e);
		if (err != -E_UNAUTHORIZED)
			break;
	}
	return err;
}

/* Nothing fitted: what the user can do about it depends on what there was. */
static int explain(const struct registry_keys *keys, struct error *e)
{
	if (e->code != E_UNAUTHORIZED && e->code != E_FORBIDDEN)
		return -e->code;
	struct error was = *e;

	if (keys && keys->problem)
		return error_set(e, was.code, "%.500s; %s", was.text, keys->problem);
	if (keys && keys->sources)
		return error_set(e, was.code, "%.500s; %s of spec.imagePullSecrets holds none for this image", was.text,
				 keys->sources);
	return error_set(e, was.code, "%.500s; name a Secret with them in spec.imagePullSecrets", was.text);
}

static int try_all(const struct attempt *t, const struct oci_reference *ref, const struct registry_keys *keys,
		   struct oci_image *ret, struct registry_credentials *ret_cred, struct error *e)
{
	const struct registry_key *fit[REGISTRY_KEY_TRIES];
	size_t n = registry_keys_match(keys, ref, fit);
	struct error again;
	int err = 0;

	if (!n) {
		err = try_plain(t, NULL, ret, e);
		return err ? explain(keys, e) : 0;
	}
	for (size_t i = 0; i < n; i++) {
		/* The best key's refusal is the one to tell. */
		struct error *told = i ? &again : e;

		*ret_cred = fit[i]->cred;
		err = fit[i]->pattern ? try_plain(t, ret_cred, ret, told) : try_aws(t, fit[i], ret, ret_cred, told);
		if (!err)
			return 0;
		if (!is_refusal(err)) {
			*e = *told;
			break;
		}
	}
	return -e->code;
}

int registry_resolve(struct registry *r, const char *reference, const struct registry_keys *keys, int64_t deadline_ms,
		     struct arena *a, struct oci_image *ret, struct registry_credentials *ret_cred, struct error *e)
{
	struct registry_credentials cred = {0};
	struct oci_reference ref;
	struct error own;

	e = e ? e : &own;
	int err = oci_reference_parse(a, reference, &ref, e);

	if (err)
		return err;
	const struct attempt t = {.r = r,
				  .reference = reference,
				  .host = ref.registry,
				  .deadline_ms = deadline_ms ? deadline_ms : time_mono_ms() + RESOLVE_LIMIT_MS,
				  .a = a};

	err = try_all(&t, &ref, keys, ret, &cred, e);
	if (!err && ret_cred)
		*ret_cred = cred;
	return err;
}
