/*
 * main.c - berth-apiserver: serve, init, issue, migrate.
 */
#include "apiserver/discovery.h"
#include "apiserver/migrate.h"
#include "apiserver/server.h"
#include "apiserver/setup.h"
#include "lib/arena.h"
#include "lib/fsutil.h"
#include "lib/log.h"
#include "lib/man.h"
#include "lib/options.h"
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#define PROGRAM "berth-apiserver"
#define DEFAULT_STATE_DIR "/var/lib/berth/apiserver"

static struct {
	const char *state_dir, *listen, *cert, *key, *client_ca, *token_file, *node_cert, *node_key, *log_level, *store;
	int64_t quota, threads;
} serve = {
	.state_dir = DEFAULT_STATE_DIR, .listen = "0.0.0.0:6443", .log_level = "info", .store = "sqlite", .threads = 2};

static struct etcd_choice etcd = {.prefix = STORE_ETCD_PREFIX};
#define ETCD_OPTIONS                                                                                               \
	{"etcd-cacert", 0, OPT_STRING, &etcd.ca_file, "FILE", "CA of etcd's certificate (default: the system's)"}, \
		{"etcd-cert", 0, OPT_STRING, &etcd.cert_file, "FILE", "Client certificate for etcd"},              \
		{"etcd-key", 0, OPT_STRING, &etcd.key_file, "FILE", "Its key"},                                    \
	{                                                                                                          \
		"etcd-prefix", 0, OPT_STRING, &etcd.prefix, "PREFIX", "Of all keys in etcd (default: /berth)"      \
	}

static const struct option_spec serve_options[] = {
	{"state-dir", 's', OPT_STRING, &serve.state_dir, "DIR",
	 "Folder for the store and, by default, certificates and tokens"},
	{"listen", 'l', OPT_STRING, &serve.listen, "ADDRESS:PORT", "Where to serve HTTPS"},
	{"cert", 0, OPT_STRING, &serve.cert, "FILE",
	 "Serving certificate (default: pki/apiserver.crt in the state folder)"},
	{"key", 0, OPT_STRING, &serve.key, "FILE", "Its key (default: pki/apiserver.key)"},
	{"client-ca", 0, OPT_STRING, &serve.client_ca, "FILE",
	 "CA of client certificates and of nodes (default: pki/ca.crt)"},
	{"token-file", 0, OPT_STRING, &serve.token_file, "FILE",
	 "Bearer tokens, lines of token,user,uid,\"group1,group2\" (default: tokens.csv)"},
	{"node-cert", 0, OPT_STRING, &serve.node_cert, "FILE",
	 "Certificate shown to nodes (default: pki/node-client.crt)"},
	{"node-key", 0, OPT_STRING, &serve.node_key, "FILE", "Its key (default: pki/node-client.key)"},
	{"store", 0, OPT_STRING, &serve.store, "sqlite|etcd",
	 "Where objects live (default: sqlite, in the state folder)"},
	{"store-quota", 0, OPT_QUANTITY, &serve.quota, "BYTES",
	 "sqlite: refuse writes beyond this size (default: the disk's)"},
	{"etcd-endpoints", 0, OPT_STRING, &etcd.endpoints, "URL[,URL...]", "etcd: its client URLs"},
	ETCD_OPTIONS,
	{"threads", 0, OPT_INT, &serve.threads, "N", "HTTP threads"},
	{"log-level", 0, OPT_STRING, &serve.log_level, "LEVEL", "debug, info, warn or error"},
	{0}};

static const char summary[] =
	"Stores Berth's objects and serves them as a Kubernetes API.\n"
	"berth-apiserver [serve] [flags]      serve the API\n"
	"berth-apiserver init [flags]         make CA, certificates, tokens and kubeconfigs in a state folder\n"
	"berth-apiserver issue node|gateway NAME [flags]   make credentials for one more component\n"
	"berth-apiserver migrate [flags]      copy all objects to another, empty store\n";

/* ---- serve ---- */

static const char *in_state_dir(struct arena *a, const char *given, const char *name)
{
	return given ? given : arena_printf(a, "%s/%s", serve.state_dir, name);
}

static int fail(const struct error *e)
{
	fprintf(stderr, "%s: %s\n", PROGRAM, e->text);
	return 1;
}

static int wait_for_end(void)
{
	sigset_t set;
	int sig = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigwait(&set, &sig);
	return sig;
}

/* Before any thread: ending signals are waited for, and a client that goes away is an error, not a signal. */
static void prepare_process(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	mallopt(M_ARENA_MAX, 2); /* objects live long and move between threads: more arenas only scatter them */
}

static int open_store(struct arena *a, struct store **ret, struct error *e)
{
	struct store_sqlite_options opt = {.path = in_state_dir(a, NULL, "store.db"), .max_bytes = serve.quota};

	if (streq(serve.store, "sqlite") && etcd.endpoints)
		return error_set(e, E_BAD_REQUEST, "--etcd-endpoints goes with --store etcd");
	if (streq(serve.store, "sqlite"))
		return store_sqlite_open(&opt, ret, e);
	if (!streq(serve.store, "etcd"))
		return error_set(e, E_BAD_REQUEST, "--store: \"%s\" is neither sqlite nor etcd", serve.store);
	if (serve.quota)
		return error_set(e, E_BAD_REQUEST, "--store-quota is for sqlite; etcd has --quota-backend-bytes");
	return migrate_open_etcd(&etcd, ret, e);
}

/* Paths in a are used as long as the server lives. */
static int open_everything(struct arena *a, struct server **ret, struct error *e)
{
	struct server_options opt = {
		.listen = serve.listen,
		.cert_file = in_state_dir(a, serve.cert, "pki/apiserver.crt"),
		.key_file = in_state_dir(a, serve.key, "pki/apiserver.key"),
		.client_ca_file = in_state_dir(a, serve.client_ca, "pki/ca.crt"),
		.token_file = in_state_dir(a, serve.token_file, "tokens.csv"),
		.account_key_file = in_state_dir(a, NULL, "pki/serviceaccount.key"),
		.node_tls = {.cert_file = in_state_dir(a, serve.node_cert, "pki/node-client.crt"),
			     .key_file = in_state_dir(a, serve.node_key, "pki/node-client.key")},
		.threads = serve.threads,
	};
	struct store *store;
	int code;

	opt.node_tls.ca_file = opt.client_ca_file;
	if (access(opt.cert_file, R_OK) < 0)
		return error_set(e, E_NOT_FOUND,
				 "no certificate at %s; run `berth-apiserver init --state-dir %s --address IP` first",
				 opt.cert_file, serve.state_dir);
	if ((code = dir_make(serve.state_dir, 0700, e)) < 0 || (code = kind_table_init(e)) < 0 ||
	    (code = discovery_init(e)) < 0 || (code = open_store(a, &store, e)) < 0)
		return code;
	return server_start(store, &opt, ret, e);
}

static int run_serve(int argc, char **argv)
{
	_arena_ a = arena_new();
	enum log_level level;
	struct server *server;
	struct error e;

	options_parse_or_exit(PROGRAM, summary, serve_options, argc, argv);
	if (!log_level_parse(serve.log_level, &level)) {
		fprintf(stderr, "%s: --log-level: \"%s\" is none of debug, info, warn, error\n", PROGRAM,
			serve.log_level);
		return 2;
	}
	log_init("apiserver", level);
	prepare_process();
	if (open_everything(a, &server, &e) < 0)
		return fail(&e);
	log_info("serving", "listen", serve.listen, "port", log_num(httpd_port(server->httpd)), "revision",
		 log_num(server->store->ops->revision(server->store)), NULL);
	int sig = wait_for_end();
	log_info("ending", "signal", strsignal(sig), NULL);
	server_stop(server);
	return 0;
}

/* ---- init, issue ---- */

static struct setup setup = {.state_dir = DEFAULT_STATE_DIR, .port = 6443};
static const struct option_spec setup_options[] = {
	{"state-dir", 's', OPT_STRING, &setup.state_dir, "DIR", "State folder of the apiserver"},
	{"address", 'a', OPT_LIST, &setup.addresses, "IP|NAME",
	 "Under which it is reached; the first goes into kubeconfigs"},
	{"port", 'p', OPT_INT, &setup.port, "PORT", "Port of the apiserver, for kubeconfigs"},
	{"server", 0, OPT_STRING, &setup.server, "URL", "URL for kubeconfigs, instead of address and port"},
	{"out", 'o', OPT_STRING, &setup.out, "DIR", "issue: where the files go"},
	{0}};

static int run_setup(int argc, char **argv,
		     int (*run)(const struct setup *s, const char *const *args, int nargs, struct error *e))
{
	const char **args = xcalloc((size_t)argc + 1, sizeof(*args));
	struct error e;
	int nargs;

	if (man_wanted(argc, argv)) {
		bool issues = run == setup_issue;

		man_print(issues ? PROGRAM " issue" : PROGRAM " init", issues ? "node|gateway NAME [flags]" : "[flags]",
			  issues ? "Makes credentials for one more component."
				 : "Makes CA, certificates, tokens and kubeconfigs in a state folder.",
			  setup_options);
		free(args);
		return 0;
	}
	if (argc > 1 && (streq(argv[1], "--help") || streq(argv[1], "-h"))) {
		printf("%s\n", summary);
		options_help(setup_options);
		free(args);
		return 0;
	}
	log_init("apiserver", LOG_WARN);
	int code = options_parse(setup_options, argc, argv, false, args, &nargs, &e);
	if (code == 0)
		code = run(&setup, args, nargs, &e);
	free(args);
	if (code == 0)
		return 0;
	fail(&e);
	return code == -E_BAD_REQUEST ? 2 : 1;
}

/* ---- migrate ---- */

static const char *migrate_from, *migrate_to;
static const struct option_spec migrate_options[] = {
	{"from", 0, OPT_STRING, &migrate_from, "STORE", "Where the objects are: sqlite:PATH or etcd:URL[,URL...]"},
	{"to", 0, OPT_STRING, &migrate_to, "STORE", "Where they go; must be empty. No apiserver may run on either"},
	ETCD_OPTIONS,
	{0}};

static int run_migrate(int argc, char **argv)
{
	struct error e;
	size_t count;

	if (man_wanted(argc, argv)) {
		man_print(PROGRAM " migrate", "--from STORE --to STORE [flags]",
			  "Copies all objects to another, empty store.", migrate_options);
		return 0;
	}
	options_parse_or_exit(PROGRAM " migrate", "berth-apiserver migrate --from STORE --to STORE [flags]\n",
			      migrate_options, argc, argv);
	log_init("apiserver", LOG_WARN);
	int code = migrate(migrate_from, migrate_to, &etcd, &count, &e);
	if (code == 0)
		printf("%zu objects copied\n", count);
	else
		fail(&e);
	return code == 0 ? 0 : code == -E_BAD_REQUEST ? 2 : 1;
}

int main(int argc, char **argv)
{
	if (argc > 1 && streq(argv[1], "init"))
		return run_setup(argc - 1, argv + 1, setup_init);
	if (argc > 1 && streq(argv[1], "issue"))
		return run_setup(argc - 1, argv + 1, setup_issue);
	if (argc > 1 && streq(argv[1], "migrate"))
		return run_migrate(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "serve"))
		return run_serve(argc - 1, argv + 1);
	return run_serve(argc, argv);
}
