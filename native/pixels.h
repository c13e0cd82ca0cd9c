/* Types of image pixels that the kernels read as they are. */
#ifndef CELLFLEET_PIXELS_H
#define CELLFLEET_PIXELS_H

typedef enum { PIXEL_U8, PIXEL_I8, PIXEL_U16, PIXEL_I16, PIXEL_U32, PIXEL_I32, PIXEL_F32, PIXEL_F64 } PixelType;

#endif
