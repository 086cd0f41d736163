/* The extension module `maitred_native`: what it is made of. Loaded by worker/native.py, once a process. */
#include "birth.h"
#include "loop.h"

static int fill(PyObject *module) { return exchange_types(module) < 0 || loop_type(module) < 0 ? -1 : 0; }

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, (void *)fill}, {0, NULL}};

static PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "maitred_native",
    .m_doc = "The inner loop of maitred's workers.",
    .m_methods = BIRTH_METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC PyInit_maitred_native(void);
PyMODINIT_FUNC PyInit_maitred_native(void) { return PyModuleDef_Init(&MODULE); }
