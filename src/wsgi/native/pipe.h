/* Pipes with a request's body in them. */
#ifndef MAITRED_PIPE_H
#define MAITRED_PIPE_H

#include "python.h"

int pipe_type(PyObject *module);
PyObject *duplicate_pipe(PyObject *module, PyObject *descriptor);

#endif
