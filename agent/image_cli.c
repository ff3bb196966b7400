/*
 * image_cli.c - `berth-agent image`: pulls, lists and verifies images in a state folder, for debugging and tests.
 *
 * It is the same store the agent uses, on a loop of its own; the agent must not be running on that folder.
 */
#include "agent/image.h"
#include "agent/image_record.h"
#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/man.h"
#include "lib/options.h"
#include "lib/units.h"

#include <stdio.h>

struct cli {
	uv_loop_t loop;
	struct option_list secrets; /* files of Secret objects */
	struct image_store *store;
	const char *digest; /* awaited */
	int exit_code;
	bool tty;
};

static const char usage[] = "Usage: berth-agent image pull REFERENCE --state-dir DIR [options]\n"
			    "       berth-agent image list --state-dir DIR\n"
			    "       berth-agent image verify --state-dir DIR\n\n"
			    "Works on the images of a node without an apiserver; its agent must not be running.\n";

static void on_changed(void *user, const struct image_status *s)
{
	struct cli *c = user;
	char done[32], total[32], rate[32];

	if (!streq(s->digest, c->digest))
		return;
	bytes_human((uint64_t)s->bytes_done, done, sizeof(done));
	bytes_human((uint64_t)s->bytes_total, total, sizeof(total));
	bytes_human((uint64_t)(s->bytes_per_second > 0 ? s->bytes_per_second : 0), rate, sizeof(rate));
	if (c->tty)
		fprintf(stderr, "\r\033[K%s %d%% %s of %s, %s/s", image_phase_name(s->phase), s->percent, done, total,
			rate);
	if (s->phase != IMAGE_READY && s->phase != IMAGE_FAILED)
		return;
	if (c->tty)
		fputc('\n', stderr);
	if (s->phase == IMAGE_READY)
		printf("%s\n", s->path);
	else
		fprintf(stderr, "berth-agent: %.*s\n", (int)strcspn(s->message, ";"), s->message);
	c->exit_code = s->phase == IMAGE_READY ? 0 : 1;
	uv_stop(&c->loop);
}

/* A tag is resolved first: the store knows digests only. */
static int resolve(struct arena *a, const struct registry_options *opt, const char *reference,
		   const struct registry_keys *keys, struct oci_image *ret, struct error *e)
{
	struct registry *r = registry_new(opt);
	int err = registry_resolve(r, reference, keys, 0, a, ret, NULL, e);

	registry_free(r);
	return err;
}

static int read_secret(const char *path, struct arena *a, struct registry_keys *ret, struct error *e)
{
	_buf_ text = BUF_INIT(2 * REGISTRY_SECRET_MAX);
	struct json *secret;
	int r = file_read(path, &text, e);

	if (!r && json_parse(a, text.data ? text.data : "", text.len, NULL, &secret, NULL))
		r = error_set(e, E_INVALID, "%s is not JSON: make it with kubectl get secret NAME -o json", path);
	if (!r)
		registry_keys_add(a, ret, secret);
	return r;
}

/* In place of Secrets at an API server: the files. The names are this very list, so that the store asks at all. */
static int read_secrets(void *user, _unused_ const struct json *names, struct arena *a, struct registry_keys *ret,
			struct error *e)
{
	const struct cli *c = user;
	int r = 0;

	for (size_t i = 0; i < c->secrets.count && !r; i++)
		r = read_secret(c->secrets.items[i], a, ret, e);
	return r;
}

static struct json *secret_names(struct arena *a, const struct cli *c)
{
	struct json *list = json_array(a);

	for (size_t i = 0; i < c->secrets.count; i++)
		json_append(a, list, json_string(a, c->secrets.items[i]));
	return list;
}

static int do_pull(struct cli *c, const struct image_store_options *opt, const char *reference, struct error *e)
{
	_arena_ a = arena_new();
	struct image_status status;
	struct oci_image image;
	struct registry_keys keys = {0};
	int r = read_secrets(c, NULL, a, &keys, e);

	if (!r)
		r = resolve(a, &opt->registry, reference, &keys, &image, e);
	if (r)
		return r;
	c->digest = image.digest;
	r = image_want(c->store, image.reference, secret_names(a, c), true, e);
	if (r)
		return r;
	if (image_get(c->store, c->digest, &status) && status.phase == IMAGE_READY)
		on_changed(c, &status);
	else
		uv_run(&c->loop, UV_RUN_DEFAULT);
	return 0;
}

static void do_list(struct cli *c)
{
	for (size_t i = 0; i < image_count(c->store); i++) {
		struct image_status s;

		image_nth(c->store, i, &s);
		printf("%s %s %lld %s\n", image_phase_name(s.phase), s.reference, (long long)s.disk_bytes,
		       s.path ? s.path : "-");
	}
}

static void do_verify(struct cli *c, const char *state_dir)
{
	_free_ char *folder = xasprintf("%s/images", state_dir);

	for (size_t i = 0; i < image_count(c->store); i++) {
		_arena_ a = arena_new();
		struct image_record rec;
		struct image_status s;
		struct error e;

		image_nth(c->store, i, &s);
		int r = image_record_load(a, folder, s.digest, &rec, &e);

		if (!r)
			r = image_record_verify(folder, &rec, NULL, &e);
		printf("%s %s\n", r ? "corrupt" : "ok", s.reference);
		if (r) {
			fprintf(stderr, "berth-agent: %s\n", e.text);
			c->exit_code = 1;
		}
	}
}

static int run(struct cli *c, const struct image_store_options *opt, const char *const *args, int n, struct error *e)
{
	if (n == 2 && streq(args[0], "pull"))
		return do_pull(c, opt, args[1], e);
	if (n == 1 && streq(args[0], "list")) {
		do_list(c);
		return 0;
	}
	if (n == 1 && streq(args[0], "verify")) {
		do_verify(c, opt->state_dir);
		return 0;
	}
	return error_set(e, E_BAD_REQUEST, "image: say pull REFERENCE, list or verify");
}

static int with_store(struct cli *c, struct image_store_options *opt, const char *const *args, int n, struct error *e)
{
	uv_loop_init(&c->loop);
	opt->changed = on_changed;
	opt->read_keys = read_secrets;
	opt->user = c;
	int r = image_store_open(&c->loop, opt, &c->store, e);

	if (!r) {
		r = run(c, opt, args, n, e);
		image_store_close(c->store);
		while (uv_run(&c->loop, UV_RUN_DEFAULT) > 0)
			; /* on_changed() may have asked the loop to stop before it ran */
	}
	uv_loop_close(&c->loop);
	return r;
}

int image_cli_main(int argc, char **argv)
{
	struct image_store_options opt = {0};
	struct cli c = {.tty = isatty(2)};
	bool help = false;
	const struct option_spec specs[] = {
		{"state-dir", 's', OPT_STRING, &opt.state_dir, "DIR", "Folder for everything this node keeps"},
		REGISTRY_OPTION_SPECS(opt.registry),
		{"pull-secret", 0, OPT_LIST, &c.secrets, "FILE",
		 "Secret with credentials, as kubectl get -o json gives it (may be repeated)"},
		{"unpacked-max", 0, OPT_QUANTITY, &opt.unpacked_max, "BYTES", "Largest image, unpacked"},
		{"help", 'h', OPT_BOOL, &help, NULL, "Show this help"},
		{0}};

	if (man_wanted(argc, argv)) {
		man_print("berth-agent image", "pull REFERENCE | list | verify",
			  "Works on the images of a node without an apiserver; its agent must not be running.", specs);
		return 0;
	}
	const char **args = xcalloc((size_t)argc + 1, sizeof(*args));
	struct error e;
	int n = 0;

	log_init("agent", LOG_ERROR); /* what fails is said once, by this command */
	int r = options_parse(specs, argc, argv, false, args, &n, &e);

	if (!r && help) {
		fputs(usage, stdout);
		options_help(specs);
	} else if (!r && !opt.state_dir) {
		r = error_set(&e, E_BAD_REQUEST, "image: --state-dir is missing");
	} else if (!r) {
		r = registry_options_check(&opt.registry, &e);
	}
	if (!r && !help)
		r = with_store(&c, &opt, args, n, &e);
	free(args);
	if (r)
		fprintf(stderr, "berth-agent: %s\n", e.text);
	return r == -E_BAD_REQUEST ? 2 : r ? 1 : c.exit_code;
}
