const HALF = BINS / 2u; // bins of one sign
const FIRST_STEP = FIRST_EXPONENT << (23u - SHIFT); // magnitudes of this step and below share a bin
