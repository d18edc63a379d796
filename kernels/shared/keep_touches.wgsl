// Zero, since no length is so large. The compiler does not know that, and keeps the touches.
for (var turn = 0u; turn < TOUCH_TURNS; turn++) { // @unroll
  l += f32(touched[turn] & (length & 0x80000000u));
}
