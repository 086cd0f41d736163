/* The extension module `maitred_native`: what it is made of. Loaded by worker/native.py, once a process. */
#include "birth.h"
#include "loop.h"
#include "pipe.h"

static int fill(PyObject *module) {
    return exchange_types(module) < 0 || loop_type(module) < 0 || pipe_type(module) < 0 ? -1 : 0;
}

static PyMethodDef METHODS[] = {
    {"fork_orphan", fork_orphan, METH_NOARGS, "Forks a worker that is nobody's child here. Returns its process id, or 0 in it."},
    {"copy_pages", copy_pages, METH_O, "Begins to copy the pages of ranges of addresses that a fork has left shared."},
    {"duplicate_pipe", duplicate_pipe, METH_O, "Makes another pipe with the same in it. Returns the descriptor to read from."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, (void *)fill}, {0, NULL}};

static PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "maitred_native",
    .m_doc = "The inner loop of maitred's workers.",
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC PyInit_maitred_native(void);
PyMODINIT_FUNC PyInit_maitred_native(void) { return PyModuleDef_Init(&MODULE); }
