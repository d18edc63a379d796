const SCALE = LOG2_E / sqrt(f32(HEAD_DIM)); // from a dot to a logit
