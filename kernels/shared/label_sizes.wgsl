const CHANNELS = 16u; // elements of a label
