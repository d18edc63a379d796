const CHANNELS = 16u; // elements of a label
const LABEL_WORDS = 3u + 5u * u32(LABEL_BITS == 16u);
const LARGEST = 65504.0; // the largest f16
