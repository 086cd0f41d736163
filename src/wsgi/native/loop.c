/* Takes messages, calls the application, answers. See loop.h.
 *
 * Owns the order of a thread's notes in the scoreboard; worker/serve.py is the same loop in Python. A message's header is received into
 * the thread's line, so that a request is on record the moment it is taken.
 */
#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The kernel rounds the room for one descriptor up to that for two. */
#define DESCRIPTORS_MAX 2
/* While there are requests in the rings the inbox is looked at so often. */
#define LOOK_NS 1000000
/* So often a thread that is alone lines up anew with those of other processes. */
#define LINE_UP_NS 100000000

typedef struct {
    /* Bytes behind the header, or -1: what came has no header. */
    ssize_t length;
    int is_cut;
    int count;
    int descriptors[DESCRIPTORS_MAX];
} Taken;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void note_descriptors(struct msghdr *message, Taken *taken) {
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < count && taken->count < DESCRIPTORS_MAX; index++) {
            memcpy(&taken->descriptors[taken->count++], CMSG_DATA(part) + index * sizeof(int), sizeof(int));
        }
    }
}

/* What fetch() found. */
typedef enum { FETCHED, NOTHING, ENDED, FAILED } Found;

static Found take_shared(Loop *loop, Taken *taken, uint64_t now) {
    ssize_t length = requests_take(&loop->requests, loop->slot, loop->buffers->in);
    if (length == REQUESTS_NONE) return NOTHING;
    *taken = (Taken){.length = length};
    loop->slot->started_ns = now;
    return FETCHED;
}

/* Takes a message out of the inbox; waits for one unless `flags` say not to. */
static Found take_packet(Loop *loop, Taken *taken, int flags) {
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec parts[2] = {{loop->slot, HEADER_BYTES}, {loop->buffers->in, sizeof loop->buffers->in}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control.bytes};
    ssize_t length = recvmsg(loop->inbox, &message, MSG_CMSG_CLOEXEC | flags);
    if (length < 0) return errno == EAGAIN || errno == EINTR ? NOTHING : FAILED;
    if (length == 0) return ENDED;
    loop->slot->started_ns = now_ns();
    taken->length = length >= HEADER_BYTES ? length - HEADER_BYTES : -1;
    taken->is_cut = (message.msg_flags & MSG_TRUNC) != 0;
    taken->count = 0;
    if (message.msg_controllen) note_descriptors(&message, taken);
    return FETCHED;
}

/* Takes a message from rings or inbox. The rings go first, since they cost less, but for the first message after LOOK_NS, so that neither waits for the other:
 * of requests that take long every other one comes from the inbox, if it has any. An end of the inbox is one of the rings too, once they are empty: nobody
 * fills them any more. Needs no GIL. */
static Found fetch(Loop *loop, Taken *taken, int flags) {
    if (!loop->requests.map) return take_packet(loop, taken, flags);
    uint64_t now = now_ns();
    int is_due = now - loop->looked_ns >= LOOK_NS;
    if (!is_due || loop->is_rings_turn) {
        Found shared = take_shared(loop, taken, now);
        loop->is_rings_turn = 0;
        if (shared == FETCHED || (!is_due && !loop->had_packet)) return shared;
    }
    loop->looked_ns = now;
    Found found = take_packet(loop, taken, flags | MSG_DONTWAIT);
    loop->had_packet = loop->is_rings_turn = found == FETCHED;
    return (found == NOTHING || found == ENDED) && take_shared(loop, taken, now) == FETCHED ? FETCHED : found;
}

/* A descriptor for a thread that is alone to wait on. -1 with errno. */
static int watch_both(int inbox, int bell) {
    int idle = epoll_create1(EPOLL_CLOEXEC);
    for (int index = 0; idle >= 0 && index < 2; index++) {
        int descriptor = index ? bell : inbox;
        struct epoll_event wanted = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = descriptor};
        if (epoll_ctl(idle, EPOLL_CTL_ADD, descriptor, &wanted) < 0) {
            int error = errno;
            close(idle);
            errno = error;
            idle = -1;
        }
    }
    return idle;
}

/* The kernel wakes whoever waits and was registered first. So a thread that is alone goes to the end of the line now and then, that others have their turn. */
static void line_up_again(Loop *loop) {
    uint64_t now = now_ns();
    if (now - loop->lined_up_ns < LINE_UP_NS) return;
    loop->lined_up_ns = now;
    int idle = watch_both(loop->inbox, loop->requests.bell);
    if (idle < 0) return;
    close(loop->idle);
    loop->idle = idle;
}

static int has_packets(const Loop *loop) {
    int bytes = 0;
    return ioctl(loop->inbox, FIONREAD, &bytes) == 0 && bytes;
}

/* Sleeps until there may be something. Whoever was woken looks for it, told to leave or not: nobody else would until the next one comes. Returns whether it
 * was woken, or has taken somebody's wake-up. */
static int sleep_idle(Loop *loop) {
    struct epoll_event event = {.data.fd = -1};
    if (!loop->requests.map) return epoll_wait(loop->idle, &event, 1, -1) == 1;
    if (loop->is_alone) line_up_again(loop);
    /* The kernel may have woken another thread for a packet that is there, which has then taken something else: see pass_on(). Either that one sees this one
     * in the count, or this one sees the packet here. */
    int is_asleep = requests_lie_down(&loop->requests) && !has_packets(loop);
    int is_woken = is_asleep && epoll_wait(loop->idle, &event, 1, -1) == 1;
    loop->is_rings_turn = requests_get_up(&loop->requests, is_woken && event.data.fd == loop->requests.bell);
    /* Whatever has woken it, it looks everywhere. */
    loop->looked_ns = 0;
    return is_woken || loop->is_rings_turn;
}

/* After a message was taken by a thread that was woken. The kernel wakes one thread for a ring of the bell and one for a packet, and either may have taken what
 * the other was woken for: the other finds nothing then that would wake it. So what is left is another wake-up's worth. */
static void pass_on(Loop *loop) {
    if (requests_has_sleepers(&loop->requests) && (requests_has_waiting(&loop->requests) || has_packets(loop))) requests_wake(&loop->requests);
}

/* Ends a process that the application has forked and that has come back here: the line is its parent's. `fatal` may be the SystemExit that it has raised. */
static void end_copy(PyObject *fatal) {
    PyObject *code = fatal ? PyObject_GetAttrString(fatal, "code") : NULL;
    long status = code ? PyLong_AsLong(code) : 0;
    _exit(status == -1 && PyErr_Occurred() ? 0 : (int)status);
}

/* Waits for a message. 1: there is one; 0: no more will be taken; -1: an exception is set. */
static int receive(Loop *loop, Taken *taken) {
    for (;;) {
        /* A handler that ends the wait of an idle thread raises; one that ends a busy one leaves a note. */
        if (PyErr_CheckSignals() < 0) return -1;
        if (loop->is_forked) end_copy(NULL);
        if (loop->is_leaving) return 0;
        /* To take what is there already costs a single thread less than to let go of the GIL and to get it back. Of several, others may wait for it. */
        Found found = loop->is_alone ? fetch(loop, taken, MSG_DONTWAIT) : NOTHING;
        int error = errno;
        if (found == NOTHING) {
            PyThreadState *state = PyEval_SaveThread();
            if (!loop->is_alone) found = fetch(loop, taken, MSG_DONTWAIT);
            error = errno;
            if (found == NOTHING) {
                /* It is taken before the GIL is waited for, which another thread may hold for long. */
                int is_woken = loop->idle >= 0 && sleep_idle(loop);
                found = fetch(loop, taken, loop->idle >= 0 ? MSG_DONTWAIT : 0);
                error = errno;
                if (is_woken && found == FETCHED && loop->requests.map) pass_on(loop);
            }
            PyEval_RestoreThread(state);
        }
        if (found == FETCHED) return 1;
        if (found == ENDED) return 0;
        if (found == FAILED) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
    }
}

static PyObject *descriptor_list(const Taken *taken) {
    PyObject *list = PyList_New(0);
    for (int index = 0; list && index < taken->count; index++) {
        PyObject *number = PyLong_FromLong(taken->descriptors[index]);
        if (!number || PyList_Append(list, number) < 0) CLEAR(list);
        Py_DecRef(number);
    }
    return list;
}

/* A message that is no request: `what` says why. */
static PyObject *refuse(Loop *loop, const Taken *taken, const char *what) {
    PyObject *descriptors = descriptor_list(taken);
    if (!descriptors) return NULL;
    PyObject *fatal = PyObject_CallFunction(loop->refuse, "iOs", taken->length >= 0, descriptors, what);
    Py_DecRef(descriptors);
    return fatal;
}

/* The body as it came: None, bytes, or how many there are in a descriptor. */
static PyObject *make_body(const Request *request) {
    switch (request->body) {
    case BODY_INLINE:
        return PyBytes_FromStringAndSize((const char *)request->body_bytes, (Py_ssize_t)request->body_length);
    case BODY_SPOOLED:
        return PyLong_FromUnsignedLongLong(request->body_length);
    default:
        Py_IncRef(Py_None);
        return Py_None;
    }
}

/* The body as a file, for all bodies that came in the message. A new one for each request: an application may close it. */
static PyObject *make_input(Loop *loop) {
    const Request *request = &loop->buffers->request;
    if (request->body == BODY_NONE) return PyObject_CallObject(loop->bytes_io, NULL);
    PyObject *bytes = make_body(request);
    PyObject *input = bytes ? PyObject_CallFunctionObjArgs(loop->bytes_io, bytes, NULL) : NULL;
    Py_DecRef(bytes);
    return input;
}

/* The body that is in a descriptor: what the application reads it from, its `maitred.input_file`, and what else is to be closed. None: it can't be had,
 * or there are descriptors that do not belong to it. NULL with an exception set. */
static PyObject *open_body(Loop *loop, const Taken *taken) {
    const Request *request = &loop->buffers->request;
    if (taken->count == 1 && request->body == BODY_SPOOLED) {
        return PyObject_CallFunction(loop->open_body, "iK", taken->descriptors[0], (unsigned long long)request->body_length);
    }
    Py_IncRef(Py_None);
    return Py_None;
}

/* The request is over. Returns `fatal`, or NULL with an exception set: the one that was set before, if there was one. */
static PyObject *close_body(Loop *loop, PyObject *opened, PyObject *fatal) {
    PyObject *type, *value, *frames;
    PyErr_Fetch(&type, &value, &frames);
    PyObject *result = PyObject_CallFunctionObjArgs(loop->close_body, PyTuple_GetItem(opened, 0), PyTuple_GetItem(opened, 2), NULL);
    if (!result && !type) CLEAR(fatal);
    if (type) PyErr_Restore(type, value, frames);
    Py_DecRef(result);
    return fatal;
}

/* A request that Python has to deal with from here on. */
static PyObject *hand_over(Loop *loop, const Taken *taken) {
    PyObject *environ = NULL, *body = NULL, *fatal = NULL, *descriptors = descriptor_list(taken);
    if (descriptors) environ = environs_make(&loop->environs, &loop->buffers->request, Py_None, Py_None);
    if (environ) body = make_body(&loop->buffers->request);
    if (body) fatal = PyObject_CallFunctionObjArgs(loop->answer, environ, body, descriptors, NULL);
    Py_DecRef(body);
    Py_DecRef(environ);
    Py_DecRef(descriptors);
    return fatal;
}

/* The application's exception as an object. */
static PyObject *take_exception(void) {
    PyObject *type, *value, *frames;
    PyErr_Fetch(&type, &value, &frames);
    PyErr_NormalizeException(&type, &value, &frames);
    if (frames && value) PyException_SetTraceback(value, frames);
    Py_DecRef(type);
    Py_DecRef(frames);
    return value;
}

/* Tells Python of the exception in flight, or of `result`, and leaves the rest of the exchange to it. */
static PyObject *finish(Exchange *exchange, PyObject *hook, PyObject *outcome, PyObject *environ) {
    PyObject *response = outcome ? exchange_response(exchange) : NULL;
    return response ? PyObject_CallFunctionObjArgs(hook, outcome, environ, response, NULL) : NULL;
}

/* Calls the application and answers. Returns what ends the worker, or None; NULL with an exception for a failure of our own. */
static PyObject *exchange_run(Loop *loop, Exchange *exchange, PyObject *environ) {
    PyObject *result = PyObject_CallFunctionObjArgs(loop->application, environ, (PyObject *)exchange, NULL);
    PyObject *fatal;
    int sent = result && !exchange->response ? reply_send(exchange, result) : 0;
    if (sent > 0) {
        Py_IncRef(Py_None);
        fatal = Py_None;
    } else if (result && sent == 0) {
        fatal = finish(exchange, loop->deliver, result, environ);
    } else {
        PyObject *exception = take_exception();
        fatal = finish(exchange, loop->failed, exception, environ);
        Py_DecRef(exception);
    }
    Py_DecRef(result);
    return fatal;
}

static PyObject *respond(Loop *loop, const Taken *taken) {
    if (taken->length < 0) return refuse(loop, taken, "the message has no header");
    if (taken->is_cut) return refuse(loop, taken, "the message is too large");
    Request *request = &loop->buffers->request;
    const char *wrong = request_parse(loop->buffers->in, (size_t)taken->length, request);
    if (wrong) return refuse(loop, taken, wrong);
    uint64_t shard = loop->slot->shard;
    if (shard >= loop->replies_count) {
        PyErr_Format(PyExc_IndexError, "there is no shard %llu", (unsigned long long)shard);
        return NULL;
    }
    PyObject *environ = NULL, *fatal = NULL, *hints = NULL, *input = NULL, *opened = NULL;
    if (taken->count || request->body == BODY_SPOOLED) {
        opened = open_body(loop, taken);
        if (opened == Py_None) {
            Py_DecRef(opened);
            return hand_over(loop, taken);
        }
        if (opened) Py_IncRef(input = PyTuple_GetItem(opened, 0));
    } else {
        input = make_input(loop);
    }
    Exchange *exchange = input ? exchange_new(loop, loop->slot->token, shard, request->is_head) : NULL;
    if (exchange) hints = exchange_hints(exchange);
    if (hints) environ = environs_make(&loop->environs, request, input, hints);
    Py_DecRef(hints);
    Py_DecRef(input);
    if (environ && opened && PyDict_SetItem(environ, loop->file_key, PyTuple_GetItem(opened, 1)) < 0) CLEAR(environ);
    if (environ) {
        loop->current = exchange;
        fatal = exchange_run(loop, exchange, environ);
        loop->current = NULL;
        exchange->is_over = 1;
    }
    if (opened) fatal = close_body(loop, opened, fatal);
    Py_DecRef(opened);
    Py_DecRef((PyObject *)exchange);
    Py_DecRef(environ);
    return fatal;
}

/* The request that was to be interrupted is over: what is on its way to this thread is taken back. 0, or -1 with an exception: that may be
 * what was on its way, and then Python calls again. */
static int settle(Loop *loop) {
    PyObject *result = PyObject_CallFunctionObjArgs(loop->settle, NULL);
    Py_DecRef(result);
    return result ? 0 : -1;
}

/* Loop.run(): answers requests until there are no more. */
static PyObject *loop_run(PyObject *self, PyObject *unused) {
    (void)unused;
    Loop *loop = (Loop *)self;
    if (loop->is_running) {
        PyErr_SetString(PyExc_RuntimeError, "the loop runs already");
        return NULL;
    }
    loop->is_running = 1;
    PyObject *fatal = NULL;
    uint64_t done = loop->slot->done;
    for (;;) {
        Taken taken;
        int received = receive(loop, &taken);
        if (received == 0) {
            Py_IncRef(Py_None);
            fatal = Py_None;
        }
        if (received <= 0) break;
        fatal = respond(loop, &taken);
        if (loop->is_forked) end_copy(fatal);
        /* The answer could not be sent: the token stays, so that the server learns whose request this was. */
        if (!fatal || (fatal != Py_None && PyErr_GivenExceptionMatches(fatal, PyExc_OSError))) break;
        loop->slot->done = ++done;
        loop->slot->started_ns = 0;
        loop->slot->token = 0;
        if (loop->slot->interrupt && settle(loop) < 0) {
            CLEAR(fatal);
            break;
        }
        if (fatal != Py_None) break;
        CLEAR(fatal);
    }
    loop->is_running = 0;
    return fatal;
}

/* Loop.leave(): no more is to be taken. For the thread itself, out of a signal's handler, and for others. */
static PyObject *loop_leave(PyObject *self, PyObject *unused) {
    (void)unused;
    ((Loop *)self)->is_leaving = 1;
    Py_IncRef(Py_None);
    return Py_None;
}

/* Loop.leave_rings(): for a process that the application has forked. A ring has one writer, and a line one thread: should the process come back from the
 * application, it answers and ends. */
static PyObject *loop_leave_rings(PyObject *self, PyObject *unused) {
    (void)unused;
    rings_unmap(&((Loop *)self)->rings);
    ((Loop *)self)->is_forked = 1;
    Py_IncRef(Py_None);
    return Py_None;
}

/* Loop.raise_in(thread, exception): see worker/interrupt.py, which else asks ctypes for the same. */
static PyObject *loop_raise_in(PyObject *self, PyObject *args) {
    (void)self;
    unsigned long thread;
    PyObject *exception;
    if (!PyArg_ParseTuple(args, "kO:raise_in", &thread, &exception)) return NULL;
    PyThreadState_SetAsyncExc(thread, exception == Py_None ? NULL : exception);
    Py_IncRef(Py_None);
    return Py_None;
}

/* Maps the line of the scoreboard in `descriptor` that is `index` lines from its start. */
static int map_slot(Loop *loop, int descriptor, size_t index) {
    struct stat status;
    if (fstat(descriptor, &status) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    size_t bytes = (size_t)status.st_size;
    if (bytes / sizeof(Slot) <= index) {
        PyErr_Format(PyExc_ValueError, "the scoreboard of %zd bytes has no slot %zd", (Py_ssize_t)bytes, (Py_ssize_t)index);
        return -1;
    }
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (map == MAP_FAILED) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    loop->map = map;
    loop->map_bytes = bytes;
    loop->slot = (Slot *)map + index;
    return 0;
}

static int take_replies(Loop *loop, PyObject *numbers) {
    Py_ssize_t count = PyTuple_Size(numbers);
    if (count < 0) return -1;
    loop->replies = calloc((size_t)count + 1, sizeof *loop->replies);
    if (!loop->replies) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        long number = PyLong_AsLong(PyTuple_GetItem(numbers, index));
        if (number == -1 && PyErr_Occurred()) return -1;
        loop->replies[index] = (int)number;
    }
    loop->replies_count = (size_t)count;
    return 0;
}

static int take_hooks(Loop *loop, PyObject *hooks) {
    const struct {
        const char *name;
        PyObject **field;
    } wanted[] = {
        {"make_response", &loop->make_response}, {"deliver", &loop->deliver}, {"failed", &loop->failed},
        {"answer", &loop->answer},               {"refuse", &loop->refuse},   {"settle", &loop->settle},
        {"open_body", &loop->open_body},         {"close_body", &loop->close_body},
        {"BytesIO", &loop->bytes_io},
    };
    for (size_t index = 0; index < sizeof wanted / sizeof *wanted; index++) {
        *wanted[index].field = PyObject_GetAttrString(hooks, wanted[index].name);
        if (!*wanted[index].field) return -1;
    }
    return 0;
}

/* Loop(inbox, idle, scoreboard, slot, outbox, generation, requests, bell, replies, application, constants, hooks): descriptors as numbers, -1 for those
 * that there are not, `replies` a tuple. */
static PyObject *loop_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    int inbox, idle, scoreboard, outbox, requests, bell;
    Py_ssize_t slot;
    unsigned long long generation;
    PyObject *replies, *application, *constants, *hooks;
    if (named || !PyArg_ParseTuple(args, "iiiniKiiOOOO:Loop", &inbox, &idle, &scoreboard, &slot, &outbox, &generation, &requests, &bell, &replies,
                                   &application, &constants, &hooks)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "Loop() takes no names");
        return NULL;
    }
    Loop *loop = (Loop *)PyType_GenericAlloc(type, 0);
    if (!loop) return NULL;
    loop->buffers = calloc(1, sizeof *loop->buffers);
    if (!loop->buffers) {
        Py_DecRef((PyObject *)loop);
        return PyErr_NoMemory();
    }
    loop->inbox = inbox;
    loop->idle = idle;
    loop->is_alone = idle < 0;
    Py_IncRef(application);
    loop->application = application;
    loop->file_key = PyUnicode_InternFromString("maitred.input_file");
    if (!loop->file_key || environs_begin(&loop->environs, constants) < 0 || map_slot(loop, scoreboard, (size_t)slot) < 0 ||
        take_replies(loop, replies) < 0 || take_hooks(loop, hooks) < 0) {
        Py_DecRef((PyObject *)loop);
        return NULL;
    }
    size_t lines = loop->map_bytes / sizeof(Slot);
    size_t end = outbox_map(&loop->outbox, outbox, lines, (size_t)slot, generation);
    if (end) rings_map(&loop->rings, outbox, end, lines, (size_t)slot);
    /* The shards count on it that they are looked at. */
    if (requests >= 0 && requests_map(&loop->requests, requests, bell, lines, (size_t)slot) < 0) {
        Py_DecRef((PyObject *)loop);
        return NULL;
    }
    if (requests >= 0 && loop->is_alone && (loop->idle = watch_both(inbox, bell)) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DecRef((PyObject *)loop);
        return NULL;
    }
    return (PyObject *)loop;
}

static int loop_traverse(PyObject *self, visitproc visit, void *arg) {
    Loop *loop = (Loop *)self;
    VISIT(self->ob_type);
    VISIT(loop->application);
    VISIT(loop->bytes_io);
    VISIT(loop->make_response);
    VISIT(loop->deliver);
    VISIT(loop->failed);
    VISIT(loop->answer);
    VISIT(loop->refuse);
    VISIT(loop->settle);
    VISIT(loop->open_body);
    VISIT(loop->close_body);
    return environs_visit(&loop->environs, visit, arg);
}

static int loop_clear(PyObject *self) {
    Loop *loop = (Loop *)self;
    environs_end(&loop->environs);
    CLEAR(loop->file_key);
    CLEAR(loop->application);
    CLEAR(loop->bytes_io);
    CLEAR(loop->make_response);
    CLEAR(loop->deliver);
    CLEAR(loop->failed);
    CLEAR(loop->answer);
    CLEAR(loop->refuse);
    CLEAR(loop->settle);
    CLEAR(loop->open_body);
    CLEAR(loop->close_body);
    return 0;
}

static void loop_dealloc(PyObject *self) {
    Loop *loop = (Loop *)self;
    PyTypeObject *type = self->ob_type;
    PyObject_GC_UnTrack(self);
    loop_clear(self);
    if (loop->map) munmap(loop->map, loop->map_bytes);
    outbox_unmap(&loop->outbox);
    rings_unmap(&loop->rings);
    requests_unmap(&loop->requests);
    if (loop->is_alone && loop->idle >= 0) close(loop->idle);
    free(loop->replies);
    free(loop->buffers);
    PyObject_GC_Del(self);
    Py_DecRef((PyObject *)type);
}

static PyMethodDef LOOP_METHODS[] = {
    {"run", loop_run, METH_NOARGS, "Answers requests until there are no more. Returns the exception that ends the worker, or None."},
    {"leave", loop_leave, METH_NOARGS, "Takes no more messages from now on. Does not end a wait for one."},
    {"leave_rings", loop_leave_rings, METH_NOARGS, "Sends all answers through sockets from now on."},
    {"raise_in", loop_raise_in, METH_VARARGS | METH_STATIC, "Raises in another thread at its next line of Python; None takes that back."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot LOOP_SLOTS[] = {
    {Py_tp_doc, "The loop of one worker thread."},
    {Py_tp_new, (void *)loop_new},
    {Py_tp_methods, LOOP_METHODS},
    {Py_tp_traverse, (void *)loop_traverse},
    {Py_tp_clear, (void *)loop_clear},
    {Py_tp_dealloc, (void *)loop_dealloc},
    {0, NULL},
};
static PyType_Spec LOOP_SPEC = {
    "maitred_native.Loop", sizeof(Loop), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, LOOP_SLOTS,
};

int loop_type(PyObject *module) {
    PyObject *type = PyType_FromSpec(&LOOP_SPEC);
    if (!type) return -1;
    if (PyModule_AddObject(module, "Loop", type) == 0) return 0;
    Py_DecRef(type);
    return -1;
}
