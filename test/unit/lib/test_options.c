/*
 * test_options.c - lib/options.c: flags of every type, what is refused, and the text of --help.
 */
#include "lib/options.h"
#include "test/unit/lib/capture.h"

#include <setjmp.h>
#include <stdio.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct {
	bool verbose, tty;
	const char *dir;
	int64_t port, timeout, size;
	struct option_list labels;
} cfg;

static const struct option_spec specs[] = {
	{"state-dir", 's', OPT_STRING, &cfg.dir, "DIR", "Folder for everything this process keeps"},
	{"verbose", 'v', OPT_BOOL, &cfg.verbose, NULL, "Log more"},
	{"tty", 't', OPT_BOOL, &cfg.tty, NULL, "A terminal"},
	{"port", 'p', OPT_INT, &cfg.port, "PORT", "Where to listen"},
	{"timeout", 0, OPT_DURATION, &cfg.timeout, "TIME", "How long"},
	{"size", 0, OPT_QUANTITY, &cfg.size, "BYTES", "How much"},
	{"label", 'l', OPT_LIST, &cfg.labels, "KEY=VALUE", "A label, may be repeated"},
	{0},
};

#define ARGS_MAX 16

/* Splits at spaces and parses. */
static int parse(const char *line, bool stop, const char **args, int *ret_nargs, struct error *e)
{
	static char text[256];
	char *argv[ARGS_MAX + 1] = {(char[]){"program"}}, *save = NULL;
	int argc = 1;

	memset(&cfg, 0, sizeof(cfg));
	cfg.port = 1;
	snprintf(text, sizeof(text), "%s", line);
	for (char *p = strtok_r(text, " ", &save); p && argc < ARGS_MAX; p = strtok_r(NULL, " ", &save))
		argv[argc++] = p;
	return options_parse(specs, argc, argv, stop, args, ret_nargs, e);
}

static void test_forms(void **state)
{
	static const char *const lines[] = {
		"--state-dir /x --port 7 --verbose --timeout 1m --size 1Ki --label a=1 --label b=2",
		"--state-dir=/x --port=7 --verbose=true --timeout=60s --size=1024 --label=a=1 --label=b=2",
		"-s /x -p 7 -v --timeout 60000ms --size 1Ki -l a=1 -l b=2",
		"-s/x -p7 -tv --timeout 1m --size 1Ki -la=1 -l=b=2",
		"-s=/x -vp7 --timeout 1m --size 1.024k -la=1 -lb=2",
	};
	const char *args[ARGS_MAX];
	int n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct error e = {0};

		n = -1;
		if (parse(lines[i], false, args, &n, &e))
			fail_msg("%s: %s", lines[i], e.text);
		assert_int_equal(n, 0);
		assert_string_equal(cfg.dir, "/x");
		assert_int_equal(cfg.port, 7);
		assert_true(cfg.verbose);
		assert_int_equal(cfg.timeout, 60000);
		assert_int_equal(cfg.size, 1024);
		assert_int_equal(cfg.labels.count, 2);
		assert_string_equal(cfg.labels.items[0], "a=1");
		assert_string_equal(cfg.labels.items[1], "b=2");
	}
}

static void test_defaults_and_false(void **state)
{
	const char *args[ARGS_MAX];
	int n;

	(void)state;
	assert_int_equal(parse("", false, args, &n, NULL), 0);
	assert_int_equal(cfg.port, 1);
	assert_null(cfg.dir);
	assert_int_equal(parse("--verbose --verbose=false --state-dir=", false, args, &n, NULL), 0);
	assert_false(cfg.verbose);
	assert_string_equal(cfg.dir, "");
	/* A value may look like a flag. */
	assert_int_equal(parse("--state-dir --verbose --port -5", false, args, &n, NULL), 0);
	assert_string_equal(cfg.dir, "--verbose");
	assert_int_equal(cfg.port, -5);
}

static void test_positionals(void **state)
{
	const char *args[ARGS_MAX];
	int n;

	(void)state;
	assert_int_equal(parse("a -v b - -- -p x", false, args, &n, NULL), 0);
	assert_int_equal(n, 5);
	assert_string_equal(args[0], "a");
	assert_string_equal(args[1], "b");
	assert_string_equal(args[2], "-");
	assert_string_equal(args[3], "-p");
	assert_string_equal(args[4], "x");
	assert_true(cfg.verbose);
	assert_int_equal(parse("-v exec -p x", true, args, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_string_equal(args[1], "-p");
	assert_int_equal(cfg.port, 1);
}

static const struct {
	const char *line, *error;
} refused[] = {
	{"--stat-dir x", "unknown flag --stat-dir; did you mean --state-dir?"},
	{"--verbos", "unknown flag --verbos; did you mean --verbose?"},
	{"--prot=7", "unknown flag --prot; did you mean --port?"},
	{"--xyz", "unknown flag --xyz (see --help)"},
	{"--", NULL},
	{"--=x", "unknown flag --"},
	{"-x", "unknown flag -x"},
	{"-vx", "unknown flag -x"},
	{"--port", "--port needs a value: PORT"},
	{"-p", "-p needs a value: PORT"},
	{"-vp", "-p needs a value: PORT"},
	{"--port x", "--port: \"x\" is not a number"},
	{"--port 1x", "is not a number"},
	{"--port=", "is not a number"},
	{"--port 9223372036854775808", "is not a number"},
	{"--verbose=maybe", "--verbose takes true or false, not \"maybe\""},
	{"--timeout 5", "--timeout: \"5\" is not a duration"},
	{"--size 5x", "--size: \"5x\" is not a quantity"},
	{"--averyveryveryveryveryveryverylongflagname", "unknown flag"},
};

static void test_refuses(void **state)
{
	const char *args[ARGS_MAX];
	int n = -1;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct error e = {0};
		int r = parse(refused[i].line, false, args, &n, &e);

		if (!refused[i].error) {
			assert_int_equal(r, 0);
			continue;
		}
		if (r != -E_BAD_REQUEST || !strstr(e.text, refused[i].error))
			fail_msg("%s: %d, \"%s\"", refused[i].line, r, e.text);
		assert_int_equal(e.code, E_BAD_REQUEST);
	}
}

static void test_list_limit(void **state)
{
	static char program[] = "program", label[] = "-lx";
	char *argv[OPTION_LIST_MAX + 2] = {program};
	const char *args[OPTION_LIST_MAX + 2];
	struct error e;
	int n;

	(void)state;
	for (int i = 1; i < OPTION_LIST_MAX + 2; i++)
		argv[i] = label;
	memset(&cfg, 0, sizeof(cfg));
	assert_int_equal(options_parse(specs, OPTION_LIST_MAX + 1, argv, false, args, &n, &e), 0);
	memset(&cfg, 0, sizeof(cfg));
	assert_int_equal(options_parse(specs, OPTION_LIST_MAX + 2, argv, false, args, &n, &e), -E_BAD_REQUEST);
	assert_non_null(strstr(e.text, "more than 64 times"));
}

/* Runs options_parse_or_exit() in a child; its exit status, and what it wrote. */
static int run_or_exit(const char *arg, int fd, char **ret_text)
{
	char *argv[] = {(char[]){"berth-x"}, xstrdup(arg), NULL};
	struct capture c = capture_begin(fd);
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		options_parse_or_exit("berth-x", "Does things.", specs, 2, argv);
		fflush(NULL);
		_exit(42);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	*ret_text = capture_end(&c);
	free(argv[1]);
	return WEXITSTATUS(status);
}

static void test_daemons(void **state)
{
	_free_ char *help = NULL, *version = NULL, *bad = NULL, *extra = NULL, *fine = NULL, *after = NULL;

	(void)state;
	assert_int_equal(run_or_exit("--help", STDOUT_FILENO, &help), 0);
	assert_string_equal(help, "Does things.\n\nUsage: berth-x [flags]\n\nFlags:\n"
				  "  -s, --state-dir DIR     Folder for everything this process keeps\n"
				  "  -v, --verbose           Log more\n"
				  "  -t, --tty               A terminal\n"
				  "  -p, --port PORT         Where to listen\n"
				  "      --timeout TIME      How long\n"
				  "      --size BYTES        How much\n"
				  "  -l, --label KEY=VALUE   A label, may be repeated\n"
				  "  -h, --help              This text\n"
				  "      --version           Version and commit\n");
	assert_int_equal(run_or_exit("--version", STDOUT_FILENO, &version), 0);
	assert_int_equal(strncmp(version, "berth-x ", 8), 0);
	assert_non_null(strstr(version, " (commit "));
	assert_int_equal(run_or_exit("--verbse", STDERR_FILENO, &bad), 2);
	assert_string_equal(bad, "berth-x: unknown flag --verbse; did you mean --verbose?\n");
	assert_int_equal(run_or_exit("stray", STDERR_FILENO, &extra), 2);
	assert_string_equal(extra, "berth-x: unexpected argument \"stray\" (see --help)\n");
	assert_int_equal(run_or_exit("-v", STDERR_FILENO, &fine), 42);
	assert_int_equal(run_or_exit("--", STDERR_FILENO, &after), 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),	    cmocka_unit_test(test_defaults_and_false),
		cmocka_unit_test(test_positionals), cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_list_limit),  cmocka_unit_test(test_daemons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
