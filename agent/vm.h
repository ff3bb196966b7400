/*
 * vm.h - VMs as the agent sees them: described by a struct vm_spec, made and destroyed by a hypervisor behind vm_host.
 *
 * Every call may block for as long as the hypervisor takes and is therefore made on worker threads, any number at a
 * time. The connection is kept by vm_host and opened again after it broke; VMs do not notice. vm_libvirt.c implements
 * this with libvirt and is alone in knowing it; domain_xml.c is pure.
 */
#ifndef BERTH_AGENT_VM_H
#define BERTH_AGENT_VM_H

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/error.h"

#define VM_NAME_MAX 64
#define VM_NAME_PREFIX "berth-"
#define VM_CPU_PERIOD_US 20000
#define VM_METADATA_URI "https://berth.dev/xmlns/domain/1"

/* Kept in the domain's metadata, so that a restarted agent knows a VM by itself. Strings are borrowed. */
struct vm_identity {
	const char *owner; /* the agent's own id: several agents may share a libvirt */
	const char *ns, *name, *uid, *revision;
	int64_t generation;
	const char *address, *tap;
};

struct vm_spec {
	struct vm_identity id;
	bool kvm;
	const char *kernel, *initrd;
	const char *image;   /* squashfs, read-only, shared; NULL: none (probe) */
	const char *disk;    /* ext4, this VM's own; NULL: none */
	const char *socket;  /* of the guest channel */
	const char *console; /* log file */
	int64_t memory;	     /* bytes */
	int64_t milli_vcpu;
};

/* "berth-<first 8 of the uid>-g<generation>" */
void vm_name(const char *uid, int64_t generation, char out[VM_NAME_MAX]);
/* Locally administered, from the instance's uid. */
void vm_mac(const char *uid, char out[18]);
/* Bandwidth of one vCPU in µs per VM_CPU_PERIOD_US. */
int64_t vm_cpu_quota_us(int64_t milli_vcpu);
unsigned vm_cpu_count(int64_t milli_vcpu);
/* The whole domain. It may use whole CPUs until vm_host_limit_cpu() sets the lasting limit. */
void domain_xml(const struct vm_spec *s, struct buf *out);
/* Reads the metadata element back. Errors: E_INVALID. */
int domain_xml_identity(struct arena *a, const char *xml, struct vm_identity *ret, struct error *e);

enum vm_event {
	VM_STOPPED,   /* a domain is gone; `domain` names it */
	VM_CONNECTED, /* the connection is there (again): events may have been missed, list anew */
	VM_DISCONNECTED,
};
/* Called on a thread of vm_host's own. */
typedef void vm_event_fn(void *user, enum vm_event ev, const char *domain);

struct vm_host;
/* Starts the event thread; connects on the first use. One per process. */
int vm_host_new(const char *uri, vm_event_fn *fn, void *user, struct vm_host **ret, struct error *e);
/* Connects when there is no connection. Errors: E_UNAVAILABLE. */
int vm_host_connect(struct vm_host *h, struct error *e);
/* Starts a transient domain. Errors: E_ALREADY_EXISTS when its name or uid runs, E_UNAVAILABLE, E_INTERNAL. */
int vm_host_create(struct vm_host *h, const char *xml, struct error *e);
/* Ends it at once; one that does not exist is no error. */
int vm_host_destroy(struct vm_host *h, const char *domain, struct error *e);
/* Stops its CPUs, and lifts their limit for when it runs on; memory and devices stay. One that stands already is no
 * error. */
int vm_host_suspend(struct vm_host *h, const char *domain, struct error *e);
/* Lets it run on. One that runs already is no error. Errors: E_NOT_FOUND. */
int vm_host_resume(struct vm_host *h, const char *domain, struct error *e);
/* Sets the lasting CPU limit. */
int vm_host_limit_cpu(struct vm_host *h, const char *domain, int64_t milli_vcpu, struct error *e);

struct vm_found {
	char domain[VM_NAME_MAX];
	struct vm_identity id;
	bool suspended; /* as vm_host_suspend() leaves it */
};
/* The running domains of that owner. */
int vm_host_list(struct vm_host *h, const char *owner, struct arena *a, struct vm_found **ret, size_t *ret_count,
		 struct error *e);
/* "7.2.22" of QEMU, "9.0.0" of libvirt. out: 32 bytes each. */
int vm_host_versions(struct vm_host *h, char *qemu, char *libvirt, struct error *e);

#endif
