/*
 * vm_libvirt.c - vm.h on libvirt: one kept connection, calls from any thread, one event thread.
 *
 * Locks: h->lock guards the connection pointer only; a call takes its own reference and works without the lock, so a
 * slow call never holds up another. This file alone includes libvirt's headers.
 */
#include <inttypes.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdio.h>

#include "agent/vm.h"
#include "lib/log.h"

/* A daemon that is stuck, not dead, is noticed after KEEPALIVE_S * KEEPALIVE_COUNT seconds. */
#define KEEPALIVE_S 5
#define KEEPALIVE_COUNT 6
#define QEMU_LOG_DIR "/var/log/libvirt/qemu"

struct vm_host {
	const char *uri;
	vm_event_fn *fn;
	void *user;
	pthread_mutex_t lock;
	virConnectPtr conn;
};

static int fail(struct error *e, const char *what)
{
	const virError *v = virGetLastError();
	int code = E_INTERNAL;

	if (v) {
		if (v->code == VIR_ERR_NO_DOMAIN)
			code = E_NOT_FOUND;
		else if (v->code == VIR_ERR_OPERATION_FAILED && v->message && strstr(v->message, "already"))
			code = E_ALREADY_EXISTS;
		else if (v->domain == VIR_FROM_RPC || v->domain == VIR_FROM_REMOTE || v->code == VIR_ERR_NO_CONNECT ||
			 (v->code == VIR_ERR_SYSTEM_ERROR && v->domain == VIR_FROM_NONE))
			code = E_UNAVAILABLE;
	}
	return error_set(e, code, "%s: %s", what, v && v->message ? v->message : "libvirt gives no reason");
}

/* libvirt prints errors by itself unless told not to. */
static void quiet(_unused_ void *user, _unused_ virErrorPtr err)
{
}

static void *event_thread(_unused_ void *arg)
{
	for (;;)
		if (virEventRunDefaultImpl() < 0)
			usleep(100000);
	return NULL;
}

static int on_lifecycle(_unused_ virConnectPtr conn, virDomainPtr domain, int event, _unused_ int detail, void *user)
{
	struct vm_host *h = user;
	const char *name = virDomainGetName(domain);

	if ((event == VIR_DOMAIN_EVENT_STOPPED || event == VIR_DOMAIN_EVENT_CRASHED) && name &&
	    str_starts(name, VM_NAME_PREFIX))
		h->fn(h->user, VM_STOPPED, name);
	return 0;
}

static void on_closed(_unused_ virConnectPtr conn, _unused_ int reason, void *user)
{
	struct vm_host *h = user;

	h->fn(h->user, VM_DISCONNECTED, NULL);
}

/* An idle event loop sleeps for ever; this timer bounds the time until keep-alives of a new connection begin. */
static void on_tick(_unused_ int timer, _unused_ void *user)
{
}

int vm_host_new(const char *uri, vm_event_fn *fn, void *user, struct vm_host **ret, struct error *e)
{
	pthread_t thread;

	virSetErrorFunc(NULL, quiet);
	if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0 ||
	    virEventAddTimeout(1000, on_tick, NULL, NULL) < 0)
		return fail(e, "libvirt's client library");
	struct vm_host *h = xcalloc(1, sizeof(*h));
	*h = (struct vm_host){.uri = uri, .fn = fn, .user = user, .lock = PTHREAD_MUTEX_INITIALIZER};
	int r = pthread_create(&thread, NULL, event_thread, NULL);
	if (r) {
		free(h);
		return error_set_errno(e, r, "libvirt's event thread");
	}
	pthread_detach(thread);
	*ret = h;
	return 0;
}

static int open_connection(struct vm_host *h, virConnectPtr *ret, struct error *e)
{
	virConnectPtr conn = virConnectOpen(h->uri);

	if (!conn) {
		fail(e, "libvirt");
		if (e)
			e->code = E_UNAVAILABLE;
		return error_prefix(e, "%s (is libvirtd running?)", h->uri);
	}
	if (virConnectDomainEventRegisterAny(conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
					     VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), h, NULL) < 0 ||
	    virConnectRegisterCloseCallback(conn, on_closed, h, NULL) < 0) {
		fail(e, h->uri);
		virConnectClose(conn);
		return -E_UNAVAILABLE;
	}
	(void)virConnectSetKeepAlive(conn, KEEPALIVE_S, KEEPALIVE_COUNT); /* the test driver has none */
	*ret = conn;
	return 0;
}

/* A reference the caller gives back with virConnectClose(). */
static int get_connection(struct vm_host *h, virConnectPtr *ret, struct error *e)
{
	virConnectPtr dead = NULL;
	bool opened = false;
	int r = 0;

	pthread_mutex_lock(&h->lock);
	if (h->conn && virConnectIsAlive(h->conn) != 1)
		dead = steal(&h->conn);
	if (!h->conn) {
		r = open_connection(h, &h->conn, e);
		opened = r == 0;
	}
	if (r == 0) {
		virConnectRef(h->conn);
		*ret = h->conn;
	}
	pthread_mutex_unlock(&h->lock);
	if (dead) {
		virConnectUnregisterCloseCallback(dead, on_closed);
		virConnectClose(dead);
	}
	if (opened)
		h->fn(h->user, VM_CONNECTED, NULL);
	return r;
}

static void connection_closep(virConnectPtr *conn)
{
	if (*conn)
		virConnectClose(*conn);
}
static void domain_freep(virDomainPtr *d)
{
	if (*d)
		virDomainFree(*d);
}
#define _connection_ _cleanup_(connection_closep) virConnectPtr
#define _domain_ _cleanup_(domain_freep) virDomainPtr

int vm_host_connect(struct vm_host *h, struct error *e)
{
	_connection_ conn = NULL;

	return get_connection(h, &conn, e);
}

int vm_host_create(struct vm_host *h, const char *xml, struct error *e)
{
	_connection_ conn = NULL;
	int r = get_connection(h, &conn, e);

	if (r < 0)
		return r;
	_domain_ d = virDomainCreateXML(conn, xml, VIR_DOMAIN_NONE);
	return d ? 0 : fail(e, "libvirt did not start the VM");
}

/* QEMU's own log file is libvirt's, one for each domain name, and it would stay for ever. */
static void remove_qemu_log(const char *domain)
{
	char path[256];

	snprintf(path, sizeof(path), QEMU_LOG_DIR "/%s.log", domain);
	unlink(path);
}

int vm_host_destroy(struct vm_host *h, const char *domain, struct error *e)
{
	_connection_ conn = NULL;
	int r = get_connection(h, &conn, e);

	if (r < 0)
		return r;
	_domain_ d = virDomainLookupByName(conn, domain);
	if (d && virDomainDestroy(d) < 0) {
		r = fail(e, "libvirt did not end the VM");
		_domain_ again = virDomainLookupByName(conn, domain);
		if (again)
			return r;
	} else if (!d) {
		r = fail(e, domain);
		if (r != -E_NOT_FOUND)
			return r;
	}
	remove_qemu_log(domain);
	return 0;
}

static int set_quota(virDomainPtr d, int64_t us, struct error *e)
{
	virTypedParameterPtr params = NULL;
	int count = 0, max = 0, r = 0;

	if (virTypedParamsAddLLong(&params, &count, &max, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA, us) < 0 ||
	    virDomainSetSchedulerParametersFlags(d, params, count, VIR_DOMAIN_AFFECT_LIVE) < 0)
		r = fail(e, "libvirt did not limit the VM's CPU time");
	virTypedParamsFree(params, count);
	return r;
}

int vm_host_limit_cpu(struct vm_host *h, const char *domain, int64_t milli_vcpu, struct error *e)
{
	_connection_ conn = NULL;
	int r = get_connection(h, &conn, e);

	if (r < 0)
		return r;
	_domain_ d = virDomainLookupByName(conn, domain);
	return d ? set_quota(d, vm_cpu_quota_us(milli_vcpu), e) : fail(e, domain);
}

/* ---- suspend and resume ---- */

int vm_host_suspend(struct vm_host *h, const char *domain, struct error *e)
{
	_connection_ conn = NULL;
	int r = get_connection(h, &conn, e);

	if (r < 0)
		return r;
	_domain_ d = virDomainLookupByName(conn, domain);
	if (!d)
		return fail(e, domain);
	if (virDomainSuspend(d) < 0)
		return fail(e, "libvirt did not suspend the VM");
	(void)set_quota(d, VM_CPU_PERIOD_US, NULL); /* without it only the wake is slower */
	return 0;
}

static bool is_running(virDomainPtr d)
{
	int state;

	return virDomainGetState(d, &state, NULL, 0) == 0 && state == VIR_DOMAIN_RUNNING;
}

int vm_host_resume(struct vm_host *h, const char *domain, struct error *e)
{
	_connection_ conn = NULL;
	int r = get_connection(h, &conn, e);

	if (r < 0)
		return r;
	_domain_ d = virDomainLookupByName(conn, domain);
	if (!d)
		return fail(e, domain);
	if (virDomainResume(d) < 0) {
		r = fail(e, "libvirt did not resume the VM");
		return is_running(d) ? 0 : r;
	}
	return 0;
}

static bool describe(virDomainPtr d, const char *owner, struct arena *a, struct vm_found *ret)
{
	const char *name = virDomainGetName(d);

	if (!name || !str_starts(name, VM_NAME_PREFIX) || strlen(name) >= VM_NAME_MAX)
		return false;
	_free_ char *xml = virDomainGetMetadata(d, VIR_DOMAIN_METADATA_ELEMENT, VM_METADATA_URI, 0);
	if (!xml || domain_xml_identity(a, xml, &ret->id, NULL) < 0 || !streq(ret->id.owner, owner))
		return false;
	snprintf(ret->domain, sizeof(ret->domain), "%s", name);
	int state, reason;
	ret->suspended = virDomainGetState(d, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
			 reason == VIR_DOMAIN_PAUSED_USER;
	return true;
}

int vm_host_list(struct vm_host *h, const char *owner, struct arena *a, struct vm_found **ret, size_t *ret_count,
		 struct error *e)
{
	_connection_ conn = NULL;
	virDomainPtr *domains = NULL;
	size_t count = 0;
	int r = get_connection(h, &conn, e);

	if (r < 0)
		return r;
	int n = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
	if (n < 0)
		return fail(e, "libvirt did not list the VMs");
	struct vm_found *found = arena_calloc(a, ((size_t)n + 1) * sizeof(*found));
	for (int i = 0; i < n; i++) {
		if (describe(domains[i], owner, a, &found[count]))
			count++;
		virDomainFree(domains[i]);
	}
	free(domains);
	*ret = found;
	*ret_count = count;
	return 0;
}

static void version_text(unsigned long v, char out[32])
{
	snprintf(out, 32, "%lu.%lu.%lu", v / 1000000, v / 1000 % 1000, v % 1000);
}

int vm_host_versions(struct vm_host *h, char *qemu, char *libvirt, struct error *e)
{
	_connection_ conn = NULL;
	unsigned long v = 0;
	int r = get_connection(h, &conn, e);

	if (r < 0)
		return r;
	if (virConnectGetVersion(conn, &v) < 0)
		return fail(e, "libvirt");
	version_text(v, qemu);
	if (virConnectGetLibVersion(conn, &v) < 0)
		return fail(e, "libvirt");
	version_text(v, libvirt);
	return 0;
}
