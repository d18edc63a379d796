// All that the package exports.
export * from "@hashattention/bench/kernels";
