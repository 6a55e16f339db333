/*
 * stop SIZE[:TIME] ROUNDS FILE A... -- B... : how long two commands take to end
 * a group of SIZE processes that die on TERM, after that many microseconds. They are called in turn, with the
 * pidfile FILE as last argument, each on a group of its own. Prints the median
 * of each in microseconds, and the median of the ratios A/B.
 *
 * All orphans come to this process, which reaps them at once: else it would be
 * init's slowness that is measured.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int linger;

static void end(int sig)
{
	(void)sig;
	usleep(linger);
	_exit(0);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* A leader and its children, all asleep once this returns. */
static void start_group(int size, const char *file)
{
	int ready[2], i;
	char c;
	pid_t pid;
	FILE *f;

	if (pipe(ready) < 0 || (pid = fork()) < 0)
		err(1, "cannot start a group");
	if (pid == 0) {
		setpgid(0, 0);
		for (i = 1; i < size; i++)
			if (fork() == 0)
				break;
		signal(SIGTERM, linger ? end : SIG_DFL);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		close(ready[0]);
		close(ready[1]);
		for (;;)
			pause();
	}
	close(ready[1]);
	for (i = 0; i < size; i++)
		if (read(ready[0], &c, 1) != 1)
			errx(1, "a group is not complete");
	close(ready[0]);
	if (!(f = fopen(file, "w")) || fprintf(f, "%d\n", pid) < 0 || fclose(f))
		err(1, "%s", file);
}

static double run(char **argv, int size, const char *file)
{
	pid_t pid, ended;
	double began, took = 0;
	int status;

	start_group(size, file);
	began = now();
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ))
		errx(1, "cannot run %s", argv[0]);
	while ((ended = waitpid(-1, &status, 0)) > 0) {
		if (ended != pid)
			continue;
		took = now() - began;
		if (status)
			errx(1, "%s ended with status %#x", argv[0], status);
		alarm(10); /* whoever is left now was not ended */
	}
	alarm(0);
	unlink(file);
	return took;
}

static int compare(const void *a, const void *b)
{
	double x = *(double *)a, y = *(double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, n, sizeof *v, compare);
	return v[n / 2];
}

/* The words from at up to "--" or the end, with the file behind them. */
static char **command(char **at, char *file, char ***next)
{
	int n = 0, i;
	char **argv;

	while (at[n] && strcmp(at[n], "--"))
		n++;
	if (n == 0 || !(argv = calloc(n + 2, sizeof *argv)))
		errx(2, "usage: stop size[:time] rounds file a ... -- b ...");
	for (i = 0; i < n; i++)
		argv[i] = at[i];
	argv[n] = file;
	*next = at[n] ? at + n + 1 : at + n;
	return argv;
}

int main(int argc, char **argv)
{
	int size, rounds, i;
	char **a, **b, **rest;
	double *ta, *tb, *ratio;

	if (argc < 7)
		errx(2, "usage: stop size[:time] rounds file a ... -- b ...");
	size = atoi(argv[1]);
	if (strchr(argv[1], ':'))
		linger = atoi(strchr(argv[1], ':') + 1);
	rounds = atoi(argv[2]);
	a = command(argv + 4, argv[3], &rest);
	b = command(rest, argv[3], &rest);
	ta = calloc(3 * rounds, sizeof *ta);
	tb = ta + rounds;
	ratio = tb + rounds;
	if (!ta || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		err(1, "cannot start");
	run(a, size, argv[3]);
	run(b, size, argv[3]);
	for (i = 0; i < rounds; i++) {
		ta[i] = run(a, size, argv[3]);
		tb[i] = run(b, size, argv[3]);
		ratio[i] = ta[i] / tb[i];
	}
	printf("%.0f %.0f %.2f\n", median(ta, rounds), median(tb, rounds), median(ratio, rounds));
	return 0;
}
