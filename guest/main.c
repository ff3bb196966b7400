/*
 * main.c - berth-init, PID 1 of an instance's machine: brings the image's root up, then serves the agent for ever.
 *
 * Returning or dying would panic the kernel, so there is one way out only: turning the machine off.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/reboot.h>

#include "guest/boot.h"
#include "guest/files.h"
#include "guest/machine.h"

#define PORT_WAIT_MS 5000
#define FAREWELL_MS 2000

static struct machine machine;

static void block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGPIPE, SIG_IGN);
	reboot(RB_DISABLE_CAD);
}

/* The machine cannot be used: tell the agent why, if it is there, and turn it off. */
static _Noreturn void give_up(struct port *port, const char *why)
{
	uint8_t frame[CHANNEL_FRAME_MAX];
	struct channel_writer w;
	uint64_t until = now_ms() + FAREWELL_MS;
	bool told = false;

	say("%s", why);
	while (port && now_ms() < until && !(told && port->out_len == 0)) {
		(void)port_look(port, now_ms());
		channel_begin(&w, frame, CHANNEL_ERROR, 0);
		channel_put_str(&w, CHANNEL_KEY_TEXT, why);
		told = told || port_send(port, frame, channel_end(&w));
		port_flush(port, now_ms());
		usleep(1000);
	}
	boot_power_off(-1);
}

int main(void)
{
	struct boot_failure failure = {""};
	int port = -1, disk = -1, r;

	block_signals();
	r = boot_mount_kernel(&failure);
	if (r == 0)
		r = boot_load_modules(&failure);
	if (r < 0)
		give_up(NULL, failure.why);
	r = boot_switch_root(&disk, &failure);
	if (r == 0)
		boot_finish();
	port = port_find(PORT_WAIT_MS);
	if (port < 0)
		give_up(NULL, "cannot find the port " CHANNEL_PORT_NAME);
	if (r < 0) {
		if (port_init(&machine.port, port) < 0)
			give_up(NULL, failure.why);
		give_up(&machine.port, failure.why);
	}
	if (machine_init(&machine, port, disk) < 0)
		give_up(NULL, "cannot set up the channel");
	while (!machine.power_off)
		machine_step(&machine);
	boot_power_off(disk);
}
