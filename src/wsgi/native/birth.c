/* How a worker begins: the two forks that make it the server's child, and the pages that it will write to, copied before it needs them.
 *
 * Owns no state. Called by worker/zygote.py; the way without it is there too. Sources: fork(2), madvise(2) (MADV_POPULATE_WRITE, Linux 5.14), "Operating
 * System Utilities" in CPython's documentation (PyOS_BeforeFork and after).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "birth.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
/* The thread calls one function. */
#define STACK_BYTES (64 * 1024)

/* What the process between tells: the worker's id, or why there is none. */
typedef struct {
    pid_t worker;
    int error;
} Outcome;

static ssize_t read_all(int descriptor, Outcome *outcome) {
    ssize_t count;
    do {
        count = read(descriptor, outcome, sizeof *outcome);
    } while (count < 0 && errno == EINTR);
    return count;
}

/* Forks a process that forks the worker and ends, so that the worker belongs to whoever looks after orphans. Returns the worker's id; in the
 * worker, 0. Between the two forks no Python runs. */
PyObject *fork_orphan(PyObject *module, PyObject *none) {
    (void)module, (void)none;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return PyErr_SetFromErrno(PyExc_OSError);
    Outcome outcome = {-1, ECHILD};
    PyOS_BeforeFork();
    pid_t between = fork();
    if (between == 0) {
        pid_t worker = fork();
        if (worker == 0) {
            close(ends[0]);
            close(ends[1]);
            PyOS_AfterFork_Child();
            return PyLong_FromLong(0);
        }
        outcome = (Outcome){worker, worker < 0 ? errno : 0};
        _exit(write(ends[1], &outcome, sizeof outcome) == sizeof outcome ? 0 : 1);
    }
    int error = errno;
    PyOS_AfterFork_Parent();
    close(ends[1]);
    if (between > 0) {
        if (read_all(ends[0], &outcome) != sizeof outcome) outcome = (Outcome){-1, ECHILD};
        while (waitpid(between, NULL, 0) < 0 && errno == EINTR) continue;
        error = outcome.error;
    }
    close(ends[0]);
    if (outcome.worker > 0) return PyLong_FromLong(outcome.worker);
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* Ranges of addresses; how many comes first. */
typedef struct {
    size_t count;
    uint64_t bounds[];
} Ranges;

static void *populate(void *given) {
    Ranges *ranges = given;
    /* What is no longer there, or is not to be written to, is passed over. */
    for (size_t index = 0; index < ranges->count; index++) {
        uint64_t start = ranges->bounds[2 * index];
        madvise((void *)(uintptr_t)start, ranges->bounds[2 * index + 1] - start, MADV_POPULATE_WRITE);
    }
    free(ranges);
    return NULL;
}

/* copy_pages(ranges): begins to copy the pages between each two addresses, in native byte order, in a thread of its own that ends with it. Contents stay
 * as they are. Does nothing where there can be no thread: whoever writes to a page gets its copy then. */
PyObject *copy_pages(PyObject *module, PyObject *bytes) {
    (void)module;
    char *data;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(bytes, &data, &length) < 0) return NULL;
    size_t count = (size_t)length / (2 * sizeof(uint64_t));
    Ranges *ranges = malloc(sizeof *ranges + count * 2 * sizeof(uint64_t));
    if (!ranges) return PyErr_NoMemory();
    ranges->count = count;
    memcpy(ranges->bounds, data, count * 2 * sizeof(uint64_t));
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    /* Signals are for the threads of the interpreter. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (pthread_create(&thread, &attributes, populate, ranges) != 0) free(ranges);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    Py_IncRef(Py_None);
    return Py_None;
}
