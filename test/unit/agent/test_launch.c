/*
 * test_launch.c - from a Revision to a command line, an environment, a size, a probe, and the START frame.
 */
#include "agent/launch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define INSTANCE                                                                                    \
	"{\"metadata\":{\"name\":\"shop-u1\",\"namespace\":\"default\",\"uid\":\"0f1e2d3c-4b5a\"}," \
	"\"spec\":{\"containerName\":\"shop\",\"id\":\"u1\"}}"

static struct json *parse(struct arena *a, const char *text)
{
	struct json *v = NULL;
	struct error e = {0};

	if (json_parse(a, text, strlen(text), NULL, &v, &e) < 0)
		fail_msg("%s", e.text);
	return v;
}

static int launch(struct arena *a, const char *config, const char *template, struct launch *ret, struct error *e)
{
	const char *revision = arena_printf(
		a,
		"{\"metadata\":{\"name\":\"shop-3\"},\"spec\":{\"image\":\"r/shop@sha256:1\",\"imageDigest\":"
		"\"sha256:1\",\"imageConfig\":%s,\"template\":%s}}",
		config, template);

	return launch_from(a, parse(a, INSTANCE), parse(a, revision), "fra", ret, e);
}

static void assert_strings(const char **got, const char *want)
{
	_buf_ text = BUF_INIT(65536);

	for (size_t i = 0; got[i]; i++)
		buf_addf(&text, "%s%s", i ? "|" : "", got[i]);
	assert_string_equal(text.data ? text.data : "", want);
}

/* Source of the table: Kubernetes, "Define a Command and Arguments for a Container". */
static void test_command_rules(void **state)
{
	static const struct {
		const char *template, *argv;
	} cases[] = {
		{"{}", "/entry|-e|cmd"},
		{"{\"command\":[\"/own\"]}", "/own"},
		{"{\"args\":[\"x\",\"y\"]}", "/entry|-e|x|y"},
		{"{\"command\":[\"/own\"],\"args\":[\"x\"]}", "/own|x"},
		{"{\"command\":[],\"args\":[]}", "/entry|-e|cmd"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_arena_ a = arena_new();
		struct launch l;
		assert_int_equal(launch(a, "{\"entrypoint\":[\"/entry\",\"-e\"],\"cmd\":[\"cmd\"]}", cases[i].template,
					&l, NULL),
				 0);
		assert_strings(l.argv, cases[i].argv);
	}
}

static void test_environment(void **state)
{
	_arena_ a = arena_new();
	struct launch l;

	(void)state;
	assert_int_equal(
		launch(a, "{\"cmd\":[\"x\"],\"env\":[\"PATH=/bin\",\"A=image\",\"B=image\"]}",
		       "{\"ports\":[{\"containerPort\":8080},{\"containerPort\":9090}],\"env\":[{\"name\":\"B\",\"value\":\"own\"},"
		       "{\"name\":\"C\",\"value\":\"$(A)-$(B)-$(BERTH_INSTANCE_ID)-$$(A)-$(NO)-$\"},{\"name\":\"D\"}]}",
		       &l, NULL),
		0);
	assert_strings(
		l.env,
		"PATH=/bin|A=image|B=own|BERTH_INSTANCE_ID=u1|BERTH_INSTANCE=shop-u1|BERTH_CONTAINER=shop|"
		"BERTH_REVISION=shop-3|BERTH_LOCATION=fra|BERTH_NAMESPACE=default|PORT=8080|C=image-own-u1-$(A)-$(NO)-$|D=");
	assert_int_equal(launch(a, "{}", "{\"command\":[\"sh\",\"$(BERTH_INSTANCE)\",\"$(PORT)\"]}", &l, NULL), 0);
	assert_strings(l.argv, "sh|shop-u1|$(PORT)");
}

static void test_size(void **state)
{
	static const char config[] = "{\"cmd\":[\"x\"]}";
	_arena_ a = arena_new();
	struct launch l;
	struct error e = {0};

	(void)state;
	assert_int_equal(launch(a, config, "{}", &l, NULL), 0);
	assert_int_equal(l.memory, INT64_C(256) << 20);
	assert_int_equal(
		launch(a, config, "{\"resources\":{\"vcpu\":2,\"memory\":\"512Mi\",\"disk\":\"1G\"}}", &l, NULL), 0);
	assert_int_equal(l.milli_vcpu, 2000);
	assert_int_equal(l.memory, INT64_C(512) << 20);
	assert_int_equal(l.disk, 1000000000);
	assert_int_equal(launch(a, config, "{\"resources\":{\"vcpu\":1,\"memory\":\"1Mi\",\"disk\":\"1G\"}}", &l, &e),
			 -E_INVALID);
	assert_non_null(strstr(e.text, "memory"));
	assert_int_equal(
		launch(a, config, "{\"resources\":{\"vcpu\":\"x\",\"memory\":\"1Gi\",\"disk\":\"1G\"}}", &l, &e),
		-E_INVALID);
	assert_non_null(strstr(e.text, "spec.template.resources.vcpu"));
	assert_int_equal(launch(a, config, "{\"instanceType\":\"huge\"}", &l, &e), -E_INVALID);
	assert_int_equal(launch(a, "{}", "{}", &l, &e), -E_INVALID);
	assert_non_null(strstr(e.text, "no program"));
}

static void test_probe_and_policies(void **state)
{
	static const struct {
		const char *template, *kind;
		int64_t port;
	} cases[] = {
		{"{}", "none", 0},
		{"{\"ports\":[{\"containerPort\":80}]}", "tcp", 80},
		{"{\"ports\":[{\"containerPort\":80}],\"readiness\":{\"httpGet\":{\"path\":\"/ok\"}}}", "http", 80},
		{"{\"ports\":[{\"containerPort\":80}],\"readiness\":{\"tcpSocket\":{\"port\":81}}}", "tcp", 81},
		{"{\"readiness\":{\"httpGet\":{\"port\":82}}}", "http", 82},
	};
	_arena_ a = arena_new();
	struct launch l;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(launch(a, "{\"cmd\":[\"x\"]}", cases[i].template, &l, NULL), 0);
		assert_string_equal(l.probe.kind, cases[i].kind);
		assert_int_equal(l.probe.port, cases[i].port);
		assert_int_equal(l.probe.period_ms, 1000);
		assert_int_equal(l.probe.failures, 3);
		assert_int_equal(l.grace_ms, 900000);
		assert_true(l.internet);
		assert_int_equal(l.restart, RESTART_ON_FAILURE);
	}
	assert_int_equal(
		launch(a, "{\"cmd\":[\"x\"]}",
		       "{\"restartPolicy\":\"Never\",\"terminationGracePeriod\":\"3s\",\"egress\":{\"internet\":false}}",
		       &l, NULL),
		0);
	assert_int_equal(l.restart, RESTART_NEVER);
	assert_int_equal(l.grace_ms, 3000);
	assert_false(l.internet);
}

static void test_start_frame(void **state)
{
	static const char *const dns[] = {"192.0.2.53"};
	const struct launch_network net = {
		.address = "10.88.0.5", .gateway = "169.254.1.1", .instance = "shop.u1", .dns = dns, .dns_count = 1};
	static uint8_t frame[CHANNEL_FRAME_MAX];
	static struct channel_reader reader;
	const uint8_t entropy[32] = {1, 2, 3};
	_arena_ a = arena_new();
	struct channel_frame f;
	struct launch l;
	char text[64];
	size_t len, room;

	(void)state;
	assert_int_equal(launch(a, "{\"cmd\":[\"x\"],\"volumes\":[\"/data\"],\"user\":\"www\"}", "{}", &l, NULL), 0);
	assert_int_equal(launch_frame(&l, &net, 42, entropy, frame, &len, NULL), 0);
	memcpy(channel_reader_space(&reader, &room), frame, len);
	channel_reader_added(&reader, len);
	assert_int_equal(channel_reader_next(&reader, &f), 1);
	assert_int_equal(f.type, CHANNEL_START);
	assert_int_equal(f.stream, 1);
	assert_true(channel_get_str(&f, CHANNEL_KEY_ARG, text, sizeof(text)));
	assert_string_equal(text, "x");
	assert_true(channel_get_str(&f, CHANNEL_KEY_ADDRESS, text, sizeof(text)));
	assert_string_equal(text, "10.88.0.5/32");
	assert_true(channel_get_str(&f, CHANNEL_KEY_VOLUME, text, sizeof(text)));
	assert_string_equal(text, "/data");
	assert_true(channel_get_str(&f, CHANNEL_KEY_USER, text, sizeof(text)));
	assert_string_equal(text, "www");
}

static void test_start_frame_has_a_limit(void **state)
{
	const struct launch_network net = {.address = "10.88.0.5", .gateway = "169.254.1.1", .instance = "h"};
	static uint8_t frame[CHANNEL_FRAME_MAX];
	const uint8_t entropy[32] = {0};
	_arena_ a = arena_new();
	char *big = arena_calloc(a, CHANNEL_FRAME_MAX + 1);
	struct launch l;
	struct error e = {0};
	size_t len;

	(void)state;
	memset(big, 'x', CHANNEL_FRAME_MAX);
	assert_int_equal(launch(a, arena_printf(a, "{\"cmd\":[\"%s\"]}", big), "{}", &l, NULL), 0);
	assert_int_equal(launch_frame(&l, &net, 42, entropy, frame, &len, &e), -E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command_rules), cmocka_unit_test(test_environment),
		cmocka_unit_test(test_size),	      cmocka_unit_test(test_probe_and_policies),
		cmocka_unit_test(test_start_frame),   cmocka_unit_test(test_start_frame_has_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
