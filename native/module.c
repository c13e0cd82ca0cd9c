/* cellfleet._native: the thin skin between Python buffers and the kernels.
 *
 * Only the limited API of CPython 3.11 is used, so that one wheel per platform serves all later Pythons. Shapes and
 * types are checked here against the buffers themselves; the kernels run without the interpreter lock.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "labels.h"
#include "measure.h"
#include "resample.h"
#include "watershed.h"

/* A C-contiguous buffer whose elements have one of the given format letters and the given size. */
static int get_buffer(PyObject *object, const char *name, const char *letters, Py_ssize_t itemsize, int dimensions,
                      int flags, Py_buffer *view) {
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags) != 0) return 0;
    const int known = view->format && strlen(view->format) == 1 && strchr(letters, view->format[0]);
    if (known && view->ndim == dimensions && (itemsize == 0 || view->itemsize == itemsize)) return 1;
    PyErr_Format(PyExc_TypeError, "%s: expected a %d-dimensional C-contiguous array of type '%s', got '%s' in %d",
                 name, dimensions, letters, view->format ? view->format : "", view->ndim);
    PyBuffer_Release(view);
    return 0;
}

static int same_shape(const Py_buffer *a, const Py_buffer *b, const char *name) {
    if (a->shape[0] == b->shape[0] && a->shape[1] == b->shape[1]) return 1;
    PyErr_Format(PyExc_ValueError, "%s: expected shape (%zd, %zd), got (%zd, %zd)", name, a->shape[0], a->shape[1],
                 b->shape[0], b->shape[1]);
    return 0;
}

#define PIXEL_LETTERS "BbHhIiLlfd"

static int pixel_type(const Py_buffer *view, PixelType *type) {
    static const struct {
        char letter;
        Py_ssize_t size;
        PixelType type;
    } TYPES[] = {{'B', 1, PIXEL_U8},  {'b', 1, PIXEL_I8},  {'H', 2, PIXEL_U16}, {'h', 2, PIXEL_I16},
                 {'I', 4, PIXEL_U32}, {'i', 4, PIXEL_I32}, {'f', 4, PIXEL_F32}, {'d', 8, PIXEL_F64},
                 /* On Windows a long has 32 bits, and is what numpy calls uint32 and int32. */
                 {'L', 4, PIXEL_U32}, {'l', 4, PIXEL_I32}};
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
        if (view->format[0] != TYPES[i].letter || view->itemsize != TYPES[i].size) continue;
        *type = TYPES[i].type;
        return 1;
    }
    PyErr_Format(PyExc_TypeError, "pixels: type '%s' is not supported", view->format);
    return 0;
}

/* Indices are 32 bits wide, on a grid with a border. */
static int fits_grid(const Py_buffer *view) {
    const size_t height = (size_t)view->shape[0] + 2, width = (size_t)view->shape[1] + 2;
    if (height <= CF_MAX_PIXELS / width) return 1;
    PyErr_Format(PyExc_ValueError, "%zd x %zd pixels are more than one call can take (4294967294 with a border)",
                 view->shape[0], view->shape[1]);
    return 0;
}

static Head head_of(const Py_buffer *view) {
    const Head head = {view->buf, view->format[0] == 'f'};
    return head;
}

/* The labels go into a buffer of the caller's; what is returned is (seed of each label, is each label complete). */
static PyObject *run_watershed(const Block *block, const WatershedSpec *spec, uint32_t *labels) {
    Objects objects = {.labels = labels};
    PyThreadState *thread = PyEval_SaveThread();
    const cf_status status = deep_watershed(block, spec, &objects);
    PyEval_RestoreThread(thread);
    const Py_ssize_t count = (Py_ssize_t)objects.count;
    PyObject *result = NULL;
    if (status == CF_OK)
        result = Py_BuildValue("(y#y#)", count ? (const char *)objects.seed : "", count * (Py_ssize_t)sizeof(uint32_t),
                               count ? (const char *)objects.complete : "", count);
    else
        PyErr_NoMemory();
    free(objects.complete);
    free(objects.seed);
    return result;
}

/* Margins of a block, px, each at most its size; 0 where the image ends. */
static Known known_of(const Py_buffer *view, const Py_ssize_t margins[4]) {
    const size_t height = (size_t)view->shape[0], width = (size_t)view->shape[1];
    const size_t bottom = (size_t)margins[2], right = (size_t)margins[3];
    const Known known = {(size_t)margins[0], (size_t)margins[1], bottom < height ? height - bottom : 0,
                         right < width ? width - right : 0};
    return known;
}

static int valid_watershed(const WatershedSpec *spec, const Py_ssize_t lengths[4], const Py_ssize_t margins[4]) {
    /* Written so that NaN fails too. Wider kernels than any image only cost memory. */
    if (!(spec->maxima_smooth >= 0 && spec->maxima_smooth <= 1e4 && spec->interior_smooth >= 0 &&
          spec->interior_smooth <= 1e4)) {
        PyErr_SetString(PyExc_ValueError, "smoothing must lie between 0 and 10000 px");
        return 0;
    }
    if (lengths[0] < 0 || lengths[0] > 10000 || lengths[1] < 0 || lengths[1] > 10000 || lengths[2] < 0 ||
        lengths[3] < 0) {
        PyErr_SetString(PyExc_ValueError, "radius and pixel expansion must lie between 0 and 10000 px, sizes above 0");
        return 0;
    }
    if (margins[0] < 0 || margins[1] < 0 || margins[2] < 0 || margins[3] < 0) {
        PyErr_SetString(PyExc_ValueError, "margins must not be negative");
        return 0;
    }
    return 1;
}

PyDoc_STRVAR(watershed_doc,
             "deep_watershed(maxima, interior, labels, maxima_threshold, maxima_smooth, interior_threshold,\n"
             "               interior_smooth, radius, pixel_expansion, smallest_object, largest_hole,\n"
             "               top, left, bottom, right) -> (bytes, bytes)\n\n"
             "Fill `labels` (uint32, as large as the heads) and return the seed of each label, native uint32 indices,\n"
             "and whether it is complete. The last four are the widths of what is not known (native/known.h).");

static PyObject *py_watershed(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *objects[3];
    WatershedSpec spec;
    Py_ssize_t lengths[4], margins[4];
    if (!PyArg_ParseTuple(args, "OOOddddnnnnnnnn", &objects[0], &objects[1], &objects[2], &spec.maxima_threshold,
                          &spec.maxima_smooth, &spec.interior_threshold, &spec.interior_smooth, &lengths[0],
                          &lengths[1], &lengths[2], &lengths[3], &margins[0], &margins[1], &margins[2], &margins[3]) ||
        !valid_watershed(&spec, lengths, margins))
        return NULL;
    spec.radius = (size_t)lengths[0];
    spec.pixel_expansion = (size_t)lengths[1];
    spec.smallest_object = (size_t)lengths[2];
    spec.largest_hole = (size_t)lengths[3];

    Py_buffer maxima, interior, labels;
    PyObject *result = NULL;
    if (!get_buffer(objects[0], "maxima", "Bf", 0, 2, 0, &maxima)) return NULL;
    if (get_buffer(objects[1], "interior", "Bf", 0, 2, 0, &interior)) {
        if (get_buffer(objects[2], "labels", "IL", 4, 2, PyBUF_WRITABLE, &labels)) {
            if (same_shape(&maxima, &interior, "interior") && same_shape(&maxima, &labels, "labels") &&
                fits_grid(&maxima)) {
                const Block block = {head_of(&maxima), head_of(&interior), (size_t)maxima.shape[0],
                                     (size_t)maxima.shape[1], known_of(&maxima, margins)};
                result = run_watershed(&block, &spec, labels.buf);
            }
            PyBuffer_Release(&labels);
        }
        PyBuffer_Release(&interior);
    }
    PyBuffer_Release(&maxima);
    return result;
}

/* ---- measure ---------------------------------------------------------------------------------------------------- */

static size_t pixel_count(const Py_buffer *view) { return (size_t)view->shape[0] * (size_t)view->shape[1]; }

/* The labels with their largest value, so that no kernel can write beyond its rows. */
static LabelImage label_image(const Py_buffer *view) {
    LabelImage image = {.labels = view->buf, .height = (size_t)view->shape[0], .width = (size_t)view->shape[1]};
    PyThreadState *thread = PyEval_SaveThread();
    image.count = largest_label(view->buf, pixel_count(view));
    PyEval_RestoreThread(thread);
    return image;
}

/* Bytes for `rows` rows of `columns` doubles; their memory is in *values. */
static PyObject *new_table(size_t rows, size_t columns, double **values) {
    if (rows > PY_SSIZE_T_MAX / (columns * sizeof **values)) return PyErr_NoMemory();
    PyObject *table = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(rows * columns * sizeof **values));
    if (table) *values = (double *)PyBytes_AsString(table);
    return table;
}

PyDoc_STRVAR(shapes_doc,
             "measure_shapes(labels, y, x) -> bytes\n\n"
             "Rows of doubles, one per label 1 … max (native/measure.h). The first pixel stands at (y, x).");

static PyObject *py_shapes(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *labels;
    Py_ssize_t y, x;
    Py_buffer view;
    if (!PyArg_ParseTuple(args, "Onn", &labels, &y, &x)) return NULL;
    if (y < 0 || x < 0) {
        PyErr_SetString(PyExc_ValueError, "places must not be negative");
        return NULL;
    }
    if (!get_buffer(labels, "labels", "IL", 4, 2, 0, &view)) return NULL;
    LabelImage image = label_image(&view);
    image.y = (size_t)y;
    image.x = (size_t)x;
    double *rows = NULL;
    PyObject *table = new_table(image.count, SHAPE_COLUMNS, &rows);
    if (table) {
        PyThreadState *thread = PyEval_SaveThread();
        const cf_status status = measure_shapes(&image, rows);
        PyEval_RestoreThread(thread);
        if (status != CF_OK) {
            Py_CLEAR(table);
            PyErr_NoMemory();
        }
    }
    PyBuffer_Release(&view);
    return table;
}

static PyObject *run_intensity(const Py_buffer *labels, const Py_buffer *pixels) {
    PixelType type;
    if (!same_shape(labels, pixels, "pixels") || !pixel_type(pixels, &type)) return NULL;
    const LabelImage image = label_image(labels);
    double *rows = NULL;
    PyObject *table = new_table(image.count, INTENSITY_COLUMNS, &rows);
    if (!table) return NULL;
    PyThreadState *thread = PyEval_SaveThread();
    const cf_status status = measure_intensity(&image, pixels->buf, type, rows);
    PyEval_RestoreThread(thread);
    if (status == CF_OK) return table;
    Py_DECREF(table);
    return PyErr_NoMemory();
}

PyDoc_STRVAR(intensity_doc,
             "measure_intensity(labels, pixels) -> bytes\n\nRows of doubles, one per label 1 … max (native/measure.h).");

static PyObject *py_intensity(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *objects[2];
    if (!PyArg_ParseTuple(args, "OO", &objects[0], &objects[1])) return NULL;
    Py_buffer labels, pixels;
    PyObject *table = NULL;
    if (!get_buffer(objects[0], "labels", "IL", 4, 2, 0, &labels)) return NULL;
    if (get_buffer(objects[1], "pixels", PIXEL_LETTERS, 0, 2, 0, &pixels)) {
        table = run_intensity(&labels, &pixels);
        PyBuffer_Release(&pixels);
    }
    PyBuffer_Release(&labels);
    return table;
}

/* ---- resample --------------------------------------------------------------------------------------------------- */

static PyObject *run_resample(const Py_buffer *pixels, const Py_buffer *out, const Axis *y, const Axis *x) {
    PixelType type;
    if (!pixel_type(pixels, &type)) return NULL;
    PyThreadState *thread = PyEval_SaveThread();
    const cf_status status = resample(pixels->buf, type, y, x, out->buf);
    PyEval_RestoreThread(thread);
    if (status == CF_OK) Py_RETURN_NONE;
    if (status == CF_NO_MEMORY) return PyErr_NoMemory();
    PyErr_SetString(PyExc_ValueError, "the region depends on pixels of the source that are not given");
    return NULL;
}

/* Lengths and starts as they come from Python; how much is given and wanted is told by the arrays. */
static int set_axis(const Py_ssize_t numbers[4], Py_ssize_t held, Py_ssize_t count, Axis *axis) {
    const Py_ssize_t source = numbers[0], target = numbers[1], from = numbers[2], start = numbers[3];
    if (source < 1 || target < 1 || from < 0 || start < 0 || from > source - held || start > target - count) {
        PyErr_Format(PyExc_ValueError, "%zd px from %zd of %zd, %zd px from %zd of %zd: outside", held, from, source,
                     count, start, target);
        return 0;
    }
    const Axis given = {(size_t)source, (size_t)target, (size_t)from, (size_t)held, (size_t)start, (size_t)count};
    *axis = given;
    return 1;
}

PyDoc_STRVAR(resample_doc,
             "resample(pixels, out, source_height, target_height, from_row, start_row,\n"
             "         source_width, target_width, from_column, start_column)\n\n"
             "Fill `out` (float32), a region of the resized plane that begins at (start_row, start_column), from the\n"
             "region `pixels` of the source that begins at (from_row, from_column).");

static PyObject *py_resample(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *objects[2];
    Py_ssize_t rows[4], columns[4];
    if (!PyArg_ParseTuple(args, "OOnnnnnnnn", &objects[0], &objects[1], &rows[0], &rows[1], &rows[2], &rows[3],
                          &columns[0], &columns[1], &columns[2], &columns[3]))
        return NULL;
    Py_buffer pixels, out;
    PyObject *result = NULL;
    if (!get_buffer(objects[0], "pixels", PIXEL_LETTERS, 0, 2, 0, &pixels)) return NULL;
    if (get_buffer(objects[1], "out", "f", 4, 2, PyBUF_WRITABLE, &out)) {
        Axis y, x;
        if (set_axis(rows, pixels.shape[0], out.shape[0], &y) && set_axis(columns, pixels.shape[1], out.shape[1], &x))
            result = run_resample(&pixels, &out, &y, &x);
        PyBuffer_Release(&out);
    }
    PyBuffer_Release(&pixels);
    return result;
}

/* ---- labels ----------------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(first_doc,
             "first_pixels(labels, count) -> bytes\n\n"
             "Linear index (native int64) of the first pixel of every label 1 … count; -1 where there is none.");

static PyObject *py_first(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *labels;
    Py_ssize_t count;
    Py_buffer view;
    if (!PyArg_ParseTuple(args, "On", &labels, &count)) return NULL;
    if (count < 0 || count > PY_SSIZE_T_MAX / (Py_ssize_t)sizeof(int64_t)) {
        PyErr_SetString(PyExc_ValueError, "count must be that of labels");
        return NULL;
    }
    if (!get_buffer(labels, "labels", "IL", 4, 2, 0, &view)) return NULL;
    PyObject *result = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(int64_t));
    if (result) {
        int64_t *first = (int64_t *)PyBytes_AsString(result);
        PyThreadState *thread = PyEval_SaveThread();
        first_pixels(view.buf, pixel_count(&view), (size_t)count, first);
        PyEval_RestoreThread(thread);
    }
    PyBuffer_Release(&view);
    return result;
}

PyDoc_STRVAR(relabel_doc,
             "relabel(labels, numbers, out)\n\n"
             "out = numbers[labels], all of them uint32; 0 for labels that `numbers` is too short for.");

static PyObject *py_relabel(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *objects[3], *result = NULL;
    Py_buffer labels, numbers, out;
    if (!PyArg_ParseTuple(args, "OOO", &objects[0], &objects[1], &objects[2])) return NULL;
    if (!get_buffer(objects[0], "labels", "IL", 4, 2, 0, &labels)) return NULL;
    if (get_buffer(objects[1], "numbers", "IL", 4, 1, 0, &numbers)) {
        if (get_buffer(objects[2], "out", "IL", 4, 2, PyBUF_WRITABLE, &out)) {
            if (same_shape(&labels, &out, "out")) {
                PyThreadState *thread = PyEval_SaveThread();
                relabel(labels.buf, pixel_count(&labels), numbers.buf, (size_t)numbers.shape[0], out.buf);
                PyEval_RestoreThread(thread);
                result = Py_NewRef(Py_None);
            }
            PyBuffer_Release(&out);
        }
        PyBuffer_Release(&numbers);
    }
    PyBuffer_Release(&labels);
    return result;
}

static PyMethodDef METHODS[] = {
    {"deep_watershed", py_watershed, METH_VARARGS, watershed_doc},
    {"resample", py_resample, METH_VARARGS, resample_doc},
    {"measure_shapes", py_shapes, METH_VARARGS, shapes_doc},
    {"measure_intensity", py_intensity, METH_VARARGS, intensity_doc},
    {"first_pixels", py_first, METH_VARARGS, first_doc},
    {"relabel", py_relabel, METH_VARARGS, relabel_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "cellfleet._native", "Compiled kernels of preprocess, postprocess and measure.", 0, METHODS,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&MODULE); }
