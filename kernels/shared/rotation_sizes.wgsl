// The transform has a power of two of elements, and at least as many as the code has bits.
const WIDTH = max(BITS, HEAD_DIM + 32u * u32(HEAD_DIM == 96u));
const NORM = 1.0 / sqrt(f32(WIDTH)); // makes the transform orthonormal
