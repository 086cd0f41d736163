/* The functions of the module `maitred_native` by which a worker begins. */
#ifndef MAITRED_BIRTH_H
#define MAITRED_BIRTH_H

#include "python.h"

extern PyMethodDef BIRTH_METHODS[];

#endif
