/*
 * killloop FILE: ends the group that a pidfile names with nothing but a scan
 * of /proc, kill(2) and poll(2) on pidfds. What pidkill is measured against.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	FILE *f;
	int pgid, n = 0, room = 0;
	struct pollfd *fds = NULL;
	struct rlimit limit;
	struct dirent *e;
	DIR *proc;

	if (argc != 2 || !(f = fopen(argv[1], "r")) || fscanf(f, "%d", &pgid) != 1 || pgid < 2)
		errx(1, "no pidfile");
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (!(proc = opendir("/proc")))
		err(1, "/proc");
	while ((e = readdir(proc))) {
		int pid = isdigit((unsigned char)*e->d_name) ? atoi(e->d_name) : 0;

		if (pid == 0 || getpgid(pid) != pgid)
			continue;
		if (n == room && !(fds = realloc(fds, (room = 2 * room + 64) * sizeof *fds)))
			err(1, "realloc");
		fds[n].events = POLLIN;
		if ((fds[n].fd = syscall(SYS_pidfd_open, pid, 0)) >= 0)
			n++;
	}
	kill(-pgid, SIGTERM);
	while (n > 0) {
		int i = n - 1;

		if (fds[i].revents || poll(&fds[i], 1, -1) == 1) {
			close(fds[i].fd);
			n--;
		}
	}
	unlink(argv[1]);
	return 0;
}
