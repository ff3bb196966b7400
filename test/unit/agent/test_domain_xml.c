/*
 * test_domain_xml.c - domains as golden files, and their metadata there and back.
 */
#include "agent/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/unit/golden.h"

#define UID "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0"

static struct vm_spec spec(void)
{
	return (struct vm_spec){
		.id = {.owner = "11111111-2222-4333-8444-555555555555",
		       .ns = "default",
		       .name = "shop-u1",
		       .uid = UID,
		       .revision = "shop-3",
		       .generation = 7,
		       .address = "10.88.0.5",
		       .tap = "bt0f1e2d3c"},
		.kernel = "/usr/lib/berth/vmlinux",
		.initrd = "/usr/lib/berth/initramfs.cpio",
		.image = "/var/lib/berth/agent/images/abc.sqfs",
		.disk = "/var/lib/berth/agent/instances/" UID "/disk.img",
		.socket = "/var/lib/berth/agent/run/0f1e2d3c.sock",
		.console = "/var/lib/berth/agent/instances/" UID "/console.log",
		.memory = INT64_C(256) << 20,
		.milli_vcpu = 63,
	};
}

static void assert_domain(const struct vm_spec *s, const char *file)
{
	_buf_ xml = BUF_INIT(65536);

	domain_xml(s, &xml);
	assert_golden(file, xml.data);
}

static void test_tcg_lite(void **state)
{
	struct vm_spec s = spec();

	(void)state;
	assert_domain(&s, "agent/domain-tcg.xml");
}

static void test_kvm_standard_4(void **state)
{
	struct vm_spec s = spec();

	(void)state;
	s.kvm = true;
	s.milli_vcpu = 4000;
	s.memory = INT64_C(12) << 30;
	assert_domain(&s, "agent/domain-kvm.xml");
}

static void test_probe_has_no_disks_and_no_network(void **state)
{
	struct vm_spec s = spec();

	(void)state;
	s.kvm = true;
	s.milli_vcpu = 1000;
	s.image = s.disk = s.id.tap = s.id.address = s.id.revision = NULL;
	assert_domain(&s, "agent/domain-probe.xml");
}

static void test_text_is_escaped_and_read_back(void **state)
{
	struct vm_spec s = spec();
	_buf_ xml = BUF_INIT(65536);
	_arena_ a = arena_new();
	struct vm_identity id;
	struct error e = {0};

	(void)state;
	s.id.name = "a'b\"c<d>&amp; e";
	domain_xml(&s, &xml);
	assert_null(strstr(xml.data, "c<d"));
	assert_int_equal(domain_xml_identity(a, strstr(xml.data, "<berth:instance"), &id, &e), 0);
	assert_string_equal(id.name, s.id.name);
	assert_string_equal(id.owner, s.id.owner);
	assert_string_equal(id.ns, "default");
	assert_string_equal(id.uid, UID);
	assert_string_equal(id.revision, "shop-3");
	assert_string_equal(id.address, "10.88.0.5");
	assert_string_equal(id.tap, "bt0f1e2d3c");
	assert_int_equal(id.generation, 7);
}

static void test_foreign_metadata_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"<x/>",
		"<berth:instance owner='o'",
		"<instance owner='o' namespace='n' name='x' uid='short' generation='1'/>",
		"<instance owner='o' namespace='n' name='x' uid='" UID "'/>",
		"<instance owner='o namespace='n' />",
	};
	_arena_ a = arena_new();
	struct vm_identity id;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(domain_xml_identity(a, bad[i], &id, NULL), -E_INVALID);
}

static void test_cpu_shares(void **state)
{
	static const struct {
		int64_t milli, quota;
		unsigned count;
	} cases[] = {{63, 1260, 1},    {10, 1000, 1},	 {250, 5000, 1},
		     {1000, 20000, 1}, {1500, 15000, 2}, {4000, 20000, 4}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(vm_cpu_count(cases[i].milli), cases[i].count);
		assert_int_equal(vm_cpu_quota_us(cases[i].milli), cases[i].quota);
	}
}

static void test_names(void **state)
{
	char name[VM_NAME_MAX], mac[18], other[18];

	(void)state;
	vm_name(UID, 12, name);
	assert_string_equal(name, "berth-0f1e2d3c-g12");
	vm_mac(UID, mac);
	assert_memory_equal(mac, "52:54:", 6);
	vm_mac("1f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0", other);
	assert_string_not_equal(mac, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcg_lite),
		cmocka_unit_test(test_kvm_standard_4),
		cmocka_unit_test(test_probe_has_no_disks_and_no_network),
		cmocka_unit_test(test_text_is_escaped_and_read_back),
		cmocka_unit_test(test_foreign_metadata_is_refused),
		cmocka_unit_test(test_cpu_shares),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
