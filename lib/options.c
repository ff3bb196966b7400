/*
 * options.c - parsing and describing flags from a table; see options.h.
 */
#include "lib/options.h"

#include "lib/man.h"
#include "lib/units.h"

#include <errno.h>
#include <stdio.h>

static const struct option_spec *find_long(const struct option_spec *specs, const char *name, size_t len)
{
	for (; specs->name; specs++)
		if (strlen(specs->name) == len && memcmp(specs->name, name, len) == 0)
			return specs;
	return NULL;
}

static const struct option_spec *find_short(const struct option_spec *specs, char letter)
{
	for (; specs->name; specs++)
		if (specs->letter == letter)
			return specs;
	return NULL;
}

/* Levenshtein distance, for suggestions; names beyond 31 characters count as far away. */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), row[32];

	if (n > 31 || m > 31)
		return 99;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m];
}

static int unknown(const struct option_spec *specs, const char *name, size_t len, struct error *e)
{
	_free_ char *given = xstrndup(name, len);
	const char *nearest = NULL;
	size_t best = 2 + len / 4; /* the longer the name, the more slips are likely */

	if (best > 4)
		best = 4;
	for (; specs->name; specs++) {
		size_t d = distance(given, specs->name);

		if (d < best) {
			best = d;
			nearest = specs->name;
		}
	}
	if (nearest)
		return error_set(e, E_BAD_REQUEST, "unknown flag --%s; did you mean --%s?", given, nearest);
	return error_set(e, E_BAD_REQUEST, "unknown flag --%s (see --help)", given);
}

static int store_int(const struct option_spec *s, const char *value, struct error *e)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(value, &end, 10);
	if (errno || end == value || *end)
		return error_set(e, E_BAD_REQUEST, "--%s: \"%s\" is not a number", s->name, value);
	*(int64_t *)s->value = n;
	return 0;
}

static int store(const struct option_spec *s, const char *value, struct error *e)
{
	struct option_list *list = s->value;
	int r = 0;

	switch (s->type) {
	case OPT_BOOL:
		if (value && !streq(value, "true") && !streq(value, "false"))
			return error_set(e, E_BAD_REQUEST, "--%s takes true or false, not \"%s\"", s->name, value);
		*(bool *)s->value = !value || streq(value, "true");
		return 0;
	case OPT_STRING:
		*(const char **)s->value = value;
		return 0;
	case OPT_INT:
		return store_int(s, value, e);
	case OPT_DURATION:
		r = duration_parse_ms(value, s->value, e);
		break;
	case OPT_QUANTITY:
		r = quantity_parse(value, s->value, e);
		break;
	case OPT_LIST:
		if (list->count == OPTION_LIST_MAX)
			return error_set(e, E_BAD_REQUEST, "--%s is given more than %d times", s->name,
					 OPTION_LIST_MAX);
		list->items[list->count++] = value;
		return 0;
	}
	if (r && e) {
		error_prefix(e, "--%s", s->name);
		e->code = E_BAD_REQUEST;
	}
	return r ? -E_BAD_REQUEST : 0;
}

/* One flag at argv[*at]; *at moves past a value taken from the next argument. */
static int parse_long(const struct option_spec *specs, int argc, char **argv, int *at, struct error *e)
{
	const char *name = argv[*at] + 2, *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	const struct option_spec *s = find_long(specs, name, len);

	if (!s)
		return unknown(specs, name, len, e);
	if (eq)
		return store(s, eq + 1, e);
	if (s->type == OPT_BOOL)
		return store(s, NULL, e);
	if (*at + 1 >= argc)
		return error_set(e, E_BAD_REQUEST, "--%s needs a value: %s", s->name, s->argument);
	return store(s, argv[++*at], e);
}

/* "-it" is "-i -t"; "-nprod", "-n=prod" and "-n prod" are the same. */
static int parse_short(const struct option_spec *specs, int argc, char **argv, int *at, struct error *e)
{
	for (const char *p = argv[*at] + 1; *p; p++) {
		const struct option_spec *s = find_short(specs, *p);
		int r;

		if (!s)
			return error_set(e, E_BAD_REQUEST, "unknown flag -%c (see --help)", *p);
		if (s->type == OPT_BOOL) {
			r = store(s, NULL, e);
			if (r)
				return r;
			continue;
		}
		if (p[1])
			return store(s, p[1] == '=' ? p + 2 : p + 1, e);
		if (*at + 1 >= argc)
			return error_set(e, E_BAD_REQUEST, "-%c needs a value: %s", *p, s->argument);
		return store(s, argv[++*at], e);
	}
	return 0;
}

int options_parse(const struct option_spec *specs, int argc, char **argv, bool stop_at_first_positional,
		  const char **args, int *ret_nargs, struct error *e)
{
	int n = 0;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		int r = 0;

		if (streq(arg, "--")) {
			while (++i < argc)
				args[n++] = argv[i];
			break;
		}
		if (str_starts(arg, "--")) {
			r = parse_long(specs, argc, argv, &i, e);
		} else if (arg[0] == '-' && arg[1]) {
			r = parse_short(specs, argc, argv, &i, e);
		} else if (stop_at_first_positional) {
			for (; i < argc; i++)
				args[n++] = argv[i];
		} else {
			args[n++] = arg;
		}
		if (r)
			return r;
	}
	*ret_nargs = n;
	return 0;
}

static size_t left_width(const struct option_spec *s)
{
	return strlen(s->name) + (s->argument ? strlen(s->argument) + 1 : 0);
}

static size_t widest(const struct option_spec *s)
{
	size_t width = 0;

	for (; s->name; s++)
		if (left_width(s) > width)
			width = left_width(s);
	return width;
}

static void help_lines(const struct option_spec *specs, size_t at_least)
{
	size_t width = widest(specs) > at_least ? widest(specs) : at_least;

	for (const struct option_spec *s = specs; s->name; s++) {
		if (s->letter)
			printf("  -%c, ", s->letter);
		else
			printf("      ");
		printf("--%s%s%s%*s%s\n", s->name, s->argument ? " " : "", s->argument ? s->argument : "",
		       (int)(width - left_width(s) + 3), "", s->help);
	}
}

void options_help(const struct option_spec *specs)
{
	help_lines(specs, 0);
}

void options_parse_or_exit(const char *program, const char *summary, const struct option_spec *specs, int argc,
			   char **argv)
{
	static const struct option_spec common[] = {{"help", 'h', OPT_BOOL, NULL, NULL, "This text"},
						    {"version", 0, OPT_BOOL, NULL, NULL, "Version and commit"},
						    {0}};
	_free_ const char **args = xcalloc((size_t)argc + 1, sizeof(*args));
	struct error e = {0};
	int n;

	if (man_wanted(argc, argv)) {
		man_print(program, "[flags]", summary, specs);
		exit(0);
	}
	for (int i = 1; i < argc && !streq(argv[i], "--"); i++) {
		if (streq(argv[i], "--version")) {
			version_print(program);
			exit(0);
		}
		if (streq(argv[i], "--help") || streq(argv[i], "-h")) {
			printf("%s\n\nUsage: %s [flags]\n\nFlags:\n", summary, program);
			help_lines(specs, strlen("version"));
			help_lines(common, strlen("version") > widest(specs) ? strlen("version") : widest(specs));
			exit(0);
		}
	}
	if (options_parse(specs, argc, argv, false, args, &n, &e) == 0 && n)
		error_set(&e, E_BAD_REQUEST, "unexpected argument \"%s\" (see --help)", args[0]);
	if (e.code) {
		fprintf(stderr, "%s: %s\n", program, e.text);
		exit(2);
	}
}
