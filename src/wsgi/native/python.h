/* The part of CPython's stable ABI that the native loop uses.
 *
 * Owns declarations only, so that building maitred needs no Python. Source: "C API and ABI Stability" in CPython's documentation
 * (https://docs.python.org/3/c-api/stable.html, "Contents of Limited API") and PEP 652; layouts as of PEP 384. All of it is there from
 * CPython 3.9 on. PyUnicode_AsUTF8AndSize entered the stable ABI with 3.10; 3.9 exports it with the same meaning. A function
 * that an interpreter lacks makes the import fail, and the worker goes on in Python.
 *
 * Not for free-threaded or trace-refs builds, whose objects begin otherwise: worker/native.py keeps them away.
 */
#ifndef MAITRED_PYTHON_H
#define MAITRED_PYTHON_H

#include <stdint.h>
#include <sys/types.h>

typedef ssize_t Py_ssize_t;
typedef struct _typeobject PyTypeObject;
typedef struct _ts PyThreadState;

/* What every object begins with. Only the type is looked at; counts are moved by the interpreter's own functions. */
typedef struct _object {
    Py_ssize_t ob_refcnt;
    PyTypeObject *ob_type;
} PyObject;

typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);
typedef int (*visitproc)(PyObject *, void *);

typedef struct {
    const char *ml_name;
    PyCFunction ml_meth;
    int ml_flags;
    const char *ml_doc;
} PyMethodDef;

typedef struct {
    int slot;
    void *value;
} PyModuleDef_Slot;

typedef struct {
    PyObject ob_base;
    PyObject *(*m_init)(void);
    Py_ssize_t m_index;
    PyObject *m_copy;
} PyModuleDef_Base;

typedef struct {
    PyModuleDef_Base m_base;
    const char *m_name;
    const char *m_doc;
    Py_ssize_t m_size;
    PyMethodDef *m_methods;
    PyModuleDef_Slot *m_slots;
    int (*m_traverse)(PyObject *, visitproc, void *);
    int (*m_clear)(PyObject *);
    void (*m_free)(void *);
} PyModuleDef;

typedef struct {
    int slot;
    void *pfunc;
} PyType_Slot;

typedef struct {
    const char *name;
    int basicsize;
    int itemsize;
    unsigned int flags;
    PyType_Slot *slots;
} PyType_Spec;

#define PyModuleDef_HEAD_INIT {{1, 0}, 0, 0, 0}
#define Py_mod_exec 2
#define METH_VARARGS 0x0001
#define METH_NOARGS 0x0004
#define METH_O 0x0008
#define METH_STATIC 0x0020
#define Py_TPFLAGS_HAVE_GC (1U << 14)
#define Py_TPFLAGS_DEFAULT (1U << 18)
#define Py_tp_call 50
#define Py_tp_clear 51
#define Py_tp_dealloc 52
#define Py_tp_doc 56
#define Py_tp_methods 64
#define Py_tp_new 65
#define Py_tp_traverse 71

/* Every function here is called by the interpreter, or provided by it. */
#define PyMODINIT_FUNC __attribute__((visibility("default"))) PyObject *

extern PyObject _Py_NoneStruct, _Py_FalseStruct;
#define Py_None (&_Py_NoneStruct)
#define Py_False (&_Py_FalseStruct)

extern PyTypeObject PyBytes_Type, PyDict_Type, PyList_Type, PyTuple_Type, PyUnicode_Type;
extern PyObject *PyExc_IndexError, *PyExc_OSError, *PyExc_OverflowError, *PyExc_RuntimeError, *PyExc_TypeError, *PyExc_ValueError;

void Py_IncRef(PyObject *);
void Py_DecRef(PyObject *);

PyObject *PyModuleDef_Init(PyModuleDef *);
int PyModule_AddObject(PyObject *, const char *, PyObject *);
PyObject *PyType_FromSpec(PyType_Spec *);
PyObject *PyType_GenericAlloc(PyTypeObject *, Py_ssize_t);
void PyObject_Free(void *);
void PyObject_GC_Del(void *);
void PyObject_GC_UnTrack(void *);

PyThreadState *PyEval_SaveThread(void);
void PyEval_RestoreThread(PyThreadState *);
int PyThreadState_SetAsyncExc(unsigned long, PyObject *);
int PyErr_CheckSignals(void);

void PyOS_BeforeFork(void);
void PyOS_AfterFork_Parent(void);
void PyOS_AfterFork_Child(void);

PyObject *PyErr_Occurred(void);
void PyErr_Clear(void);
void PyErr_Fetch(PyObject **, PyObject **, PyObject **);
PyObject *PyErr_Format(PyObject *, const char *, ...);
int PyErr_GivenExceptionMatches(PyObject *, PyObject *);
PyObject *PyErr_NoMemory(void);
void PyErr_NormalizeException(PyObject **, PyObject **, PyObject **);
PyObject *PyErr_SetFromErrno(PyObject *);
void PyErr_Restore(PyObject *, PyObject *, PyObject *);
void PyErr_SetString(PyObject *, const char *);
int PyException_SetTraceback(PyObject *, PyObject *);

int PyArg_ParseTuple(PyObject *, const char *, ...);
int PyArg_ParseTupleAndKeywords(PyObject *, PyObject *, const char *, char **, ...);
Py_ssize_t PyNumber_AsSsize_t(PyObject *, PyObject *);
PyObject *PyObject_Call(PyObject *, PyObject *, PyObject *);
PyObject *PyObject_CallFunction(PyObject *, const char *, ...);
PyObject *PyObject_CallFunctionObjArgs(PyObject *, ...);
PyObject *PyObject_CallObject(PyObject *, PyObject *);
PyObject *PyObject_GetAttrString(PyObject *, const char *);

PyObject *PyBytes_FromStringAndSize(const char *, Py_ssize_t);
char *PyBytes_AsString(PyObject *);
int PyBytes_AsStringAndSize(PyObject *, char **, Py_ssize_t *);
PyObject *PyLong_FromLong(long);
PyObject *PyLong_FromUnsignedLongLong(unsigned long long);
long PyLong_AsLong(PyObject *);

PyObject *PyDict_New(void);
PyObject *PyDict_Copy(PyObject *);
int PyDict_SetItem(PyObject *, PyObject *, PyObject *);
int PyDict_Update(PyObject *, PyObject *);
Py_ssize_t PyDict_Size(PyObject *);

PyObject *PyList_New(Py_ssize_t);
int PyList_Append(PyObject *, PyObject *);
PyObject *PyList_GetItem(PyObject *, Py_ssize_t);
Py_ssize_t PyList_Size(PyObject *);
PyObject *PyTuple_GetItem(PyObject *, Py_ssize_t);
Py_ssize_t PyTuple_Size(PyObject *);

PyObject *PyUnicode_AsLatin1String(PyObject *);
const char *PyUnicode_AsUTF8AndSize(PyObject *, Py_ssize_t *);
PyObject *PyUnicode_DecodeLatin1(const char *, Py_ssize_t, const char *);
PyObject *PyUnicode_DecodeUTF8(const char *, Py_ssize_t, const char *);
PyObject *PyUnicode_InternFromString(const char *);

/* Exact types only: what an application derived from them is left to Python. */
static inline int is_exactly(PyObject *object, PyTypeObject *type) { return object->ob_type == type; }

#define VISIT(object)                                   \
    do {                                                \
        if (object) {                                   \
            int stop = visit((PyObject *)(object), arg); \
            if (stop) return stop;                      \
        }                                               \
    } while (0)

#define CLEAR(field)                       \
    do {                                   \
        PyObject *old = (PyObject *)(field); \
        (field) = NULL;                    \
        Py_DecRef(old);                    \
    } while (0)

#endif
