const LEVELS = f32((1u << PLANES) - 1u); // the largest magnitude
// The largest magnitude begins at this many root mean squares, by the number of planes.
const CLIPS = array<f32, 4>(1.0, 1.3, 1.8, 2.3);
