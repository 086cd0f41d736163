/* A pipe with a request's body in it, whole: to read from, and to have twice. See worker/request.py.
 *
 * Owns the descriptor of the pipe that is read, so that nobody reads from one that is somebody else's by now.
 */
#define _GNU_SOURCE
#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

/* As many bytes are read without letting go of the GIL: all of them are there, and to copy them takes no longer than to get it back may take. */
#define HELD_BYTES_MAX (128 * 1024)

typedef struct {
    PyObject ob_base;
    /* -1: closed. */
    int descriptor;
    /* Bytes that were not read. */
    Py_ssize_t left;
} Pipe;

/* Pipe(descriptor, length) */
static PyObject *pipe_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    int descriptor;
    Py_ssize_t length;
    if (named) {
        PyErr_SetString(PyExc_TypeError, "Pipe() takes no names");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "in:Pipe", &descriptor, &length)) return NULL;
    if (length < 0) {
        PyErr_SetString(PyExc_ValueError, "a length is at least 0");
        return NULL;
    }
    Pipe *pipe = (Pipe *)PyType_GenericAlloc(type, 0);
    if (!pipe) return NULL;
    pipe->descriptor = descriptor;
    pipe->left = length;
    return (PyObject *)pipe;
}

static int is_open(const Pipe *pipe) {
    if (pipe->descriptor < 0) PyErr_SetString(PyExc_ValueError, "I/O operation on closed file");
    return pipe->descriptor >= 0;
}

/* Reads `wanted` bytes, or as many as there are. Returns how many, or -1 with an exception. */
static Py_ssize_t fill(Pipe *pipe, char *at, Py_ssize_t wanted) {
    Py_ssize_t done = 0;
    while (done < wanted) {
        if (!is_open(pipe)) return -1;
        PyThreadState *state = wanted > HELD_BYTES_MAX ? PyEval_SaveThread() : NULL;
        ssize_t count = read(pipe->descriptor, at + done, (size_t)(wanted - done));
        int error = errno;
        if (state) PyEval_RestoreThread(state);
        if (count == 0) break;
        if (count > 0) {
            done += count;
            pipe->left -= count;
        } else if (error != EINTR) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        } else if (PyErr_CheckSignals() < 0) {
            return -1;
        }
    }
    return done;
}

/* Pipe(size=-1), which is `read` of a file: so many bytes, or all that are left. */
static PyObject *pipe_call(PyObject *self, PyObject *args, PyObject *named) {
    Pipe *pipe = (Pipe *)self;
    PyObject *size = Py_None;
    static char name[] = "size";
    char *names[] = {name, NULL};
    if (!PyArg_ParseTupleAndKeywords(args, named, "|O:read", names, &size) || !is_open(pipe)) return NULL;
    Py_ssize_t wanted = size == Py_None ? -1 : PyNumber_AsSsize_t(size, PyExc_OverflowError);
    if (wanted == -1 && PyErr_Occurred()) return NULL;
    if (wanted < 0 || wanted > pipe->left) wanted = pipe->left;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, wanted);
    if (!bytes) return NULL;
    char *at = PyBytes_AsString(bytes);
    Py_ssize_t done = fill(pipe, at, wanted);
    if (done == wanted) return bytes;
    /* Another thread has read meanwhile. */
    PyObject *fewer = done < 0 ? NULL : PyBytes_FromStringAndSize(at, done);
    Py_DecRef(bytes);
    return fewer;
}

static void shut(Pipe *pipe) {
    if (pipe->descriptor >= 0) close(pipe->descriptor);
    pipe->descriptor = -1;
}

static PyObject *pipe_close(PyObject *self, PyObject *unused) {
    (void)unused;
    shut((Pipe *)self);
    Py_IncRef(Py_None);
    return Py_None;
}

static PyObject *pipe_fileno(PyObject *self, PyObject *unused) {
    (void)unused;
    Pipe *pipe = (Pipe *)self;
    return is_open(pipe) ? PyLong_FromLong(pipe->descriptor) : NULL;
}

static void pipe_dealloc(PyObject *self) {
    PyTypeObject *type = self->ob_type;
    shut((Pipe *)self);
    PyObject_Free(self);
    Py_DecRef((PyObject *)type);
}

static PyMethodDef PIPE_METHODS[] = {
    {"close", pipe_close, METH_NOARGS, "Closes the descriptor. Nothing is read from then on."},
    {"fileno", pipe_fileno, METH_NOARGS, "The descriptor."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot PIPE_SLOTS[] = {
    {Py_tp_doc, "A pipe with a whole body in it; called with a size it reads."},
    {Py_tp_new, (void *)pipe_new},
    {Py_tp_call, (void *)pipe_call},
    {Py_tp_methods, PIPE_METHODS},
    {Py_tp_dealloc, (void *)pipe_dealloc},
    {0, NULL},
};
static PyType_Spec PIPE_SPEC = {
    "maitred_native.Pipe", sizeof(Pipe), 0, Py_TPFLAGS_DEFAULT, PIPE_SLOTS,
};

int pipe_type(PyObject *module) {
    PyObject *type = PyType_FromSpec(&PIPE_SPEC);
    if (!type) return -1;
    if (PyModule_AddObject(module, "Pipe", type) == 0) return 0;
    Py_DecRef(type);
    return -1;
}

/* duplicate_pipe(descriptor): the reading end of another pipe with the same in it (tee(2)): both share the memory. To the other end nobody writes.
 * OSError: there is no descriptor or no memory for it. */
PyObject *duplicate_pipe(PyObject *module, PyObject *descriptor) {
    (void)module;
    long pipe = PyLong_AsLong(descriptor);
    if (pipe == -1 && PyErr_Occurred()) return NULL;
    int ends[2], bytes = fcntl((int)pipe, F_GETPIPE_SZ);
    if (bytes < 0 || pipe2(ends, O_CLOEXEC) < 0) return PyErr_SetFromErrno(PyExc_OSError);
    /* With fewer slots it would get a part only. */
    int is_whole = fcntl(ends[1], F_SETPIPE_SZ, bytes) >= 0 && tee((int)pipe, ends[1], INT_MAX, SPLICE_F_NONBLOCK) >= 0;
    int error = errno;
    close(ends[1]);
    if (is_whole) return PyLong_FromLong(ends[0]);
    close(ends[0]);
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}
