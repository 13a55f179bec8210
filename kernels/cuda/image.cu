// Every kernel: nvcc makes one image, edgead.fatbin, of one source.
#include "ciede2000.cu"
#include "resize.cu"
