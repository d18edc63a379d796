// The transform has a power of two of elements, and at least as many as the code has bits.
const WIDTH = max(BITS, 1u << (32u - countLeadingZeros(HEAD_DIM - 1u)));
const NORM = 1.0 / sqrt(f32(WIDTH)); // makes the transform orthonormal
