/*
 * request.c - fields of START and EXEC into a struct, by one table; see request.h.
 */
#include "guest/request.h"

#include <stdio.h>

enum field_kind { FIELD_WORD, FIELD_TEXT, FIELD_BYTES, FIELD_NUMBER };

struct field_row {
	const char *name;
	uint16_t key;
	enum field_kind kind;
	size_t offset;
	uint64_t max; /* of a number */
};

#define AT(member) offsetof(struct request, member)

static const struct field_row rows[] = {
	{"ARG", CHANNEL_KEY_ARG, FIELD_WORD, AT(args), 0},
	{"ENV", CHANNEL_KEY_ENV, FIELD_WORD, AT(envs), 0},
	{"VOLUME", CHANNEL_KEY_VOLUME, FIELD_WORD, AT(volumes), 0},
	{"DNS", CHANNEL_KEY_DNS, FIELD_WORD, AT(dns), 0},
	{"CWD", CHANNEL_KEY_CWD, FIELD_TEXT, AT(cwd), 0},
	{"USER", CHANNEL_KEY_USER, FIELD_TEXT, AT(user), 0},
	{"ADDRESS", CHANNEL_KEY_ADDRESS, FIELD_TEXT, AT(address), 0},
	{"GATEWAY", CHANNEL_KEY_GATEWAY, FIELD_TEXT, AT(gateway), 0},
	{"HOSTNAME", CHANNEL_KEY_HOSTNAME, FIELD_TEXT, AT(hostname), 0},
	{"PROBE_KIND", CHANNEL_KEY_PROBE_KIND, FIELD_TEXT, AT(probe_kind), 0},
	{"PROBE_PATH", CHANNEL_KEY_PROBE_PATH, FIELD_TEXT, AT(probe_path), 0},
	{"ENTROPY", CHANNEL_KEY_ENTROPY, FIELD_BYTES, AT(entropy), 0},
	{"TTY", CHANNEL_KEY_TTY, FIELD_NUMBER, AT(tty), 1},
	{"STDIN", CHANNEL_KEY_STDIN, FIELD_NUMBER, AT(has_stdin), 1},
	{"COLUMNS", CHANNEL_KEY_COLUMNS, FIELD_NUMBER, AT(columns), UINT16_MAX},
	{"ROWS", CHANNEL_KEY_ROWS, FIELD_NUMBER, AT(rows), UINT16_MAX},
	{"WINDOW", CHANNEL_KEY_WINDOW, FIELD_NUMBER, AT(window), UINT32_MAX},
	{"TIME_NS", CHANNEL_KEY_TIME_NS, FIELD_NUMBER, AT(time_ns), INT64_MAX},
	{"PROBE_PORT", CHANNEL_KEY_PROBE_PORT, FIELD_NUMBER, AT(probe_port), UINT16_MAX},
	{"PROBE_PERIOD_MS", CHANNEL_KEY_PROBE_PERIOD_MS, FIELD_NUMBER, AT(probe_period_ms), PROBE_MS_MAX},
	{"PROBE_TIMEOUT_MS", CHANNEL_KEY_PROBE_TIMEOUT_MS, FIELD_NUMBER, AT(probe_timeout_ms), PROBE_MS_MAX},
	{"PROBE_FAILURES", CHANNEL_KEY_PROBE_FAILURES, FIELD_NUMBER, AT(probe_failures), PROBE_FAILURES_MAX},
};

static const struct field_row *find_row(uint16_t key)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].key == key)
			return &rows[i];
	return NULL;
}

static const char *keep(struct request *r, const struct channel_field *field)
{
	char *at = r->text + r->used;

	memcpy(at, field->data, field->len);
	at[field->len] = '\0';
	r->used += field->len + 1;
	return at;
}

/* What is wrong with the field, or NULL after storing it. */
static const char *store(struct request *r, const struct field_row *row, const struct channel_field *field)
{
	void *member = (char *)r + row->offset;

	if (row->kind == FIELD_NUMBER) {
		uint64_t v = 0;

		if (field->len != 8)
			return "is not a number";
		for (size_t i = 0; i < 8; i++)
			v |= (uint64_t)field->data[i] << (8 * i);
		if (v > row->max)
			return "is too large";
		*(uint64_t *)member = v;
		return NULL;
	}
	if (row->kind == FIELD_BYTES) {
		r->entropy_len = field->len < REQUEST_ENTROPY_MAX ? field->len : REQUEST_ENTROPY_MAX;
		*(const char **)member = keep(r, field);
		return NULL;
	}
	if (memchr(field->data, 0, field->len))
		return "holds a NUL byte";
	if (row->kind == FIELD_TEXT) {
		*(const char **)member = keep(r, field);
		return NULL;
	}
	struct request_words *words = member;

	if (words->count == words->max)
		return "is given too often";
	words->at[words->count++] = keep(r, field);
	words->at[words->count] = NULL;
	return NULL;
}

static void init_words(struct request_words *words, const char **at, size_t max)
{
	*words = (struct request_words){at, 0, max};
	at[0] = NULL;
}

static void init(struct request *r)
{
	init_words(&r->args, r->arg_at, REQUEST_WORDS_MAX);
	init_words(&r->envs, r->env_at, REQUEST_WORDS_MAX);
	init_words(&r->volumes, r->volume_at, REQUEST_VOLUMES_MAX);
	init_words(&r->dns, r->dns_at, REQUEST_DNS_MAX);
	r->used = 0;
	r->entropy_len = 0;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		void *member = (char *)r + rows[i].offset;

		if (rows[i].kind == FIELD_NUMBER)
			*(uint64_t *)member = 0;
		else if (rows[i].kind != FIELD_WORD)
			*(const char **)member = "";
	}
}

bool request_parse(const struct channel_frame *f, struct request *ret, char why[REQUEST_WHY_MAX])
{
	struct channel_field field;
	size_t offset = 0;
	bool bad;

	init(ret);
	while (channel_next_field(f, &offset, &field, &bad)) {
		const struct field_row *row = find_row(field.key);
		const char *wrong = row ? store(ret, row, &field) : NULL;

		if (wrong) {
			snprintf(why, REQUEST_WHY_MAX, "field %s %s", row->name, wrong);
			return false;
		}
	}
	if (bad) {
		snprintf(why, REQUEST_WHY_MAX, "the fields are malformed at byte %zu", offset);
		return false;
	}
	if (ret->args.count == 0 || ret->args.at[0][0] == '\0') {
		snprintf(why, REQUEST_WHY_MAX, "there is no command: field ARG is missing or empty");
		return false;
	}
	return true;
}

bool request_probe(const struct request *r, struct probe_config *ret)
{
	struct probe_config c = {.kind = PROBE_NONE};

	if (streq(r->probe_kind, "tcp"))
		c.kind = PROBE_TCP;
	else if (streq(r->probe_kind, "http"))
		c.kind = PROBE_HTTP;
	else if (r->probe_kind[0] && !streq(r->probe_kind, "none"))
		return false;
	if (c.kind != PROBE_NONE && r->probe_port == 0)
		return false;
	if (strlen(r->probe_path) >= sizeof(c.path) || strpbrk(r->probe_path, " \r\n"))
		return false;
	c.port = (uint16_t)r->probe_port;
	c.period_ms = r->probe_period_ms ? r->probe_period_ms : PROBE_PERIOD_DEFAULT_MS;
	c.timeout_ms = r->probe_timeout_ms ? r->probe_timeout_ms : PROBE_TIMEOUT_DEFAULT_MS;
	c.failures = r->probe_failures ? (unsigned)r->probe_failures : PROBE_FAILURES_DEFAULT;
	snprintf(c.path, sizeof(c.path), "%s", r->probe_path[0] ? r->probe_path : "/");
	*ret = c;
	return true;
}

const char *request_env(const struct request_words *envs, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = envs->count; i > 0; i--)
		if (strncmp(envs->at[i - 1], name, len) == 0 && envs->at[i - 1][len] == '=')
			return envs->at[i - 1] + len + 1;
	return NULL;
}
