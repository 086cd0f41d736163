/* `start_response` and `write` (PEP 3333) and `wsgi.early_hints` as objects, one of each a request. See loop.h. */
#include "loop.h"

#include <string.h>

static PyTypeObject *exchange_type, *write_type, *hints_type;

/* What `start_response` returns, and `wsgi.early_hints`: each calls a method of the exchange's response. */
typedef struct {
    PyObject ob_base;
    Exchange *exchange;
} Write;

static PyObject *no_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    (void)type, (void)args, (void)named;
    PyErr_SetString(PyExc_TypeError, "the server makes these objects");
    return NULL;
}

Exchange *exchange_new(Loop *loop, uint64_t token, uint64_t shard, int is_head) {
    Exchange *exchange = (Exchange *)PyType_GenericAlloc(exchange_type, 0);
    if (!exchange) return NULL;
    Py_IncRef((PyObject *)loop);
    exchange->loop = loop;
    exchange->token = token;
    exchange->shard = shard;
    exchange->is_head = is_head;
    return exchange;
}

/* The reason phrase as worker/response.py keeps it: a line, or nothing. */
static PyObject *reason_line(const Exchange *exchange) {
    char line[REASON_BYTES_MAX + 3] = ":";
    size_t count = exchange->status ? exchange->reason_bytes : 0;
    memcpy(line + 1, exchange->reason, count);
    memcpy(line + 1 + count, "\r\n", 2);
    return PyBytes_FromStringAndSize(line, count ? (Py_ssize_t)count + 3 : 0);
}

PyObject *exchange_response(Exchange *exchange) {
    if (exchange->response) return exchange->response;
    Loop *loop = exchange->loop;
    if (!loop) {
        PyErr_SetString(PyExc_RuntimeError, "this start_response() is no longer of use");
        return NULL;
    }
    PyObject *fields = Py_None, *length = Py_None, *response = NULL, *reason = reason_line(exchange);
    Py_IncRef(fields);
    Py_IncRef(length);
    if (exchange->status) {
        int is_there = loop->current == exchange;
        Py_DecRef(fields);
        fields = PyBytes_FromStringAndSize((char *)loop->buffers->out + FIELDS_AT, is_there ? (Py_ssize_t)exchange->fields : 0);
    }
    if (exchange->has_length) {
        Py_DecRef(length);
        length = PyLong_FromUnsignedLongLong(exchange->length);
    }
    if (reason && fields && length) {
        response = PyObject_CallFunction(loop->make_response, "KKiiOOOi", (unsigned long long)exchange->token,
                                         (unsigned long long)exchange->shard, exchange->is_head, exchange->status, reason,
                                         fields, length, exchange->is_over);
    }
    Py_DecRef(reason);
    Py_DecRef(fields);
    Py_DecRef(length);
    /* The call may have let another one in. */
    if (exchange->response) {
        Py_DecRef(response);
    } else {
        exchange->response = response;
    }
    return exchange->response;
}

/* Calls a method of the exchange's `Response`. */
static PyObject *forward(Exchange *exchange, const char *name, PyObject *args, PyObject *named) {
    PyObject *response = exchange_response(exchange);
    if (!response) return NULL;
    PyObject *method = PyObject_GetAttrString(response, name);
    if (!method) return NULL;
    PyObject *result = PyObject_Call(method, args, named);
    Py_DecRef(method);
    return result;
}

static PyObject *method_of(Exchange *exchange, PyTypeObject *type) {
    Write *method = (Write *)PyType_GenericAlloc(type, 0);
    if (!method) return NULL;
    Py_IncRef((PyObject *)exchange);
    method->exchange = exchange;
    return (PyObject *)method;
}

PyObject *exchange_hints(Exchange *exchange) { return method_of(exchange, hints_type); }

static PyObject *exchange_call(PyObject *self, PyObject *args, PyObject *named) {
    Exchange *exchange = (Exchange *)self;
    if (!named && PyTuple_Size(args) == 2 && !exchange->response && !exchange->status && exchange->loop &&
        exchange->loop->current == exchange && head_write(exchange, PyTuple_GetItem(args, 0), PyTuple_GetItem(args, 1))) {
        return method_of(exchange, write_type);
    }
    return forward(exchange, "start_response", args, named);
}

static int exchange_traverse(PyObject *self, visitproc visit, void *arg) {
    Exchange *exchange = (Exchange *)self;
    VISIT(self->ob_type);
    VISIT(exchange->loop);
    VISIT(exchange->response);
    return 0;
}

static int exchange_clear(PyObject *self) {
    Exchange *exchange = (Exchange *)self;
    if (exchange->loop && exchange->loop->current == exchange) exchange->loop->current = NULL;
    CLEAR(exchange->loop);
    CLEAR(exchange->response);
    return 0;
}

static PyObject *write_call(PyObject *self, PyObject *args, PyObject *named) {
    Exchange *exchange = ((Write *)self)->exchange;
    if (!exchange) {
        PyErr_SetString(PyExc_RuntimeError, "this write() is no longer of use");
        return NULL;
    }
    return forward(exchange, "write", args, named);
}

static PyObject *hints_call(PyObject *self, PyObject *args, PyObject *named) {
    Exchange *exchange = ((Write *)self)->exchange;
    if (!exchange) {
        PyErr_SetString(PyExc_RuntimeError, "these early hints are no longer of use");
        return NULL;
    }
    return forward(exchange, "early_hints", args, named);
}

static int write_traverse(PyObject *self, visitproc visit, void *arg) {
    VISIT(self->ob_type);
    VISIT(((Write *)self)->exchange);
    return 0;
}

static int write_clear(PyObject *self) {
    CLEAR(((Write *)self)->exchange);
    return 0;
}

static void let_go(PyObject *self, int (*clear)(PyObject *)) {
    PyTypeObject *type = self->ob_type;
    PyObject_GC_UnTrack(self);
    clear(self);
    PyObject_GC_Del(self);
    Py_DecRef((PyObject *)type);
}

static void exchange_dealloc(PyObject *self) { let_go(self, exchange_clear); }
static void write_dealloc(PyObject *self) { let_go(self, write_clear); }

static PyType_Slot EXCHANGE_SLOTS[] = {
    {Py_tp_doc, "start_response(status, headers, exc_info=None): PEP 3333."},
    {Py_tp_new, (void *)no_new},
    {Py_tp_call, (void *)exchange_call},
    {Py_tp_traverse, (void *)exchange_traverse},
    {Py_tp_clear, (void *)exchange_clear},
    {Py_tp_dealloc, (void *)exchange_dealloc},
    {0, NULL},
};
static PyType_Spec EXCHANGE_SPEC = {
    "maitred_native.StartResponse", sizeof(Exchange), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, EXCHANGE_SLOTS,
};
static PyType_Slot WRITE_SLOTS[] = {
    {Py_tp_doc, "write(data): sends a part of the body at once (PEP 3333)."},
    {Py_tp_new, (void *)no_new},
    {Py_tp_call, (void *)write_call},
    {Py_tp_traverse, (void *)write_traverse},
    {Py_tp_clear, (void *)write_clear},
    {Py_tp_dealloc, (void *)write_dealloc},
    {0, NULL},
};
static PyType_Spec WRITE_SPEC = {
    "maitred_native.Write", sizeof(Write), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, WRITE_SLOTS,
};
static PyType_Slot HINTS_SLOTS[] = {
    {Py_tp_doc, "wsgi.early_hints(headers): tells the client of fields before the response (RFC 8297)."},
    {Py_tp_new, (void *)no_new},
    {Py_tp_call, (void *)hints_call},
    {Py_tp_traverse, (void *)write_traverse},
    {Py_tp_clear, (void *)write_clear},
    {Py_tp_dealloc, (void *)write_dealloc},
    {0, NULL},
};
static PyType_Spec HINTS_SPEC = {
    "maitred_native.EarlyHints", sizeof(Write), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, HINTS_SLOTS,
};

int exchange_types(PyObject *module) {
    (void)module;
    exchange_type = (PyTypeObject *)PyType_FromSpec(&EXCHANGE_SPEC);
    write_type = (PyTypeObject *)PyType_FromSpec(&WRITE_SPEC);
    hints_type = (PyTypeObject *)PyType_FromSpec(&HINTS_SPEC);
    return exchange_type && write_type && hints_type ? 0 : -1;
}
