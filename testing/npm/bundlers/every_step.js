// A decoder that knows every step: all that an engine may need.
export { createDecoder, requestDecoderDevice } from "@hashattention/bench";
