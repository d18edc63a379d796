/// Partials that the workgroups of a list hand over. One of the two arrays is used.
///
/// A barrier does not drop what a processor has cached. So nobody reads a line of partials before
/// all of its list have arrived, and each list begins a line of its own.
struct HandOver {
  arrivals: array<atomic<u32>, LISTS>, // zero between steps
  words: array<atomic<u32>, ATOMIC_WORDS>,
  partials: array<vec4f, PLAIN_QUADS>,
}
