"""Neural layers by hand: g is the cotangent of the output, dL/dy; L any scalar made from it."""
