/*
 * registry_keys.h - credentials of registries, taken out of Kubernetes Secrets, and which of them fit an image. No I/O.
 *
 * Secrets are those of a Pod's imagePullSecrets (kubernetes.io/dockerconfigjson, kubernetes.io/dockercfg), and
 * berth.dev/aws with an AWS access key for Amazon ECR. Keys of a docker configuration are matched as the kubelet
 * matches them: host with globs per label, equal port, prefix of the path, the most specific first.
 *
 * Ownership: everything belongs to the arena passed in. A Secret that is of no use fails nothing by itself: what is
 * wrong with it is kept as `problem`, for the error should the registry refuse. No text here ever holds a value of a
 * Secret. Used by lib/registry*.c, scheduler and agent.
 */
#ifndef BERTH_LIB_REGISTRY_KEYS_H
#define BERTH_LIB_REGISTRY_KEYS_H

#include "lib/json.h"
#include "lib/oci.h"

#define REGISTRY_KEYS_MAX 256U /* of all Secrets of an image together; more are left out */
#define REGISTRY_KEY_TRIES 8U  /* how many that fit are tried for one image */
#define REGISTRY_SECRET_MAX (1024U * 1024)

struct registry_credentials {
	const char *username, *password; /* NULL username: anonymous */
	const char *source;		 /* where they are from, for messages: "Secret default/regcred"; may be NULL */
};

struct registry_key {
	const char *pattern;		  /* "registry.example.com:5000/team"; NULL: of an AWS access key */
	struct registry_credentials cred; /* AWS: the key's ID and its secret */
	const char *session_token;	  /* AWS only, NULL: none */
};

struct registry_keys { /* starts zeroed */
	struct registry_key *items;
	size_t count, cap;
	const char *sources; /* "Secret default/a, Secret default/b": all that were looked at; NULL: none */
	const char *problem; /* what is wrong with the first one that is of no use, and what to do; NULL: nothing */
};

/* Takes the credentials out of a Secret object. */
void registry_keys_add(struct arena *a, struct registry_keys *k, const struct json *secret);
/* Notes that Secret ns/name could not be had; what: "does not exist: create it …". */
void registry_keys_missing(struct arena *a, struct registry_keys *k, const char *ns, const char *name,
			   const char *what);
/* One key for everything below a pattern, for tools and tests. */
void registry_keys_add_one(struct arena *a, struct registry_keys *k, const char *pattern,
			   const struct registry_credentials *cred);
/* The keys that fit an image, best first: at most REGISTRY_KEY_TRIES into out. Returns how many. k may be NULL. */
size_t registry_keys_match(const struct registry_keys *k, const struct oci_reference *ref,
			   const struct registry_key *out[REGISTRY_KEY_TRIES]);

/* A private registry of Amazon ECR: ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com[.cn]. */
struct registry_ecr_host {
	const char *region, *domain; /* domain: "amazonaws.com" or "amazonaws.com.cn" */
	bool fips;
};
bool registry_ecr_parse(struct arena *a, const char *host, struct registry_ecr_host *ret);

#endif
