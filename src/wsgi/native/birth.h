/* The functions of the module `maitred_native` by which a worker begins. */
#ifndef MAITRED_BIRTH_H
#define MAITRED_BIRTH_H

#include "python.h"

PyObject *fork_orphan(PyObject *module, PyObject *unused);
PyObject *copy_pages(PyObject *module, PyObject *ranges);

#endif
