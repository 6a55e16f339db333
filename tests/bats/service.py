"""service.py - a service with everything that a real one has.

A master starts a worker, the worker starts 17 children; master and worker
have three threads each beside the main one; the first child runs a shell that
runs sleep. Everyone sleeps, and now and then says so on standard output. On
TERM all of them die as they are, none looks after another.
"""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

CHILDREN = 17
THREADS = 3
PAUSE = 0.25


def work(role):
    while True:
        # One write(2) each, so that lines stay whole in a shared log.
        os.write(1, b"%s %d\n" % (role.encode(), os.getpid()))
        time.sleep(PAUSE)


def start_threads(role):
    for _ in range(THREADS):
        threading.Thread(target=work, args=(role + "-thread",), daemon=True).start()


def child(number):
    if number == 0:
        # The ":" keeps sh from becoming the sleep.
        subprocess.Popen(["sh", "-c", "sleep 1000; :"])
    work("child")


def worker():
    # fork, whatever the release's default: the other ways start helpers.
    context = multiprocessing.get_context("fork")
    for number in range(CHILDREN):
        context.Process(target=child, args=(number,)).start()
    start_threads("worker")
    work("worker")


def master():
    subprocess.Popen([sys.executable, __file__, "worker"])
    start_threads("master")
    work("master")


if sys.argv[1:] == ["worker"]:
    worker()
else:
    master()
